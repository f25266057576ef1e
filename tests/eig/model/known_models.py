"""Small Pyro models of every kind of site, with their EIG by closed form, sum or quadrature."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor
from torch.special import digamma, entr

from boed.problems.quadrature import discrete_eig, gaussian_eig, legendre_nodes

CONTINUOUS_ONLY = frozenset({"laplace", "pyro_vnmc"})
"""Estimators that need a gradient in every latent."""

OUTCOME_DENSITY = frozenset({"marginal", "marginal_likelihood"})
"""Estimators that learn a density of outcomes."""


@dataclass(frozen=True, kw_only=True)
class Known:
    """theta from a prior, y given theta and the design `[*batch, 1]`, and the EIG about theta.

    Attributes:
        prior: of theta, by design.
        outcome: of y, by theta and design.
        truth: EIG in nats by design.
        refused: estimators that truly cannot do it.
    """

    prior: Callable[[Tensor], Any]
    outcome: Callable[[Tensor, Tensor], Any]
    truth: Callable[[float], float]
    refused: frozenset[str] = frozenset()

    def model(self, design: Tensor) -> None:
        with pyro.plate_stack("plate", design.shape[:-1]):
            theta = pyro.sample("theta", self.prior(design))
            pyro.sample("y", self.outcome(theta, design))


def known(
    prior: Callable[[Tensor], Any],
    outcome: Callable[[Tensor, Tensor], Any],
    *,
    nodes: Tensor | tuple[float, float],
    values: Tensor | None = None,
    refused: frozenset[str] = frozenset(),
) -> Known:
    """With the EIG summed over theta and y.

    Args:
        prior: of theta, by design.
        outcome: of y, by theta and design.
        nodes: every value of a discrete theta, or the ends between which a continuous one lies.
        values: every value of a discrete y; none for a normal one.
        refused: estimators that truly cannot do it.
    """

    @pyro.validation_enabled(False)
    def truth(at: float) -> float:
        design = torch.full((1, 1), at, dtype=torch.float64)
        theta, step = nodes, torch.ones(())
        if isinstance(theta, tuple):
            theta, step = legendre_nodes(200, *theta)
        weights = step * prior(design).log_prob(theta).exp()
        weights = (weights / weights.sum()).double()
        law = outcome(theta, design)
        if values is None:
            return float(gaussian_eig(law.mean.double(), weights, float(law.stddev.max())))
        return float(discrete_eig(law.log_prob(values[:, None]).double().exp(), weights))

    return Known(prior=prior, outcome=outcome, truth=truth, refused=refused)


def like(design: Tensor, *values: float) -> Tensor:
    """Numbers of the design's type, `[*batch, n]`; `[*batch]` of a single one."""
    wide = design.new_tensor(values).expand(*design.shape[:-1], len(values))
    return wide[..., 0] if len(values) == 1 else wide


def standard_normal(design: Tensor) -> Any:
    return dist.Normal(like(design, 0.0), 1.0)


def two_logits(theta: Tensor, design: Tensor) -> Tensor:
    return torch.stack([theta * design[..., 0], theta - 1.0], -1)


def three_logits(theta: Tensor, design: Tensor) -> Tensor:
    return theta[..., None] * design * design.new_tensor([-1.0, 0.0, 1.0])


def half_log(at: float) -> float:
    return 0.5 * math.log1p(at**2)


def dirichlet_truth(at: float) -> float:
    a = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    mean = a / a.sum()
    return float(entr(mean).sum() - digamma(a.sum() + 1) + (mean * digamma(a + 1)).sum())


COUNTS = torch.arange(400.0, dtype=torch.float64)
PAIRS = torch.tensor(list(itertools.product([0.0, 1.0], repeat=2)), dtype=torch.float64)
TRIPLES = torch.tensor(
    [each for each in itertools.product(range(4), repeat=3) if sum(each) == 3], dtype=torch.float64
)

