"""EIG of designs for any Pyro model: one calling convention over all likelihood-side estimators."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from boed.eig.model.contrastive import ace, vnmc
from boed.eig.model.infonce import infonce
from boed.eig.model.isolation import isolated, reseed
from boed.eig.model.laplace import laplace
from boed.eig.model.lfire import lfire
from boed.eig.model.nested import nmc, pce
from boed.eig.model.pyro_model import Model, SiteModel, check_designs, site_model
from boed.eig.model.pyro_oed import (
    REPLICATES,
    donsker_varadhan,
    marginal,
    marginal_likelihood,
    posterior,
    pyro_nmc,
    pyro_vnmc,
)
from boed.eig.model.scores import Evaluation, Scores, together, warn_if_saturated
from boed.eig.result import Bound, EIGEstimate
from boed.foundation.arguments import checked
from boed.foundation.checks import more_than
from boed.foundation.options import COUNT, Kind, Number, Switch, Whole
from boed.foundation.randomness import derive
from boed.foundation.registry import Registry


@dataclass(frozen=True)
class ModelEstimator:
    """One entry of `MODEL_ESTIMATORS`.

    Attributes:
        about: what it is, in a line.
        bound: what its expectation is to the EIG.
        run: called with (problem, designs) and the keywords that it names; trains what it learns.
        fewest: samples that it asks for at least.
        ceiling: it is at most ln(contrasts + 1).
    """

    about: str
    bound: Bound
    run: Callable[..., Evaluation]
    _: KW_ONLY
    fewest: int = 1
    ceiling: bool = False


MODEL_ESTIMATORS: Registry[ModelEstimator] = Registry(
    "estimator",
    {
        "nmc": ModelEstimator("nested Monte Carlo", "biased up", nmc),
        "pce": ModelEstimator(
            "prior contrastive estimation, at most ln(contrasts + 1)", "lower", pce, ceiling=True
        ),
        "snmc": ModelEstimator("upper twin of pce, on the same draws", "upper", nmc),
        "ace": ModelEstimator("pce with a learned proposal for the contrasts", "lower", ace),
        "vnmc": ModelEstimator("upper twin of ace", "upper", vnmc),
        "infonce": ModelEstimator(
            "learned critic; a simulator is enough", "lower", infonce, ceiling=True
        ),
        "pyro_nmc": ModelEstimator(
            "Pyro's nested Monte Carlo", "biased up", pyro_nmc, fewest=REPLICATES
        ),
        "posterior": ModelEstimator(
            "learned q(theta | y), Barber-Agakov", "lower", posterior, fewest=REPLICATES
        ),
        "marginal": ModelEstimator("learned q(y)", "upper", marginal, fewest=REPLICATES),
        "marginal_likelihood": ModelEstimator(
            "learned q(y | theta) and q(y); serves nuisances",
            "none",
            marginal_likelihood,
            fewest=REPLICATES,
        ),
        "pyro_vnmc": ModelEstimator(
            "Pyro's vnmc, trained on its own bound", "upper", pyro_vnmc, fewest=REPLICATES
        ),
        "lfire": ModelEstimator("a classifier of outcomes for every theta", "none", lfire),
        "laplace": ModelEstimator("Gaussian posteriors at their modes", "none", laplace, fewest=2),
        "donsker_varadhan": ModelEstimator(
            "learned critic, log-mean-exp", "lower", donsker_varadhan, fewest=REPLICATES
        ),
    },
)
"""Estimators by name. Ours first, then those that run through pyro.contrib.oed."""

FIRST = 256
"""A tolerance is first looked at after so many samples at least, but less than twice as many."""

OPTIONS: dict[str, Kind] = {
    "batch": COUNT,
    "inner": COUNT,
    "rate": Number(above=0),
    "reuse": Switch(),
}
"""What estimators' own options may be; guides and critics are tried by being called."""

ERROR = 0.05
"""Chance of being out of tolerance, all looks at it together."""


