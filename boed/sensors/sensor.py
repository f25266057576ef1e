"""The protocol that a sensor fulfils."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from boed.data.observation import Observation
from boed.foundation.checks import (
    attribute,
    called,
    calling,
    check_floating,
    check_protocol,
    describe,
)
from boed.foundation.memory import check_memory
from boed.foundation.randomness import SceneNoise
from boed.sensors.scanner import Scanner
from boed.sensors.travel import check_travels, moved, travels, trips


@runtime_checkable
class Sensor(Protocol):
    """What can be looked at, what a look returns and what it costs.

    A design is one row of a tensor `[D, K]`; everything is vectorised over the batch. A sensor
    with measurement noise says so with an attribute `noise` above zero, and its `observe` takes
    the scenes' seeds as a fourth argument, `seed`: the same seed is the same noise, so that
    looking twice in the same place returns the same reading. A sensor that has to be moved from
    look to look may say what that costs: see `boed.sensors.travel.Travels`.
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


class NoisySensor(Sensor, Protocol):
    """A sensor whose noise is above 0: `observe` also takes the scenes' seeds."""

    def observe(
        self,
        observation: Observation,
        scene: Float[Tensor, "B C H W"],
        design: Float[Tensor, "B K"],
        *,
        seed: list[int] | int = 0,
    ) -> Observation:
        """The observation after the look; the same seed is the same noise."""
        ...


@runtime_checkable
class Restricted(Sensor, Protocol):
    """Another sensor of whose candidates only some are offered, such as one with pending looks."""

    sensor: Sensor

    def unread(
        self, observation: Observation, designs: Float[Tensor, "D K"]
    ) -> Float[Tensor, "B D"]:
        """How many readings, or pixels, each look would add to what was taken or will be."""
        ...


def check_is_sensor(sensor: object) -> None:
    """Refuse what is no sensor.

    Raises:
        ValueError: it lacks a method, one cannot be called as the protocol's, or its noise is no
            standard deviation.
    """
    noise = attribute(sensor, "noise", 0)
    if not isinstance(noise, int | float) or not 0 <= noise < float("inf"):
        raise ValueError(
            f"sensor: {type(sensor).__name__}.noise is {noise}, expected a standard deviation"
        )
    check_protocol("sensor", sensor, NoisySensor if noise > 0 else Sensor)


def look(
    sensor: Sensor,
    observation: Observation,
    scene: Float[Tensor, "B C H W"],
    *,
    design: Float[Tensor, "B K"],
    seeds: list[int],
) -> Observation:
    """`sensor.observe`, with the scenes' seeds where the sensor has noise.

    Numbers of another precision, or on another device, are converted to the scene's.

    Raises:
        ValueError: the sensor returns an observation of another shape, of whole numbers, one that
            is not finite, or pixels outside [0, 1] though it has no noise.
    """
    name = called(sensor, "observe")
    with calling(sensor, "observe"):
        if attribute(sensor, "noise", 0) > 0:
            after = sensor.observe(observation, scene, design, seed=seeds)  # type: ignore[call-arg]
        else:
            after = sensor.observe(observation, scene, design)
    if not isinstance(after, Observation):
        raise ValueError(f"{name} returned {describe(after)}, expected an Observation")
    if after.values.shape != scene.shape:
        raise ValueError(
            f"{name} returned values {tuple(after.values.shape)}, expected {tuple(scene.shape)}"
        )
    after = _converted(after, scene, name)
    spans = {}
    for part in ("values", "mask", "readings", "taken"):
        tensor = getattr(after, part)
        if tensor is not None and tensor.numel():
            spans[part] = _span(tensor)
            if not all(map(math.isfinite, spans[part])):
                raise ValueError(f"{name} returned {part} that are NaN or infinite")
    low, high = spans.get("mask", (0.0, 0.0))
    if low < 0 or high > 1 + 1e-4:
        raise ValueError(f"{name} returned a mask from {low:.3g} to {high:.3g}, expected 0 to 1")
    if after.readings is None and not attribute(sensor, "noise", 0) > 0:
        low, high = spans.get("values", (0.0, 0.0))
        lowest, highest = (0.0, 1.0) if low >= 0 and high <= 1 else _span(scene)
        if low < min(0.0, lowest) - ROUNDING or high > max(1.0, highest) + ROUNDING:
            raise ValueError(
                f"{name} returned values from {low:.3g} to {high:.3g}, expected pixels of the "
                "scene, in [0, 1]; what is no pixel belongs in readings, and a sensor with noise "
                "says so with an attribute `noise` above zero"
            )
    return moved(sensor, after, design)