KINDS: dict[str, Known] = {
    "normal, normal": known(
        standard_normal, lambda theta, d: dist.Normal(d[..., 0] * theta, 1.0), nodes=(-8.0, 8.0)
    ),
    "multivariate normal, multivariate normal": Known(
        prior=lambda d: dist.MultivariateNormal(like(d, 0.0, 0.0), torch.eye(2).to(d)),
        outcome=lambda theta, d: dist.MultivariateNormal(theta * d, torch.eye(2).to(d)),
        truth=lambda at: 2 * half_log(at),
    ),
    "uniform between batch-shaped bounds, normal": known(
        lambda d: dist.Uniform(like(d, -1.0), like(d, 2.0)),
        lambda theta, d: dist.Normal(d[..., 0] * theta, 1.0),
        nodes=(-1.0, 2.0),
    ),
    "vector of uniforms, normal": Known(
        prior=lambda d: dist.Uniform(like(d, 0.0, 1.0), like(d, 1.0, 3.0)).to_event(1),
        outcome=lambda theta, d: dist.Normal(theta[..., 0] * d[..., 0], 1.0),
        truth=lambda at: float(
            gaussian_eig(
                at * torch.linspace(0, 1, 4001).double(), torch.full((4001,), 1 / 4001).double(), 1
            )
        ),
    ),
    "gamma, poisson": known(
        lambda d: dist.Gamma(like(d, 2.0), 1.0),
        lambda theta, d: dist.Poisson(d[..., 0] * theta),
        nodes=(0.0, 30.0),
        values=COUNTS,
    ),
    "gamma, exponential": Known(
        prior=lambda d: dist.Gamma(like(d, 2.0), 1.0),
        outcome=lambda theta, d: dist.Exponential(d[..., 0] * theta),
        truth=lambda at: 0.5 - math.log(2) + float(digamma(torch.tensor(2.0))),
    ),
    "beta, binomial": known(
        lambda d: dist.Beta(like(d, 2.0), 3.0),
        lambda theta, d: dist.Binomial(5, theta * d[..., 0] / 2),
        nodes=(0.0, 1.0),
        values=COUNTS[:6],
    ),
    "beta, geometric": known(
        lambda d: dist.Beta(like(d, 4.0), 3.0),
        lambda theta, d: dist.Geometric(theta + 0.0 * d[..., 0]),
        nodes=(0.0, 1.0),
        values=COUNTS,
    ),
    "lognormal, lognormal": Known(
        prior=lambda d: dist.LogNormal(like(d, 1.0), 0.5),
        outcome=lambda theta, d: dist.LogNormal(d[..., 0] * theta.log(), 0.5),
        truth=half_log,
    ),
    "normal, bernoulli": known(
        standard_normal,
        lambda theta, d: dist.Bernoulli(logits=d[..., 0] * theta),
        nodes=(-8.0, 8.0),
        values=COUNTS[:2],
    ),
    "normal, vector of bernoullis": known(
        standard_normal,
        lambda theta, d: dist.Bernoulli(logits=two_logits(theta, d)).to_event(1),
        nodes=(-8.0, 8.0),
        values=PAIRS,
    ),
    "normal, categorical": known(
        standard_normal,
        lambda theta, d: dist.Categorical(logits=three_logits(theta, d)),
        nodes=(-8.0, 8.0),
        values=COUNTS[:3],
    ),
    "normal, multinomial": known(
        standard_normal,
        lambda theta, d: dist.Multinomial(3, logits=three_logits(theta, d)),
        nodes=(-8.0, 8.0),
        values=TRIPLES,
        refused=OUTCOME_DENSITY,
    ),
    "dirichlet, categorical": Known(
        prior=lambda d: dist.Dirichlet(like(d, 1.0, 2.0, 3.0)),
        outcome=lambda theta, d: dist.Categorical(theta),
        truth=dirichlet_truth,
    ),
    "uniform, uniform from it": Known(
        prior=lambda d: dist.Uniform(like(d, 0.0), 1.0),
        outcome=lambda theta, d: dist.Uniform(theta, theta + 1.0),
        truth=lambda at: 0.5,
        refused=CONTINUOUS_ONLY,
    ),
    "bernoulli, normal": known(
        lambda d: dist.Bernoulli(like(d, 0.4)),
        lambda theta, d: dist.Normal(theta * d[..., 0], 1.0),
        nodes=COUNTS[:2],
        refused=CONTINUOUS_ONLY,
    ),
    "categorical, bernoulli": known(
        lambda d: dist.Categorical(like(d, 0.2, 0.3, 0.5)),
        lambda theta, d: dist.Bernoulli(d.new_tensor([0.1, 0.5, 0.9])[theta] * d[..., 0] / 2),
        nodes=torch.arange(3),
        values=COUNTS[:2],
        refused=CONTINUOUS_ONLY,
    ),
    "two categories, categorical": known(
        lambda d: dist.Categorical(like(d, 0.3, 0.7)),
        lambda theta, d: dist.Categorical(
            d.new_tensor([[0.6, 0.3, 0.1], [0.1, 0.2, 0.7]])[theta] + 0.1 * d
        ),
        nodes=torch.arange(2),
        values=COUNTS[:3],
        refused=CONTINUOUS_ONLY,
    ),
    "one-hot, normal": known(
        lambda d: dist.OneHotCategorical(like(d, 0.2, 0.3, 0.5)),
        lambda theta, d: dist.Normal(theta @ d.new_tensor([0.0, 1.0, 2.0]) * d[..., 0], 1.0),
        nodes=torch.eye(3, dtype=torch.float64),
        refused=CONTINUOUS_ONLY,
    ),
    "poisson, normal": known(
        lambda d: dist.Poisson(like(d, 2.0)),
        lambda theta, d: dist.Normal(theta * d[..., 0], 1.0),
        nodes=COUNTS[:40],
        refused=CONTINUOUS_ONLY,
    ),
    "poisson, binomial of it": known(
        lambda d: dist.Poisson(like(d, 4.0)),
        lambda theta, d: dist.Binomial(theta, d[..., 0] / 4),
        nodes=COUNTS[:60],
        values=COUNTS[:60],
        refused=CONTINUOUS_ONLY,
    ),
    "binomial, poisson": known(
        lambda d: dist.Binomial(4, like(d, 0.4)),
        lambda theta, d: dist.Poisson(1.0 + theta * d[..., 0]),
        nodes=COUNTS[:5],
        values=COUNTS[:100],
        refused=CONTINUOUS_ONLY,
    ),
}
"""By the kinds of theta and y."""
