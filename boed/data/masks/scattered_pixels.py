"""Masks of an exact number of pixels: scattered ones, dropped ones, and patterns of any form."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from boed.foundation.checks import at_least, at_most

CELL = 6
"""Pixels from one number to the next of the coarse noise that makes a pattern."""


def scattered(
    batch: int, size: int, count: int | None = None, *, generator: torch.Generator | None = None
) -> Float[Tensor, "B 1 H W"]:
    """Only so many single pixels seen, anywhere; as many as the scene has rows if not said.

    Raises:
        ValueError: no pixel, or all of them.
    """
    count = size if count is None else count
    at_least(1, count=count)
    at_most(size**2 - 1, count=count)
    return _without_lowest(_noise(batch, size, generator), size**2 - count)


def dropped(
    batch: int, size: int, missing: float = 0.8, *, generator: torch.Generator | None = None
) -> Float[Tensor, "B 1 H W"]:
    """A fraction of the pixels hidden, each as probable as another, exactly round(missing H W).

    All channels are hidden together. 80 % are missing in Yeh et al. 2017, which drop each pixel
    independently, and 90 % in Pajot et al. 2019 (DropPixel).

    Raises:
        ValueError: a fraction that hides no pixel, or more than all.
    """
    return _without_lowest(_noise(batch, size, generator), _hidden(missing, size))


def pattern(
    batch: int, size: int, missing: float = 0.25, *, generator: torch.Generator | None = None
) -> Float[Tensor, "B 1 H W"]:
    """A random pattern of any form hidden, exactly round(missing H W) pixels.

    As in Pathak et al. 2016, whose masks Yeh et al. 2017 use, coarse noise is enlarged to the scene
    and cut off at the quantile that hides so much; here of new noise for each mask, where theirs
    are cut out of one large pattern.

    Raises:
        ValueError: a fraction that hides no pixel, or more than all.
    """
    hidden = _hidden(missing, size)
    cells = max(2, round(size / CELL))
    coarse = torch.rand(batch, 1, cells, cells, generator=generator)
    fine = F.interpolate(coarse, (size, size), mode="bicubic", align_corners=False)
    return _without_lowest(fine, hidden)


def _hidden(missing: float, size: int) -> int:
    """How many pixels a fraction of them is."""
    count = round(missing * size**2)
    if not 1 <= count <= size**2:
        raise ValueError(f"missing {missing} of {size**2} pixels is {count}; expected 1..{size**2}")
    return count


def _noise(batch: int, size: int, generator: torch.Generator | None) -> Tensor:
    return torch.rand(batch, 1, size, size, generator=generator)


def _without_lowest(values: Float[Tensor, "B 1 H W"], hidden: int) -> Float[Tensor, "B 1 H W"]:
    """Seen but for the so many lowest values of each mask."""
    lowest = values.flatten(1).argsort(1)[:, :hidden]
    return torch.ones_like(values).flatten(1).scatter(1, lowest, 0).view_as(values)
