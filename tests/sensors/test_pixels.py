"""Blocks of pixels."""

from __future__ import annotations

import pytest
import torch

from boed.sensors import (
    PixelBlocks,
)
from tests.sensors.observing import blank, one


def test_blocks_end_at_the_border_and_take_any_of_their_pixels() -> None:
    sensor = PixelBlocks((5, 7), 2)
    designs = sensor.designs(blank((5, 7)))
    assert designs.tolist() == [[row, column] for row in (0, 2, 4) for column in (0, 2, 4, 6)]
    assert torch.equal(sensor.footprint(designs).sum(0), torch.ones(1, 5, 7))
    assert sensor.footprint(one(4, 6)).sum() == 1
    assert torch.equal(sensor.footprint(one(3, 5.4)), sensor.footprint(one(2, 4)))
    assert sensor.cost(one(0, 0)).item() == pytest.approx(4 / 35)
    assert PixelBlocks(3).designs(blank(3)).shape == (9, 2)
