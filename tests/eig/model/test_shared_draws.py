"""One set of random numbers for all designs: right for each of them, and common to all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from scipy.stats import ks_2samp, spearmanr
from torch import Tensor

from boed.eig.model.isolation import isolated
from boed.eig.model.model_eig import MODEL_ESTIMATORS, model_eig
from boed.eig.model.pyro_model import site_model
from boed.eig.model.shared_draws import SharedDraws
from boed.problems import CensoredSigmoidNormal, LowerTruncatedNormal, TwoAlternativeChoice
from tests.eig.model.known_models import KINDS
from tests.eig.model.test_model_eig import COST, choice, column, line, three_measurements

SAMPLES = 4000

LAWS: dict[str, Callable[[Tensor], Any]] = {
    "normal": lambda a: dist.Normal(a, 1 + a),
    "independent normal": lambda a: dist.Normal(torch.stack([a, a], -1), 1.0).to_event(1),
    "multivariate normal": lambda a: dist.MultivariateNormal(torch.stack([a, a], -1), torch.eye(2)),
    "masked normal": lambda a: dist.Normal(a, 1.0).mask(True),
    "lognormal": lambda a: dist.LogNormal(a, 0.5),
    "truncated normal": lambda a: LowerTruncatedNormal(a, 1.0),
    "censored": lambda a: CensoredSigmoidNormal(a, 1.0, 2.0**-10),
    "uniform": lambda a: dist.Uniform(a, 2 * a),
    "laplace": lambda a: dist.Laplace(a, 1.0),
    "cauchy": lambda a: dist.Cauchy(a, 1.0),
    "gumbel": lambda a: dist.Gumbel(a, 1.0),
    "exponential": lambda a: dist.Exponential(a),
    "gamma": lambda a: dist.Gamma(a, 2.0),
    "inverse gamma": lambda a: dist.InverseGamma(a, 2.0),
    "student": lambda a: dist.StudentT(4.0, a, 1.0),
    "beta": lambda a: dist.Beta(a, 2.0),
    "dirichlet": lambda a: dist.Dirichlet(torch.stack([a, 1 + 0 * a, 2 * a], -1)),
    "bernoulli": lambda a: dist.Bernoulli(a / 4),
    "binomial": lambda a: dist.Binomial(20, a / 4),
    "poisson": lambda a: dist.Poisson(5 * a),
    "geometric": lambda a: dist.Geometric(a / 4),
    "negative binomial": lambda a: dist.NegativeBinomial(6.0, a / 4),
    "categorical": lambda a: dist.Categorical(logits=torch.stack([0 * a, a, 2 * a], -1)),
    "one-hot": lambda a: dist.OneHotCategorical(logits=torch.stack([0 * a, a, 2 * a], -1)),
    "multinomial": lambda a: dist.Multinomial(9, logits=torch.stack([0 * a, a, 2 * a], -1)),
}
"""Laws that change with the design."""


def drawn(law: Callable[[Tensor], Any], at: list[float], seed: int = 0) -> Tensor:
    """The first number of the draws for every design, `[SAMPLES, D]`."""
    designs = torch.tensor(at).expand(SAMPLES, len(at))
    with isolated(seed), torch.no_grad(), SharedDraws((SAMPLES, len(at))):
        values = law(designs)()
    return values.flatten(2)[..., 0] if values.ndim > 2 else values


@pytest.mark.parametrize("name", LAWS)
def test_shared_draws_follow_the_law_and_go_together(name: str) -> None:
    law, at = LAWS[name], [1.0, 1.1, 3.0]
    values = drawn(law, at)
    with isolated(1):
        own = law(torch.tensor(at).expand(SAMPLES, 3))()
    own = own.flatten(2)[..., 0] if own.ndim > 2 else own
    for column_of in range(3):
        assert ks_2samp(values[:, column_of], own[:, column_of]).statistic < 0.05
    assert spearmanr(values[:, 0], values[:, 1]).statistic > 0.85
    assert abs(spearmanr(values[1:, 0], values[:-1, 0]).statistic) < 0.07
    assert torch.equal(values[:, 2:], drawn(law, [3.0]))


@pytest.mark.parametrize(
    "noise",
    [
        lambda batch: torch.randn(batch),
        lambda batch: torch.randn(*batch),
        lambda batch: torch.rand(batch, dtype=torch.float64),
        lambda batch: torch.rand(size=batch),
        lambda batch: torch.rand_like(torch.zeros(batch)),
        lambda batch: torch.randn_like(torch.zeros(batch)),
        lambda batch: torch.empty(batch).normal_(1.0, 2.0),
        lambda batch: torch.normal(0.0, 1.0, size=batch),
        lambda batch: torch.normal(torch.zeros(batch), 1.0),
        lambda batch: torch.normal(0.0, torch.ones(batch)),
    ],
)
def test_a_simulators_own_noise_is_shared(noise: Callable[[Any], Tensor]) -> None:
    def simulator(design: Tensor) -> None:
        batch = design.shape[:-1]
        with pyro.plate_stack("plate", batch):
            theta = pyro.sample("theta", dist.Normal(0.0, 1.0).expand(batch))
            pyro.deterministic("y", design[..., 0] * theta + noise(batch))

    designs = column(0.0, 0.0, 1.0)
    for shared in (True, False):
        with isolated(0):
            problem = site_model(
                simulator, designs, "y", target="theta", estimator="infonce", shared=shared
            )
            outcome = problem.simulate(designs.expand(50, 3, 1)).outcomes["y"]
        assert bool((outcome[:, 0] == outcome[:, 1]).all()) == shared
        assert len(outcome[:, 0].unique()) == 50


def test_draws_that_ask_for_something_else_are_left_alone() -> None:
    own, room = torch.Generator().manual_seed(0), torch.empty(4, 3)
    chance = torch.full((4, 3), 0.5)
    with isolated(0), SharedDraws((4, 3)):
        left = [
            torch.rand(4, 3, generator=own),
            torch.randn(4, 3, out=room),
            torch.rand(3, 4),
            torch.bernoulli(chance, 0.5),
            torch.multinomial(chance, num_samples=2, replacement=False),
        ]
        shared = torch.multinomial(torch.ones(12, 5), num_samples=2, replacement=True)
    assert torch.equal(left[0], torch.rand(4, 3, generator=own.manual_seed(0)))
    assert left[1] is room
    assert [tuple(each.shape) for each in left] == [(4, 3)] * 2 + [(3, 4), (4, 3), (4, 2)]
    assert (shared.reshape(4, 3, 2) == shared.reshape(4, 3, 2)[:, :1]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_design_gets_does_not_hang_on_the_others(kind: str) -> None:
    case, designs = KINDS[kind], column(0.5, 1.0, 2.0)
    cost: Any = {"samples": 60, "contrasts": 40}
    together = model_eig(case.model, designs, "pce", **cost)
    alone = model_eig(case.model, designs[1:2], "pce", **cost)
    assert torch.allclose(together.eig[1], alone.eig[0], atol=1e-5)


def test_blocks_of_designs_have_the_same_draws() -> None:
    designs = torch.linspace(0.5, 2.0, 17)[:, None]
    cost: Any = {"samples": 2000, "contrasts": 50}
    whole = model_eig(line, designs, "pce", **cost)
    blocks = model_eig(line, designs, "pce", memory=1, **cost)
    assert torch.allclose(whole.eig, blocks.eig, atol=1e-5)


@pytest.mark.parametrize("estimator", MODEL_ESTIMATORS)
def test_neighbours_differ_by_less_than_independent_ones(estimator: str) -> None:
    cost: Any = {name: min(value, 48) for name, value in COST[estimator].items()} | {"steps": 1}
    model, designs = (choice if estimator == "laplace" else line), column(0.95, 1.0)
    shared, apart = (
        model_eig(model, designs, estimator, seed=1, shared_draws=each, **cost)
        for each in (True, False)
    )
    error = shared.difference(0, 1).standard_error
    assert error < 0.5 * apart.difference(0, 1).standard_error


@pytest.mark.parametrize(
    ("model", "designs", "dims", "options"),
    [
        (three_measurements, torch.eye(2).expand(2, 2, 2) * column(1.0, 1.3)[..., None], 2, {}),
        pytest.param(line, column(1.0, 1.5), 1, {"reuse": False}, marks=pytest.mark.slow),
        (choice, column(0.0, 1.0), 1, {}),
        pytest.param(choice, column(0.0, 1.0), 1, {"reuse": False}, marks=pytest.mark.slow),
        (line, column(1.0, 1.5), 1, {"shared_draws": False}),
    ],
)
def test_error_of_a_difference_is_the_spread_of_repeats(
    model: Any, designs: Tensor, dims: int, options: Any
) -> None:
    cost: Any = {"samples": 200, "contrasts": 60, "design_dims": dims}
    runs = [
        model_eig(model, designs, "pce", seed=seed, **cost, **options).difference(1, 0)
        for seed in range(40)
    ]
    std = torch.tensor([run.value for run in runs]).std()
    claimed = torch.tensor([run.standard_error for run in runs]).mean()
    assert 0.65 < float(claimed / std) < 1.5


def right_order(seeds: range) -> int:
    """Of 0.3326 and 0.3204 nats, at the default budget."""
    problem = TwoAlternativeChoice(prior_sd=3.0)
    runs = (model_eig(problem.model, column(0.0, 1.0), seed=seed) for seed in seeds)
    return sum(float(run.best) == 0.0 for run in runs)


def test_two_near_designs_come_out_in_the_right_order() -> None:
    assert right_order(range(5)) == 5


@pytest.mark.slow
def test_two_near_designs_come_out_in_the_right_order_in_99_of_100_runs() -> None:
    assert right_order(range(100)) >= 99


@pytest.mark.parametrize("name", ["nmc", "pce", "snmc"])
@pytest.mark.parametrize(
    "kind",
    ["normal, bernoulli", "normal, categorical", "categorical, bernoulli"],
)
def test_sums_over_outcomes_have_the_mean_of_drawn_ones(name: str, kind: str) -> None:
    case, cost = KINDS[kind], {"samples": 300, "contrasts": 100}
    summed = model_eig(case.model, column(0.5, 2.0), name, **cost)
    drawn_ones = model_eig(case.model, column(0.5, 2.0), name, reuse=False, **cost)
    error = (summed.standard_error**2 + drawn_ones.standard_error**2).sqrt()
    assert ((summed.eig - drawn_ones.eig).abs() < 4 * error + 0.01).all()
    assert (summed.standard_error < drawn_ones.standard_error).all()
