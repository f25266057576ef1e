"""Policies on scenes whose best look is known."""

from __future__ import annotations

import math
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor

from boed.acquire import Trajectory, acquire
from boed.completion.classical.retrieval import Retrieval
from boed.completion.completer import Completions
from boed.data.observation import Observation
from boed.eig import eig_map
from boed.policies import (
    BOED,
    CentreOut,
    Confident,
    Decision,
    EIGBelow,
    FirstLook,
    FixedDesign,
    Oracle,
    Policy,
    Random,
    TwoStep,
    Until,
)
from boed.policies.policy import pick
from boed.sensors import PatchSensor
from boed.session.pending import Pending
from tests.doubles import CLUE, NOISY, TILES, ClueClassifier, ClueCompleter, Clues, Fixed

TILED = PatchSensor(16, 0.25, 4)
CLASSIFIER = ClueClassifier()


def run(policy: Policy, clues: Clues, scenes: int, steps: int, seed: int = 0) -> Trajectory:
    return acquire(
        clues.dataset(scenes, seed).scenes(),
        TILED,
        policy,
        steps=steps,
        classifier=CLASSIFIER,
        seed=seed,
        keep=False,
    )


def nll(trajectory: Trajectory, clues: Clues, seed: int = 0) -> list[float]:
    """Mean loss after 0, 1, ... looks; the belief is exact, so it is never infinite."""
    labels = clues.dataset(len(trajectory.designs), seed).labels
    picked = trajectory.log_beliefs.gather(
        2, labels.view(-1, 1, 1).expand(-1, trajectory.log_beliefs.shape[1], 1)
    )
    return (-picked[..., 0].mean(0)).tolist()


@pytest.mark.parametrize(
    "estimator", ["entropy", "mixture", "information", "variational", "accuracy"]
)
def test_boed_finds_the_clue_at_once_and_random_does_not(estimator: Any) -> None:
    clues = Clues()
    boed = run(
        BOED(ClueCompleter(clues), CLASSIFIER, estimator=estimator, first_look=FirstLook(n=12)),
        clues,
        200,
        2,
    )
    random = run(Random(), clues, 200, 2)
    assert boed.designs[:, 0].tolist() == [list(CLUE)] * 200
    assert nll(boed, clues) == pytest.approx([math.log(3), 0, 0], abs=1e-6)
    after_one, after_two = nll(random, clues)[1:]
    # the clue is among k of 16 looks with probability k / 16; 4 standard errors of 200 scenes
    assert abs(after_one - math.log(3) * 15 / 16) < 4 * math.log(3) * (15 / 256 / 200) ** 0.5
    assert 0.5 < after_two < after_one


def test_boed_finds_the_clue_with_retrieved_completions() -> None:
    clues = Clues()
    policy = BOED(Retrieval(clues.dataset(30, seed=7)), CLASSIFIER, n=5, first_look=FirstLook(n=20))
    result = run(policy, clues, 20, 1)
    assert result.designs[:, 0].tolist() == [list(CLUE)] * 20
    assert policy.deterministic
    assert not BOED(ClueCompleter(clues), CLASSIFIER).deterministic


def test_boed_asks_with_what_it_has_seen() -> None:
    """When the clue may lie on either side, the second look goes to the other one."""
    clues = Clues([(0, 0), (12, 0)])
    result = run(BOED(ClueCompleter(clues), CLASSIFIER, first_look=FirstLook(n=30)), clues, 40, 2)
    first, second = result.designs.unbind(1)
    assert {tuple(each) for each in first.tolist()} <= {(0, 0), (12, 0)}
    missed = ClueClassifier().levels_seen(result.observations[1]).sum(1) == 0
    assert 5 < int(missed.sum()) < 35
    assert torch.equal(second[missed, 0], 12 - first[missed, 0])
    assert torch.equal(second[missed, 1], torch.zeros(int(missed.sum()), dtype=torch.long))
    assert nll(result, clues)[2] < 1e-6