def _span(part: Tensor) -> tuple[float, float]:
    """The least and the largest entry; NaN where any is."""
    low, high = part.detach().aminmax()
    return float(low), float(high)


ROUNDING = 1e-3
"""How far a pixel may be from what it has to be."""


def _converted(after: Observation, scene: Tensor, name: str) -> Observation:
    """The observation in the scene's precision and on its device; masks may be of any dtype."""
    parts = {each: getattr(after, each) for each in ("values", "mask", "readings", "taken")}
    given = {each: part for each, part in parts.items() if part is not None}
    if all(part.dtype == scene.dtype and part.device == scene.device for part in given.values()):
        return after
    for each in ("values", "readings"):
        if each in given:
            check_floating(f"{name}: {each}", given[each], "numbers, pixels in [0, 1]")
    return Observation(**{each: part.to(scene) for each, part in given.items()})


def candidates(sensor: Sensor, observation: Observation) -> Float[Tensor, "D K"]:
    """`sensor.designs`, after making sure that there are some.

    Raises:
        ValueError: it is no sensor, there is no candidate, the same one twice, more than the memory
            limit has room for, or the designs are not `[D, K]` and finite.
    """
    check_is_sensor(sensor)
    name = called(sensor, "designs")
    with calling(sensor, "designs"):
        designs = _tensor(sensor.designs(observation), name)
    if designs.ndim != 2:
        raise ValueError(f"{name} returned {tuple(designs.shape)}, expected [D, K]")
    if len(designs) == 0:
        raise ValueError(f"{name} returned no candidate")
    if not designs.isfinite().all():
        raise ValueError(f"{name} returned designs that are NaN or infinite")
    _check_different(designs, name)
    check_travels(sensor, designs.shape[1])
    height, width = observation.shape
    check_memory(
        f"the masks of the {len(designs):,} candidates of {type(sensor).__name__}",
        4 * len(designs) * height * width,
    )
    bounds = attribute(sensor, "bounds", None)
    if isinstance(bounds, Tensor) and tuple(bounds.shape) == (2, designs.shape[1]):
        low, high = bounds.to(designs.device)
        outside = ((designs < low - 1e-4) | (designs > high + 1e-4)).any(1)
        if outside.any():
            raise ValueError(
                f"{name} returned {designs[outside][0].tolist()}, outside the sensor's bounds "
                f"{low.tolist()} to {high.tolist()}"
            )
    return designs.to(observation.device)


def _check_different(designs: Float[Tensor, "D K"], name: str) -> None:
    """Refuse the same candidate twice: it would be chosen twice as often."""
    rows, count = designs.unique(dim=0, return_counts=True)
    if len(rows) < len(designs):
        raise ValueError(
            f"{name} returned {rows[count.argmax()].tolist()} {int(count.max())} times, expected "
            "every candidate once"
        )


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


def box_of(mask: Float[Tensor, "H W"]) -> tuple[int, int, int, int]:
    """Top, left, height and width of what a look shows; of all where it shows nothing."""
    rows, columns = ((mask > 0).any(axis).nonzero()[:, 0] for axis in (1, 0))
    if not len(rows):
        return 0, 0, mask.shape[0], mask.shape[1]
    top, left = int(rows[0]), int(columns[0])
    return top, left, int(rows[-1]) + 1 - top, int(columns[-1]) + 1 - left


