"""What a Pyro model of one look has to be for a sequence of looks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from boed.eig.model.isolation import isolated
from boed.eig.model.pyro_model import Model, SiteModel, site_model


def sequence_model(
    model: Model,
    example: Float[Tensor, "*K"],
    observation: str,
    *,
    target: str | Sequence[str],
    estimator: str,
) -> SiteModel:
    """A model that is fit for roll-outs: one outcome a look, a likelihood that broadcasts.

    Args:
        model: the Pyro program of one look.
        example: a legal design.
        observation, target: names of its sites.
        estimator: named in errors.

    Raises:
        ValueError: see `sequential_pce`.
    """
    problem = site_model(model, example[None], observation, target=target, estimator=estimator)
    check_sequence(problem, example)
    return problem


WITHOUT_LIKELIHOOD = "the methods idad and vsoed of `boed train policy`"
"""What serves sequences of looks at a model without a likelihood given its target."""


def check_sequence(problem: SiteModel, example: Float[Tensor, "*K"]) -> None:
    """Refuse a model that is not fit for roll-outs.

    Args:
        problem: the model.
        example: a legal design.

    Raises:
        ValueError: see `sequential_pce`.
    """
    problem.needs_likelihood(others=WITHOUT_LIKELIHOOD, free=WITHOUT_LIKELIHOOD)
    if len(problem.observation) > 1:
        raise ValueError(f"observation must be one site, got {list(problem.observation)}")
    with isolated(0), torch.no_grad():
        _check_broadcasts(problem, example)


def _check_broadcasts(problem: SiteModel, example: Tensor) -> None:
    """Refuse a likelihood that is not one number for each design of any batch shape."""
    batch = (2, 3, 4)  # contrasts, looks, roll-outs
    designs = example.expand(*batch, *example.shape)
    try:
        drawn = problem.simulate(designs)
        outcomes = {name: value[:1] for name, value in drawn.outcomes.items()}
        likelihood = problem.log_likelihood(drawn.latents, outcomes, designs)
    except (RuntimeError, IndexError, ValueError) as error:
        if problem.estimator in str(error):  # it is told already
            raise
        reason = str(error).partition("\n")[0]  # Pyro adds a table of shapes
        raise ValueError(
            f"model failed on designs of batch shape {batch}: {reason}; expected a likelihood that "
            "broadcasts over any batch shape, with the design's own dimensions last, as in "
            "design[..., 0] and sum(-1)"
        ) from error
    if likelihood.shape != batch:
        raise ValueError(
            f"model: the log-likelihood of site {problem.observation[0]!r} has shape "
            f"{tuple(likelihood.shape)} for designs of batch shape {batch}, expected the same: its "
            "likelihood must broadcast over any batch shape"
        )


def check_possible(problem: SiteModel, likelihood: Tensor, step: int) -> None:
    """Refuse outcomes that are impossible, or infinitely likely, where they come from.

    Raises:
        ValueError: naming the site.
    """
    if problem.implicit:
        return
    bad = ~likelihood.isfinite()
    if bool(bad.any()):
        raise ValueError(
            f"the log-likelihood of site {problem.observation[0]!r} at step {step} is "
            f"{float(likelihood[bad][0])} in {int(bad.sum())} of {bad.numel()} roll-outs, for "
            "outcomes drawn from the same law; expected a density that is finite there, as with a "
            "scale above 0"
        )
