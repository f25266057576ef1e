"""Prior contrastive estimation as a function of the design that has a gradient."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pyro
import torch
from jaxtyping import Float
from torch import Tensor

from boed.eig.model.isolation import isolated
from boed.eig.model.pyro_model import (
    Model,
    SiteModel,
    Sites,
    check_designs,
    site_model,
)
from boed.foundation.options import COUNT
from boed.foundation.randomness import derive


class PCEObjective:
    """The PCE bound of a Pyro model, differentiable with respect to the design.

    Foster et al. 2020, Eq. 11, with the gradient through reparameterised outcomes, or with
    discrete outcomes summed over, so that neither has the variance of a score-function gradient.
    Every call uses the same draws, so the objective is a smooth,
    deterministic function, near the EIG as `samples` and `contrasts` are large; its highest value
    is biased up, so estimate the EIG of the design that was found anew, with `model_eig`.

    Args:
        model: as `model_eig` takes it. Its latents must not depend on the design.
        observation: the site that a look measures; its distribution has `rsample` or a finite
            support that does not depend on the design.
        target: the latent sites, all of them.
        samples: outer samples N.
        contrasts: L; the same ones serve all outer samples.
        seed: of the draws; the global random state is left as it was.
        design_dims: how many of the last dimensions are a design's own.

    Raises:
        ValueError: counts below 1, when called: as `model_eig`, or an outcome that is neither
            reparameterised nor enumerable.
    """

    def __init__(
        self,
        model: Model,
        observation: str = "y",
        target: str | Sequence[str] = "theta",
        *,
        samples: int = 500,
        contrasts: int = 500,
        seed: int = 0,
        design_dims: int = 1,
    ) -> None:
        COUNT.check("samples", samples)
        COUNT.check("contrasts", contrasts)
        self.model, self.observation, self.target = model, observation, target
        self.samples, self.contrasts = samples, contrasts
        self.seed, self.design_dims = seed, design_dims

    def __call__(self, designs: Float[Tensor, "S *K"]) -> Float[Tensor, " S"]:
        """The bound at every design, in nats."""
        check_designs(designs, self.design_dims)
        with isolated(derive(self.seed, "pce objective")):
            plain = designs.detach()
            problem = site_model(
                self.model, plain, self.observation, target=self.target, estimator="pce"
            )
            problem.needs_likelihood()
            pyro.set_rng_seed(derive(self.seed, "latents") % 2**32)  # same draws for all designs
            number = self.samples + self.contrasts
            drawn = problem.draw_latents(plain[:1].expand(number, *plain[:1].shape))
            return torch.stack([self._bound(problem, drawn, design) for design in designs])

    def _bound(self, problem: SiteModel, latents: Sites, design: Float[Tensor, "*K"]) -> Tensor:
        """Of one design, with the latents `[N + L, 1, *event]`, the contrasts last."""
        pyro.set_rng_seed(derive(self.seed, "outcomes") % 2**32)
        everywhere = design.expand(self.samples + self.contrasts, 1, *design.shape)
        trace = problem.trace(everywhere, latents)
        site: Any = trace.nodes[problem.observation[0]]
        outcome = site["fn"]
        if outcome.has_enumerate_support:
            return self._summed(outcome)
        if not outcome.has_rsample:
            raise ValueError(
                f"site {self.observation!r}: {type(outcome).__name__} outcomes have neither a "
                "reparameterised sample nor a finite support, so the PCE bound has no gradient "
                "here; search with bayesian_optimisation"
            )
        return self._sampled(problem, latents, design, site["value"])

    def _summed(self, outcome: torch.distributions.Distribution) -> Tensor:
        """sum_y p(y | theta_n) [log p(y | theta_n) - log mean_l p(y | theta_l)], l = n included."""
        support = outcome.enumerate_support(expand=False)  # [Y, 1, 1]
        likelihood = outcome.log_prob(support)[..., 0]  # [Y, N + L]
        own, others = likelihood.split([self.samples, self.contrasts], dim=1)
        total = torch.logaddexp(own, others.logsumexp(1, keepdim=True))
        terms = own - total + math.log(self.contrasts + 1)
        possible = own > -math.inf  # 0 log 0 = 0, without a NaN gradient
        return (own.exp() * terms.where(possible, 0.0)).sum(0).mean()

    def _sampled(
        self, problem: SiteModel, latents: Sites, design: Tensor, outcomes: Tensor
    ) -> Tensor:
        """The same with one reparameterised outcome for each theta_n."""
        name = problem.observation[0]
        own = {name: outcomes[: self.samples]}
        likelihood = problem.log_likelihood(
            {key: value[: self.samples] for key, value in latents.items()},
            own,
            design.expand(self.samples, 1, *design.shape),
        )  # [N, 1]
        others = problem.log_likelihood(
            {key: value[self.samples :] for key, value in latents.items()},
            {name: own[name].transpose(0, 1)},
            design.expand(self.contrasts, 1, *design.shape),
        )  # [L, N]
        total = torch.logaddexp(likelihood[:, 0], others.logsumexp(0))
        return (likelihood[:, 0] - total).mean() + math.log(self.contrasts + 1)
