"""A normal distribution cut off below, which torch and Pyro do not have."""

from __future__ import annotations

import math

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import Normal, constraints
from torch.distributions.utils import broadcast_all

Shape = torch.Size | list[int] | tuple[int, ...]


class LowerTruncatedNormal(TorchDistribution):
    """N(loc, scale) given that the value is above `low`.

    Args:
        loc: mean before truncation.
        scale: standard deviation before truncation.
        low: the cut.
    """

    arg_constraints = {  # noqa: RUF012
        "loc": constraints.real,
        "scale": constraints.positive,
    }
    has_rsample = True

    def __init__(
        self,
        loc: Tensor | float,
        scale: Tensor | float,
        low: float = 0.0,
        *,
        validate_args: bool | None = None,
    ) -> None:
        self.loc, self.scale = broadcast_all(loc, scale)
        self.low = low
        super().__init__(self.loc.shape, validate_args=validate_args)

    @property
    def support(self) -> constraints.Constraint:
        return constraints.greater_than(self.low)

    def expand(
        self, batch_shape: Shape, _instance: LowerTruncatedNormal | None = None
    ) -> LowerTruncatedNormal:
        loc, scale = self.loc.expand(batch_shape), self.scale.expand(batch_shape)
        return LowerTruncatedNormal(loc, scale, self.low, validate_args=self._validate_args)

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        """By inversion from above: P(X > x) / P(X > low) is uniform, accurate for a low cut."""
        uniform = torch.rand(self._extended_shape(torch.Size(sample_shape)), dtype=self.loc.dtype)
        survival = (1 - uniform.to(self.loc.device)) * self._log_kept.exp()
        above = self.loc - self.scale * torch.special.ndtri(survival)
        smallest = torch.finfo(self.loc.dtype).eps * self.scale
        return torch.maximum(above, self.low + smallest)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density in nats; -inf below the cut."""
        if self._validate_args:
            self._validate_sample(value)
        inside = Normal(self.loc, self.scale, validate_args=False).log_prob(value) - self._log_kept
        return inside.masked_fill(value <= self.low, -math.inf)

    def entropy(self) -> Tensor:
        """Differential entropy in nats."""
        a = (self.low - self.loc) / self.scale
        hazard = torch.exp(-0.5 * a**2 - 0.5 * math.log(2 * math.pi) - self._log_kept)
        return (
            self.scale.log() + 0.5 * math.log(2 * math.pi * math.e) + self._log_kept
        ) + a * hazard / 2

    @property
    def _log_kept(self) -> Tensor:
        """ln P(N(loc, scale) > low)."""
        return torch.special.log_ndtr((self.loc - self.low) / self.scale)
