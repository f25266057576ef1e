"""One sequence of looks for all scenes, and its optimisation on training scenes."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from boed.acquire import acquire
from boed.data.observation import Observation
from boed.policies import FixedDesign, optimise_fixed_design
from boed.sensors import PatchSensor
from tests.doubles import CLUE, ClueClassifier, Clues, FindingsClassifier, RowSensor

TILED = PatchSensor(16, 0.25, 4)
CLASSIFIER = ClueClassifier()
OFTEN, SELDOM = (0, 4), (12, 0)
CLUES = Clues([OFTEN, OFTEN, OFTEN, SELDOM])
NO_ROWS = torch.zeros(0, dtype=torch.long)


def test_the_best_sequence_is_found() -> None:
    """The clue lies at one place in three scenes of four, else at the other."""
    for seed in range(3):
        design = optimise_fixed_design(
            CLUES.dataset(80), TILED, CLASSIFIER, looks=2, scenes=40, seed=seed
        )
        assert design.designs.tolist() == [list(OFTEN), list(SELDOM)]
    test = CLUES.dataset(60, seed=1)
    result = acquire(test.scenes(), TILED, design, steps=2, classifier=CLASSIFIER)
    picked = result.log_beliefs.gather(2, test.labels.view(-1, 1, 1).expand(-1, 3, 1))[..., 0]
    loss = -picked.mean(0)
    assert float(loss[0]) == pytest.approx(math.log(3), abs=1e-6)
    # a quarter of the scenes are left; 4 standard errors of 60
    assert float(loss[1]) == pytest.approx(math.log(3) / 4, abs=4 * 1.1 * 0.433 / 60**0.5)
    assert float(loss[2]) == pytest.approx(0, abs=1e-6)


def test_each_look_is_the_best_after_those_before() -> None:
    """Against the mean log-score of every candidate, by hand."""
    train = Clues([(0, 0), (4, 8), (8, 4)]).dataset(30)
    scenes = train.scenes()
    design = optimise_fixed_design(train, TILED, CLASSIFIER, looks=3, scenes=100)
    observation = Observation.nothing(30, 1, 16)
    for chosen in design.designs:
        after = {}
        for candidate in TILED.designs(observation):
            seen = TILED.observe(observation, scenes, candidate.expand(30, -1))
            log_belief = CLASSIFIER.log_probs(seen)
            score = log_belief.gather(1, train.labels[:, None]).mean()
            after[tuple(candidate.tolist())] = float(score)
        assert after[tuple(chosen.tolist())] == pytest.approx(max(after.values()), abs=1e-4)
        observation = TILED.observe(observation, scenes, chosen.expand(30, -1))


def test_findings_and_noise() -> None:
    train = Clues().dataset(30, findings=True)
    noisy = PatchSensor(16, 0.25, 4, noise=1e-4)
    design = optimise_fixed_design(train, noisy, FindingsClassifier(), looks=1, seed=2)
    assert design.designs.tolist() == [list(CLUE)]


def test_same_seed_same_design() -> None:
    """Also among looks that are all alike, and the global random state is left alone."""
    torch.manual_seed(3)
    state = torch.get_rng_state()

    def make(seed: int, memory: int = 512) -> Tensor:
        train = CLUES.dataset(40)
        return optimise_fixed_design(
            train, TILED, CLASSIFIER, looks=4, scenes=10, seed=seed, memory=memory
        ).designs

    assert torch.equal(make(0), make(0))
    assert torch.equal(make(0), make(0, memory=1))
    assert any(not torch.equal(make(0), make(seed)) for seed in range(1, 4))
    assert torch.equal(torch.get_rng_state(), state)


def test_looks_are_taken_in_order_whatever_they_show() -> None:
    looks = torch.tensor([[12, 12], [0, 0], [4, 8]])
    scenes = CLUES.dataset(5).scenes()
    result = acquire(scenes, TILED, FixedDesign(looks), steps=3, classifier=CLASSIFIER)
    assert torch.equal(result.designs, looks.expand(5, -1, -1))
    assert FixedDesign(looks).deterministic


def test_it_stops_when_there_is_nothing_new() -> None:
    """A look that was taken before is passed over; after the last one the scene is finished."""
    looks = torch.tensor([[0, 0], [0, 0], [8, 8]])
    result = acquire(
        CLUES.dataset(2).scenes(), TILED, FixedDesign(looks), steps=5, classifier=CLASSIFIER
    )
    assert result.looks.tolist() == [2, 2]
    assert result.designs[:, :2].tolist() == [[[0, 0], [8, 8]]] * 2


def test_scenes_at_different_looks_of_the_sequence() -> None:
    looks = torch.tensor([[0, 0], [4, 8]])
    scenes = CLUES.dataset(2).scenes()
    seen = Observation.nothing(2, 1, 16)
    first = TILED.observe(seen[:1], scenes[:1], looks[:1])
    decision = FixedDesign(looks).choose(seen.with_rows(torch.tensor([0]), first), TILED)
    assert decision.designs.tolist() == [[4, 8], [0, 0]]


def test_a_users_own_sensor() -> None:
    design = optimise_fixed_design(Clues().dataset(20), RowSensor(), CLASSIFIER, looks=1)  # type: ignore[arg-type]
    assert int(design.designs[0, 0]) in range(CLUE[0], CLUE[0] + 4)
    result = acquire(CLUES.dataset(2).scenes(), RowSensor(), design, steps=2, classifier=CLASSIFIER)  # type: ignore[arg-type]
    assert result.looks.tolist() == [1, 1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"looks": 0}, "looks is 0, expected at least 1"),
        ({"looks": 1, "scenes": 0}, "scenes is 0, expected at least 1"),
        ({"looks": 1, "train": CLUES.dataset(3).subset(NO_ROWS)}, r"train: clues \(test\) has no"),
    ],
)
def test_nothing_to_optimise(arguments: dict[str, Any], message: str) -> None:
    given = {"train": CLUES.dataset(3), "sensor": TILED, "classifier": CLASSIFIER, **arguments}
    with pytest.raises(ValueError, match=message):
        optimise_fixed_design(**given)


@pytest.mark.parametrize(
    "designs", [torch.zeros(0, 2), torch.zeros(3), torch.full((1, 2), torch.nan)]
)
def test_designs_that_are_none(designs: Tensor) -> None:
    with pytest.raises(ValueError, match=r"designs must be \[T, K\], finite"):
        FixedDesign(designs)
