"""Stopping rules and budgets: who stops when, and what is kept of a scene that did."""

from __future__ import annotations

import math
import sys
from typing import Any

import pytest
import torch
from torch import Tensor

from boed.acquire import Trajectory, acquire
from boed.acquisition import Budget
from boed.data.observation import Observation
from boed.foundation.randomness import derive
from boed.policies import (
    BOED,
    AnyOf,
    CentreOut,
    Confident,
    ConformalSingle,
    Decision,
    EIGBelow,
    FirstLook,
    Oracle,
    Policy,
    Random,
    SplitConformal,
    Until,
)
from boed.search import Racing
from boed.sensors import PatchSensor
from tests.doubles import (
    TILES,
    ClueClassifier,
    ClueCompleter,
    Clues,
    FindingsClassifier,
    Fixed,
)

CLUES, CLASSIFIER = Clues(TILES[:12:2]), ClueClassifier()
TILED = PatchSensor(16, 0.25, 4)
SCENES = CLUES.dataset(10, seed=5).scenes()
SEEDS = [derive(0, "scene", row) for row in range(len(SCENES))]
STEPS = 5


class Priced(PatchSensor):
    """Looks at the top row of tiles cost `price`, the others 1."""

    def __init__(self, price: float) -> None:
        super().__init__(16, 0.25, 4)
        self.price = price

    def cost(self, design: Tensor) -> Tensor:
        return torch.where(design[:, 0] == 0, self.price, 1.0)


def result(observation: Observation, decision: Decision | None) -> Tensor:
    """A user's own rule: a function."""
    return CLASSIFIER.levels_seen(observation).any(1)


POLICIES: dict[str, Policy] = {
    "boed": BOED(ClueCompleter(CLUES), CLASSIFIER, n=6, first_look=FirstLook(n=20)),
    "random": Random(),
    "centre out": CentreOut(),
    "oracle": Oracle(CLASSIFIER),
}
RULES: dict[str, Any] = {
    "confident": Confident(CLASSIFIER, 0.99),
    "conformal": ConformalSingle(CLASSIFIER, SplitConformal(5.0, 0.1)),
    "function": result,
    "any": AnyOf((Confident(CLASSIFIER, 0.99), result)),
}


def check_early_stops(stopped: Trajectory, whole: Trajectory) -> None:
    """Until it stops a scene goes as it would have gone; from there on nothing changes."""
    for b, looks in enumerate(stopped.looks.tolist()):
        taken, then = slice(0, looks), slice(looks, None)
        assert torch.equal(stopped.designs[b, taken], whole.designs[b, taken])
        assert torch.equal(stopped.costs[b, taken], whole.costs[b, taken])
        assert torch.equal(stopped.costs[b, then], torch.zeros_like(stopped.costs[b, then]))
        assert bool(stopped.scores[b, then].isnan().all())
        for look, observation in enumerate(stopped.observations):
            same = whole.observations[min(look, looks)]
            assert torch.equal(observation.values[b], same.values[b])
            assert torch.equal(observation.mask[b], same.mask[b])
            assert torch.equal(stopped.log_beliefs[b, look], whole.log_beliefs[b, min(look, looks)])


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", POLICIES)
def test_a_scene_stops_when_its_clue_is_found(name: str, rule: str) -> None:
    policy = POLICIES[name]
    whole = acquire(SCENES, TILED, policy, steps=STEPS, classifier=CLASSIFIER, seed=SEEDS)
    stopped = acquire(
        SCENES, TILED, Until(policy, RULES[rule]), steps=STEPS, classifier=CLASSIFIER, seed=SEEDS
    )
    known = torch.stack([CLASSIFIER.levels_seen(each).any(1) for each in whole.observations], dim=1)
    never = ~known.any(1)
    expected = known.float().argmax(1).masked_fill(never, STEPS)
    assert torch.equal(stopped.looks, expected)
    assert bool(never.any()) == (name != "oracle")
    assert not bool(never.all())
    check_early_stops(stopped, whole)


@pytest.mark.parametrize("rule", [*RULES.values(), EIGBelow(0.01)])
def test_one_by_one_as_batched(rule: Any) -> None:
    policy = Until(POLICIES["boed"], rule)
    whole = acquire(SCENES, TILED, policy, steps=STEPS, classifier=CLASSIFIER, seed=SEEDS)
    for b, seed in enumerate(SEEDS[:6]):
        alone = acquire(
            SCENES[b : b + 1], TILED, policy, steps=STEPS, classifier=CLASSIFIER, seed=[seed]
        )
        assert torch.equal(alone.looks[0], whole.looks[b])
        assert torch.equal(alone.designs[0], whole.designs[b])
        assert torch.equal(alone.log_beliefs[0], whole.log_beliefs[b])