def test_boed_is_no_better_than_the_oracle_when_the_clue_can_be_anywhere() -> None:
    clues = Clues(TILES)
    steps = 3
    loss = {
        name: nll(run(policy, clues, 60, steps), clues)
        for name, policy in {
            "boed": BOED(ClueCompleter(clues), CLASSIFIER, n=20, first_look=FirstLook(n=40)),
            "oracle": Oracle(CLASSIFIER),
            "random": Random(),
        }.items()
    }
    assert loss["oracle"][1:] == pytest.approx([0] * steps, abs=1e-6)
    for step in range(1, steps + 1):
        assert loss["oracle"][step] <= loss["boed"][step]
    # 15 equally likely places; neither looks twice at one, so both find it at the same rate
    assert 0.3 < loss["boed"][steps] < math.log(3)


def test_oracle_needs_the_truth() -> None:
    with pytest.raises(ValueError, match="oracle policy needs truth"):
        Oracle(CLASSIFIER).choose(Observation.nothing(1, 1, 16), TILED)


def test_max_variance_goes_where_the_variance_is() -> None:
    clues = Clues()
    result = run(
        BOED(ClueCompleter(clues), CLASSIFIER, estimator="variance", first_look=FirstLook(n=50)),
        clues,
        10,
        2,
    )
    assert result.designs[:, 0].tolist() == [list(NOISY)] * 10
    assert result.designs[:, 1].tolist() == [list(CLUE)] * 10  # the only other tile that varies
    assert BOED(Retrieval(clues.dataset(5)), CLASSIFIER, estimator="variance").deterministic


def test_max_variance_scores_the_unseen_pixels() -> None:
    observation = TILED.observe(
        Observation.nothing(1, 1, 16), torch.zeros(1, 1, 16, 16), torch.tensor([[0, 0]])
    )
    samples = torch.zeros(2, 1, 1, 16, 16)
    samples[1] = 1.0  # variance 1/4 everywhere, also where the completer should know better
    drawn = Completions(samples, torch.full((2, 1), 0.5))
    result = eig_map(observation, drawn, TILED, classifier=CLASSIFIER, estimator="variance")
    assert result.eig[0].tolist() == [0.0] + [4.0] * 15


def test_centre_out_starts_at_the_centre_and_tiles_without_overlap() -> None:
    for size, patch in ((64, 16), (28, 7)):
        sensor = PatchSensor(size)
        scene = torch.rand(2, 1, size, size)
        result = acquire(scene, sensor, CentreOut(), steps=5, classifier=_Indifferent(), keep=False)
        centre = (size - patch) / 2
        assert (result.designs[:, 0] - centre).abs().max() <= 0.5
        seen = [round(float(o.mask[0].sum())) for o in result.observations]
        assert seen == [k * patch**2 for k in range(6)]
        distance = (result.designs[0] - centre).double().norm(dim=1)
        assert float(distance.max()) < 1.8 * patch  # the ring around the first
        assert torch.equal(result.designs[0], result.designs[1])


def test_centre_out_covers_the_scene() -> None:
    result = acquire(
        torch.rand(1, 1, 16, 16),
        TILED,
        CentreOut(),
        steps=16,
        classifier=_Indifferent(),
        keep=False,
    )
    assert float(result.observations[-1].mask.min()) == 1


def test_random_is_uniform_over_what_is_new() -> None:
    scenes = torch.zeros(3200, 1, 16, 16)
    result = acquire(scenes, TILED, Random(), steps=2, classifier=_Indifferent(), keep=False)
    first, second = result.designs.unbind(1)
    assert not bool((first == second).all(1).any())
    for looks in (first, second):
        counts = Counter(tuple(each) for each in looks.tolist())
        assert len(counts) == 16
        chi_squared = sum((count - 200) ** 2 / 200 for count in counts.values())
        assert chi_squared < 37.7  # 15 degrees of freedom, p = 0.001
    pairs = Counter((*a, *b) for a, b in zip(first.tolist(), second.tolist(), strict=True))
    assert len(pairs) == 16 * 15  # every pair, about 13 times


def test_random_never_repeats_until_all_is_seen() -> None:
    result = acquire(
        torch.zeros(4, 1, 16, 16), TILED, Random(), steps=16, classifier=_Indifferent(), keep=False
    )
    for designs in result.designs:
        assert len(designs.unique(dim=0)) == 16
    assert float(result.observations[-1].mask.min()) == 1


