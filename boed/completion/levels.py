"""Grey levels: pixels in [0, 1] as one of a few whole numbers, and back."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from boed.foundation.checks import describe
from boed.foundation.options import Whole

LEVELS = Whole(2, 256)
"""How many levels there may be."""


def to_level(x: Float[Tensor, "..."], levels: int) -> Int64[Tensor, "..."]:
    """The level of each pixel, 0 to `levels` - 1.

    Levels are equal bins, min(floor(x levels), levels - 1); with two, a pixel is 1 above 0.5
    (Dupont & Suresha 2019, App. C.1). Images of 8 bits keep their own levels of 256.

    Raises:
        ValueError: levels outside 2..256, or pixels that are no floating-point numbers in [0, 1].
    """
    LEVELS.check("levels", levels)
    if not torch.is_floating_point(x):
        raise ValueError(f"x is {describe(x)}, expected floating-point pixels in [0, 1]")
    if not ((x >= 0) & (x <= 1)).all():
        raise ValueError(f"x spans {x.min():.3g} to {x.max():.3g}, expected pixels in [0, 1]")
    if levels == 2:
        return (x > 0.5).long()
    return (x.float() * levels).long().clamp(max=levels - 1)


def from_level(k: Int64[Tensor, "..."], levels: int) -> Float[Tensor, "..."]:
    """The pixel that stands for each level, k / (levels - 1): 0 and 1 are the first and the last.

    Raises:
        ValueError: levels outside 2..256, or k that are no whole numbers of 0..levels - 1.
    """
    LEVELS.check("levels", levels)
    if k.is_floating_point() or k.is_complex() or k.dtype == torch.bool:
        raise ValueError(f"k is {describe(k)}, expected whole numbers")
    if not ((k >= 0) & (k < levels)).all():
        raise ValueError(f"k spans {k.min()} to {k.max()}, expected 0 to {levels - 1}")
    return k.float() / (levels - 1)
