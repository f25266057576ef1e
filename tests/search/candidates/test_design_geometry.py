"""Designs as points: which are chosen, and which are neighbours."""

from __future__ import annotations

import pytest
import torch

from boed.search.candidates.design_geometry import farthest_points, neighbours, scaled


def test_the_coarse_part_of_a_grid_is_every_other_position() -> None:
    spots = torch.arange(17)
    points = scaled(torch.cartesian_prod(spots, spots))
    chosen, gap = farthest_points(points, torch.ones(289, dtype=torch.bool), 81)
    assert set(chosen.tolist()) == {17 * r + c for r in range(0, 17, 2) for c in range(0, 17, 2)}
    assert gap == pytest.approx(2**0.5 / 16)
    near = torch.cdist(points, points) <= gap * 1.0001
    eig = torch.full((1, 289), torch.nan)
    eig[0, 17 * 8 + 8] = 1
    around = neighbours(eig, near, 3)[0].nonzero()[:, 0].tolist()
    assert around == [17 * r + c for r in (7, 8, 9) for c in (7, 8, 9)]