class Asked:
    """Counts the scenes that it decided for."""

    def __init__(self) -> None:
        self.scenes = 0

    def choose(
        self, observation: Observation, sensor: Any, seed: Any = 0, truth: Any = None
    ) -> Decision:
        self.scenes += len(observation)
        assert len(truth) == len(observation)
        return Fixed().choose(observation, sensor, seed)


def test_no_decision_for_scenes_that_a_belief_stops() -> None:

    def never(observation: Observation, decision: Decision | None) -> Tensor:
        assert decision is not None
        return torch.zeros(len(observation), dtype=torch.bool)

    for rule in (RULES["confident"], AnyOf((RULES["confident"], never))):
        policy = Asked()
        looks = acquire(
            SCENES, TILED, Until(policy, rule), steps=STEPS, classifier=CLASSIFIER
        ).looks
        assert policy.scenes == int(looks.sum()) < STEPS * len(SCENES)


def test_stops_at_the_first_scene_already_certain() -> None:
    """Before any look, all of them: no policy is asked."""

    class Never:
        def choose(self, *arguments: Any, **named: Any) -> Decision:
            raise AssertionError("asked")

    stopped = acquire(
        SCENES, TILED, Until(Never(), Confident(CLASSIFIER, 0.3)), steps=2, classifier=CLASSIFIER
    )
    assert stopped.looks.tolist() == [0] * len(SCENES)
    assert stopped.designs.shape == (len(SCENES), 2, 2)
    assert float(stopped.observations[-1].mask.max()) == 0


def test_the_decision_among_scenes_that_stopped() -> None:
    """What the policy says of the others stands in their rows; the rest is NaN."""
    policy = POLICIES["boed"]
    seen = acquire(SCENES, TILED, CentreOut(), steps=4, classifier=CLASSIFIER).observations[-1]
    decision = Until(policy, RULES["confident"]).choose(seen, TILED, SEEDS)
    assert decision.stop is not None
    left = (~decision.stop).nonzero()[:, 0]
    assert 0 < len(left) < len(SCENES)
    alone = policy.choose(seen[left], TILED, [SEEDS[b] for b in left.tolist()])
    assert torch.equal(decision.designs[left], alone.designs)
    for found_part, expected, dim in (
        (decision.scores, alone.scores, 0),
        (decision.gains, alone.gains, 1),
        (decision.completions.scenes, alone.completions.scenes, 1),  # type: ignore[union-attr]
    ):
        assert found_part is not None
        assert expected is not None
        assert torch.equal(found_part.index_select(dim, left), expected)
        rest = found_part.index_select(dim, decision.stop.nonzero()[:, 0])
        assert bool(rest.isnan().all())


def test_a_policy_that_stops_by_itself_is_heeded() -> None:
    inner = Until(Random(), RULES["confident"])
    outer = Until(inner, lambda observation, decision: torch.zeros(len(observation)) > 0)
    expected = acquire(SCENES, TILED, inner, steps=STEPS, classifier=CLASSIFIER, seed=SEEDS)
    result = acquire(SCENES, TILED, outer, steps=STEPS, classifier=CLASSIFIER, seed=SEEDS)
    assert torch.equal(result.looks, expected.looks)
    assert torch.equal(result.designs, expected.designs)


def test_no_more_looks_than_are_worth_it() -> None:
    """With one place for the clue one look tells all; the next has an EIG of 0."""
    clues = Clues()
    policy = BOED(ClueCompleter(clues), CLASSIFIER, first_look=FirstLook(n=12))
    scenes = clues.dataset(4).scenes()
    for threshold, looks in ((0.01, 1), (1.0, 1), (1.2, 0)):  # ln 3 = 1.099
        until = Until(policy, EIGBelow(threshold))
        assert (
            acquire(scenes, TILED, until, steps=3, classifier=CLASSIFIER).looks.tolist()
            == [looks] * 4
        )


def test_eig_is_in_nats_also_where_looks_are_chosen_per_cost() -> None:
    """The clue is worth ln 3 for a price of 10: 0.11 nats for each unit of cost."""
    clues = Clues([(0, 0)])
    policy = BOED(ClueCompleter(clues), CLASSIFIER, first_look=FirstLook(n=12), per_cost=True)
    until = Until(policy, EIGBelow(1.0))
    stopped = acquire(clues.dataset(3).scenes(), Priced(10), until, steps=3, classifier=CLASSIFIER)
    assert stopped.looks.tolist() == [1] * 3
    assert stopped.scores[:, 0].tolist() == pytest.approx([math.log(3)] * 3, abs=1e-5)


