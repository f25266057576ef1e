"""The protocol that a sensor fulfils."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from boed.data.observation import Observation
from boed.foundation.memory import check_memory
from boed.foundation.randomness import SceneNoise
from boed.sensors.scanner import Scanner


@runtime_checkable
class Sensor(Protocol):
    """What can be looked at, what a look returns and what it costs.

    A design is one row of a tensor `[D, K]`; everything is vectorised over the batch. A sensor
    with measurement noise says so with an attribute `noise` above zero, and its `observe` takes
    the scenes' seeds as a fourth argument, `seed`: the same seed is the same noise, so that
    looking twice in the same place returns the same reading.
    """

    def designs(self, observation: Observation) -> Float[Tensor, "D K"]:
        """The candidate designs, the same for every scene of the batch."""
        ...

    def observe(
        self,
        observation: Observation,
        scene: Float[Tensor, "B C H W"],
        design: Float[Tensor, "B K"],
    ) -> Observation:
        """The observation after the look `design[b]` at `scene[b]`: f_{c_1..c_t} of Eq. 17."""
        ...

    def cost(self, design: Float[Tensor, "B K"]) -> Float[Tensor, " B"]:
        """What a look costs, such as dose or time."""
        ...


def look(
    sensor: Sensor,
    observation: Observation,
    scene: Float[Tensor, "B C H W"],
    *,
    design: Float[Tensor, "B K"],
    seeds: list[int],
) -> Observation:
    """`sensor.observe`, with the scenes' seeds where the sensor has noise.

    Raises:
        ValueError: the sensor returns an observation of another shape, or one that is not finite.
    """
    if getattr(sensor, "noise", 0) > 0:
        after = sensor.observe(observation, scene, design, seed=seeds)  # type: ignore[call-arg]
    else:
        after = sensor.observe(observation, scene, design)
    name = f"{type(sensor).__name__}.observe"
    if not isinstance(after, Observation):
        raise ValueError(f"{name} returned {type(after).__name__}, expected an Observation")
    if after.values.shape != scene.shape:
        raise ValueError(
            f"{name} returned values {tuple(after.values.shape)}, expected {tuple(scene.shape)}"
        )
    for part in ("values", "mask", "readings"):
        tensor = getattr(after, part)
        if tensor is not None and not tensor.isfinite().all():
            raise ValueError(f"{name} returned {part} that are NaN or infinite")
    if after.mask.min() < 0 or after.mask.max() > 1 + 1e-4:
        low, high = float(after.mask.min()), float(after.mask.max())
        raise ValueError(f"{name} returned a mask from {low:.3g} to {high:.3g}, expected 0 to 1")
    return after


def candidates(sensor: Sensor, observation: Observation) -> Float[Tensor, "D K"]:
    """`sensor.designs`, after making sure that there are some.

    Raises:
        ValueError: there is no candidate, more than the memory limit has room for, or the designs
            are not `[D, K]` and finite.
    """
    name = f"{type(sensor).__name__}.designs"
    designs = _tensor(sensor.designs(observation), name)
    if designs.ndim != 2:
        raise ValueError(f"{name} returned {tuple(designs.shape)}, expected [D, K]")
    if len(designs) == 0:
        raise ValueError(f"{name} returned no candidate")
    if not designs.isfinite().all():
        raise ValueError(f"{name} returned designs that are NaN or infinite")
    height, width = observation.shape
    check_memory(
        f"the masks of the {len(designs):,} candidates of {type(sensor).__name__}",
        4 * len(designs) * height * width,
    )
    bounds = getattr(sensor, "bounds", None)
    if isinstance(bounds, Tensor) and tuple(bounds.shape) == (2, designs.shape[1]):
        low, high = bounds.to(designs.device)
        outside = ((designs < low - 1e-4) | (designs > high + 1e-4)).any(1)
        if outside.any():
            raise ValueError(
                f"{name} returned {designs[outside][0].tolist()}, outside the sensor's bounds "
                f"{low.tolist()} to {high.tolist()}"
            )
    return designs


def returns_readings(sensor: Sensor, shape: tuple[int, int, int]) -> bool:
    """Whether a look at scenes of (channels, height, width) returns readings that are no pixels."""
    blank = Observation.nothing(1, shape[0], shape[1:])
    design = candidates(sensor, blank)[:1]
    return look(sensor, blank, blank.values, design=design, seeds=[0]).readings is not None


def candidate_masks(
    sensor: Sensor, observation: Observation, designs: Float[Tensor, "D K"]
) -> Float[Tensor, "D H W"]:
    """What each candidate alone would show, as a picture: the mask of nothing else seen."""
    return torch.cat([seen.mask[:, 0] for seen in _looks_alone(sensor, observation, designs)])


def footprints(
    sensor: Sensor, observation: Observation, designs: Float[Tensor, "D K"]
) -> Float[Tensor, "D R"]:
    """Which readings, or pixels, each look would take, whatever has been seen."""
    if isinstance(sensor, Scanner) and hasattr(sensor, "footprint"):  # it tells without looking
        return sensor.footprint(designs).flatten(1)  # type: ignore[no-any-return]
    return torch.cat([seen.seen for seen in _looks_alone(sensor, observation, designs)])


def _looks_alone(
    sensor: Sensor, observation: Observation, designs: Float[Tensor, "D K"]
) -> Iterator[Observation]:
    """Each look at a scene of which nothing else was seen, 64 at a time."""
    for some in designs.split(64):  # so that no scene per candidate is held
        blank = Observation.nothing(
            len(some), observation.channels, observation.shape, device=observation.device
        )
        yield look(sensor, blank, blank.values, design=some, seeds=[0] * len(some))


def costs(sensor: Sensor, design: Float[Tensor, "B K"]) -> Float[Tensor, " B"]:
    """`sensor.cost`, after making sure that it is one number for each design.

    Raises:
        ValueError: it is not, or a cost is negative, NaN or infinite.
    """
    name = f"{type(sensor).__name__}.cost"
    cost = _tensor(sensor.cost(design), name)
    if tuple(cost.shape) != (len(design),):
        raise ValueError(f"{name} returned {tuple(cost.shape)}, expected ({len(design)},)")
    if not (cost.isfinite() & (cost >= 0)).all():
        raise ValueError(
            f"{name} returned {cost.min():.3g} to {cost.max():.3g}, expected 0 or more"
        )
    return cost.float()


def _tensor(returned: object, name: str) -> Tensor:
    if not isinstance(returned, Tensor):
        raise ValueError(f"{name} returned {type(returned).__name__}, expected a tensor")
    return returned


def noise_fields(seeds: list[int], *shape: int) -> Float[Tensor, "B *shape"]:
    """Standard normal noise for each scene, the same for the same seed."""
    first = {seed: row for row, seed in reversed(list(enumerate(seeds)))}
    drawn = SceneNoise(list(first)).normal(1, *shape)[0]
    where = {seed: row for row, seed in enumerate(first)}
    return drawn[[where[seed] for seed in seeds]]