def test_ties_are_broken_at_random_but_reproducibly() -> None:
    scores = torch.zeros(1, 6).index_fill(1, torch.tensor([1, 4]), 0.5)
    result = [int(pick(scores, [seed])) for seed in range(400)]
    assert set(result) == {1, 4}
    assert 140 < result.count(1) < 260  # 200, 6 standard errors
    assert result == [int(pick(scores, [seed])) for seed in range(400)]
    together = pick(scores.expand(400, -1), list(range(400)))
    assert together.tolist() == result  # a scene's choice depends on its own seed alone


@pytest.mark.parametrize("scale", [0.01, 1.0, 50.0])
def test_rounding_does_not_break_ties(scale: float) -> None:
    generator = torch.Generator().manual_seed(0)
    others = torch.rand(500, 20, generator=generator) * 0.9
    scores = scale * torch.cat([torch.ones(500, 5), others], dim=1)
    noise = (torch.rand(500, 25, generator=generator) - 0.5) * 4e-6 * max(scale, 1)
    seeds = list(range(500))
    assert torch.equal(pick(scores, seeds), pick(scores + noise, seeds))


def test_a_clearly_better_look_is_always_taken() -> None:
    scores = torch.full((200, 9), 0.3)
    scores[:, 5] += 3e-4
    assert pick(scores, list(range(200))).tolist() == [5] * 200
    assert pick(-scores, list(range(200))).ne(5).all()


def test_scores_that_are_nan_are_refused() -> None:
    with pytest.raises(ValueError, match="scores has NaN"):
        pick(torch.tensor([[0.0, torch.nan]]), [0])


def test_boed_shows_what_it_looked_at() -> None:
    clues = Clues()
    policy = BOED(ClueCompleter(clues), CLASSIFIER, n=4, first_look=FirstLook(n=9))
    scenes = clues.dataset(3).scenes()
    trajectory = acquire(scenes, TILED, policy, steps=2, classifier=CLASSIFIER)
    assert len(trajectory.decisions) == 2
    for decision in trajectory.decisions:
        assert decision.scores is not None
        assert decision.gains is not None
        assert decision.completions is not None
        assert decision.scores.shape == (3, 16)
        assert decision.gains.shape == (4, 3, 16)
        assert decision.completions.scenes.shape == (4, 3, 1, 16, 16)
        assert torch.allclose(decision.completions.weights.sum(0), torch.ones(3))
        assert torch.equal(decision.chosen_score(), decision.scores.max(1).values)
    second = trajectory.decisions[1]
    assert second.gains is not None
    assert second.scores is not None
    assert torch.allclose(second.gains.mean(0), second.scores, atol=1e-6)


def test_the_first_look_is_computed_once() -> None:
    class Asked(ClueCompleter):
        times = 0

        def sample(self, observation: Observation, n: int, seed: Any = 0) -> Tensor:
            self.times += 1
            assert len(observation) == 1
            return super().sample(observation, n, seed)

    for make in (
        lambda first: BOED(ClueCompleter(Clues()), CLASSIFIER, first_look=FirstLook(first, 10)),
        lambda first: BOED(
            ClueCompleter(Clues()),
            CLASSIFIER,
            estimator="variance",
            first_look=FirstLook(first, 10),
        ),
    ):
        first = Asked(Clues())
        policy = make(first)
        looks = [
            policy.choose(Observation.nothing(batch, 1, 16), TILED, seed).designs
            for batch, seed in ((1, 0), (5, 1), (3, 2))
        ]
        assert first.times == 1
        assert len(torch.cat(looks).unique(dim=0)) == 1
        policy.choose(Observation.nothing(2, 1, 16), PatchSensor(16, 0.5, 3))
        assert first.times == 2  # another sensor has other looks