def test_looks_that_a_search_did_not_judge_do_not_count() -> None:
    blank = Observation.nothing(2, 1, 16)
    designs = TILED.designs(blank)[:2]
    scores = torch.tensor([[torch.nan, 0.3], [torch.nan, 0.1]])
    assert EIGBelow(0.2)(blank, Decision(designs, candidates=designs, scores=scores)).tolist() == [
        False,
        True,
    ]


def test_the_winners_curse_of_the_chosen_look_is_taken_off_where_it_is_known() -> None:
    blank = Observation.nothing(4, 1, 16)
    candidates = TILED.designs(blank)[:3]
    index = torch.tensor([1, 1, 1, 0])  # the last one chose a cheap one
    decision = Decision(
        candidates[index],
        candidates=candidates,
        index=index,
        scores=torch.tensor([[0.1, 0.3, 0.0]]).expand(4, -1),
        winners_curse=torch.tensor([0.0, 0.15, torch.nan, -0.05]),
    )
    assert EIGBelow(0.2)(blank, decision).tolist() == [False, True, False, True]


def test_several_findings_have_to_be_known_all() -> None:
    belief = torch.tensor([[[0.99, 0.01], [0.02, 0.98]], [[0.99, 0.01], [0.6, 0.4]]]).log()

    class Known:
        def log_probs(self, observation: Observation) -> Tensor:
            return belief

    blank = Observation.nothing(2, 1, 16)
    assert Confident(Known(), 0.95)(blank, None).tolist() == [True, False]
    assert Confident(Known(), 0.59)(blank, None).tolist() == [True, True]
    conformal = ConformalSingle(Known(), SplitConformal(math.log(10), 0.1))
    assert conformal(blank, None).tolist() == [True, False]
    until = Until(Random(), Confident(FindingsClassifier(), 0.9))
    whole = acquire(SCENES, TILED, until, steps=16, classifier=FindingsClassifier())
    assert bool(CLASSIFIER.levels_seen(whole.observations[-1]).any(1).all())
    assert 1 < float(whole.looks.float().mean()) < 15


@pytest.mark.parametrize("probability", [0.0, 1.5, math.nan])
def test_confidence_that_is_no_probability(probability: float) -> None:
    with pytest.raises(ValueError, match=r"probability is .*, expected within \(0, 1\]"):
        Confident(CLASSIFIER, probability)


@pytest.mark.parametrize("threshold", [0.0, -1.0, math.nan])
def test_threshold_that_stops_nothing(threshold: float) -> None:
    with pytest.raises(ValueError, match=r"threshold is .*, expected above 0 nats"):
        EIGBelow(threshold)


def test_eig_of_a_policy_that_has_none() -> None:
    with pytest.raises(ValueError, match="EIGBelow needs a decision with scores"):
        acquire(SCENES, TILED, Until(Random(), EIGBelow(0.1)), steps=1, classifier=CLASSIFIER)


def test_no_rule() -> None:
    with pytest.raises(ValueError, match="rules is empty"):
        AnyOf(())


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (True, "rule: wrong returned True, expected bool"),
        (torch.ones(len(SCENES)), r"rule: wrong returned torch.float32 \(10,\), expected bool"),
        (torch.ones(3, dtype=torch.bool), "rule: wrong returned 3 values for 10 scenes"),
    ],
)
@pytest.mark.parametrize("several", [False, True])
def test_rules_that_do_not_answer(answer: Any, message: str, several: bool) -> None:
    def wrong(observation: Observation, decision: Decision | None) -> Any:
        return answer

    rule: Any = AnyOf((RULES["confident"], wrong)) if several else wrong
    with pytest.raises(ValueError, match=message):
        acquire(SCENES, TILED, Until(Random(), rule), steps=1, classifier=CLASSIFIER)


def test_whether_the_seed_matters_is_the_policys() -> None:
    assert Until(CentreOut(), result).deterministic
    assert not Until(Random(), result).deterministic


@pytest.mark.parametrize("limit", [0.5, 1.0, 3.5, 4.0, 9.0, 100.0])
@pytest.mark.parametrize("name", POLICIES)
def test_a_budget_is_never_exceeded_and_no_look_that_fits_is_left_out(
    name: str, limit: float
) -> None:
    """A scene takes the looks of an unlimited run for as long as they fit."""
    sensor, budget = Priced(2.5), Budget(cost=limit)
    whole = acquire(SCENES, sensor, POLICIES[name], steps=STEPS, classifier=CLASSIFIER, seed=SEEDS)
    limited = acquire(
        SCENES,
        sensor,
        POLICIES[name],
        steps=STEPS,
        classifier=CLASSIFIER,
        seed=SEEDS,
        budget=budget,
    )
    fits = whole.costs.cumsum(1) <= limit
    assert torch.equal(limited.looks, fits.sum(1))
    assert float(limited.costs.sum(1).max()) <= limit
    assert torch.equal(limited.costs, whole.costs * fits)
    check_early_stops(limited, whole)


