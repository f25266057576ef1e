"""Evaluations: each gain once, and the same as all at once."""

from __future__ import annotations

import pytest
import torch

from boed.eig import ESTIMATORS, estimate
from boed.search.candidates.evaluations import Evaluations
from tests.search.worlds import ADDITIVE, clue_problem


@pytest.mark.parametrize("name", ADDITIVE)
def test_evaluations_hold_the_exhaustive_gains(name: str) -> None:
    problem, estimator = clue_problem(), ESTIMATORS[name]
    evaluations = Evaluations(problem, estimator)
    some = torch.rand(problem.shape, generator=torch.Generator().manual_seed(0)) < 0.3
    evaluations.evaluate(some)
    evaluations.evaluate(torch.zeros_like(some))
    full = estimate(problem, estimator)
    assert full.gains is not None
    assert torch.equal(evaluations.done, some)
    assert torch.allclose(evaluations.gains[some], full.gains[some], atol=1e-5)
    assert evaluations.gains[~some].isnan().all()
    evaluations.evaluate(torch.ones_like(some))
    result = evaluations.estimate()
    assert torch.allclose(result.eig, full.eig, atol=1e-5)
    assert torch.allclose(result.standard_error, full.standard_error, atol=1e-5)
    assert result.evaluations == some.numel()