def footprints(
    sensor: Sensor, observation: Observation, designs: Float[Tensor, "D K"]
) -> Float[Tensor, "D R"]:
    """Which readings, or pixels, each look would take, whatever has been seen."""
    if isinstance(sensor, Scanner) and hasattr(sensor, "footprint"):  # it tells without looking
        with calling(sensor, "footprint"):
            return sensor.footprint(designs).flatten(1)  # type: ignore[no-any-return]
    return torch.cat([seen.seen for seen in _looks_alone(sensor, observation, designs)])


def new_readings(observation: Observation, shown: Float[Tensor, "D R"]) -> Float[Tensor, "B D"]:
    """How many readings, or pixels, that were not taken yet each look would take.

    Args:
        observation: what has been taken, of B scenes.
        shown: what each look takes, as `footprints` says.
    """
    seen = observation.seen
    if seen.shape[1] != shown.shape[1]:  # an indirect sensor that has not read anything
        return shown.sum(1).expand(len(seen), -1)
    return (1 - seen) @ shown.T


def reads_new(
    sensor: Sensor, observation: Observation, designs: Float[Tensor, "D K"]
) -> Bool[Tensor, "B D"]:
    """Which looks would take anything of each scene that has not been taken yet.

    The others tell nothing: what was read is known, and stays as it was read. Where only some
    candidates are offered, these looks have to add something to those that are under way.
    """
    if isinstance(sensor, Restricted):
        return sensor.unread(observation, designs) > 0
    counts = [  # so that no footprint per candidate is held
        new_readings(observation, footprints(sensor, observation, some))
        for some in designs.split(64)
    ]
    return torch.cat(counts, dim=1) > 0


def _looks_alone(
    sensor: Sensor, observation: Observation, designs: Float[Tensor, "D K"]
) -> Iterator[Observation]:
    """Each look at a scene of which nothing else was seen, 64 at a time."""
    for some in designs.split(64):  # so that no scene per candidate is held
        blank = Observation.nothing(
            len(some), observation.channels, observation.shape, device=observation.device
        )
        yield look(sensor, blank, blank.values, design=some, seeds=[0] * len(some))


def costs(
    sensor: Sensor, design: Float[Tensor, "B K"], *, before: Observation | None = None
) -> Float[Tensor, " B"]:
    """What each look costs, and the way to it from where the sensor stood before.

    Args:
        sensor: whose costs.
        design: the looks.
        before: what was known before each look; of the look alone if not given.

    Raises:
        ValueError: `sensor.cost`, or `travel`, does not return one number for each design, or one
            that is negative, NaN or infinite.
    """
    name = called(sensor, "cost")
    with calling(sensor, "cost"):
        cost = _tensor(sensor.cost(design), name)
    if tuple(cost.shape) != (len(design),):
        raise ValueError(f"{name} returned {tuple(cost.shape)}, expected ({len(design)},)")
    if not (cost.isfinite() & (cost >= 0)).all():
        raise ValueError(
            f"{name} returned {cost.min():.3g} to {cost.max():.3g}, expected 0 or more"
        )
    if before is None:
        return cost.float()
    return cost.float() + trips(sensor, before.position, design).to(cost.device)


def candidate_costs(
    sensor: Sensor, observation: Observation, designs: Float[Tensor, "D K"]
) -> Float[Tensor, "B D"]:
    """What each candidate would cost next at each scene, the way to it included; see `costs`."""
    shape, position = (len(observation), len(designs)), observation.position
    alone = costs(sensor, designs).expand(shape)
    if not travels(sensor):
        return alone
    here = None if position is None else position.repeat_interleave(len(designs), 0)
    return alone + trips(sensor, here, designs.repeat(shape[0], 1)).view(shape).to(alone.device)


def _tensor(returned: object, name: str) -> Tensor:
    if not isinstance(returned, Tensor):
        raise ValueError(f"{name} returned {describe(returned)}, expected a tensor")
    return returned


def noise_fields(seeds: list[int], *shape: int) -> Float[Tensor, "B *shape"]:
    """Standard normal noise for each scene, the same for the same seed."""
    first = {seed: row for row, seed in reversed(list(enumerate(seeds)))}
    drawn = SceneNoise(list(first)).normal(1, *shape)[0]
    where = {seed: row for row, seed in enumerate(first)}
    return drawn[[where[seed] for seed in seeds]]