def test_budgets_one_by_one_as_batched() -> None:
    sensor, budget, policy = Priced(2.5), Budget(cost=4.0), Random()
    whole = acquire(
        SCENES, sensor, policy, steps=STEPS, classifier=CLASSIFIER, seed=SEEDS, budget=budget
    )
    assert len(whole.looks.unique()) > 1
    for b, seed in enumerate(SEEDS):
        alone = acquire(
            SCENES[b : b + 1],
            sensor,
            policy,
            steps=STEPS,
            classifier=CLASSIFIER,
            seed=[seed],
            budget=budget,
        )
        assert torch.equal(alone.looks[0], whole.looks[b])
        assert torch.equal(alone.costs[0], whole.costs[b])
        assert torch.equal(alone.log_beliefs[0], whole.log_beliefs[b])


def test_a_budget_spent_to_the_last_is_not_exceeded_by_rounding() -> None:
    """Ten looks at a tenth each: their sum in single precision is above 1."""

    class Tenth(PatchSensor):
        def cost(self, design: Tensor) -> Tensor:
            return torch.full((len(design),), 0.1)

    spent = acquire(
        SCENES,
        Tenth(16, 0.25, 4),
        CentreOut(),
        steps=12,
        classifier=CLASSIFIER,
        budget=Budget(cost=1.0),
    )
    assert spent.looks.tolist() == [10] * len(SCENES)


@pytest.mark.parametrize(("seconds", "looks"), [(0.5, 1), (1.0, 1), (2.5, 3), (60, STEPS)])
def test_no_look_is_begun_when_time_is_up(
    monkeypatch: pytest.MonkeyPatch, seconds: float, looks: int
) -> None:
    """A decision takes one second of a clock that only decisions move."""

    class Clock:
        now = 0.0

        def monotonic(self) -> float:
            return self.now

    class Slow(CentreOut):
        def choose(
            self, observation: Any, sensor: Any, seed: Any = 0, truth: Any = None
        ) -> Decision:
            clock.now += 1
            return super().choose(observation, sensor, seed)

    clock = Clock()
    monkeypatch.setattr(sys.modules["boed.acquire"], "time", clock)
    whole = acquire(SCENES, TILED, CentreOut(), steps=STEPS, classifier=CLASSIFIER)
    late = acquire(
        SCENES, TILED, Slow(), steps=STEPS, classifier=CLASSIFIER, budget=Budget(seconds=seconds)
    )
    assert late.looks.tolist() == [looks] * len(SCENES)
    check_early_stops(late, whole)


@pytest.mark.parametrize("budget", [{"cost": 0.0}, {"cost": math.nan}, {"seconds": -1.0}])
def test_budgets_that_allow_nothing(budget: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"budget: .* expected above 0"):
        Budget(**budget)


@pytest.mark.parametrize(
    ("price", "per_cost", "best"),
    [(8, False, [0, 0]), (8, True, [8, 4]), (1.1, True, [0, 0])],
)
def test_information_per_cost_prefers_cheap_looks(
    price: float, per_cost: bool, best: list[int]
) -> None:
    """Twice the chance of the clue at the top, for a price that makes up for it or does not."""
    clues = Clues([(0, 0), (0, 0), (8, 4)])
    policy = BOED(
        ClueCompleter(clues), CLASSIFIER, n=40, first_look=FirstLook(n=60), per_cost=per_cost
    )
    blank = Observation.nothing(1, 1, 16)
    assert policy.choose(blank, Priced(price)).designs.tolist() == [best]
    nothing_yet = TILED.observe(blank, torch.zeros(1, 1, 16, 16), torch.tensor([[12, 0]]))
    assert policy.choose(nothing_yet, Priced(price)).designs.tolist() == [best]


def test_information_per_cost_needs_all_candidates() -> None:
    with pytest.raises(ValueError, match="per_cost: Racing drops looks by their EIG alone"):
        BOED(ClueCompleter(CLUES), CLASSIFIER, search=Racing(), per_cost=True)


def test_information_per_cost_needs_a_cost() -> None:
    policy = BOED(ClueCompleter(CLUES), CLASSIFIER, first_look=FirstLook(n=5), per_cost=True)
    with pytest.raises(ValueError, match=r"Priced\.cost is 0 for design \[0, 0\]"):
        acquire(SCENES, Priced(0), policy, steps=1, classifier=CLASSIFIER)


def test_looks_may_be_free() -> None:
    free = acquire(
        SCENES, Priced(0), Random(), steps=16, classifier=CLASSIFIER, budget=Budget(cost=3.0)
    )
    assert float(free.costs.sum(1).max()) <= 3
    assert int(free.looks.max()) > 3
