"""Bounds with a learned proposal for the latents: adaptive contrastive estimation and VNMC."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

from boed.eig.model.guides import Conditional
from boed.eig.model.nested import event_numel, slices, tile_cells
from boed.eig.model.pyro_model import SiteModel
from boed.eig.model.scores import Evaluation, Moments, Scores

RATE = 5e-3
"""Adam's first rate in the training of a network."""


def ace(
    problem: SiteModel,
    designs: Float[Tensor, "D *K"],
    *,
    contrasts: int,
    steps: int,
    memory: int,
    batch: int = 128,
    guide: Conditional | None = None,
) -> Evaluation:
    """Adaptive contrastive estimation, Eq. 9 of Foster et al. 2020: a lower bound.

    EIG >= E log p(y | theta_0) / (1/(L+1) sum_l p(theta_l) p(y | theta_l) / q(theta_l | y)), with
    theta_0 the truth and theta_1..L from q. The bound holds for any q. This one is fitted to
    joint draws by maximum likelihood, E log q(theta | y) (the posterior bound of Foster et al.
    2019), rather than by climbing the bound: it covers the posterior's mass and serves discrete
    latents too.

    Args:
        problem: the model, no nuisances.
        designs: the candidates.
        contrasts: L.
        steps: training steps of q.
        memory: bound in MiB.
        batch: joint draws per training step and design.
        guide: your own q; trained further unless steps is 0.
    """
    return _proposed(problem, designs, contrasts, steps, memory, batch, guide, own=True)


def vnmc(
    problem: SiteModel,
    designs: Float[Tensor, "D *K"],
    *,
    contrasts: int,
    steps: int,
    memory: int,
    batch: int = 128,
    guide: Conditional | None = None,
) -> Evaluation:
    """Variational nested Monte Carlo, Eq. 12 of Foster et al. 2019: an upper bound.

    As `ace` without the truth in the denominator; the same arguments.
    """
    return _proposed(problem, designs, contrasts, steps, memory, batch, guide, own=False)


def _proposed(
    problem: SiteModel,
    designs: Tensor,
    contrasts: int,
    steps: int,
    memory: int,
    batch: int,
    guide: Conditional | None,
    own: bool,
) -> Evaluation:
    """Both bounds: `own` puts the truth into the denominator."""
    problem.needs_likelihood()
    proposal = guide or Conditional(problem, designs, problem.latents, given=problem.observation)
    fit_conditional(problem, designs, proposal, steps=steps, batch=batch)
    return partial(_evaluate, problem, designs, proposal, contrasts, memory, own)


def _evaluate(
    problem: SiteModel,
    designs: Tensor,
    proposal: Conditional,
    contrasts: int,
    memory: int,
    own: bool,
    samples: int,
) -> Scores:
    """The bound on fresh samples, in chunks."""
    moments = Moments(samples, None, designs=len(designs), memory=memory, device=designs.device)
    probe = problem.simulate(designs.expand(1, *designs.shape))
    numbers = event_numel({**probe.latents, **probe.outcomes}, 2)
    cells = max(1, tile_cells(memory, problem.dtype) // (len(designs) * numbers))
    for rows in slices(samples, max(1, cells // min(contrasts, 64))):
        where = designs.expand(rows.stop - rows.start, *designs.shape)
        draws = problem.simulate(where)
        shape = tuple(where.shape[:2])
        pairs = {**draws.latents, **draws.outcomes}
        total = torch.full(shape, -torch.inf, dtype=problem.dtype, device=designs.device)
        for inner in slices(contrasts, max(1, cells // shape[0])):
            number = inner.stop - inner.start
            wide = where.expand(number, *where.shape)
            with problem.sharing(wide):
                latents, log_q = proposal.sample(draws.outcomes, number)
            seen = {name: y.expand(number, *y.shape) for name, y in draws.outcomes.items()}
            prior, likelihood = problem.log_joint(latents, seen, wide)
            total = torch.logaddexp(total, (prior + likelihood - log_q).logsumexp(0))
        if own:
            prior, likelihood = problem.log_joint(draws.latents, draws.outcomes, where)
            total = torch.logaddexp(total, prior + likelihood - proposal.log_prob(pairs, shape))
        terms = draws.log_likelihood - total + math.log(contrasts + own)
        moments.add(terms)
    return moments.scores()


def fit_conditional(
    problem: SiteModel, designs: Tensor, guide: Conditional, *, steps: int, batch: int
) -> None:
    """Maximises E log q(sites | given) over joint draws of the model, design by design."""

    def loss() -> Tensor:
        where = designs.expand(batch, *designs.shape)
        with torch.no_grad():
            draws = problem.simulate(where)
        pairs = {**draws.latents, **draws.outcomes}
        return -guide.log_prob(pairs, tuple(where.shape[:2])).mean(0).sum()

    fit_network(guide, loss, steps, estimator=problem.estimator)


@torch.enable_grad()
def fit_network(
    network: nn.Module,
    loss: Callable[[], Tensor],
    steps: int,
    *,
    estimator: str,
) -> None:
    """Adam with a cosine-annealed rate; leaves the network in evaluation mode, without gradients.

    Raises:
        ValueError: the loss becomes NaN.
    """
    if steps:
        optimiser = torch.optim.Adam(network.parameters(), lr=RATE)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        for step in range(steps):
            optimiser.zero_grad()
            value = loss()
            if not bool(torch.isfinite(value)):
                raise ValueError(
                    f"the training loss of estimator {estimator!r} is {float(value)} at step {step}"
                )
            value.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 100.0)
            optimiser.step()
            schedule.step()
    network.eval().requires_grad_(False)
