"""What it costs to move from one look to the next, where a sensor says so."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from boed.data.observation import Observation
from boed.foundation.checks import attribute, called, calling, check_protocol, describe


class Travels(Protocol):
    """A sensor that has to be moved from one look to the next, which costs something.

    Its attribute `start` is the design where it stands before the first look, `[K]`; without one
    it is free to begin anywhere.
    """

    def travel(self, a: Float[Tensor, "B K"], b: Float[Tensor, "B K"]) -> Float[Tensor, " B"]:
        """What it costs to move from the look `a` to the look `b`, in the unit of `cost`."""
        ...


def travels(sensor: object) -> bool:
    """Whether moving costs anything: there is a `travel`, and no `per_pixel` of 0 beside it."""
    return (
        attribute(sensor, "travel", None) is not None and attribute(sensor, "per_pixel", None) != 0
    )


def check_travels(sensor: object, width: int) -> None:
    """Refuse a sensor with a `travel` that is none, or a `start` that is no design.

    Args:
        sensor: of any kind.
        width: numbers in a design, K.

    Raises:
        ValueError: naming what it has, and what is expected.
    """
    if not travels(sensor):
        return
    check_protocol("sensor", sensor, Travels)
    start = attribute(sensor, "start", None)
    if start is None:
        return
    given = isinstance(start, Tensor) and tuple(start.shape) == (width,)
    if not given or not start.isfinite().all():
        raise ValueError(
            f"sensor: {type(sensor).__name__}.start is {describe(start)}, expected a design "
            f"({width},), finite, or None"
        )


def moved(sensor: object, observation: Observation, design: Float[Tensor, "B K"]) -> Observation:
    """The observation with the sensor at `design`, of sensors that have to be moved."""
    if not travels(sensor):
        return observation
    return replace(observation, position=design.to(observation.values))


def trips(
    sensor: object, position: Float[Tensor, "B K"] | None, design: Float[Tensor, "B K"]
) -> Float[Tensor, " B"]:
    """What it costs to move to each look.

    Args:
        sensor: that is moved; one that need not be pays nothing.
        position: where it stands, as in an `Observation`. Before the first look that is the
            sensor's `start`, and without one the way costs nothing.
        design: the looks.

    Raises:
        ValueError: `travel` does not return one number for each design, or one that is negative,
            NaN or infinite.
    """
    nothing = torch.zeros(len(design), device=design.device)
    if not travels(sensor):
        return nothing
    unknown = torch.full(design.shape, torch.nan, device=design.device)
    here, start = unknown if position is None else position, attribute(sensor, "start", None)
    if start is not None:
        here = here.where(~here.isnan(), start.to(here))
    known = ~here.isnan().any(1)
    if not known.any():
        return nothing
    name = called(sensor, "travel")
    with calling(sensor, "travel"):
        cost = sensor.travel(here[known], design[known])  # type: ignore[attr-defined]
    if not isinstance(cost, Tensor) or tuple(cost.shape) != (int(known.sum()),):
        raise ValueError(f"{name} returned {describe(cost)}, expected ({int(known.sum())},)")
    if not (cost.isfinite() & (cost >= 0)).all():
        raise ValueError(
            f"{name} returned {cost.min():.3g} to {cost.max():.3g}, expected 0 or more"
        )
    return nothing.index_put((known,), cost.to(nothing))