def test_sessions_that_begin_at_once_share_one_first_look() -> None:
    class Slow(ClueCompleter):
        times = 0

        def sample(self, observation: Observation, n: int, seed: Any = 0) -> Tensor:
            self.times += 1
            time.sleep(0.02)
            return super().sample(observation, n, seed)

    first = Slow(Clues())
    policy = BOED(ClueCompleter(Clues()), CLASSIFIER, first_look=FirstLook(first, 10))
    nothing = Observation.nothing(1, 1, 16)
    with ThreadPoolExecutor(4) as threads:
        made = list(threads.map(lambda seed: policy.choose(nothing, TILED, seed), range(4)))
    assert first.times == 1
    assert len(torch.cat([each.designs for each in made]).unique(dim=0)) == 1
    other = BOED(ClueCompleter(Clues()), CLASSIFIER, first_look=FirstLook(first, 10))
    alone = other.choose(nothing, TILED, 9)
    assert first.times == 2
    for each in made:
        assert alone.scores is not None
        assert each.scores is not None
        assert torch.equal(each.scores, alone.scores)
    none, failed = torch.zeros(0, 2), alone.designs[:1]
    policy.choose(nothing, Pending(TILED, none, without=failed, reserved=0.0))
    assert first.times == 3  # other looks are offered after the first one has failed
    policy.choose(nothing, TILED)
    assert first.times == 3  # and another session begins as before


def test_score_of_a_look_that_is_no_candidate_is_unknown() -> None:
    candidates = torch.tensor([[0, 0], [0, 4]])
    scores = torch.tensor([[0.1, 0.2], [0.3, 0.4]])
    decision = Decision(torch.tensor([[0, 4], [9, 9]]), candidates=candidates, scores=scores)
    result = decision.chosen_score()
    assert result is not None
    assert float(result[0]) == pytest.approx(0.2)
    assert bool(result[1].isnan())
    assert Decision(candidates, candidates=candidates).chosen_score() is None


def test_no_completions_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^n is 0, expected at least 1"):
        BOED(ClueCompleter(Clues()), CLASSIFIER, n=0)
    with pytest.raises(ValueError, match=r"first_look\.n is 0, expected at least 1"):
        FirstLook(n=0)


class _BrokenSample:
    def sample(self, observation: Observation, n: int, seed: Any = 0) -> Tensor:
        return observation.composite(torch.full((n, *observation.values.shape), torch.nan))


class _BrokenComplete(_BrokenSample):
    def complete(self, observation: Observation, n: int, seed: Any = 0) -> Completions:
        scenes = self.sample(observation, n, seed)
        return Completions(scenes, torch.full(scenes.shape[:2], 1 / n))


@pytest.mark.parametrize("broken", [_BrokenSample(), _BrokenComplete()])
def test_nan_from_a_completer_names_it(broken: Any) -> None:
    for policy in (BOED(broken, CLASSIFIER), BOED(broken, CLASSIFIER, estimator="variance")):
        with pytest.raises(ValueError, match=rf"{type(broken).__name__}\.\w+ returned NaN"):
            policy.choose(Observation.nothing(2, 1, 16), TILED)


def test_all_are_policies() -> None:
    completer = ClueCompleter(Clues())
    for policy in (
        BOED(completer, CLASSIFIER),
        Oracle(CLASSIFIER),
        CentreOut(),
        Random(),
        Fixed(),
    ):
        assert isinstance(policy, Policy)


def test_all_of_ours_say_which_candidate_they_chose() -> None:
    """At the first look and later, also where some scenes stop."""
    completer = ClueCompleter(Clues(TILES))
    boed = BOED(completer, CLASSIFIER, n=4, first_look=FirstLook(n=6))
    scene = Clues(TILES).dataset(5).scenes()
    blank = Observation.nothing_of(scene)
    later = TILED.observe(blank, scene, torch.tensor([[8, 4]]).expand(5, -1))
    for policy in (
        boed,
        TwoStep(boed, m=2),
        Oracle(CLASSIFIER),
        CentreOut(),
        Random(),
        FixedDesign(TILED.designs(blank)[[9, 3]]),
        Until(boed, Confident(CLASSIFIER, 0.9)),
        Until(boed, EIGBelow(9.0)),
    ):
        for observation in (blank, later):
            decision = policy.choose(observation, TILED, 0, truth=scene)
            assert decision.index is not None
            assert decision.index.dtype == torch.int64
            assert torch.equal(decision.candidates[decision.index], decision.designs)


class _Indifferent:
    """Knows nothing, whatever it sees."""

    def log_probs(self, observation: Observation) -> Tensor:
        return torch.full((len(observation), 2), 0.5).log()
