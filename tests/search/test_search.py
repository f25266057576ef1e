"""Every search against the exhaustive one."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from boed.data.observation import Observation
from boed.eig import ESTIMATORS, estimate
from boed.policies import BOED
from boed.search import (
    CoarseToFine,
    Exhaustive,
    Racing,
    Search,
)
from boed.sensors import PatchSensor
from tests.doubles import TILES, ClueClassifier, ClueCompleter, Clues
from tests.search.worlds import clue_problem


@pytest.mark.parametrize(
    "how", [Racing(), Racing(first=3, error=0.05), CoarseToFine(), CoarseToFine(then=Racing())]
)
def test_what_a_search_returns_fits_together(how: Search) -> None:
    problem, estimator = clue_problem(), ESTIMATORS["variational"]
    result, full = how(problem, estimator), estimate(problem, estimator)
    assert result.gains is not None
    assert result.finished is not None
    assert full.gains is not None
    judged = ~result.gains.isnan()
    assert torch.equal(result.finished, judged.all(0))
    assert result.finished.any(1).all()
    assert result.evaluations == int(judged.sum())
    assert result.evaluations < judged.numel()
    assert torch.allclose(result.gains[judged], full.gains[judged], atol=1e-5)
    assert torch.allclose(result.eig[result.finished], full.eig[result.finished], atol=1e-5)
    assert torch.equal(result.eig.isnan(), ~judged.any(0))
    if how == Racing():
        ready = result.eig.where(result.finished, -torch.inf)
        assert (full.eig.amax(1) - ready.amax(1)).abs().max() < 1e-5
    assert result.bound == "lower"


@pytest.mark.parametrize("name", ["mixture", "variance", "predictive_entropy"])
def test_estimators_that_need_all_completions(name: str) -> None:
    problem, estimator = clue_problem(), ESTIMATORS[name]
    with pytest.raises(ValueError, match=r"estimator: \w+ cannot evaluate completions one by one"):
        Racing()(problem, estimator)
    with pytest.raises(ValueError, match="cannot evaluate completions one by one"):
        CoarseToFine(then=Racing())(problem, estimator)
    result, full = CoarseToFine(around=2)(problem, estimator), estimate(problem, estimator)
    assert result.finished is not None
    assert 0 < result.finished.sum() < result.finished.numel()
    assert torch.allclose(result.eig[result.finished], full.eig[result.finished], atol=1e-5)


def test_policies_choose_the_same_with_racing() -> None:
    clues = Clues(TILES)
    scene = clues.dataset(12, 3).scenes()
    sensor = PatchSensor(16, 0.25, 7)
    blank = Observation.nothing_of(scene)
    seen = sensor.observe(blank, scene, torch.tensor([[8, 4]]).expand(12, -1))
    chosen = [
        BOED(ClueCompleter(clues), ClueClassifier(), n=8, search=how)
        .choose(seen, sensor, 5)
        .designs
        for how in (Exhaustive(), Racing())
    ]
    assert torch.equal(*chosen)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Racing(scouts=0), "scouts is 0"),
        (lambda: Racing(first=0), "first is 0"),
        (lambda: Racing(growth=0.5), "growth is 0.5"),
        (lambda: Racing(error=1.0), "error is 1.0"),
        (lambda: Racing(error=math.nan), "error is nan"),
        (lambda: CoarseToFine(coarse=0), "coarse is 0"),
        (lambda: CoarseToFine(around=0), "around is 0"),
        (lambda: CoarseToFine(rounds=0), "rounds is 0"),
    ],
)
def test_settings_that_make_no_sense(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
