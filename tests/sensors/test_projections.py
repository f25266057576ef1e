"""Projections, against sums, thrown points and the Fourier slice theorem."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from boed.sensors import (
    Projections,
)
from tests.sensors.observing import blank, one


def test_projections_sum_columns_and_rows() -> None:
    scene = torch.rand(1, 1, 6, 8)
    sensor = Projections((6, 8), torch.tensor([0.0, 90.0]))
    columns, rows = sensor.forward(scene).view(2, sensor.strips)
    padding = (sensor.strips - 8) // 2, (sensor.strips - 6) // 2
    middle = slice(padding[0], padding[0] + 8)
    assert torch.allclose(columns[middle], scene[0, 0].sum(0) / 8)
    assert columns.sum().item() == pytest.approx(scene.sum().item() / 8, rel=1e-5)
    middle = slice(padding[1], padding[1] + 6)
    assert torch.allclose(rows[middle], scene[0, 0].sum(1) / 8)


def test_strip_areas_are_those_of_points_thrown_at_pixels() -> None:
    """Monte Carlo with 20,000 points a pixel: within 5 standard errors."""
    angles = torch.tensor([0.0, 25.0, 45.0, 90.0, 130.0])
    sensor, points = Projections((3, 4), angles), np.random.default_rng(0).random((20_000, 2))
    areas = sensor.matrix.to_dense().view(5, sensor.strips, 3, 4) / sensor.scale
    assert torch.allclose(areas.sum(1), torch.ones(5, 3, 4, dtype=areas.dtype))
    for index, angle in enumerate(np.deg2rad(angles.numpy())):
        for row, column in np.ndindex(3, 4):
            y, x = points[:, 0] + row - 1.5, points[:, 1] + column - 2
            strip = np.floor(x * np.cos(angle) + y * np.sin(angle) + sensor.strips / 2).astype(int)
            expected = np.bincount(strip, minlength=sensor.strips) / len(points)
            error = np.abs(areas[index, :, row, column].numpy() - expected)
            assert (error < 5 * (0.25 / len(points)) ** 0.5).all()


def phantom(size: int) -> Tensor:
    """Two smooth blobs."""
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    blobs = [(0.4, 0.35, 0.8), (0.65, 0.6, 0.5)]
    each = [
        level * torch.exp(-((y / size - row) ** 2 + (x / size - column) ** 2) / 0.02)
        for row, column, level in blobs
    ]
    return sum(each)[None, None]  # type: ignore[index]


@pytest.mark.parametrize(("number", "error"), [(60, 0.006), (15, 0.006), (4, 0.1)])
def test_filtered_back_projection_recovers_a_smooth_scene(number: int, error: float) -> None:
    scene, sensor = phantom(32), Projections(32, number)
    result = blank(32)
    for angle in sensor.designs(result):
        result = sensor.observe(result, scene, angle[None])
    assert (result.values - scene).square().mean().sqrt() < error
    assert sensor.cost(sensor.designs(result)).sum().item() == pytest.approx(1)


def test_the_fourier_plane_is_lit_where_a_projection_is_its_slice() -> None:
    sensor = Projections(8, torch.tensor([0.0, 45.0, 90.0, 135.0]))
    scene = torch.rand(1, 1, 8, 8)
    result = sensor.observe(blank(8), scene, one(179.0))  # next to 0: it sums columns
    row, column = result.mask[0, 0].nonzero().T - 4
    assert (row.abs() <= column.abs()).all()
    assert result.mask[0, 0, 4].sum() == 8
    for angle in (-1.0, 359.0, 181.0, 0.0):
        assert torch.equal(sensor.observe(blank(8), scene, one(angle)).mask, result.mask)
