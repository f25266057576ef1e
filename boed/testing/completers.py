"""What every completer fulfils."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from boed.completion.completer import Completer, check_is_completer, complete
from boed.completion.log_probability import has_log_prob, log_prob, meaning
from boed.data.observation import Observation
from boed.sensors.sensor import Sensor
from boed.testing.properties import (
    SEEDS,
    Check,
    Shape,
    check_case,
    checks_of,
    expect,
    partly_seen,
    random_scenes,
    run_all,
    untouched,
)


@dataclass(frozen=True)
class CompleterCase:
    """A completer, the shape of its scenes, and the sensor that looks at them, if it matters."""

    completer: Completer
    shape: Shape
    sensor: Sensor | None = None

    @cached_property
    def observation(self) -> Observation:
        return partly_seen(self.shape, self.sensor)

    @property
    def deterministic(self) -> bool:
        return bool(getattr(self.completer, "deterministic", False))

    def scenes(self, observation: Observation, n: int, seeds: list[int]) -> Tensor:
        return complete(self.completer, observation, n, seed=seeds).scenes


def it_has_the_methods(case: CompleterCase) -> None:
    check_is_completer(case.completer)


def completions_are_scenes_that_agree_with_what_was_seen(case: CompleterCase) -> None:
    """Shape, numbers, range and the pixels seen are checked by `complete`, of each sampler."""
    for n in (1, 4):
        case.scenes(case.observation, n, SEEDS)
        drawn = case.completer.sample(case.observation, n, SEEDS)
        expected = (n, *case.observation.values.shape)
        expect(tuple(drawn.shape) == expected, f"sample gives {tuple(drawn.shape)}, not {expected}")


def the_seed_decides(case: CompleterCase) -> None:
    observation = case.observation
    with untouched(observation):
        first = case.scenes(observation, 3, SEEDS)
    expect(torch.equal(first, case.scenes(observation, 3, SEEDS)), "the same seed draws others")
    if not case.deterministic:
        other = case.scenes(observation, 3, [each + 10 for each in SEEDS])
        expect(not torch.equal(first, other), "another seed draws the same; is it used?")


def completions_differ(case: CompleterCase) -> None:
    blank = case.observation[:1]
    drawn = case.completer.sample(blank, 4, SEEDS[:1])
    different = len(torch.unique(drawn.flatten(1), dim=0))
    expect(
        case.deterministic or different > 1,
        "all completions of a scene are the same; a completer of one answer says so by "
        "deterministic = True",
    )


def a_scene_does_not_depend_on_its_batch(case: CompleterCase) -> None:
    observation = case.observation
    together = case.scenes(observation, 2, SEEDS)
    alone = [case.scenes(observation[b : b + 1], 2, SEEDS[b : b + 1]) for b in range(3)]
    off = float((together - torch.cat(alone, dim=1)).abs().max())
    expect(
        alike(together, torch.cat(alone, dim=1)),
        f"completions of a scene alone differ from those in a batch by up to {off:.3g}; "
        "draw each scene's from its own seed",
    )


def alike(one: Tensor, other: Tensor) -> bool:
    """Whether completions are the same but for rounding.

    Sums in another order may tip a pixel over to another grey level, very rarely.
    """
    return bool(((one - other).abs() > 2e-3).float().mean() < 2e-3)


def a_scene_seen_whole_is_that_scene(case: CompleterCase) -> None:
    if case.observation.readings is not None:
        return
    scenes = random_scenes(case.shape, 2)
    whole = case.scenes(Observation.everything(scenes), 2, SEEDS[:2])
    expect(
        torch.equal(whole, scenes.expand_as(whole)), "a scene seen whole is completed to another"
    )


def a_log_prob_says_what_it_is(case: CompleterCase) -> None:
    if not has_log_prob(case.completer):
        return
    observation = case.observation
    scenes = case.scenes(observation, 1, SEEDS)[0].clamp(0, 1)
    nats = log_prob(case.completer, scenes, observation)
    if meaning(case.completer).log_prob_is == "exact":
        each = (slice(b, b + 1) for b in range(len(scenes)))
        alone = torch.cat([log_prob(case.completer, scenes[b], observation[b]) for b in each])
        expect(
            torch.allclose(nats, alone, rtol=1e-4, atol=1e-3),
            "log_prob of a scene alone differs from that in a batch by up to "
            f"{float((nats - alone).abs().max()):.3g}",
        )


PROPERTIES: list[Callable[[CompleterCase], None]] = [
    it_has_the_methods,
    completions_are_scenes_that_agree_with_what_was_seen,
    the_seed_decides,
    completions_differ,
    a_scene_does_not_depend_on_its_batch,
    a_scene_seen_whole_is_that_scene,
    a_log_prob_says_what_it_is,
]


def completer_checks(
    completer: Completer, shape: Shape = (1, 32, 32), *, sensor: Sensor | None = None
) -> list[Check]:
    """The checks of a completer, one by one; see `check_completer`."""
    check_case(shape, sensor)
    return checks_of(PROPERTIES, CompleterCase(completer, shape, sensor))


def check_completer(
    completer: Completer, shape: Shape = (1, 32, 32), *, sensor: Sensor | None = None
) -> None:
    """Make sure that a completer fulfils what policies and results rely on.

    Args:
        completer: of your own.
        shape: channels, height and width of its scenes.
        sensor: by whose looks the scenes are partly seen; blocks of pixels if not given.

    Raises:
        AssertionError: the properties that do not hold, and how.
        ValueError: an argument of another kind.
    """
    run_all(completer, completer_checks(completer, shape, sensor=sensor))
