"""Experiments that a policy chooses in a Pyro model, with gradient, and their likelihoods."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from boed.eig.model.pyro_model import SiteModel, Sites, site_value
from boed.eig.model.sequential import RollOut, tiled_log_likelihood

CELLS = 2**16
"""Log-likelihoods evaluated at once: few enough for a core's cache, enough to hide Pyro's cost."""


LogLikelihood = Callable[[SiteModel, RollOut, Sites], Tensor]
"""`likelihood(problem, roll, latents [L, 1, *E]) -> [L, B]`, in nats, without gradient."""


class RecurrentDesigner(Protocol):
    """Chooses designs from a summary of the history that each look adds to.

    Its cost does not grow with the history, as that of a `SequentialDesigner` does, which sees all
    of it anew for every look.
    """

    @property
    def design_dim(self) -> int: ...

    def unit_at(self, design: Float[Tensor, "*B K"]) -> Float[Tensor, "*B K"]:
        """A large step of each coordinate of a design, there."""
        ...

    def start(self, batch: int) -> Any:
        """The summary of nothing, for so many experiments."""
        ...

    def choose(self, summary: Any) -> Float[Tensor, "B K"]:
        """The next design."""
        ...

    def update(
        self, summary: Any, design: Float[Tensor, "B K"], outcome: Float[Tensor, "B *Y"]
    ) -> Any:
        """The summary with one more look."""
        ...


def run_experiments(
    problem: SiteModel,
    policy: RecurrentDesigner,
    looks: int,
    *,
    batch: int,
    limit: float = math.inf,
) -> RollOut:
    """`batch` experiments of `looks` designs each, with gradient in the policy.

    As `boed.eig.model.sequential.roll_out`, but each look takes the same time. Uses torch's global
    generator.

    Args:
        problem: a model with one observation site. If it has a design space, the policy's designs
            are brought into it, and what they cost is counted.
        policy: chooses the designs.
        looks: T.
        batch: B.
        limit: of the gradient that reaches each coordinate of a design, for a mean over the
            experiments, in nats per `policy.unit_at`. Near what a signal changes fast with, a few
            experiments would have all the say, through all later looks, too.

    Raises:
        ValueError: a design is not finite, or a log-likelihood NaN.
    """
    (site,) = problem.observation
    summary = policy.start(batch)
    latents: Sites = {}
    designs: list[Tensor] = []
    outcomes: list[Tensor] = []
    scores: list[Tensor] = []
    costs: Tensor | float = 0.0
    for _ in range(looks):
        design = policy.choose(summary)
        if problem.space is not None:
            design = problem.space.nearest(design)
            costs = costs + problem.space.costs(design, designs[-1] if designs else None)
        if design.requires_grad and limit < math.inf:
            unit = policy.unit_at(design.detach())
            design.register_hook(partial(_limited, most=limit / batch / unit))
        if not latents:
            latents = problem.draw_latents(design.detach())
        trace = problem.trace(design, latents)
        outcome = site_value(trace, site)
        problem.check_finite(site, "the outcome", outcome)
        summary = policy.update(summary, design, outcome)
        designs.append(design)
        outcomes.append(outcome)
        if not problem.implicit:
            scores.append(problem.density(trace)(outcome))
    chosen = torch.stack(designs, 1)
    finite = torch.isfinite(chosen).flatten(2).all(2).all(0)
    if not bool(finite.all()):
        step = int((~finite).nonzero()[0])
        raise ValueError(f"policy returned a design that is not finite at step {step}")
    return RollOut(
        latents=latents,
        designs=chosen,
        outcomes=torch.stack(outcomes, 1),
        log_likelihood=torch.stack(scores).sum(0)
        if scores
        else chosen.new_full((batch,), math.nan),
        costs=costs if isinstance(costs, Tensor) else None,
    )


def _limited(gradient: Tensor, most: Tensor) -> Tensor:
    return torch.clamp(gradient, -most, most)


@torch.no_grad()
def log_likelihood(problem: SiteModel, roll: RollOut, latents: Sites) -> Float[Tensor, "L B"]:
    """Of many hypotheses, `[L, 1, *E]`, without gradient and in bounded memory."""
    piece = max(1, CELLS // roll.designs.shape[:2].numel())
    return tiled_log_likelihood(problem, roll, latents, piece=piece)
