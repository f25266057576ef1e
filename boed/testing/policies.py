"""What every policy fulfils."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from boed.acquire import acquire
from boed.data.observation import Observation
from boed.policies.policy import Decision, Policy, check_is_policy, decide
from boed.sensors.patch import PatchSensor
from boed.sensors.sensor import Sensor, reads_new
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


@dataclass(frozen=True, kw_only=True)
class PolicyCase:
    """A policy, its sensor, the shape of the scenes, and whether it may look at the truth."""

    policy: Policy
    sensor: Sensor
    shape: Shape
    reference: bool = False

    @cached_property
    def observation(self) -> Observation:
        return partly_seen(self.shape, self.sensor)

    def decision(self, rows: slice, *, truth_seed: int = 0, blank: bool = False) -> Decision:
        truth = random_scenes(self.shape, 3, truth_seed)[rows]
        observation = Observation.nothing_of(truth) if blank else self.observation[rows]
        return decide(self.policy, observation, self.sensor, seeds=SEEDS[rows], truth=truth)


EVERY, SEEN = slice(0, 3), slice(1, 3)


def it_has_the_methods(case: PolicyCase) -> None:
    check_is_policy(case.policy)


def it_decides_on_one_look_for_each_scene(case: PolicyCase) -> None:
    """Type and shapes are checked by `decide`."""
    for blank in (True, False):
        with untouched(case.observation):
            case.decision(EVERY, blank=blank)


def the_seed_decides(case: PolicyCase) -> None:
    same = torch.equal(case.decision(EVERY).designs, case.decision(EVERY).designs)
    expect(same, "the same seeds give other looks")


def a_scene_does_not_depend_on_its_batch(case: PolicyCase) -> None:
    """Of scenes that have been looked at, and of scenes that have not."""
    for rows, blank in ((SEEN, False), (EVERY, True)):
        together = case.decision(rows, blank=blank).designs
        singles = [slice(b, b + 1) for b in range(rows.start, rows.stop)]
        alone = torch.cat([case.decision(one, blank=blank).designs for one in singles])
        expect(torch.equal(together, alone), "a scene alone has another look than in a batch")


def it_does_not_know_the_truth(case: PolicyCase) -> None:
    if case.reference:
        return
    one, other = (case.decision(EVERY, truth_seed=seed).designs for seed in (0, 5))
    expect(
        torch.equal(one, other),
        "it looks elsewhere if only the unseen truth is another; a reference policy is checked "
        "with reference=True",
    )


def it_looks_at_what_it_does_not_know(case: PolicyCase) -> None:
    """While a candidate reads anything new, the chosen one does."""
    decision = case.decision(EVERY)
    left = reads_new(case.sensor, case.observation, decision.candidates).any(1)
    new = reads_new(case.sensor, case.observation, decision.designs).diagonal()
    stops = torch.zeros_like(new) if decision.stop is None else decision.stop
    wasted = (left & ~new & ~stops).nonzero()[:, 0].tolist()
    expect(not wasted, f"it looks again at what is known, in scenes {wasted}, though some is not")


def it_can_be_run(case: PolicyCase) -> None:
    scenes = random_scenes(case.shape, 2)
    acquire(scenes, case.sensor, case.policy, steps=2, classifier=Undecided())


class Undecided:
    """A classifier that knows nothing."""

    def log_probs(self, observation: Observation) -> Tensor:
        return torch.full((len(observation), 2), 0.5, device=observation.device).log()


PROPERTIES: list[Callable[[PolicyCase], None]] = [
    it_has_the_methods,
    it_decides_on_one_look_for_each_scene,
    the_seed_decides,
    a_scene_does_not_depend_on_its_batch,
    it_does_not_know_the_truth,
    it_looks_at_what_it_does_not_know,
    it_can_be_run,
]


def policy_checks(
    policy: Policy,
    shape: Shape = (1, 32, 32),
    *,
    sensor: Sensor | None = None,
    reference: bool = False,
) -> list[Check]:
    """The checks of a policy, one by one; see `check_policy`."""
    check_case(shape, sensor)
    looks = PatchSensor(shape[-1], grid=5) if sensor is None else sensor
    return checks_of(
        PROPERTIES, PolicyCase(policy=policy, sensor=looks, shape=shape, reference=reference)
    )


def check_policy(
    policy: Policy,
    shape: Shape = (1, 32, 32),
    *,
    sensor: Sensor | None = None,
    reference: bool = False,
) -> None:
    """Make sure that a policy fulfils what runs and results rely on.

    >>> from boed import Random
    >>> check_policy(Random())

    Args:
        policy: of your own.
        shape: channels, height and width of the scenes.
        sensor: what it looks with; patches if not given.
        reference: whether it may know the whole scene, which no real policy does.

    Raises:
        AssertionError: the properties that do not hold, and how.
        ValueError: an argument of another kind.
    """
    run_all(policy, policy_checks(policy, shape, sensor=sensor, reference=reference))
