"""Contrasts that are hard to tell from the truth: some drawn near it, weighted by how likely."""

from __future__ import annotations

import math
import warnings

import torch
from jaxtyping import Float
from torch import Tensor

from boed.eig.model.local_law import (
    FARTHEST,
    LocalLaw,
    check_weights,
    information_root,
    log_mixture_weights,
    log_prior_of,
    replaced,
)
from boed.eig.model.pyro_model import SiteModel, Sites
from boed.eig.model.roll_outs import RollOut
from boed.eig.model.targets import Targets

IMAGINED = 2**30
"""Contrasts that sPCE is estimated for: what an experiment gains counts up to 20.8 nats."""


MANY = 10
"""Numbers of the targets from which on draws near the truth are known to be too few."""


def imagined(gains: Float[Tensor, " B"]) -> Float[Tensor, " B"]:
    """sPCE with `IMAGINED` contrasts, of log p(h_T | theta_0) - log p(h_T) of each roll-out."""
    most = math.log(IMAGINED + 1)
    return most - torch.logaddexp(torch.zeros_like(gains), math.log(IMAGINED) - gains)


class Nearby:
    """Draws of theta for each roll-out, some of them from the prior and a share near its truth.

    The more a policy gains, the fewer of L draws from the prior are like the truth; at ln L nats
    none is, sPCE stands at its ceiling, and its gradient is gone. Here a share of the draws is of

        t_4(theta_0, 2 F^-1),    F = P + sum_t E_y [s_t s_t'],    s_t = d log p(y | theta_0, xi_t),

    a law as wide as the posterior that the roll-out leaves (the precision P of the prior and Fisher
    information, in coordinates in which theta is real). Each draw counts p(theta) / r(theta), where
    r is the mixture of both laws, so that the marginal likelihood is still estimated without bias.
    What is estimated with it is sPCE with a billion contrasts: were gains not held there, the few
    experiments of a vague prior that tell far more would be all that training listens to. The near
    law knows the truth, so that what comes out is no bound on the EIG. A mode of the posterior far
    from the truth is seen by the draws from the prior alone.

    Args:
        problem: the model.
        example: a design, for its shape.
        share: of the draws that are near.

    Raises:
        ValueError: a target that is not continuous, or whose bounds move.
    """

    def __init__(
        self, problem: SiteModel, example: Float[Tensor, " K"], *, share: float = 0.5
    ) -> None:
        self.problem, self.share, self.tried = problem, share, False
        self.targets = Targets(problem, example)
        self.targets.check_real(f"near is {share:g}", "0 (all contrasts from the prior)")
        if self.targets.width > MANY:
            warnings.warn(
                f"near is {share:g}, and the targets are {self.targets.width} numbers: beyond "
                f"{MANY} few of the draws near the truth count, and the gain that is told is too "
                "high; take more contrasts, and compare policies by sequential_pce",
                stacklevel=2,
            )

    def from_prior(self, number: int) -> int:
        """How many of so many draws are from the prior; they come first."""
        return number - min(max(1, round(self.share * number)), number - 1)

    @torch.no_grad()
    def draw(self, roll: RollOut, number: int) -> tuple[Sites, Float[Tensor, "L+1 B"]]:
        """L = `number` > 1 draws for each roll-out, and ln p / r of the truth and of each draw.

        Raises:
            ValueError: the prior's density is not that of its draws, or the likelihood has no
                gradient in the targets.
        """
        truth = self.targets.rows(roll.latents)
        law = LocalLaw(truth, information_root(self.problem, self.targets, roll, rows=truth))
        near = number - self.from_prior(number)
        example = roll.designs[:, 0]
        prior = self.problem.draw_latents(example.expand(number - near, *example.shape))
        around = law.draw(near)
        far = (around.abs() > FARTHEST).any(-1, keepdim=True)
        rows = torch.cat([truth[None], self.targets.rows(prior), around.where(~far, truth)])
        latents = self.targets.latents(rows)
        lost = self.targets.lost(rows, latents)
        lost[-near:] |= far[..., 0]
        rows = rows.where(~lost[..., None], truth)
        true = lost.clone()
        true[0] = True  # as it is, not there and back
        latents = replaced(latents, roll.latents, true)
        density = log_prior_of(
            self.problem, self.targets, latents, example=example, asked="near = 0"
        )
        log_weights = log_mixture_weights(density, law.log_prob(rows), near / number)
        log_weights = log_weights.masked_fill(lost | ~log_weights.isfinite(), -math.inf)
        if not self.tried:
            check_weights(log_weights[1:], "near", "0")
            self.tried = True
        return {name: value[1:] for name, value in latents.items()}, log_weights
