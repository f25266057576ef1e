"""Pictures of inverted polarity: black where the others are white."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

INVERTED = -0.1
"""Correlation with a typical picture below which one is taken to be inverted. Of the digits and
chest x-rays of the test splits none has less than 0.05, and 99 of 100 have more than 0.3."""

ALIKE = 0.4
"""Half of the pictures must correlate so much with their mean for it to be typical of them."""


def correlation(
    images: Float[Tensor, "N C H W"], typical: Float[Tensor, "C H W"]
) -> Float[Tensor, " N"]:
    """Correlation of each picture's pixels with a typical one's; 0 where either is flat."""
    centred = images.flatten(1) - images.flatten(1).mean(1, keepdim=True)
    expected = typical.flatten() - typical.mean()
    norms = centred.norm(dim=1) * expected.norm()
    return torch.where(norms > 0, centred @ expected / norms, 0.0)


def inverted(
    images: Float[Tensor, "N C H W"], typical: Float[Tensor, "C H W"]
) -> Bool[Tensor, " N"]:
    """Which pictures look like the negative of a typical one.

    >>> digit = torch.zeros(1, 8, 8)
    >>> digit[:, 2:6, 3:5] = 1
    >>> inverted(torch.stack([digit, 1 - digit]), digit).tolist()
    [False, True]
    """
    return correlation(images, typical) < INVERTED


def unlike_the_others(images: UInt8[Tensor, "N C H W"]) -> Bool[Tensor, " N"]:
    """Which pictures of a set are inverted beside its mean; none where that is not typical."""
    parts = images.split(256)  # as floats they take four times the memory
    typical = torch.stack([part.sum(0) for part in parts]).sum(0).float() / len(images)
    found = torch.cat([correlation(part.float(), typical) for part in parts])
    return (found < INVERTED) & (found.median() > ALIKE)
