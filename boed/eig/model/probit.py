"""The map between bounds under which a uniform variable is a standard normal one."""

from __future__ import annotations

import math
from typing import Any

import torch
from pyro.distributions import constraints
from pyro.distributions.transforms import AffineTransform, ComposeTransform, IndependentTransform
from torch import Tensor
from torch.distributions import Transform


class Probit(Transform):
    """x to Phi(x), of the standard normal distribution; 0 and 1 are left out."""

    domain = constraints.real
    codomain = constraints.unit_interval
    bijective = True
    sign = +1

    def _call(self, x: Tensor) -> Tensor:
        limits = torch.finfo(x.dtype)
        return torch.special.ndtr(x).clamp(limits.tiny, 1 - limits.eps)

    def _inverse(self, y: Tensor) -> Tensor:
        limits = torch.finfo(y.dtype)
        return torch.special.ndtri(y.clamp(limits.tiny, 1 - limits.eps))

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """ln of the standard normal density."""
        return -0.5 * x.square() - 0.5 * math.log(2 * math.pi)


def between_bounds(support: Any) -> Any:
    """From the reals to an interval, None for another support.

    The unit interval by itself is a beta variable's, which is nearer to normal by its logit.
    """
    if isinstance(support, constraints.independent):
        inner = between_bounds(support.base_constraint)
        if inner is None:
            return None
        return IndependentTransform(inner, support.reinterpreted_batch_ndims)
    if support is constraints.unit_interval or type(support) is not type(constraints.unit_interval):
        return None
    low, high = support.lower_bound, support.upper_bound
    return ComposeTransform([Probit(), AffineTransform(low, high - low)])
