"""Sequential design one look at a time: the design of highest EIG given what was seen."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from boed.eig.model.posterior import Posterior, filtered
from boed.eig.model.pyro_model import SiteModel, Sites
from boed.foundation.arguments import checked
from boed.foundation.checks import at_least, attributes

RATE = 0.1
"""Of the ascent, in standard deviations of the candidates; it falls to a twentieth."""


@checked
@dataclass(frozen=True, eq=False, kw_only=True)
class Greedy:
    """A policy that needs no training: the posterior by SMC, then the best of some candidates.

    The EIG of a candidate is prior contrastive estimation (PCE, Foster et al. 2020) with the
    posterior in place of the prior, as the non-amortised baselines of the literature have it;
    candidates share their draws. With `ascent` the best few of them climb on it by gradient, all
    at once, and the best design by draws of its own is taken. It is slow: each decision of each
    scene takes a posterior of its own.

    Attributes:
        problem: a model that is fit for roll-outs; of its `space` the designs are that climb.
        example: a legal design.
        candidates: so many designs, `[D, K]`.
        number: of candidates, D.
        particles, moves: of the posterior.
        samples: outcomes that each candidate's EIG is averaged over.
        contrasts: L, posterior draws that each is contrasted with.
        ascent: steps of Adam; 0 for the candidates alone.
        starts: candidates that climb.

    Raises:
        ValueError: counts out of range, or an ascent among a finite set of designs; when choosing,
            a model whose EIG has no gradient in the design.
    """

    problem: SiteModel
    example: Float[Tensor, " K"]
    candidates: Callable[[int], Float[Tensor, "D K"]]
    number: int = 64
    particles: int = 1024
    moves: int = 3
    samples: int = 64
    contrasts: int = 255
    ascent: int = 0
    starts: int = 8

    def __post_init__(self) -> None:
        at_least(1, **attributes(self, "number", "samples", "contrasts", "starts"))
        at_least(2, particles=self.particles)
        at_least(0, ascent=self.ascent)
        if self.ascent:
            at_least(2, samples=self.samples)  # the others' mean is the score's baseline
        space = self.problem.space
        if self.ascent and space is not None and space.designs is not None:
            raise ValueError(
                f"ascent is {self.ascent}, but designs are a set of {len(space.designs)}, which "
                "has no gradient; expected 0"
            )

    @torch.no_grad()
    def __call__(
        self, designs: Float[Tensor, "B t K"], outcomes: Float[Tensor, "B t *Y"]
    ) -> Float[Tensor, "B K"]:
        """The next design of each scene."""
        return torch.stack([self._next(*seen) for seen in zip(designs, outcomes, strict=True)])

    def _next(
        self, designs: Float[Tensor, "t K"], outcomes: Float[Tensor, "t *Y"]
    ) -> Float[Tensor, " K"]:
        posterior = filtered(
            self.problem,
            designs,
            outcomes,
            example=self.example,
            particles=self.particles,
            moves=self.moves,
        )
        where = self.candidates(self.number).to(self.example)
        gains = self._gains(where, self._drawn(posterior)).mean(0)
        if self.ascent == 0:
            return where[gains.argmax()]
        best = where[gains.topk(min(self.starts, len(where))).indices]
        both = torch.cat([best, self._climbed(best, where.std(0), posterior)])
        return both[self._gains(both, self._drawn(posterior)).mean(0).argmax()]

    def _drawn(self, posterior: Posterior) -> tuple[Sites, Sites]:
        """What the outcomes are drawn from, and what they are contrasted with."""
        return posterior.draw(self.samples), posterior.draw(self.contrasts)

    def _gains(
        self, where: Float[Tensor, "D K"], drawn: tuple[Sites, Sites]
    ) -> Float[Tensor, "S D"]:
        """PCE's terms of each design, in nats."""
        truths, others = drawn
        number = len(where)
        wide = where.expand(self.samples, *where.shape)
        latents = {
            name: value[:, None].expand(self.samples, number, *value.shape[1:])
            for name, value in truths.items()
        }
        looks = self.problem.simulate(wide, latents)
        contrasted = {
            name: value[:, None, None].expand(self.contrasts, *wide.shape[:2], *value.shape[1:])
            for name, value in others.items()
        }
        outcome = {name: value[None] for name, value in looks.outcomes.items()}
        likelihood = self.problem.log_likelihood(
            contrasted, outcome, wide.expand(self.contrasts, *wide.shape)
        )
        marginal = torch.logaddexp(likelihood.logsumexp(0), looks.log_likelihood)
        gains = looks.log_likelihood - marginal + math.log(self.contrasts + 1)
        smooth = any(value.requires_grad for value in looks.outcomes.values())
        if smooth or not looks.log_likelihood.requires_grad:
            return gains
        level = gains.detach()  # the outcomes move with the design by their probabilities
        score = (level - level.mean(0)) * looks.log_likelihood
        return gains + score - score.detach()

    @torch.enable_grad()
    def _climbed(
        self, starts: Float[Tensor, "S K"], scale: Float[Tensor, " K"], posterior: Posterior
    ) -> Float[Tensor, "S K"]:
        """Where the designs come to by gradient, with new draws at each step."""
        space = self.problem.space
        scale = scale.nan_to_num(1.0)  # of a single candidate
        moved = torch.zeros_like(starts, requires_grad=True)
        optimiser = torch.optim.Adam([moved], lr=RATE)
        fall = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.05, total_iters=self.ascent)

        def there() -> Tensor:
            design = starts + scale * moved
            return design if space is None else space.nearest(design)

        for step in range(self.ascent):
            gains = self._gains(there(), self._drawn(posterior)).mean(0).sum()
            if gains.requires_grad:
                (moved.grad,) = torch.autograd.grad(-gains, [moved])
            if moved.grad is None or not (step or bool(moved.grad.any())):
                raise ValueError(
                    f"ascent is {self.ascent}, but the model's log-likelihood has no gradient in "
                    "the design, as where designs are rounded to whole numbers; expected 0"
                )
            moved.grad.nan_to_num_(0.0, 0.0, 0.0)
            optimiser.step()
            fall.step()
            with torch.no_grad():  # one that is led out of the space goes on from its border
                moved.copy_((there() - starts) / scale.where(scale > 0, 1.0))
        return there().detach()
