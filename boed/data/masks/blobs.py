"""Random blobs: Algorithm 1 of Pixel Constrained CNN (Dupont & Suresha 2019), all at once."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from boed.foundation.checks import at_least, at_most

MOST_STEPS = 17
"""With which 8^steps copies of a pixel are still counted exactly in double precision."""


def blobs(
    batch: int,
    size: int,
    *,
    most: int = 4,
    least_steps: int = 2,
    most_steps: int = 6,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "B 1 H W"]:
    """Everything hidden but U{1..most} blobs.

    A blob begins at a pixel, anywhere with equal probability, and grows by
    U{least_steps..most_steps} steps. In a step each of the 8 neighbours of each pixel of the
    frontier joins with probability 1/2, those beyond the border clamped on to it, and what joined
    is the next frontier, in which a pixel stands as often as it joined.

    The frontier is held as how many copies it has of each pixel, c. Of the (S c)_q moves that lead
    to pixel q, S the sum over the 8 neighbours, Binomial((S c)_q, 1/2) are taken, independently:
    the very law of the algorithm's loop.

    Blobs have a size in pixels, whatever that of the scene: with the steps of the paper 16 % of a
    scene of 28 pixels are seen, 13 % of 32, and 3 % of 64, where twice the steps look alike.

    Args:
        batch: how many masks, B.
        size: width of the scene in pixels.
        most: blobs of a mask, at most; no more than the scene has rows.
        least_steps, most_steps: of a blob's growth.
        generator: source of randomness.

    Raises:
        ValueError: no blobs or too many, fewer steps at most than at least, or more than are
            counted exactly.
    """
    at_least(1, most=most, least_steps=least_steps)
    at_least(least_steps, most_steps=most_steps)
    at_most(size, most=most)
    at_most(MOST_STEPS, most_steps=most_steps)
    number = torch.randint(1, most + 1, (batch,), generator=generator)
    owner = torch.arange(batch).repeat_interleave(number)  # [N], all blobs of all masks
    steps = torch.randint(least_steps, most_steps + 1, owner.shape, generator=generator)
    row, column = torch.randint(size, (2, len(owner)), generator=generator)
    copies = torch.zeros(len(owner), size, size, dtype=torch.double)
    copies[torch.arange(len(owner)), row, column] = 1
    seen = copies > 0
    moves = _moves(size)
    for step in range(most_steps):
        reach = moves @ copies @ moves.T - copies  # S c: all nine moves but that to itself
        half = torch.full_like(reach, 0.5)
        growing = (step < steps)[:, None, None]
        copies = torch.binomial(reach * growing, half, generator=generator)
        seen |= copies > 0
    masks = torch.zeros(batch, size, size).index_add_(0, owner, seen.float())
    return (masks > 0).float()[:, None]


def _moves(size: int) -> Float[Tensor, "H H"]:
    """How many of the moves -1, 0, 1, clamped to the scene, lead from each row to each."""
    start = torch.arange(size)
    ends = torch.stack([(start + move).clamp(0, size - 1) for move in (-1, 0, 1)])
    counts = torch.zeros(size, size, dtype=torch.double)
    return counts.index_put_((ends, start.expand(3, -1)), counts.new_ones(()), accumulate=True)
