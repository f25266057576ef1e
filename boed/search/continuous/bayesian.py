"""Bayesian optimisation over continuous designs: for an EIG that is noisy and has no gradient."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from boed.foundation.arguments import checked
from boed.foundation.randomness import derive
from boed.search.continuous.gradient import sobol
from boed.search.continuous.optimum import Objective, Optimum, check_bounds, evaluate


@checked
def bayesian_optimisation(
    objective: Objective,
    bounds: Float[Tensor, "2 K"],
    evaluations: int = 30,
    *,
    seed: int = 0,
    first: int = 8,
) -> Optimum:
    """A Gaussian process of the objective, and expected improvement for the next design.

    BoTorch's SingleTaskGP, which also learns how noisy the objective is, and its
    LogExpectedImprovement (Ament et al. 2023) over the highest posterior mean at a design tried.
    The design returned has the highest posterior mean, and its value is that mean: with noise,
    the highest single evaluation would favour luck.

    Args:
        objective: called with one design at a time, `[1, K]`.
        bounds: lowest and highest design.
        evaluations: of the objective, in all.
        seed: of the search; the global random state is left as it was.
        first: evaluations spread by a Sobol sequence before the first model.

    Returns:
        The optimum; its `history` is the highest evaluation so far.

    Raises:
        ImportError: BoTorch is not installed.
        ValueError: bounds that are none, `first` below 2 or above `evaluations`, or an objective
            that is not one finite number.
    """
    _import()
    check_bounds(bounds)
    if bounds.ndim != 2:
        raise ValueError(f"bounds must be [2, K], got {tuple(bounds.shape)}")
    if not 2 <= first <= evaluations:
        raise ValueError(f"first is {first}, expected 2 to evaluations ({evaluations})")
    low, width = bounds[0], bounds[1] - bounds[0]
    tried = sobol(first, low.shape, seed).double()
    values = [_value(objective, low + each.to(bounds) * width) for each in tried]
    with torch.random.fork_rng(), torch.enable_grad():
        torch.manual_seed(derive(seed, "bayesian optimisation"))
        while len(values) < evaluations:
            tried = torch.cat([tried, _next(_fitted(tried, values), tried)])
            values.append(_value(objective, low + tried[-1].to(bounds) * width))
        best, value = _highest_mean(_fitted(tried, values), tried)
    evaluated = torch.tensor(values, dtype=bounds.dtype)
    designs = low + tried.to(bounds) * width
    return Optimum(
        design=low + best.to(bounds) * width,
        value=value,
        designs=designs,
        values=evaluated,
        history=evaluated.cummax(0).values,
    )


def _value(objective: Objective, design: Float[Tensor, " K"]) -> float:
    with torch.no_grad():
        return float(evaluate(objective, design[None])[0])


def _fitted(tried: Float[Tensor, "n K"], values: list[float]) -> Any:
    """The process, given designs in the unit cube."""
    from botorch.fit import fit_gpytorch_mll
    from botorch.models import SingleTaskGP
    from gpytorch.mlls import ExactMarginalLogLikelihood

    model = SingleTaskGP(tried, torch.tensor(values, dtype=torch.float64)[:, None])
    fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
    return model


def _next(model: Any, tried: Float[Tensor, "n K"]) -> Float[Tensor, "1 K"]:
    """The design of highest expected improvement over the highest posterior mean so far."""
    from botorch.acquisition import LogExpectedImprovement

    with torch.no_grad():
        incumbent = model.posterior(tried).mean.max()
    return _maximise(LogExpectedImprovement(model, incumbent), tried)[0]


def _highest_mean(model: Any, tried: Float[Tensor, "n K"]) -> tuple[Float[Tensor, " K"], float]:
    from botorch.acquisition import PosteriorMean

    design, value = _maximise(PosteriorMean(model), tried)
    return design[0], float(value)


def _maximise(acquisition: Any, tried: Float[Tensor, "n K"]) -> tuple[Tensor, Tensor]:
    from botorch.optim import optimize_acqf

    unit = torch.stack([torch.zeros_like(tried[0]), torch.ones_like(tried[0])])
    optimum: Any = optimize_acqf(acquisition, unit, q=1, num_restarts=4, raw_samples=64)
    return optimum[0].detach(), optimum[1].detach()


def _import() -> None:
    """Raises an ImportError that says how to get BoTorch, where it is missing."""
    try:
        import botorch  # noqa: F401
    except ImportError as error:
        raise ImportError("bayesian_optimisation needs BoTorch: pip install 'boed[bo]'") from error
