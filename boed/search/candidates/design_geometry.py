"""Designs as points: a few that lie far from each other, and which are neighbours."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor


def scaled(designs: Float[Tensor, "D K"]) -> Float[Tensor, "D K"]:
    """Designs with each entry's range as unit."""
    designs = designs.double()
    low, high = designs.amin(0), designs.amax(0)
    return (designs - low) / (high - low).where(high > low, 1.0)


def farthest_points(
    points: Float[Tensor, "D K"], allowed: Bool[Tensor, " D"], number: int
) -> tuple[Int64[Tensor, " M"], float]:
    """Farthest-point sampling from the centre (Gonzalez 1985), and the largest gap it leaves.

    Args:
        points: to choose from.
        allowed: which of them.
        number: M; at least one is chosen, and at most all.

    Returns:
        The points chosen, and the distance of the farthest point from its nearest one of them.
    """
    places = allowed.nonzero()[:, 0]
    points = points[places]
    centre = (points.amin(0) + points.amax(0)) / 2
    chosen = [int((points - centre).norm(dim=1).argmin())]
    gap = (points - points[chosen[0]]).norm(dim=1)
    while len(chosen) < min(number, len(points)):
        chosen.append(int(gap.argmax()))
        gap = torch.minimum(gap, (points - points[chosen[-1]]).norm(dim=1))
    return places[chosen], float(gap.max())


def neighbours(
    eig: Float[Tensor, "B D"], near: Bool[Tensor, "D D"], number: int
) -> Bool[Tensor, "B D"]:
    """The candidates near the `number` best of each scene; NaN and -inf are no candidates."""
    best = eig.nan_to_num(-torch.inf).topk(min(number, eig.shape[1]), dim=1)
    return (near[best.indices] & best.values.isfinite()[..., None]).any(1)


def neighbours_on_grid(designs: Float[Tensor, "D K"]) -> Bool[Tensor, "D D"]:
    """Which designs are next to each other on their grid, diagonally too, or the same."""
    distance = torch.cdist(designs, designs)
    step = distance.where(distance > 0, torch.inf).min()
    return distance < 1.5 * step  # a diagonal step is 1.41 of them
