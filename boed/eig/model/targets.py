"""The unknowns of a model as rows of numbers."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from boed.eig.model.pyro_model import SiteModel, Sites
from boed.eig.model.site_kinds import site_kinds

RIDGE = 1e-3
"""Added to the variance of rows, for targets that the prior ties together."""


class Targets(nn.Module):
    """The unknowns as a network reads them: one row of numbers of about unit size.

    Continuous ones are mapped to the reals, choices to one-hot vectors.

    Attributes:
        mean, scale: of the numbers before they are of about unit size, `[F]`.
        constant: names of those that are always the same.
        precision: the inverse of the rows' covariance under the prior, `[F, F]`.
    """

    mean: Tensor
    scale: Tensor
    precision: Tensor

    def __init__(self, problem: SiteModel, example: Float[Tensor, " K"]) -> None:
        super().__init__()
        with torch.random.fork_rng():
            self.kinds, draws = site_kinds(problem, example[None], problem.target)
        moments = [kind.moments(draws[kind.name]) for kind in self.kinds]
        self.register_buffer("mean", torch.cat([mean[0] for mean, _ in moments]))
        self.register_buffer("scale", torch.cat([scale[0] for _, scale in moments]))
        rows = self.rows({name: value[:, 0] for name, value in draws.items()}).double()
        parts = rows.split([kind.features for kind in self.kinds], -1)
        self.constant = [
            kind.name
            for kind, part in zip(self.kinds, parts, strict=True)
            if bool((part == part[:1]).all())
        ]
        spread = rows.T @ rows / len(rows)
        eye = torch.eye(len(spread)).to(spread)
        precision = torch.linalg.inv(spread + RIDGE * eye)
        self.register_buffer("precision", precision, persistent=False)

    def check_real(self, asked: str, instead: str) -> None:
        """Refuse targets that have no density on the reals that stays where it is.

        Args:
            asked: what needs one, as `near is 0.5`.
            instead: what does not, as `near = 0`.

        Raises:
            ValueError: naming the site.
        """
        for kind in self.kinds:
            what = None
            if kind.family == "other":
                what = "has no density that can be mapped to the reals"
            elif kind.family != "real":
                what = "is not continuous"
            elif kind.moving:
                what = "has bounds that move with others"
            elif kind.name in self.constant:
                what = "is always the same"
            if what is not None:
                raise ValueError(f"{asked}, and site {kind.name!r} {what}; expected {instead}")

    @property
    def width(self) -> int:
        """F, numbers in a row."""
        return len(self.mean)

    def forward(self, latents: Sites) -> Float[Tensor, "*B F"]:
        """The rows of the target sites."""
        return self.rows(latents).float()

    def rows(self, latents: Sites) -> Float[Tensor, "*B F"]:
        """The same in the model's own precision."""
        rows = torch.cat([kind.encode(latents[kind.name]) for kind in self.kinds], -1)
        return (rows - self.mean) / self.scale

    def lost(self, rows: Float[Tensor, "*B F"], latents: Sites) -> Bool[Tensor, "*B"]:
        """Rows so far out that rounding has put their sites on a bound: these are other rows."""
        again = self.rows(latents)
        return ((again - rows).abs() <= 1e-2 * (1 + rows.abs())).all(-1).logical_not()

    def latents(self, rows: Float[Tensor, "*B F"]) -> Sites:
        """The target sites of such rows, where all are continuous."""
        values = (rows * self.scale + self.mean).split([k.features for k in self.kinds], -1)
        return {
            kind.name: kind.bijection(
                value.reshape(*value.shape[:-1], *kind.unconstrained_shape)
            ).to(kind.dtype)
            for kind, value in zip(self.kinds, values, strict=True)
        }

    def log_volume(self, latents: Sites) -> Float[Tensor, " *B"]:
        """log |d theta / d row|, of continuous targets."""
        total = self.scale.log().sum()
        for kind in self.kinds:
            value = latents[kind.name]
            total = total + kind.bijection.log_abs_det_jacobian(kind.bijection.inv(value), value)
        return total
