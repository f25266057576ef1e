"""Experiments that a policy chooses in a Pyro model, with gradient, and what explains them."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from boed.eig.model.nested import slices
from boed.eig.model.pyro_model import SiteModel, Sites, site_value
from boed.eig.model.sequential import RollOut

CELLS = 2**16
"""Log-likelihoods evaluated at once: few enough for a core's cache, enough to hide Pyro's cost."""


Explain = Callable[[SiteModel, RollOut, Sites], Tensor]
"""`explain(problem, roll, latents [L, 1, *E]) -> log-likelihoods [L, B]`, without gradient."""


class RecurrentDesigner(Protocol):
    """Chooses designs from a summary of the history that each look adds to.

    Its cost does not grow with the history, as that of a `SequentialDesigner` does, which sees all
    of it anew for every look.
    """

    @property
    def design_dim(self) -> int: ...

    @property
    def unit(self) -> Float[Tensor, " K"]:
        """A large step of each coordinate of a design."""
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

    As `boed.eig.model.sequential.roll_out`, but each look costs the same. Uses torch's global
    generator.

    Args:
        problem: a model with one observation site.
        policy: chooses the designs.
        looks: T.
        batch: B.
        limit: of the gradient that reaches each coordinate of a design, for a mean over the
            experiments, in nats per `policy.unit`. Near what a signal changes fast with, a few
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
    for _ in range(looks):
        design = policy.choose(summary)
        if design.requires_grad and limit < math.inf:
            design.register_hook(partial(_limited, most=limit / batch / policy.unit))
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
    )


def _limited(gradient: Tensor, most: Tensor) -> Tensor:
    return torch.clamp(gradient, -most, most)


def explained(problem: SiteModel, roll: RollOut, latents: Sites) -> Float[Tensor, "L B"]:
    """log p(outcomes | theta_l, designs) = sum_t log p(y_t | theta_l, d_t), differentiable.

    Each coordinate of the designs lies in one piece, and what depends on the parameters of the
    outcome's law alone is computed once, which makes a few thousand hypotheses as cheap as the
    policy's own network.

    Args:
        problem: the model.
        roll: B experiments of T looks.
        latents: every latent site, `[L, B, *E]`, or `[L, 1, *E]` for the same in all experiments.

    Raises:
        ValueError: it is NaN.
    """
    (site,) = problem.observation
    number = len(next(iter(latents.values())))
    batch, looks, dim = roll.designs.shape
    designs = roll.designs.permute(2, 1, 0).reshape(dim, looks * batch).t()
    outcomes = roll.outcomes.transpose(0, 1).flatten(0, 1)[None]
    hypotheses = {name: _at_all_looks(value, looks, batch) for name, value in latents.items()}
    trace = problem.trace(designs.expand(number, *designs.shape), {**hypotheses, site: outcomes})
    return problem.density(trace)(outcomes).unflatten(1, (looks, batch)).sum(1)


def _at_all_looks(value: Tensor, looks: int, batch: int) -> Tensor:
    """Latents `[L, B or 1, *E]` as `[L, T * B, *E]`, looks first; 1 in common takes no memory."""
    if value.shape[1] == 1:
        return value.expand(len(value), looks * batch, *value.shape[2:])
    return value[:, None].expand(len(value), looks, *value.shape[1:]).flatten(1, 2)


@torch.no_grad()
def all_explained(problem: SiteModel, roll: RollOut, latents: Sites) -> Float[Tensor, "L B"]:
    """As `explained`, of many hypotheses, without gradient and in bounded memory."""
    number = len(next(iter(latents.values())))
    piece = max(1, CELLS // roll.designs.shape[:2].numel())
    return torch.cat(
        [
            explained(problem, roll, {name: value[part] for name, value in latents.items()})
            for part in slices(number, piece)
        ]
    )
