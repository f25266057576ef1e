"""Proposing: the looks of highest value are judged exactly, and no others."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from boed.completion.completer import Completions
from boed.data.observation import Observation
from boed.eig import ESTIMATORS, design_problem
from boed.search import Exhaustive, Proposing, Racing
from boed.sensors import PatchSensor
from tests.doubles import ClueClassifier, ClueCompleter, Clues

GRID = PatchSensor(16, 0.25, 4)
CLUES = Clues(((8, 4), (0, 8)))


class Ranked:
    """Values candidates by their place in `order`, the first most."""

    def __init__(self, order: list[int]) -> None:
        self.value = -torch.tensor(order).argsort().float()

    def expected_gains(self, observation: Observation, sensor: Any) -> Tensor:
        return self.value.expand(len(observation), -1)


def problem(seen: int | None = None) -> Any:
    scenes = CLUES.dataset(2).scenes()
    observation = Observation.nothing_of(scenes)
    if seen is not None:
        design = GRID.designs(observation)[[seen] * 2]
        observation = GRID.observe(observation, scenes, design)
    drawn = ClueCompleter(CLUES).sample(observation, 6, 0)
    completions = Completions(drawn, torch.full((6, 2), 1 / 6))
    return design_problem(observation, completions, GRID, classifier=ClueClassifier())


@pytest.mark.parametrize("then", [None, Racing()], ids=["all", "racing"])
@pytest.mark.parametrize("number", [1, 3, 16, 99])
def test_the_looks_proposed_are_judged_as_exhaustively(number: int, then: Racing | None) -> None:
    order = [9, 2, *(k for k in range(16) if k not in (2, 9))]
    search = Proposing(proposer=Ranked(order), propose=number, then=then)
    for estimator in ("variational", "entropy"):
        asked = problem()
        exact = Exhaustive()(asked, ESTIMATORS[estimator])
        judged = search(asked, ESTIMATORS[estimator])
        among = torch.zeros(16, dtype=torch.bool)
        among[order[:number]] = True
        assert torch.equal(~judged.eig.isnan(), among.expand(2, -1))
        best = judged.finished_eig.argmax(1)
        assert among[best].all()
        expected = exact.eig.where(among, -torch.inf).amax(1)
        assert torch.allclose(judged.eig[torch.arange(2), best], expected, atol=1e-6)
        if then is None:
            assert torch.allclose(judged.eig[:, among], exact.eig[:, among], atol=1e-6)
            assert judged.evaluations == 6 * 2 * min(number, 16)


def test_what_is_known_is_not_proposed() -> None:
    judged = Proposing(proposer=Ranked(list(range(16))), propose=2)(
        problem(seen=0), ESTIMATORS["variational"]
    )
    assert (~judged.eig.isnan()).nonzero()[:, 1].tolist() == [1, 2, 1, 2]


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="propose is 0"):
        Proposing(proposer=Ranked([0]), propose=0)
    search = Proposing(proposer=Ranked(list(range(16))), then=Racing())
    with pytest.raises(ValueError, match="it needs all completions"):
        search(problem(), ESTIMATORS["mixture"])
