"""Rows and columns."""

from __future__ import annotations

import pytest
import torch

from boed.sensors import (
    Lines,
)
from tests.sensors.observing import blank, one


@pytest.mark.parametrize(
    ("axis", "width", "design", "rows", "columns"),
    [
        ("row", 1, [2], slice(2, 3), slice(None)),
        ("row", 2, [3], slice(3, 4), slice(None)),  # cut at the border
        ("column", 2, [1], slice(None), slice(1, 3)),
        ("both", 1, [0, 3], slice(3, 4), slice(None)),
        ("both", 2, [1, 4], slice(None), slice(4, 6)),
    ],
)
def test_lines(axis: str, width: int, design: list[int], rows: slice, columns: slice) -> None:
    sensor = Lines((4, 6), axis, width)  # type: ignore[arg-type]
    expected = torch.zeros(4, 6)
    expected[rows, columns] = 1
    assert torch.equal(sensor.footprint(one(*design))[0, 0], expected)
    designs = sensor.designs(blank((4, 6)))
    covered = sensor.footprint(designs).sum()
    assert covered == 24 * (2 if axis == "both" else 1)
    assert (sensor.bounds is None) == (axis == "both")


def test_a_row_is_no_column() -> None:
    sensor = Lines((4, 6), "both")
    with pytest.raises(ValueError, match=r"design \[0, 4\]: a scene of 4 x 6 pixels has no such"):
        sensor.observe(blank((4, 6)), torch.zeros(1, 1, 4, 6), one(0, 4))
    sensor.observe(blank((4, 6)), torch.zeros(1, 1, 4, 6), one(1, 4))
