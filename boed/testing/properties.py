"""Named properties, how they are run, and what they are tried on."""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from boed.data.observation import Observation
from boed.foundation.options import COUNT, refusal
from boed.sensors.sensor import Sensor, candidates, check_is_sensor, look

Case = TypeVar("Case")

Shape = tuple[int, int, int]
"""Channels, height and width of scenes."""

GLOBAL_RANDOM: dict[str, Callable[[], object]] = {
    "torch": lambda: torch.get_rng_state().numpy().tobytes(),
    "numpy": lambda: pickle.dumps(np.random.get_state()),  # noqa: NPY002 - to see whether a part drew from it
    "Python": random.getstate,
}
"""The state of each library's global random numbers."""

PARTS = ("values", "mask", "readings", "taken")


@dataclass(frozen=True)
class Check:
    """One property of one part; calling it raises where it does not hold.

    Attributes:
        name: the property in words.
        run: raises an AssertionError that says what is not as it should be, or a ValueError where
            the part breaks its protocol.
    """

    name: str
    run: Callable[[], None]

    def __call__(self) -> None:
        self.run()

    def __repr__(self) -> str:
        return self.name


def checks_of(properties: Sequence[Callable[[Case], None]], case: Case) -> list[Check]:
    """The properties of a case, named as their functions are."""

    def bound(each: Callable[[Case], None]) -> Check:
        return Check(each.__name__.replace("_", " "), lambda: each(case))

    return [bound(each) for each in properties]


def run_all(part: object, checks: Sequence[Check]) -> None:
    """Run all checks; the others only if the part has its methods, which the first one says.

    Raises:
        AssertionError: which ones failed, each with its reason.
    """
    failed: list[str] = []
    for check in checks:
        try:
            check()
        except ValueError as error:
            if check is checks[0]:
                raise AssertionError(str(error)) from error
            failed.append(f"- {check.name}: ValueError: {error}")
        except Exception as error:  # whatever a user's part raises
            kind = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
            failed.append(f"- {check.name}: {kind}{error}")
    if failed:
        raise AssertionError(
            f"{type(part).__qualname__}: {len(failed)} of {len(checks)} checks failed\n"
            + "\n".join(failed)
        )


def expect(holds: bool | Tensor, otherwise: str) -> None:
    """Raise an AssertionError with these words unless something holds."""
    if not bool(holds):
        raise AssertionError(otherwise)


def check_case(shape: object, sensor: object = None) -> None:
    """Refuse what is no shape of scenes, or no sensor to look at them.

    Raises:
        ValueError: naming the argument.
    """
    if not isinstance(shape, tuple | list) or len(shape) != 3:
        raise refusal("shape", shape, "channels, height and width, such as (1, 32, 32)")
    for each in shape:
        COUNT.check("one of shape", each)
    if sensor is not None:
        check_is_sensor(sensor)


def random_scenes(shape: Shape, batch: int, seed: int = 0) -> Tensor:
    """Scenes of independent pixels in (0, 1), never 0, so that seen is told from unseen."""
    generator = torch.Generator().manual_seed(seed)
    return 0.01 + 0.98 * torch.rand(batch, *shape, generator=generator)


SEEDS = [11, 25, 7]
"""Of the three scenes of `partly_seen`."""


def partly_seen(shape: Shape, sensor: Sensor | None) -> Observation:
    """Three scenes: of the first nothing was seen, of the second a little, of the third more.

    By one and three looks of the sensor, or by blocks of pixels where there is none.
    """
    scenes = random_scenes(shape, 3)
    blank = Observation.nothing_of(scenes)
    if sensor is None:
        mask = torch.zeros_like(blank.mask)
        mask[1, :, : -(-shape[1] // 2), : -(-shape[2] // 4)] = 1
        mask[2, :, :, : -(-shape[2] // 2)] = 1
        return Observation.of(scenes, mask)
    designs, seen = candidates(sensor, blank), blank
    for number, rows in enumerate(([1, 2], [2], [2])):
        where = torch.tensor(rows)
        design = designs[[number * (len(designs) - 1) // 2] * len(rows)]
        after = look(sensor, seen[where], scenes[where], design=design, seeds=rows)
        seen = seen.with_rows(where, after)
    return seen


@contextmanager
def untouched(*given: Observation | Tensor) -> Iterator[None]:
    """Within which arguments and the global random numbers of libraries must not be changed.

    Raises:
        AssertionError: what was changed.
    """
    tensors: list[tuple[str, Any]] = []
    for each in given:
        if isinstance(each, Observation):
            tensors += [(f"observation.{part}", getattr(each, part)) for part in PARTS]
        else:
            tensors.append(("a tensor that it was given", each))
    before = [None if each is None else each.clone() for _, each in tensors]
    states = {library: state() for library, state in GLOBAL_RANDOM.items()}
    yield
    for (name, now), old in zip(tensors, before, strict=True):
        expect(old is None or torch.equal(now, old), f"it changed {name} in place")
    for library, state in GLOBAL_RANDOM.items():
        expect(
            state() == states[library],
            f"it drew from {library}'s global random numbers; take a torch.Generator with the "
            "given seed",
        )


def difference(one: Observation, other: Observation) -> float:
    """The largest difference of anything in two observations; infinite where one lacks a part."""
    worst = 0.0
    for part in PARTS:
        a, b = getattr(one, part), getattr(other, part)
        if (a is None) != (b is None) or (a is not None and a.shape != b.shape):
            return float("inf")
        if a is not None and a.numel():
            worst = max(worst, float((a - b).abs().max()))
    return worst
