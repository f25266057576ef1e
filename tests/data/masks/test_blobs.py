"""Blobs: the vectorised form against Algorithm 1 as it is written, and what blobs look like."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import label

from boed.data.masks import blobs

NEIGHBOURS = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)]


def literal(size, most, least_steps, most_steps, rng):
    """Algorithm 1, loop by loop; moves over the border are clamped on to it."""
    mask = np.zeros((size, size))
    for _ in range(rng.integers(1, most + 1)):
        start = tuple(rng.integers(size, size=2))
        mask[start] = 1
        frontier = [start]
        for _ in range(rng.integers(least_steps, most_steps + 1)):
            joined = []
            for row, column in frontier:
                for move, p in zip(NEIGHBOURS, rng.random(8), strict=True):
                    if p > 0.5:
                        to = tuple(np.clip((row + move[0], column + move[1]), 0, size - 1))
                        mask[to] = 1
                        joined.append(to)
            frontier = joined
    return mask


@pytest.mark.parametrize(("most", "least", "steps"), [(1, 2, 2), (2, 1, 3)])
def test_the_law_is_that_of_the_algorithm(most, least, steps):
    rng, number, size = np.random.default_rng(0), 1500, 6
    one = np.stack([literal(size, most, least, steps, rng) for _ in range(number)])
    generator = torch.Generator().manual_seed(0)
    other = blobs(4 * number, size, most, least, steps, generator=generator)[:, 0].double().numpy()
    p = other.mean(0)
    deviation = np.sqrt(p * (1 - p) * (1 / number + 1 / (4 * number)))
    assert np.abs((one.mean(0) - p) / deviation).max() < 4
    areas = [each.sum((1, 2)) for each in (one, other)]  # how many pixels go together
    error = np.sqrt(sum(area.var() / len(area) for area in areas))
    assert abs(areas[0].mean() - areas[1].mean()) < 4 * error
    assert areas[0].std() == pytest.approx(areas[1].std(), rel=0.06)
    pair = [(each[:, 0, 0] * each[:, 1, 1]).mean() for each in (one, other)]
    assert pair[0] == pytest.approx(pair[1], abs=4 * np.sqrt(pair[1] / number))


def test_all_sides_are_alike():
    p = blobs(6000, 5, 1, 1, 2, generator=torch.Generator().manual_seed(1))[:, 0].mean(0)
    for turned in (p.flip(0), p.flip(1), p.T):  # also the last row and column
        assert (p - turned).abs().max() < 0.03


def test_a_mask_has_one_to_four_blobs():
    masks = blobs(150, 64, generator=torch.Generator().manual_seed(2))[:, 0].numpy()
    number = [label(each, np.ones((3, 3)))[1] for each in masks]
    assert min(number) == 1
    assert max(number) <= 4
    assert {1, 2, 3} <= set(number)


@pytest.mark.parametrize(("size", "expected"), [(28, 0.16), (32, 0.13)])
def test_as_much_is_seen_as_is_said(size, expected):
    masks = blobs(500, size, generator=torch.Generator().manual_seed(3))
    assert float(masks.mean()) == pytest.approx(expected, rel=0.08)
