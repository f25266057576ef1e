"""Mask distributions of the AIPO paper (Harvey et al. 2021, Sec. 4): squares and holes.

Masks are `[B, 1, H, W]` floats, 1 where a pixel is seen.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from boed.foundation.checks import at_least


def squares(
    batch: int,
    size: int,
    fraction: float = 0.35,
    *,
    count: int | None = None,
    counts: Int64[Tensor, " B"] | None = None,
    overhang: bool = True,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "B 1 H W"]:
    """Everything hidden but a few squares.

    Args:
        batch: how many masks, B.
        size: width of the image in pixels.
        fraction: side of a square over the width: 0.35 for completers, 0.25 for the classifier.
        count: how many squares each mask has; drawn from U{0..5} if not given.
        counts: the same for each mask by itself, `[B]`.
        overhang: squares may reach over the border, as in the paper.
        generator: source of randomness.

    Raises:
        ValueError: a square would be smaller than a pixel or larger than the image, a count below
            0, or both of them.
    """
    side = round(fraction * size)
    if not 1 <= side <= size:
        raise ValueError(f"fraction {fraction} of {size} pixels is {side}; expected 1..{size}")
    if count is not None and counts is not None:
        raise ValueError(f"count is {count} and counts are given, expected one of them")
    if count is not None:
        at_least(0, count=count)
        counts = torch.full((batch,), count)
    elif counts is None:
        counts = torch.randint(0, 6, (batch,), generator=generator)
    most = max(int(counts.max()), 1)
    low, high = (1 - side, size) if overhang else (0, size - side + 1)
    corner = torch.randint(low, high, (batch, most, 2), generator=generator)
    pixel = torch.arange(size)
    inside = (pixel >= corner[..., None]) & (pixel < corner[..., None] + side)  # [B, most, 2, size]
    inside &= (torch.arange(most) < counts[:, None])[..., None, None]
    rows, columns = inside.float().unbind(2)
    return (torch.einsum("bnh,bnw->bhw", rows, columns) > 0).float()[:, None]


def holes(
    batch: int,
    size: int,
    fraction: float = 0.35,
    *,
    count: int | None = None,
    counts: Int64[Tensor, " B"] | None = None,
    overhang: bool = True,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "B 1 H W"]:
    """The inverse of `squares`: everything seen but a few squares."""
    drawn = {"count": count, "counts": counts, "overhang": overhang, "generator": generator}
    return 1 - squares(batch, size, fraction, **drawn)  # type: ignore[arg-type]
