"""Contrasts that are hard to tell from the truth: some drawn near it, weighted by how likely."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from boed.deep_adaptive.targets import Targets
from boed.eig.model.pyro_model import SiteModel, Sites, site_value
from boed.eig.model.roll_outs import RollOut

TAILS = 4.0
"""Degrees of freedom of the draws near the truth; four are drawn from two uniform numbers."""

WIDTH = 2.0**0.5
"""Of these draws over the posterior's: the truth is itself a draw from the posterior."""

FARTHEST = 8.0
"""Standard deviations of the prior beyond which no draw counts: models break down out there."""

IMAGINED = 2**20
"""Contrasts that sPCE is estimated for: what an experiment gains counts up to 13.9 nats."""

OUTCOMES = 4
"""Draws of each outcome that the information of a look is averaged over."""


def imagined(gains: Float[Tensor, " B"]) -> Float[Tensor, " B"]:
    """sPCE with `IMAGINED` contrasts, of log p(h_T | theta_0) - log p(h_T) of each roll-out."""
    most = math.log(IMAGINED + 1)
    return most - torch.logaddexp(torch.zeros_like(gains), math.log(IMAGINED) - gains)


class Nearby:
    """Draws of theta for each roll-out, half of them from the prior and half near its truth.

    The more a policy gains, the fewer of L draws from the prior are like the truth; at ln L nats
    none is, sPCE stands at its ceiling, and its gradient is gone. Here half of the draws are of

        t_4(theta_0, 2 F^-1),    F = 1 + sum_t E_y [s_t s_t'],    s_t = d log p(y | theta_0, xi_t),

    a law as wide as the posterior that the roll-out leaves (Fisher information, in coordinates in
    which theta is real and the prior's variance 1). Each draw counts p(theta) / r(theta), where r
    is the mixture of both laws, so that the marginal likelihood is still estimated without bias.
    What is estimated with it is sPCE with a million contrasts: were gains not held there, the few
    experiments of a vague prior that tell far more would be all that training listens to. The near
    law knows the truth, so that what comes out is no bound on the EIG. A mode of the posterior far
    from the truth is seen by the draws from the prior alone.

    Args:
        problem: the model.
        example: a design, for its shape.
        share: of the draws that are near.

    Raises:
        ValueError: a target that is not continuous.
    """

    def __init__(
        self, problem: SiteModel, example: Float[Tensor, " K"], *, share: float = 0.5
    ) -> None:
        self.problem, self.share = problem, share
        self.targets = Targets(problem, example)
        for kind in self.targets.kinds:
            if kind.family != "real":
                raise ValueError(
                    f"near is {share:g}, and site {kind.name!r} is not continuous; expected 0 (all "
                    f"contrasts from the prior), or a model of continuous targets"
                )

    @torch.no_grad()
    def draw(self, roll: RollOut, number: int) -> tuple[Sites, Float[Tensor, "L+1 B"]]:
        """L = `number` > 1 draws for each roll-out, and ln p / r of the truth and of each draw."""
        truth = self.targets.rows(roll.latents)
        root = self._root(roll)
        near = min(max(1, round(self.share * number)), number - 1)
        example = roll.designs[:, 0]
        prior = self.problem.draw_latents(example.expand(number - near, *example.shape))
        rows = torch.cat([self.targets.rows(prior), self._around(truth, root, near)])
        everything = torch.cat([truth[None], rows])
        latents = self.targets.latents(everything)
        latents |= {
            name: torch.cat([roll.latents[name][None], latents[name][1:]]) for name in latents
        }
        where = example.expand(len(everything), *example.shape)
        density = self.problem.log_prior(latents, where) + self.targets.log_volume(latents)
        close = self._log_near(everything, truth, root)
        share = near / number
        mixed = torch.logaddexp(density + math.log1p(-share), close + math.log(share))
        log_weights = density - mixed
        lost = ~log_weights.isfinite()  # so far out that rounding puts it on a bound
        lost[-near:] |= (rows[-near:].abs() > FARTHEST).any(-1)
        if bool(lost.any()):
            log_weights = log_weights.masked_fill(lost, -math.inf)
            latents = {
                name: torch.where(lost.view(*lost.shape, *[1] * (value.ndim - 2)), value[:1], value)
                for name, value in latents.items()
            }
        return {name: value[1:] for name, value in latents.items()}, log_weights

    def _root(self, roll: RollOut) -> Float[Tensor, "B F F"]:
        """C with F = C C' of each roll-out."""
        batch, looks = roll.designs.shape[:2]
        truth = self.targets.rows(roll.latents)
        with torch.enable_grad():
            rows = truth.expand(OUTCOMES, looks, batch, -1).clone().requires_grad_()
            designs = roll.designs.detach().transpose(0, 1)
            trace = self.problem.trace(
                designs.expand(OUTCOMES, *designs.shape), self.targets.latents(rows)
            )
            (site,) = self.problem.observation
            outcome = site_value(trace, site).detach()
            total = self.problem.density(trace)(outcome).sum()
            (scores,) = torch.autograd.grad(total, rows)
        scores = scores.nan_to_num(0.0, 0.0, 0.0).clamp(-1e6, 1e6).double()
        if roll.made is not None:
            scores = scores * roll.made.T[None, :, :, None]
        information = torch.einsum("rtbi,rtbj->bij", scores, scores) / OUTCOMES
        eye = torch.eye(information.shape[-1]).to(information)
        size = information.diagonal(dim1=1, dim2=2).sum(-1)[:, None, None]
        return torch.linalg.cholesky(information + (1 + 1e-9 * size) * eye).to(truth.dtype)

    def _around(self, truth: Tensor, root: Tensor, number: int) -> Float[Tensor, "L B F"]:
        noise = truth.new_empty(number, *truth.shape).normal_()
        pair = 1 - truth.new_empty(2, number, len(truth), 1).uniform_()
        chi = -2 * (pair[0] * pair[1]).log()  # chi-squared of 4 degrees of freedom
        noise = noise * (WIDTH * (TAILS / chi).sqrt())
        inverse = torch.linalg.inv(root)  # F^-1 = C'^-1 C^-1
        return truth + torch.einsum("bji,lbj->lbi", inverse, noise)

    def _log_near(self, rows: Tensor, truth: Tensor, root: Tensor) -> Float[Tensor, "L B"]:
        """Log-density of the near law."""
        size = rows.shape[-1]
        moved = torch.einsum("bij,lbi->lbj", root, rows - truth) / WIDTH
        distance = moved.square().sum(-1)
        constant = (
            math.lgamma((TAILS + size) / 2)
            - math.lgamma(TAILS / 2)
            - 0.5 * size * math.log(TAILS * math.pi)
            - size * math.log(WIDTH)
        )
        log_root = root.diagonal(dim1=1, dim2=2).log().sum(-1)
        return constant + log_root - 0.5 * (TAILS + size) * torch.log1p(distance / TAILS)
