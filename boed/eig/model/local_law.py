"""How far around a value of theta the posterior of an experiment reaches."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from boed.eig.model.nested import slices
from boed.eig.model.pyro_model import SiteModel, Sites, site_value
from boed.eig.model.roll_outs import RollOut
from boed.eig.model.targets import Targets

TAILS = 4.0
"""Degrees of freedom of the law; four are drawn from two uniform numbers."""

WIDTH = 2.0**0.5
"""Its spread over the posterior's: the centre may itself be a draw from the posterior."""

FARTHEST = 5.0
"""Standard deviations of the prior beyond which nothing counts: models break down out there."""

PIECE = 2**18
"""Hypotheses whose prior is evaluated at once."""

OUTCOMES = 4
"""Draws of each outcome that the information of a look is averaged over."""


@dataclass(frozen=True, eq=False)
class LocalLaw:
    """t_4(centre, 2 F^-1) of rows of theta, F = C C'.

    Attributes:
        centre: `[*S, B, F]`.
        root: C, `[*S, B, F, F]`, lower triangular.
    """

    centre: Float[Tensor, "*S B F"]
    root: Float[Tensor, "*S B F F"]

    def draw(self, number: int) -> Float[Tensor, "L *S B F"]:
        """So many rows around each centre, by torch's global random numbers."""
        noise = self.centre.new_empty(number, *self.centre.shape).normal_()
        pair = 1 - self.centre.new_empty(2, *noise.shape[:-1], 1).uniform_()
        chi = -2 * (pair[0] * pair[1]).log()  # chi-squared of 4 degrees of freedom
        noise = noise * (WIDTH * (TAILS / chi).sqrt())
        inverse = torch.linalg.inv(self.root)  # F^-1 = C'^-1 C^-1
        return self.centre + torch.einsum("...ji,l...j->l...i", inverse, noise)

    def log_prob(self, rows: Float[Tensor, "L *S B F"]) -> Float[Tensor, "L *S B"]:
        """Log-density in nats."""
        size = rows.shape[-1]
        moved = torch.einsum("...ij,l...i->l...j", self.root, rows - self.centre) / WIDTH
        distance = moved.square().sum(-1)
        constant = (
            math.lgamma((TAILS + size) / 2)
            - math.lgamma(TAILS / 2)
            - 0.5 * size * math.log(TAILS * math.pi)
            - size * math.log(WIDTH)
        )
        return constant + log_root(self.root) - 0.5 * (TAILS + size) * (distance / TAILS).log1p()


def log_prior_of(
    problem: SiteModel,
    targets: Targets,
    latents: Sites,
    *,
    example: Float[Tensor, "B *K"],
    asked: str,
) -> Float[Tensor, "L B"]:
    """Log-density of the rows of sites `[L, B, *E]`, in nats, some of them at a time.

    Raises:
        ValueError: the model breaks down there; what was `asked` instead is named.
    """
    number = len(next(iter(latents.values())))
    parts = []
    for some in slices(number, max(1, PIECE // len(example))):
        part = {name: value[some] for name, value in latents.items()}
        where = example.expand(some.stop - some.start, *example.shape)
        try:
            parts.append(problem.log_prior(part, where) + targets.log_volume(part))
        except RuntimeError as error:
            reason = str(error).strip().partition("\n")[0]
            raise ValueError(
                f"model: it fails where its prior hardly reaches: {reason}; expected {asked}, or a "
                "model that holds there"
            ) from error
    return torch.cat(parts)


def log_mixture_weights(
    prior: Float[Tensor, "L B"], near: Float[Tensor, "L B"], share: float
) -> Float[Tensor, "L B"]:
    """ln p / q of rows, of which a share is drawn near and the others from the prior."""
    return prior - torch.logaddexp(prior + math.log1p(-share), near + math.log(share))


def replaced(sites: Sites, instead: Sites, where: Bool[Tensor, "L B"]) -> Sites:
    """Sites `[L, B, *E]`, with others in their place somewhere, `[L or 1, B, *E]`."""
    return {
        name: torch.where(where.view(*where.shape, *[1] * (value.ndim - 2)), instead[name], value)
        for name, value in sites.items()
    }


def check_weights(log_weights: Float[Tensor, "*L"], asked: str, instead: str) -> None:
    """Refuse a prior whose density is not that of its draws: p / q has the mean 1 under q.

    As where it is of a circle, which is covered more than once, or rounded to its bounds.

    Raises:
        ValueError: the mean differs from 1 by more than its error and 3 %.
    """
    weights = log_weights.double().exp().flatten()
    mean = float(weights.mean())
    spread = (
        float(weights.std().clamp(min=1.0)) if len(weights) > 1 else math.inf
    )  # few vary little
    error = spread / len(weights) ** 0.5
    if not abs(mean - 1) <= 0.03 + 6 * error:
        raise ValueError(
            f"model: the density of its prior integrates to {mean:.2f} over draws around the "
            "truth, not to 1, as where it is of a circle or crowds at a bound; expected "
            f"{asked} = {instead}"
        )


def log_root(root: Float[Tensor, "*B F F"]) -> Float[Tensor, "*B"]:
    """log det C = 1/2 log det F."""
    return root.diagonal(dim1=-2, dim2=-1).log().sum(-1)


def information_root(
    problem: SiteModel, targets: Targets, roll: RollOut, *, rows: Float[Tensor, "*S B F"]
) -> Float[Tensor, "*S B F F"]:
    """C of the information on theta at rows of it: F = C C' = P + sum_t E_y [s_t s_t'].

    s_t = d log p(y | theta, xi_t), the expectation over a few outcomes of each look (Fisher
    information); the prior counts as the normal law of its rows' covariance, P^-1. Continuous
    targets only.

    Raises:
        ValueError: the likelihood has no gradient in them.
    """
    with torch.enable_grad():
        where = roll.designs.detach().transpose(0, 1)  # [T, B, K]
        looks, batch = where.shape[:2]
        leading = rows.shape[:-2]
        flat = rows.detach().reshape(-1, batch, rows.shape[-1])
        copies = flat[None, :, None].expand(OUTCOMES, -1, looks, -1, -1).clone().requires_grad_()
        trace = problem.trace(
            where.expand(OUTCOMES, len(flat), *where.shape), targets.latents(copies)
        )
        (site,) = problem.observation
        outcome = site_value(trace, site).detach()
        total = problem.density(trace)(outcome).sum()
        scores = None
        if total.requires_grad:
            (scores,) = torch.autograd.grad(total, copies, allow_unused=True)
    if scores is None:
        raise ValueError(
            "model: its log-likelihood has no gradient in the target, which says how far "
            "around the truth the posterior reaches; expected near = 0 and proposal = 'prior'"
        )
    scores = scores.nan_to_num(0.0, 0.0, 0.0).clamp(-1e6, 1e6).double()
    if roll.made is not None:
        scores = scores * roll.made.T[:, :, None]
    information = torch.einsum("rstbi,rstbj->sbij", scores, scores) / OUTCOMES
    information = information + targets.precision.to(information)
    eye = torch.eye(information.shape[-1]).to(information)
    size = information.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None]
    root = torch.linalg.cholesky(information + 1e-9 * size * eye).to(rows)
    return root.reshape(*leading, *root.shape[1:])
