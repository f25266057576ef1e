"""Sequential design one look at a time: the candidate of highest EIG given what was seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from boed.eig.model.posterior import filtered
from boed.eig.model.pyro_model import SiteModel
from boed.foundation.arguments import checked
from boed.foundation.checks import at_least, attributes


@checked
@dataclass(frozen=True, eq=False, kw_only=True)
class Greedy:
    """A policy that needs no training: the posterior by SMC, then the best of some candidates.

    The EIG of a candidate is prior contrastive estimation (Foster et al. 2020) with the posterior
    in place of the prior, as the non-amortised baselines of the literature have it; candidates
    share their draws. It is slow: each decision of each scene takes a posterior of its own.

    Attributes:
        problem: a model that is fit for roll-outs.
        example: a legal design.
        candidates: so many designs, `[D, K]`.
        number: of candidates, D.
        particles, moves: of the posterior.
        samples: outcomes that each candidate's EIG is averaged over.
        contrasts: L, posterior draws that each is contrasted with.

    Raises:
        ValueError: counts below 1.
    """

    problem: SiteModel
    example: Float[Tensor, " K"]
    candidates: Callable[[int], Float[Tensor, "D K"]]
    number: int = 64
    particles: int = 1024
    moves: int = 3
    samples: int = 64
    contrasts: int = 255

    def __post_init__(self) -> None:
        at_least(1, **attributes(self, "number", "samples", "contrasts"))
        at_least(2, particles=self.particles)

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
        truth = {name: value[:, None] for name, value in posterior.draw(self.samples).items()}
        wide = where.expand(self.samples, *where.shape)
        latents = {
            name: value.expand(self.samples, self.number, *value.shape[2:])
            for name, value in truth.items()
        }
        looks = self.problem.simulate(wide, latents)
        others = {
            name: value[:, None, None].expand(self.contrasts, *wide.shape[:2], *value.shape[1:])
            for name, value in posterior.draw(self.contrasts).items()
        }
        outcome = {name: value[None] for name, value in looks.outcomes.items()}
        likelihood = self.problem.log_likelihood(
            others, outcome, wide.expand(self.contrasts, *wide.shape)
        )
        marginal = torch.logaddexp(likelihood.logsumexp(0), looks.log_likelihood)
        return where[(looks.log_likelihood - marginal).mean(0).argmax()]
