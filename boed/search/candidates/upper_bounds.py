"""The most that a completion can add to the utility of a look, whatever the look."""

from __future__ import annotations

from functools import singledispatch

import torch
from jaxtyping import Float
from torch import Tensor

from boed.eig.completions.estimators import (
    BarberAgakov,
    Estimator,
    InformationGain,
    PosteriorEntropy,
)
from boed.eig.completions.posterior_entropy import FINITE_LOG_ZERO, entropy, over_findings
from boed.eig.completions.problem import DesignProblem


@singledispatch
def upper_bound(estimator: Estimator, problem: DesignProblem) -> Float[Tensor, "N B"]:
    """An upper bound of each completion's gain, over all candidates, in nats.

    Infinite where none is known; `@upper_bound.register` adds a user's own estimator.
    """
    return torch.full(problem.shape[:2], torch.inf, device=problem.prior.device)


@upper_bound.register
def _(estimator: BarberAgakov, problem: DesignProblem) -> Float[Tensor, "N B"]:
    """A look that shows the whole completion: sum_v g log q is highest for q = g (Gibbs)."""
    whole = problem.whole_scene
    seen = whole[:, :, None]  # as the posterior of a single candidate
    return estimator.from_log_beliefs(problem.prior, seen, whole_scene=whole)[1][:, :, 0]


@upper_bound.register
def _(estimator: PosteriorEntropy, problem: DesignProblem) -> Float[Tensor, "N B"]:
    """A look after which nothing is uncertain."""
    before = over_findings(entropy(problem.prior), problem.prior.ndim == 3)
    return before.expand(problem.shape[:2])


@upper_bound.register
def _(estimator: InformationGain, problem: DesignProblem) -> Float[Tensor, "N B"]:
    """A look after which the least likely answer is certain: a divergence is convex in it."""
    rarest = -problem.prior.clamp(min=FINITE_LOG_ZERO).amin(-1)
    return over_findings(rarest, problem.prior.ndim == 3).expand(problem.shape[:2])
