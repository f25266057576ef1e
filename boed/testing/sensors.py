"""What every sensor fulfils."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from functools import cached_property

import torch
from torch import Tensor

from boed.data.observation import Observation
from boed.foundation.randomness import derive
from boed.sensors.indirect import IndirectSensor
from boed.sensors.sensor import Sensor, candidates, check_is_sensor, costs, look
from boed.sensors.travel import trips
from boed.testing.properties import (
    Check,
    Shape,
    check_case,
    checks_of,
    difference,
    expect,
    random_scenes,
    run_all,
    untouched,
)

SUMS = 1e-5
"""How far readings may be apart that were summed in another order."""


@dataclass(frozen=True)
class SensorCase:
    """A sensor and the shape of its scenes: channels, height and width.

    Attributes:
        most: how many candidates are tried, evenly spaced; all if not given.
        device: where the scenes are.
    """

    sensor: Sensor
    shape: Shape
    _: KW_ONLY
    most: int | None = None
    device: torch.device | str = "cpu"

    @cached_property
    def all_designs(self) -> Tensor:
        return candidates(self.sensor, self.nothing())

    @cached_property
    def designs(self) -> Tensor:
        """The candidates that are tried."""
        number = len(self.all_designs)
        tried = number if self.most is None else min(self.most, number)
        return self.all_designs[torch.linspace(0, number - 1, tried).round().long()]

    @property
    def noise(self) -> float:
        return float(getattr(self.sensor, "noise", 0))

    def nothing(self, batch: int = 1) -> Observation:
        return Observation.nothing(batch, self.shape[0], self.shape[1:], device=self.device)

    def scenes(self, batch: int, seed: int = 0) -> Tensor:
        return random_scenes(self.shape, batch, seed).to(self.device)

    def after(self, scene: Tensor, *numbers: int, seed: int = 0) -> Observation:
        """The observation after the candidates of these numbers, at all scenes alike."""
        result, size = self.nothing(len(scene)), len(scene)
        seeds = [derive(seed, k) for k in range(size)]
        for number in numbers:
            design = self.designs[[number] * size]
            result = look(self.sensor, result, scene, design=design, seeds=seeds)
        return result


def it_has_the_methods(case: SensorCase) -> None:
    check_is_sensor(case.sensor)


def its_candidates_are_different_and_stay(case: SensorCase) -> None:
    """That they are different is checked by `candidates`."""
    again = candidates(case.sensor, case.after(case.scenes(1), 0))
    expect(torch.equal(again, case.all_designs), "designs are others after a look")


def every_look_takes_something(case: SensorCase) -> None:
    designs, number = case.designs, len(case.designs)
    scenes = case.scenes(number)
    with untouched(scenes, designs):
        seen = look(
            case.sensor, case.nothing(number), scenes, design=designs, seeds=list(range(number))
        )
    levels = set(seen.seen.unique().tolist())
    expect(levels <= {0.0, 1.0}, f"what was taken is {sorted(levels)[:5]}, expected 0 or 1")
    empty = (seen.seen.sum(1) == 0).nonzero()[:, 0].tolist()
    expect(not empty, f"candidates {empty} show nothing: neither pixels nor readings are marked")


def costs_are_positive(case: SensorCase) -> None:
    price = costs(case.sensor, case.designs)
    expect((price > 0).all(), f"cost goes down to {float(price.min()):g}, expected above 0")


def pixels_seen_are_those_of_the_scene(case: SensorCase) -> None:
    """Of sensors without readings; noise is in the values seen, unseen ones are 0."""
    scene = case.scenes(2)
    for number in range(len(case.designs)):
        seen = case.after(scene, number)
        if seen.readings is not None:
            return
        hidden = (seen.values * (seen.mask == 0)).abs().max()
        expect(hidden == 0, "values are not 0 where the mask is 0")
        off = ((seen.values - scene) * seen.mask).abs().max()
        expect(case.noise > 0 or off == 0, f"values differ from the scene by {float(off):.3g}")


def looking_twice_adds_nothing(case: SensorCase) -> None:
    scene = case.scenes(2)
    once = case.after(scene, 0)
    again = look(
        case.sensor, once, scene, design=case.designs[[0, 0]], seeds=[derive(0, k) for k in (0, 1)]
    )
    off = difference(again, once)
    expect(off == 0, f"a second look at the same place changes the observation by {off:.3g}")


def looks_add_up_in_any_order(case: SensorCase) -> None:
    scene, last = case.scenes(2), len(case.designs) - 1
    one, other, both = (case.after(scene, *looks) for looks in ((0,), (last,), (0, last)))
    off = difference(case.after(scene, last, 0), both)
    expect(off <= 10 * SUMS, f"two looks in the other order differ by {off:.3g}")
    expect(
        torch.equal(both.seen, torch.maximum(one.seen, other.seen)),
        "what two looks took is not what each of them took",
    )
    expect((both.mask >= torch.maximum(one.mask, other.mask)).all(), "a look hides what was seen")


def nothing_unseen_leaks(case: SensorCase) -> None:
    """A change of the scene that the looks' readings do not notice changes nothing."""
    scene, numbers = case.scenes(2), (0, len(case.designs) // 2)
    seen = case.after(scene, *numbers)
    if seen.readings is not None and not isinstance(case.sensor, IndirectSensor):
        return  # which changes it notices is not known
    change = unnoticed(case, seen.seen[0])
    off = difference(case.after(scene + change, *numbers), seen)
    limit = 2 * SUMS if isinstance(case.sensor, IndirectSensor) else 0
    expect(off <= limit, f"what was not looked at changes the observation by {off:.3g}")


def unnoticed(case: SensorCase, seen: Tensor) -> Tensor:
    """A random change of the scene to which the readings, or pixels, `seen` are blind."""
    change = case.scenes(1, seed=7) - 0.5
    if not isinstance(case.sensor, IndirectSensor):
        return (change * (1 - seen.view(1, 1, *case.shape[1:]))).clamp(-0.01, 0.01)
    pixels = torch.eye(math.prod(case.shape)).unflatten(1, case.shape)
    rows = case.sensor.forward(pixels).T.double()[seen > 0]
    flat = change.flatten().double()
    return (flat - torch.linalg.pinv(rows, rtol=1e-5) @ (rows @ flat)).float().view_as(change)


def a_scene_does_not_depend_on_its_batch(case: SensorCase) -> None:
    designs, scenes, seeds = case.designs, case.scenes(4), [5, 3, 8, 5]
    chosen = [[k % len(designs), (2 * k + 1) % len(designs)] for k in range(4)]
    together = case.nothing(4)
    for step in range(2):
        design = designs[[numbers[step] for numbers in chosen]]
        together = look(case.sensor, together, scenes, design=design, seeds=seeds)
    for k, numbers in enumerate(chosen):
        one, alone = slice(k, k + 1), case.nothing()
        for number in numbers:
            alone = look(
                case.sensor, alone, scenes[one], design=designs[[number]], seeds=seeds[one]
            )
        off = difference(together[one], alone)
        expect(off <= SUMS, f"a scene in a batch differs by {off:.3g} from the scene alone")
    prices = torch.cat([costs(case.sensor, design[None]) for design in designs])
    expect(torch.equal(costs(case.sensor, designs), prices), "cost depends on the batch")


def a_way_does_not_depend_on_its_batch(case: SensorCase) -> None:
    here, there = case.designs.to(case.scenes(1)), case.designs.flip(0)
    ways = trips(case.sensor, here, there)
    alone = [trips(case.sensor, a[None], b[None]) for a, b in zip(here, there, strict=True)]
    expect(torch.allclose(ways, torch.cat(alone)), "travel depends on the batch")


def noise_belongs_to_the_seed(case: SensorCase) -> None:
    if case.noise == 0:
        return
    scene, all_looks = case.scenes(2), range(len(case.designs))
    noisy = case.after(scene, *all_looks)
    off = difference(case.after(scene, *all_looks), noisy)
    expect(off == 0, f"the same seed gives readings that differ by {off:.3g}")
    other = case.after(scene, *all_looks, seed=1)
    expect(difference(other, noisy) > 0, "noise is above 0, but another seed reads the same")
    once = case.after(scene, 0)
    again = look(case.sensor, once, scene, design=case.designs[[0, 0]], seeds=[98, 99])
    off = difference(again, once)
    expect(off == 0, f"what was read changes by {off:.3g} at a second look with another seed")


PROPERTIES: list[Callable[[SensorCase], None]] = [
    it_has_the_methods,
    its_candidates_are_different_and_stay,
    every_look_takes_something,
    costs_are_positive,
    pixels_seen_are_those_of_the_scene,
    looking_twice_adds_nothing,
    looks_add_up_in_any_order,
    nothing_unseen_leaks,
    a_scene_does_not_depend_on_its_batch,
    a_way_does_not_depend_on_its_batch,
    noise_belongs_to_the_seed,
]


def sensor_checks(sensor: Sensor, shape: Shape = (1, 32, 32)) -> list[Check]:
    """The checks of a sensor, one by one; see `check_sensor`."""
    check_case(shape)
    return checks_of(PROPERTIES, SensorCase(sensor, shape))


def check_sensor(sensor: Sensor, shape: Shape = (1, 32, 32)) -> None:
    """Make sure that a sensor fulfils what policies and results rely on.

    >>> from boed.sensors import Lines
    >>> check_sensor(Lines(16), (1, 16, 16))

    Args:
        sensor: of your own.
        shape: channels, height and width of its scenes.

    Raises:
        AssertionError: the properties that do not hold, and how.
        ValueError: an argument of another kind.
    """
    run_all(sensor, sensor_checks(sensor, shape))
