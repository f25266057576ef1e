"""Gradient ascent, against known optima."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from boed.problems import LinearGaussian
from boed.search import (
    gradient_ascent,
)
from boed.search.continuous.pce_objective import PCEObjective
from tests.search.continuous.objectives import BOWL, DEATH, bowl


def test_gradient_ascent_finds_the_best_time_of_the_death_process() -> None:
    objective = PCEObjective(DEATH.model, samples=300, contrasts=300)
    result = gradient_ascent(objective, DEATH.bounds, starts=2, steps=60)
    assert float(result.design) == pytest.approx(1.28, abs=0.1)
    assert float(DEATH.exact_eig(result.design)) > 1.3559 * 0.999
    assert result.history.shape == (60, 2)
    assert result.value == float(result.values.max())


def test_gradient_ascent_with_reparameterised_outcomes() -> None:
    """|d| as large as allowed is best, in both entries; EIG is 1/2 ln(1 + 1 + 2.25)."""
    problem = LinearGaussian(prior_covariance=torch.diag(torch.tensor([1.0, 1.5]) ** 2))
    objective = PCEObjective(problem.model, samples=400, contrasts=400)
    bounds = torch.tensor([[-1.0, 0.0], [0.5, 1.0]])
    result = gradient_ascent(objective, bounds, starts=2, steps=20, rate=0.2)
    assert torch.allclose(result.design, torch.tensor([-1.0, 1.0]), atol=1e-4)
    assert result.value == pytest.approx(0.5 * math.log(4.25), abs=0.1)


def test_gradient_ascent_stays_within_bounds_and_repeats_itself() -> None:
    result = gradient_ascent(bowl, BOWL, starts=4, steps=100)
    assert torch.allclose(result.design, torch.tensor([0.3, 20.0]), rtol=1e-2)
    assert result.value == pytest.approx(1, abs=1e-4)
    again = gradient_ascent(bowl, BOWL, starts=4, steps=100)
    assert torch.equal(result.designs, again.designs)
    bounds = torch.tensor([[0.5, 0.0], [1.0, 10.0]])
    corner = gradient_ascent(bowl, bounds, starts=bounds.mean(0, keepdim=True), steps=60)
    assert corner.design.tolist() == [0.5, 10.0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bounds": torch.tensor([[0.0], [0.0]])}, "bounds must be finite and rise"),
        ({"bounds": torch.tensor([0.0, 1.0])}, r"bounds must be \[2"),
        ({"steps": 0}, "steps is 0"),
        ({"rate": -1.0}, "rate is -1.0"),
        ({"starts": 0}, "starts is 0"),
        ({"starts": torch.tensor([[9.0, 9.0]])}, "starts: some lie outside"),
        ({"starts": torch.zeros(2, 3)}, "starts must be"),
        ({"objective": lambda designs: designs}, "objective returned"),
        ({"objective": lambda designs: designs[:, 0] * math.nan}, "objective is nan at design"),
        ({"objective": lambda designs: torch.zeros(len(designs))}, "differentiably"),
        ({"objective": lambda designs: designs.detach()[:, 0]}, "differentiably"),
    ],
)
def test_gradient_ascent_names_what_is_wrong(change: dict[str, Any], message: str) -> None:
    given = {"objective": bowl, "bounds": BOWL, "starts": 2, "steps": 2, **change}
    with pytest.raises(ValueError, match=message):
        gradient_ascent(**given)
