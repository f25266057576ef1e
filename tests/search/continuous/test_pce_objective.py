"""The PCE bound as an objective: its value, its slope, and what it refuses."""

from __future__ import annotations

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import Tensor

from boed.problems import LinearGaussian
from boed.search.continuous.pce_objective import PCEObjective
from tests.search.continuous.objectives import DEATH


def test_the_pce_objective_is_the_bound_and_its_gradient_is_right() -> None:
    """At most ln(contrasts + 1); the same for the same seed; slopes as finite differences."""
    problem = LinearGaussian.one_dimension()
    objective = PCEObjective(problem.model, samples=300, contrasts=3, seed=4)
    state = torch.random.get_rng_state()
    far = objective(torch.tensor([[50.0]]))
    assert math.log(4) - 0.1 < float(far) <= math.log(4)
    assert torch.equal(torch.random.get_rng_state(), state)
    for model in (problem.model, DEATH.model):
        objective = PCEObjective(model, samples=300, contrasts=30)
        design = torch.tensor([[0.7], [1.4]], dtype=torch.float64, requires_grad=True)
        value = objective(design)
        (slope,) = torch.autograd.grad(value.sum(), design)
        step = 1e-4
        rise = (objective(design.detach() + step) - objective(design.detach() - step)) / (2 * step)
        assert torch.allclose(slope[:, 0], rise, atol=1e-4)


def test_the_pce_objective_refuses_outcomes_without_a_gradient() -> None:
    def counts(design: Tensor) -> Tensor:
        with pyro.plate_stack("plate", design.shape[:-1]):
            theta = pyro.sample("theta", dist.Exponential(design.new_ones(())))
            return pyro.sample("y", dist.Poisson(theta * design[..., 0]))

    with pytest.raises(ValueError, match="site 'y': Poisson outcomes have neither"):
        PCEObjective(counts, samples=5, contrasts=5)(torch.ones(1, 1))
    with pytest.raises(ValueError, match="samples is 0, expected at least 1"):
        PCEObjective(counts, samples=0)
