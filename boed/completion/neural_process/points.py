"""Pixels as points: where they are, what is there, and their mean over a scene."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor


@dataclass(frozen=True)
class Points:
    """Some pixels of each scene as points, padded to one number K.

    Attributes:
        place: where, in features of the coordinates, `[B, K, P]`.
        value: what, standardised, `[B, K, C]`.
        valid: which of them are points and not padding, `[B, K]`.
    """

    place: Float[Tensor, "B K P"]
    value: Float[Tensor, "B K C"]
    valid: Bool[Tensor, "B K"]

    @property
    def whole(self) -> Float[Tensor, "B K W"]:
        """Place and value, and if the place has waves also their products with the value."""
        place, value = self.place, self.value
        if place.shape[2] == 2:
            return torch.cat([place, value], dim=2)
        return torch.cat([place, value, *(place * each for each in value.split(1, dim=2))], dim=2)

    @property
    def some(self) -> Bool[Tensor, " B"]:
        """Which scenes have any points."""
        return self.valid.any(1)

    @property
    def keys(self) -> Bool[Tensor, "B K"]:
        """What attention may look at: the points, or in a scene without any its padding.

        A softmax over no keys is NaN; what comes of padding is replaced by zeros.
        """
        return self.valid | ~self.some[:, None]

    def mean(self, features: Float[Tensor, "B K F"]) -> Float[Tensor, "B F"]:
        """The mean of what each point has; zero if there are no points."""
        weight = self.valid[:, :, None].float()
        return (features.float() * weight).sum(1) / weight.sum(1).clamp(min=1)

    def joined(self, other: Points) -> Points:
        """The points of both."""
        return Points(
            torch.cat([self.place, other.place], dim=1),
            torch.cat([self.value, other.value], dim=1),
            torch.cat([self.valid, other.valid], dim=1),
        )


def grid(resolution: int, frequencies: int) -> Float[Tensor, "R*R P"]:
    """Row and column of each pixel's centre in [-1, 1], with sines and cosines of octaves."""
    centre = (2 * torch.arange(resolution) + 1) / resolution - 1
    place = torch.cartesian_prod(centre, centre)  # [R * R, 2]
    angles = [place * math.pi * 2.0**octave for octave in range(frequencies)]
    waves = [wave for angle in angles for wave in (angle.sin(), angle.cos())]
    return torch.cat([place, *waves], dim=1)
