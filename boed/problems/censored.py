"""A slider between 0 and 1 that sticks at its ends."""

from __future__ import annotations

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import Normal, constraints
from torch.distributions.utils import broadcast_all
from torch.special import log_ndtr

Shape = torch.Size | list[int] | tuple[int, ...]


class CensoredSigmoidNormal(TorchDistribution):
    """sigmoid(eta) with eta ~ N(loc, scale), moved to `low` or `1 - low` where it lies outside.

    The response of Foster et al. 2019. Its density is with respect to Lebesgue measure
    inside and one point mass at either end: `log_prob` at an end is the log of the mass there.

    Args:
        loc: of the normal before the sigmoid.
        scale: of the normal before the sigmoid.
        low: smallest response; a power of two keeps 1 - low exact.
    """

    arg_constraints = {  # noqa: RUF012
        "loc": constraints.real,
        "scale": constraints.positive,
    }
    support = constraints.unit_interval  # which contains [low, 1 - low] and maps to eta
    has_rsample = True

    def __init__(
        self,
        loc: Tensor | float,
        scale: Tensor | float,
        low: float,
        *,
        validate_args: bool | None = None,
    ) -> None:
        self.loc, self.scale = broadcast_all(loc, scale)
        self.low = low
        super().__init__(self.loc.shape, validate_args=validate_args)

    def expand(
        self, batch_shape: Shape, _instance: CensoredSigmoidNormal | None = None
    ) -> CensoredSigmoidNormal:
        loc, scale = self.loc.expand(batch_shape), self.scale.expand(batch_shape)
        return CensoredSigmoidNormal(loc, scale, self.low, validate_args=self._validate_args)

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        """Responses in [low, 1 - low]; no gradient passes where the slider sticks."""
        eta = Normal(self.loc, self.scale, validate_args=False).rsample(torch.Size(sample_shape))
        return eta.sigmoid().clamp(self.low, 1 - self.low)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density in nats, and log mass at either end."""
        if self._validate_args:
            self._validate_sample(value)
        end = torch.logit(value.new_tensor(self.low))
        normal = Normal(self.loc, self.scale, validate_args=False)
        density = normal.log_prob(value.logit()) - value.log() - torch.log1p(-value)
        sticks_low, sticks_high = value <= self.low, value >= 1 - self.low
        # 0 where the mass is not taken: far out its gradient is NaN, and NaN times 0 is NaN, too
        to_low = ((end - self.loc) / self.scale).where(sticks_low, 0.0)
        to_high = ((self.loc + end) / self.scale).where(sticks_high, 0.0)
        density = torch.where(sticks_low, log_ndtr(to_low), density)
        return torch.where(sticks_high, log_ndtr(to_high), density)