@checked
def model_eig(
    model: Model,
    designs: Float[Tensor, "D *K"],
    estimator: str = "pce",
    *,
    observation: str | Sequence[str] = "y",
    target: str | Sequence[str] = "theta",
    samples: int = 1000,
    contrasts: int = 1000,
    steps: int = 1000,
    seed: int = 0,
    design_dims: int = 1,
    memory: int = 512,
    shared_draws: bool = True,
    tolerance: float | None = None,
    on_round: Callable[[EIGEstimate], None] | None = None,
    **options: Any,
) -> EIGEstimate:
    """EIG of every design about the target sites of a Pyro model.

    >>> import pyro, pyro.distributions as dist
    >>> def model(design):  # theta ~ N(0, 1), y ~ N(design * theta, 1)
    ...     theta = pyro.sample("theta", dist.Normal(torch.zeros(design.shape[:-1]), 1.0))
    ...     pyro.sample("y", dist.Normal(design[..., 0] * theta, 1.0))
    >>> result = model_eig(model, torch.tensor([[0.0], [1.0], [3.0]]), "pce")
    >>> result.bound, result.best
    ('lower', tensor([3.]))
    >>> truth = 0.5 * torch.log1p(torch.tensor([0.0, 1.0, 9.0]))
    >>> bool(((result.eig - truth).abs() < 4 * result.standard_error + 0.01).all())
    True

    Args:
        model: a Pyro program as pyro.contrib.oed takes them: `model(design)` with design
            `[*batch, *K]`, every site of batch shape `*batch` (use `pyro.plate_stack`).
        designs: the candidates, of any real type; the model gets them as they are. No gradient
            reaches them.
        estimator: one of `MODEL_ESTIMATORS`.
        observation: the site or sites that a look measures.
        target: the latent site or sites that the question is about; the others are nuisances,
            which only some estimators can handle (the others say so).
        samples: outer samples, or fresh samples on which a trained bound is evaluated.
        contrasts: inner (contrastive) samples per outer one, where the estimator has them.
        steps: training steps, where the estimator learns.
        seed: the same seed gives the same answer; global random state and Pyro's parameter store
            are left as they were.
        design_dims: how many of the last dimensions are a design's own: 1 for `[D, K]`, 2 for
            joint designs of T looks, `[D, T, K]`.
        memory: bound on what is held at once, MiB. It changes the answer only where the draws
            themselves must be split.
        shared_draws: every design gets the same random numbers, so that most of the error of a
            difference cancels (`boed.eig.model.shared_draws`); else each gets its own.
        tolerance: nats. Sampling ends as soon as the best design's EIG is within so much of the
            highest one, with 95 % probability, or after `samples`, with a warning. It is looked at
            after a half, a quarter, ... of `samples`, down to 256, each time at a level that makes
            it 95 % for all looks (Bonferroni). It speaks of the estimator's expectation, its bias
            apart.
        on_round: called with the estimate so far after each of these rounds.
        options: of the estimator; see its own function.

    Returns:
        EIG and standard error in nats, `[D]`, and which bound it is; in the widest floating type
        of the designs and the model's sites. It compares designs: see `EIGEstimate.difference`,
        `probability_best`, `shortfall` and `winners_curse`.

    Raises:
        ValueError: an unknown estimator or option; designs that are empty, not finite or of
            another shape; counts below 1; a model without the named sites or whose sites do not
            have the designs' batch shape; a prior that is improper; a log-likelihood that is NaN;
            a target or observation that the estimator cannot handle; a tolerance that is not
            above 0.
    """
    entry = MODEL_ESTIMATORS[estimator]
    for name, value in (("contrasts", contrasts), ("memory", memory)):
        COUNT.check(name, value)
    Whole(entry.fewest).check("samples", samples)
    Whole(0).check("steps", steps)
    if tolerance is not None:
        more_than(0, tolerance=tolerance)
    COUNT.check("design_dims", design_dims)
    check_designs(designs, design_dims)
    numbers = {"contrasts": contrasts, "steps": steps, "memory": memory}
    accepted = inspect.signature(entry.run).parameters
    _check_options(estimator, options, [name for name in accepted if name not in numbers])
    with isolated(derive(seed, "model_eig")), torch.no_grad():
        plain = designs.detach()
        problem = site_model(
            model, plain, observation, target=target, estimator=estimator, shared=shared_draws
        )
        given = {name: value for name, value in numbers.items() if name in accepted}
        evaluate = entry.run(problem, plain, **given, **options)
        sizes = [samples] if tolerance is None else _rounds(samples, entry.fewest)
        parts: list[Scores] = []
        for number, size in enumerate(sizes):
            reseed(derive(seed, "model_eig", "round", number))
            parts.append(evaluate(size))
            taken = sizes[: number + 1]
            result = _estimate(designs, problem, entry.bound, together(parts, taken), sum(taken))
            if on_round is not None:
                on_round(result)
            if tolerance is not None and result.shortfall(1 - ERROR / len(sizes)) <= tolerance:
                break
        else:
            if tolerance is not None:
                _warn_out_of_tolerance(result, tolerance, 1 - ERROR / len(sizes))
    if entry.ceiling:
        warn_if_saturated(estimator, result.eig, contrasts)
    return result


def _rounds(samples: int, fewest: int) -> list[int]:
    """How many samples each round adds: all so far once more, `samples` in the end."""
    totals = [samples]
    while totals[0] // 2 >= max(FIRST, fewest):
        totals.insert(0, totals[0] // 2)
    return [after - before for before, after in zip([0, *totals], totals, strict=False)]


def _estimate(
    designs: Tensor, problem: SiteModel, bound: Bound, scores: Scores, samples: int
) -> EIGEstimate:
    """The scores in the model's floating type.

    Raises:
        ValueError: one of them is NaN.
    """
    eig = scores.eig.to(problem.dtype)
    if bool(torch.isnan(eig).any()):
        rows = torch.isnan(eig).nonzero().flatten().tolist()
        raise ValueError(f"estimator {problem.estimator!r} gives NaN at designs {rows[:5]}")
    return EIGEstimate(
        designs=designs,
        eig=eig,
        standard_error=scores.deviations.norm(dim=0).to(problem.dtype),
        bound=bound,
        samples=samples,
        deviations=scores.deviations.to(problem.dtype),
    )


def _warn_out_of_tolerance(result: EIGEstimate, tolerance: float, level: float) -> None:
    """Says how far from its tolerance a choice is after all samples."""
    warnings.warn(
        f"tolerance is {tolerance} nats, which {result.samples} samples do not reach: the best "
        f"design may be {result.shortfall(level):.2g} nats below another; raise samples",
        stacklevel=4,
    )


def _check_options(estimator: str, options: dict[str, Any], parameters: list[str]) -> None:
    """Raises a ValueError for an option that the estimator does not take, or not with its value."""
    known = [name for name in parameters if name not in ("problem", "designs")]
    unknown = [name for name in options if name not in known]
    if unknown:
        takes = ", ".join(known) or "no further options"
        raise ValueError(f"option {unknown[0]!r} is unknown to {estimator!r}, which takes {takes}")
    for name, value in options.items():
        if name in OPTIONS:
            OPTIONS[name].check(name, value)
