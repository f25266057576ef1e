"""InfoNCE: a lower bound on the EIG that needs a simulator and nothing else."""

from __future__ import annotations

import math
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from boed.eig.model.contrastive import fit_network
from boed.eig.model.guides import Critic
from boed.eig.model.nested import INNER, fractions, group_sums, slices, tile_cells
from boed.eig.model.pyro_model import SiteModel
from boed.eig.model.scores import Evaluation, Moments, Scores
from boed.foundation.options import Whole


def infonce(
    problem: SiteModel,
    designs: Float[Tensor, "D *K"],
    *,
    contrasts: int,
    steps: int,
    memory: int,
    batch: int = 256,
    critic: Critic | None = None,
) -> Evaluation:
    """Van den Oord et al. 2018, Eq. 4; as used for design by Ivanova et al. 2021 (iDAD), Eq. 6.

    EIG >= E [T(theta_0, y) - log 1/(L+1) sum_{l=0}^{L} exp T(theta_l, y)] <= ln(L + 1): theta_0
    made y, the others come from the prior. The critic T is trained with the other draws of a batch
    as contrasts, and the bound is evaluated on fresh draws, so that it does not overfit.

    Args:
        problem: the model; nuisances and outcomes without a density are fine.
        designs: the candidates.
        contrasts: L of the evaluation; the same latents serve all outcomes.
        steps: training steps.
        memory: bound in MiB.
        batch: draws per training step and design.
        critic: your own T; trained further unless steps is 0.
    """
    Whole(2).check("batch", batch)
    scorer = critic or Critic(problem, designs)

    def loss() -> Tensor:
        with torch.no_grad():
            draws = problem.simulate(designs.expand(batch, *designs.shape))
        left, right = scorer.embed(draws.latents, draws.outcomes)
        scores = torch.einsum("mdw,ndw->mnd", left, right)
        return -(scores.diagonal().T - scores.logsumexp(0)).mean(0).sum()

    fit_network(scorer, loss, steps, estimator=problem.estimator)
    return partial(_evaluate, problem, designs, scorer, contrasts, memory)


def _evaluate(
    problem: SiteModel, designs: Tensor, critic: Critic, contrasts: int, memory: int, samples: int
) -> Scores:
    """The bound on fresh samples; the contrasts are shared, as in `boed.eig.model.nested`."""
    draws = problem.simulate(designs.expand(samples, *designs.shape))
    others = problem.draw_latents(designs.expand(contrasts, *designs.shape))
    left, right = critic.embed(draws.latents, draws.outcomes)
    contrast, _ = critic.embed(others, {name: y[:1] for name, y in draws.outcomes.items()})
    cells = max(1, tile_cells(memory, problem.dtype) // (INNER * len(designs)))
    shared = fractions(contrasts) if contrasts > 1 else None
    moments = Moments(samples, shared, designs=len(designs), memory=memory, device=designs.device)
    for rows in slices(samples, cells):
        outcome, truth = right[rows], (left[rows] * right[rows]).sum(-1)

        def evaluate(inner: slice, outcome: Tensor = outcome) -> Tensor:
            return torch.einsum("mdw,ndw->mnd", contrast[inner], outcome)

        groups = group_sums(evaluate, contrasts, INNER, shared=True)
        total = torch.logaddexp(groups.logsumexp(0), truth)
        moments.add(truth - total + math.log(contrasts + 1), (groups - total).exp().sum(1))
    return moments.scores()
