"""How time is given out: how many steps a share of it holds, and who gets the next slice."""

from __future__ import annotations

import itertools
import logging
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boed.foundation.interruption import Interrupted
from boed.training.recipes import Recipe
from boed.zoo.recipes import train_recipe

VALIDATIONS = 10
"""Of a training whose steps are fitted to a time, at most."""

VALIDATING = 0.25
"""Of the time that validations may take; one is made all the same."""

SLICES = 4
"""In which a model gets its share where several are trained."""

MARGIN = 0.9
"""Of a share that the steps are fitted to."""

FEWEST = 10
"""Steps of a training that is fitted to a time that has hardly any room."""

_EVERY = 3
_TRIED = 7
_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Seconds that the parts of a training take.

    Attributes:
        start: reading the data and making the first step.
        step: each further step.
        validation: validating and storing the running state.
    """

    start: float
    step: float
    validation: float


class _Measured(Exception):
    """Enough steps have been timed."""


def next_slice(curves: Mapping[str, Sequence[tuple[float, float]]]) -> str | None:
    """Who is trained next: first everybody for two slices, then whoever gained most in its last.

    Two figures are needed for a gain; a model that goes on from before has one already. The gain
    is relative to the figure before, per minute. Those that gained nothing come last, so that
    they get what the others leave.

    Args:
        curves: for each model that has not ended, in order of need: (minutes trained, val figure)
            after each of its slices; lower figures are better.

    Returns:
        The name; None if there are no models.
    """
    fewest = min((min(len(curve), 2) for curve in curves.values()), default=2)
    if fewest < 2:
        return next(name for name, curve in curves.items() if len(curve) == fewest)
    return max(curves, key=lambda name: _gain(curves[name]), default=None)  # the first of equals


def _gain(curve: Sequence[tuple[float, float]]) -> float:
    (began, before), (ended, after) = curve[-2:]
    if not after < before:  # NaN, too
        return 0.0
    return (before - after) / max(abs(before), 1e-12) / max(ended - began, 1e-12)


def steps_within(seconds: float, speed: Speed, *, slices: int = 1) -> int:
    """Steps of a training that ends within a time, its validations included.

    >>> steps_within(300, Speed(start=8, step=0.02, validation=0.4))
    12900

    Args:
        seconds: the time.
        speed: as measured.
        slices: parts in which it is trained, each of which starts anew.
    """
    validations = validations_within(seconds, speed) + slices - 1
    room = MARGIN * seconds - slices * speed.start - validations * speed.validation
    return max(FEWEST, round(room / speed.step))


def validations_within(seconds: float, speed: Speed) -> int:
    """Validations of a training of some time: fewer where they would take much of it.

    >>> validations_within(300, Speed(start=8, step=0.02, validation=0.4))
    10
    >>> validations_within(60, Speed(start=8, step=0.02, validation=4))
    3
    """
    most = MARGIN * seconds * VALIDATING / max(speed.validation, 1e-6)
    return int(max(1, min(most, VALIDATIONS)))


def fitted(training: Mapping[str, Any], steps: int, validations: int) -> dict[str, int]:
    """Settings of a training of another number of steps: when it validates, and its warm-up."""
    return {
        "steps": steps,
        "every": max(1, -(-steps // validations)),
        "warmup": min(int(training.get("warmup", 100)), max(1, steps // 10)),
    }


def measured(
    recipe: Path | Recipe, changes: Mapping[str, Any], models: Mapping[str, Path]
) -> Speed:
    """Time a recipe's training: at least seven steps and five seconds, of which nothing stays.

    Args:
        recipe: path of the recipe, or the recipe itself.
        changes, models: as `train_recipe` takes them.

    Raises:
        Interrupted: Ctrl-C or SIGTERM came.
    """
    began, times = time.monotonic(), []

    def on_step(step: int, _: float) -> None:
        times.append(time.monotonic())
        if step >= _TRIED and times[-1] - times[0] >= _SECONDS:
            raise _Measured

    endless = {**changes, "steps": 10**9, "every": _EVERY}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "weights.safetensors"
        try:
            with _unsaid():
                train_recipe(recipe, out, changes=endless, on_step=on_step, models=models)
        except _Measured:
            pass
        except Interrupted as error:
            raise Interrupted(error.signal) from error  # what it stored is gone
    return speed_of(began, times)


@contextmanager
def _unsaid() -> Iterator[None]:
    """Within which trainings log nothing of their validations."""
    logger = logging.getLogger("boed.training")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def speed_of(began: float, times: Sequence[float]) -> Speed:
    """The speed from when a training was called and when each step ended.

    Args:
        began, times: in seconds; a validation follows each third step.
    """
    gaps = [later - before for before, later in itertools.pairwise(times)]
    plain = statistics.median(gap for k, gap in enumerate(gaps, 1) if k % _EVERY)
    validating = statistics.median(gap for k, gap in enumerate(gaps, 1) if k % _EVERY == 0)
    return Speed(
        start=times[0] - began, step=max(plain, 1e-6), validation=max(0.0, validating - plain)
    )
