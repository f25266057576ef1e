"""Glimpses that are sharp where they are fixed."""

from __future__ import annotations

import pytest
import torch

from boed.sensors import (
    Foveated,
)
from tests.sensors.observing import blank, one


def test_a_glimpse_is_sharp_at_its_fixation_and_coarse_away_from_it() -> None:
    sensor = Foveated(32, fovea=3, levels=4)
    scene = torch.rand(1, 2, 32, 32)
    result = sensor.observe(blank(32, channels=2), scene, one(10, 12))
    row, column = torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij")
    distance = ((row - 10) ** 2 + (column - 12) ** 2).sqrt()
    for nearest, farthest, width in ((0, 3, 1), (3, 6, 2), (6, 12, 4), (12, 99, 8)):
        ring = (distance > nearest - (nearest == 0)) & (distance <= farthest)
        assert (result.mask[0, 0][ring] >= 1 / width).all()
        coarse = torch.nn.functional.avg_pool2d(scene, width)
        coarse = coarse.repeat_interleave(width, 2).repeat_interleave(width, 3)
        there = ring & (result.mask[0, 0] == 1 / width)
        assert there.any()
        assert torch.allclose(result.values[:, :, there], coarse[:, :, there], atol=1e-6)
    assert result.taken is not None
    cost = sensor.cost(one(10, 12)).item()
    assert cost == pytest.approx(result.taken.sum().item() / 2 / 32**2)
    assert cost < 0.2


def test_a_second_fixation_sharpens_and_never_blurs() -> None:
    sensor, scene = Foveated(16, 2, 3), torch.rand(1, 1, 16, 16)
    first = sensor.observe(blank(16), scene, one(4, 4))
    second = sensor.observe(first, scene, one(12, 12))
    assert (second.mask >= first.mask).all()
    assert (second.mask > first.mask).any()
    sharp = second.mask == 1
    assert torch.equal(second.values[sharp], scene[sharp])
