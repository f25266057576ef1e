"""Experiments that a policy chooses in a Pyro model, with gradient, and their likelihoods."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from boed.eig.model.design_space import DesignSpace, fits
from boed.eig.model.pyro_model import SiteModel, Sites, site_value
from boed.eig.model.roll_outs import RollOut, tiled_log_likelihood

CELLS = 2**16
"""Log-likelihoods evaluated at once: few enough for a core's cache, enough to hide Pyro's cost."""


class RecurrentDesigner(Protocol):
    """Chooses designs from a summary of the history that each look adds to.

    Its cost does not grow with the history, as that of a `SequentialDesigner` does, which sees all
    of it anew for every look. `at_once` looks are chosen before any of them has an outcome.
    """

    @property
    def at_once(self) -> int: ...

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

    def expect(self, summary: Any, design: Float[Tensor, "B K"]) -> Any:
        """The summary with a look that has no outcome yet."""
        ...


def choose_together(
    policy: RecurrentDesigner, summary: Any, number: int, *, space: DesignSpace | None = None
) -> list[Float[Tensor, "B K"]]:
    """The next designs, each chosen beside those before it, which have no outcome yet.

    Within a `space`, if one is given.
    """
    designs: list[Tensor] = []
    for _ in range(number):
        if designs:
            summary = policy.expect(summary, designs[-1])
        design = policy.choose(summary)
        designs.append(design if space is None else space.nearest(design))
    return designs


def choose_next(
    policy: RecurrentDesigner, summary: Any, number: int, *, space: DesignSpace | None = None
) -> Float[Tensor, "B *Q K"]:
    """`choose_together` as `SequencePolicy` has it: the design alone of one look at a time."""
    designs = choose_together(policy, summary, number, space=space)
    return designs[0] if policy.at_once == 1 else torch.stack(designs, 1)


def run_experiments(
    problem: SiteModel,
    policy: RecurrentDesigner,
    looks: int,
    *,
    batch: int,
    limit: float = math.inf,
    budget: float = math.inf,
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
        budget: of each experiment. One whose next look costs more than is left makes no more.

    Raises:
        ValueError: a design is not finite, or a log-likelihood NaN.
    """
    (site,) = problem.observation
    summary = policy.start(batch)
    latents: Sites = {}
    designs: list[Tensor] = []
    outcomes: list[Tensor] = []
    scores: list[Tensor] = []
    till = _Till(problem.space, budget)
    while len(designs) < looks:
        for design in choose_together(policy, summary, policy.at_once, space=problem.space):
            if design.requires_grad and limit < math.inf:
                unit = policy.unit_at(design.detach())
                design.register_hook(partial(_limited, most=limit / batch / unit))
            if not latents:
                latents = problem.draw_latents(design.detach())
            trace = problem.trace(design, latents)
            outcome = site_value(trace, site)
            problem.check_finite(site, "the outcome", outcome)
            summary = policy.update(summary, design, outcome)
            till.pay(design, designs)
            designs.append(design)
            outcomes.append(outcome)
            if not problem.implicit:
                scores.append(problem.density(trace)(outcome))
    chosen = torch.stack(designs, 1)
    finite = torch.isfinite(chosen).flatten(2).all(2).all(0)
    if not bool(finite.all()):
        step = int((~finite).nonzero()[0])
        raise ValueError(f"policy returned a design that is not finite at step {step}")
    made = torch.stack(till.made, 1) if till.made else None
    likelihoods = chosen.new_full((batch, 1), math.nan)
    if scores:
        each = torch.stack(scores, 1)
        likelihoods = each if made is None else each.where(made, 0.0)
    return RollOut(
        latents=latents,
        designs=chosen,
        outcomes=torch.stack(outcomes, 1),
        log_likelihoods=likelihoods,
        made=made,
        costs=till.spent,
    )


class _Till:
    """What the looks of some experiments cost, and which were made before the budget was spent."""

    def __init__(self, space: DesignSpace | None, budget: float) -> None:
        self.limited, self.budget = budget < math.inf, budget
        self.space = DesignSpace() if space is None and self.limited else space
        self.spent: Tensor | None = None
        self.made: list[Tensor] = []

    def pay(self, design: Tensor, before: list[Tensor]) -> None:
        """For one look more of each."""
        if self.space is None:
            return
        spent = design.new_zeros(len(design)) if self.spent is None else self.spent
        price = self.space.costs(design, before[-1] if before else None)
        if self.limited:
            paid = fits((spent + price).detach(), self.budget)
            self.made.append(self.made[-1] & paid if self.made else paid)
            price = price.where(self.made[-1], 0.0)
        self.spent = spent + price


def _limited(gradient: Tensor, most: Tensor) -> Tensor:
    return torch.clamp(gradient, -most, most)


@torch.no_grad()
def log_likelihood(problem: SiteModel, roll: RollOut, latents: Sites) -> Float[Tensor, "L B"]:
    """Of many hypotheses, `[L, 1, *E]`, without gradient and in bounded memory."""
    piece = max(1, CELLS // roll.designs.shape[:2].numel())
    return tiled_log_likelihood(problem, roll, latents, piece=piece)
