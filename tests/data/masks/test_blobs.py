"""Blobs: the vectorised form against Algorithm 1 as it is written, and what blobs look like."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import label

from boed.data.masks import blobs

NEIGHBOURS = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)]


def within(place, move, size):
    return np.clip(place + move, 0, size - 1)


def literal(number, size, most, least_steps, most_steps):
    """Algorithm 1, loop by loop; moves over the border are clamped on to it."""
    rng = np.random.default_rng(0)
    masks = np.zeros((number, size, size))
    for mask in masks:
        for _ in range(rng.integers(1, most + 1)):
            start = tuple(rng.integers(size, size=2).tolist())
            mask[start] = 1
            frontier = [start]
            for _ in range(rng.integers(least_steps, most_steps + 1)):
                joined = []
                for row, column in frontier:
                    for (down, across), p in zip(NEIGHBOURS, rng.random(8), strict=True):
                        if p > 0.5:
                            to = tuple(
                                min(max(place, 0), size - 1)
                                for place in (row + down, column + across)
                            )
                            mask[to] = 1
                            joined.append(to)
                frontier = joined
    return masks


def at_once(number, size, most, least_steps, most_steps, seed=0):
    """The function that is tested."""
    steps = {"least_steps": least_steps, "most_steps": most_steps}
    generator = torch.Generator().manual_seed(seed)
    return blobs(number, size, most=most, **steps, generator=generator)[:, 0].double().numpy()


def seen_probability(hit, size, most, steps):
    """Probability, exactly, that a mask has one of the pixels `hit`; any of `steps` equally often.

    An entry of the frontier has no descendant among them if it is none itself and each of its eight
    moves is either not taken or leads to an entry that has none.
    """
    place, clear = np.arange(size), 1.0 - hit
    none = clear.copy()  # for an entry at each pixel, as many steps before the end
    after = {0: none}
    for step in range(1, max(steps) + 1):
        moves = [
            none[np.ix_(within(place, d, size), within(place, a, size))] for d, a in NEIGHBOURS
        ]
        none = clear * np.prod([(1 + each) / 2 for each in moves], axis=0)
        after[step] = none
    one = np.mean([after[step].mean() for step in steps])  # a blob begins anywhere
    return np.mean([1 - one**number for number in range(1, most + 1)])


@pytest.mark.parametrize(
    ("draw", "number", "case"),
    [
        (literal, 400, (1, 1, 2)),
        (literal, 200, (2, 1, 3)),
        (at_once, 12_000, (1, 1, 2)),
        (at_once, 6000, (2, 1, 3)),
        (at_once, 8000, (1, 4, 4)),
    ],
)
def test_the_law_is_that_of_the_algorithm(draw, number, case):
    size, (most, least, last) = 9, case
    masks = draw(number, size, *case)
    pixels = np.eye(size * size).reshape(-1, size, size)
    p = [seen_probability(each, size, most, range(least, last + 1)) for each in pixels]
    p = np.reshape(p, (size, size))
    deviation = np.sqrt(p * (1 - p) / number)
    assert np.abs((masks.mean(0) - p) / deviation).max() < 4.5
    area = masks.sum((1, 2))
    assert abs(area.mean() - p.sum()) < 4 * area.std() / np.sqrt(number)
    both = pixels[3 * size + 3] + pixels[5 * size + 5]  # how pixels go together
    either = seen_probability(both, size, most, range(least, last + 1))
    found = (masks[:, 3, 3] + masks[:, 5, 5] > 0).mean()
    assert abs(found - either) < 4 * np.sqrt(either * (1 - either) / number)


def test_all_sides_are_alike():
    p = at_once(6000, 5, 1, 1, 2).mean(0)
    for turned in (p[::-1], p[:, ::-1], p.T):  # also the last row and column
        assert np.abs(p - turned).max() < 0.03


def test_a_mask_has_one_to_four_blobs():
    masks = blobs(100, 48, generator=torch.Generator().manual_seed(2))[:, 0].numpy()
    number = [label(each, np.ones((3, 3)))[1] for each in masks]
    assert min(number) == 1
    assert max(number) <= 4
    assert {1, 2, 3} <= set(number)


@pytest.mark.parametrize(("size", "expected"), [(28, 0.1585), (32, 0.1259)])
def test_as_much_is_seen_as_the_law_says(size, expected):
    share = at_once(400, size, 4, 2, 6).mean((1, 2))
    assert abs(share.mean() - expected) < 4 * share.std() / 20
