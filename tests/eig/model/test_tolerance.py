"""Sampling until the best design is known well enough, and what a saturated bound says."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import Tensor, nn

from boed.deep_adaptive.loss import single_look, spce_loss
from boed.deep_adaptive.static_design import StaticDesign
from boed.eig.model.model_eig import MODEL_ESTIMATORS, _rounds, model_eig
from boed.eig.model.sequential import fixed_policy, sequential_pce
from boed.eig.result import EIGEstimate
from boed.problems import TwoAlternativeChoice
from boed.search.continuous.gradient import gradient_ascent
from boed.search.continuous.pce_objective import PCEObjective
from tests.eig.model.test_model_eig import COST, choice, column, line


@pytest.mark.parametrize("samples", [1, 16, 255, 256, 511, 512, 1000, 12_345, 10**6])
@pytest.mark.parametrize("fewest", [1, 16])
def test_rounds_double_up_to_the_budget(samples: int, fewest: int) -> None:
    sizes = _rounds(samples, fewest)
    assert sum(sizes) == samples
    assert min(sizes) >= min(samples, fewest, 256)
    totals = [sum(sizes[: count + 1]) for count in range(len(sizes))]
    assert all(2 * before <= after for before, after in itertools.pairwise(totals))
    assert len(sizes) == 1 or 256 <= sizes[0] < 512


def test_a_clear_choice_ends_early_and_tells_of_its_rounds() -> None:
    seen: list[EIGEstimate] = []
    result = model_eig(line, column(0.0, 3.0), samples=4000, tolerance=0.05, on_round=seen.append)
    assert result.samples == 500
    assert seen[-1] is result
    assert len(seen) == 1
    assert result.shortfall() <= 0.05


def test_rounds_are_the_same_whatever_fits_in_memory() -> None:
    problem = TwoAlternativeChoice(prior_sd=3.0)
    runs = [
        model_eig(
            problem.model,
            column(0.0, 1.0, 2.0),
            samples=4000,
            contrasts=200,
            tolerance=0.004,
            memory=memory,
            seed=3,
        )
        for memory in (1, 512)
    ]
    assert runs[0].samples == runs[1].samples
    assert torch.allclose(runs[0].eig, runs[1].eig, atol=1e-5)
    assert runs[0].samples is not None
    assert 500 <= runs[0].samples <= 4000


def test_a_tolerance_out_of_reach_takes_the_budget_and_warns() -> None:
    with pytest.warns(UserWarning, match=r"tolerance is 1e-09 nats, which 600 samples do not"):
        result = model_eig(
            choice, column(0.0, 0.02), samples=600, contrasts=100, tolerance=1e-9, seed=4
        )
    assert result.samples == 600


@pytest.mark.parametrize("estimator", MODEL_ESTIMATORS)
def test_every_estimator_has_rounds(estimator: str) -> None:
    seen: list[EIGEstimate] = []
    cost: Any = {name: min(value, 16) for name, value in COST[estimator].items()}
    cost |= {"samples": 512, "steps": 1, "tolerance": 1e-12, "on_round": seen.append}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = model_eig(line, column(1.0, 1.01), estimator, **cost)
    assert [each.samples for each in seen][:1] == [256]
    assert result.samples == seen[-1].samples
    assert result.deviations is not None
    assert torch.allclose(result.deviations.norm(dim=0), result.standard_error, atol=1e-6)


@pytest.mark.slow
def test_the_best_is_within_tolerance_in_95_of_100_runs() -> None:
    """The true EIGs are 0.3326, 0.3296 and 0.3204."""
    problem, designs = TwoAlternativeChoice(prior_sd=3.0), column(0.0, 0.5, 1.0)
    truth = problem.exact_eig(designs)
    misses = 0
    for seed in range(100):
        result = model_eig(problem.model, designs, samples=4000, tolerance=0.005, seed=seed)
        misses += bool(truth.max() - truth[int(result.eig.argmax())] > 0.005)
    assert misses <= 5


@pytest.mark.parametrize("tolerance", [0.0, -1.0, math.nan])
def test_tolerances_that_are_none_are_refused(tolerance: float) -> None:
    with pytest.raises(ValueError, match="tolerance is"):
        model_eig(line, column(0.0, 1.0), tolerance=tolerance)


@pytest.mark.parametrize(
    "estimator", [name for name, entry in MODEL_ESTIMATORS.items() if entry.fewest > 1]
)
def test_too_few_samples_are_refused_before_any_training(estimator: str) -> None:
    fewest = MODEL_ESTIMATORS[estimator].fewest
    with pytest.raises(ValueError, match=f"samples is 1, expected at least {fewest}"):
        model_eig(line, column(0.0, 1.0), estimator, samples=1, steps=10**9)


class _Sharp(nn.Module):
    """The critic -1e4 (theta - y / d)^2 for the design d = 1e3, but for what y alone adds."""

    def embed(self, latents: Any, outcomes: Any) -> tuple[Tensor, Tensor]:
        theta, y = latents["theta"], outcomes["y"] / 1e3
        left = torch.stack([2 * theta, -theta.square()], -1)
        return 1e4 * left, torch.stack([y, torch.ones_like(y)], -1)


CEILINGS = [name for name, entry in MODEL_ESTIMATORS.items() if entry.ceiling]


@pytest.mark.parametrize("estimator", CEILINGS)
def test_a_saturated_bound_warns_with_its_ceiling(estimator: str) -> None:
    cost: Any = {"samples": 64, "contrasts": 3, "steps": 0}
    if estimator == "infonce":
        cost["critic"] = _Sharp()
    with pytest.warns(
        UserWarning, match=rf"contrasts is 3: '{estimator}' is .*ln\(L \+ 1\) = 1.39"
    ):
        model_eig(line, column(1e3), estimator, **cost)


def test_a_saturated_sequence_warns_with_its_ceiling() -> None:
    with pytest.warns(UserWarning, match=r"'sequential_pce' is at most ln\(L \+ 1\) = 1.39"):
        sequential_pce(
            line,
            fixed_policy(column(1e3, 1e3)),
            2,
            samples=32,
            contrasts=3,
            example=torch.zeros(1),
        )


@pytest.mark.parametrize("estimator", ["pce", "snmc", "nmc"])
def test_bounds_far_from_a_ceiling_do_not_warn(estimator: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model_eig(line, column(0.0, 1.0), estimator, samples=64, contrasts=3)


IMPROPER: dict[str, Any] = {
    "all numbers": lambda: dist.ImproperUniform(dist.constraints.real, (), ()),
    "positive numbers": lambda: dist.ImproperUniform(dist.constraints.positive, (), ()),
    "infinite scale": lambda: dist.Normal(0.0, math.inf),
    "infinite bounds": lambda: dist.Uniform(-math.inf, math.inf),
    "half a line": lambda: dist.Uniform(0.0, math.inf),
    "rate 0": lambda: dist.Exponential(0.0),
    "masked": lambda: dist.ImproperUniform(dist.constraints.real, (), ()).mask(True),
}


@pytest.mark.parametrize("estimator", ["pce", "posterior", "laplace", "infonce"])
@pytest.mark.parametrize("prior", IMPROPER)
def test_improper_priors_are_refused_by_name(prior: str, estimator: str) -> None:
    def model(design: Tensor) -> None:
        batch = design.shape[:-1]
        with pyro.validation_enabled(False), pyro.plate_stack("plate", batch):
            theta = pyro.sample("theta", IMPROPER[prior]().expand(batch))
            pyro.sample("y", dist.Normal(design[..., 0] * theta, 1.0))

    with pytest.raises(ValueError, match=r"site 'theta' draws from \w+, which is improper"):
        model_eig(model, column(1.0), estimator)


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool])
def test_gradients_refuse_designs_that_are_whole_numbers(dtype: torch.dtype) -> None:
    bounds = torch.tensor([[0], [1]], dtype=dtype)
    with pytest.raises(ValueError, match=r"bounds must be floating point.*model_eig"):
        gradient_ascent(PCEObjective(line), bounds)


DISCRETE: dict[str, Callable[[Tensor], Tensor]] = {
    "rounded": lambda design: design.round(),
    "indexing": lambda design: torch.tensor([0.0, 1.0, 3.0])[design.long()],
}
"""What a model may do to a design whose values are discrete."""


@pytest.mark.parametrize("kind", DISCRETE)
def test_gradients_refuse_designs_that_a_model_makes_discrete(kind: str) -> None:
    objective = PCEObjective(lambda design: line(DISCRETE[kind](design)), samples=8, contrasts=8)
    bounds = torch.tensor([[0.0], [2.0]])
    with pytest.raises(ValueError, match=r"gradient 0 at all 8 starts|depend on the designs diff"):
        gradient_ascent(objective, bounds, steps=3)


def test_a_policy_is_not_trained_on_designs_that_index_a_table() -> None:
    """Where they are rounded, their gradient is 0, which no single loss can tell."""

    def model(design: Tensor) -> None:
        line(DISCRETE["indexing"](design))

    policy = StaticDesign(torch.ones(2, 1))
    problem = single_look(model, policy, "y", target="theta")
    with pytest.raises(ValueError, match="model: its log-likelihood has no gradient in the design"):
        spce_loss(problem, policy, 2, batch=4, contrasts=4)
