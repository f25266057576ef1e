"""All kinds: what each refuses, and its bounds."""

from __future__ import annotations

import math

import pytest
import torch

from boed.sensors import (
    Features,
    Foveated,
    IndirectSensor,
    KSpaceLines,
    LinearSensor,
    Lines,
    PatchSensor,
    PixelBlocks,
    Projections,
    Sensor,
)
from tests.sensors.observing import blank


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PatchSensor(28, grid=0), "grid is 0"),
        (lambda: PixelBlocks(4, 0), "block is 0, expected 1 to 4 pixels"),
        (lambda: PixelBlocks(4, 5), "block is 5"),
        (lambda: PixelBlocks((0, 4)), r"shape is \(0, 4\), expected \(height, width\)"),
        (lambda: PixelBlocks((3, 4, 5)), r"shape is \(3, 4, 5\)"),  # type: ignore[arg-type]
        (lambda: PixelBlocks(4, designs=torch.tensor([[0, 4]])), r"design \[0, 4\]: entry 1 must"),
        (lambda: PixelBlocks(4, designs=torch.tensor([0, 4])), r"designs must be \[D, K\]"),
        (lambda: PixelBlocks(4, designs=torch.tensor([[0]])), r"designs must be \[D, 2\]"),
        (lambda: Lines(4, "diagonal"), "axis is 'diagonal'.*one of row, column, both"),  # type: ignore[arg-type]
        (lambda: Lines((4, 6), "row", 5), "width is 5, expected 1 to 4"),
        (lambda: Features([]), r"names are \[\], expected at least one"),
        (lambda: Features(["a", "a"]), "each only once"),
        (lambda: Features(["a", "b"], [1.0, 0.0]), "costs: 'b' costs 0.0, expected more than 0"),
        (lambda: Features(2, [1.0, math.nan]), "costs: 'feature 1' costs nan"),
        (lambda: Features(2, [1.0]), r"costs are \(1,\), expected \(2,\)"),
        (lambda: KSpaceLines(8, centre=8), "centre is 8, expected 0 to 7 lines"),
        (lambda: Projections(8, 0), "angles is 0, expected at least 1"),
        (lambda: Projections(8, torch.tensor([0.0, 180.0])), r"angles are .* different ones"),
        (lambda: Projections(8, torch.tensor([0.0, math.nan])), "angles are"),
        (lambda: Foveated(8, fovea=0), "fovea is 0, expected a radius above 0"),
        (lambda: Foveated(8, levels=1), "levels is 1, expected 2 or more"),
        (lambda: Foveated(8, levels=5), "levels is 5.* at most 8 pixels; the coarsest has 16"),
        (lambda: LinearSensor(torch.ones(2, 4), 2), r"operator must be \[D, M, 4\]"),
        (
            lambda: LinearSensor(torch.ones(2, 1, 4), 2, 3),
            r"\[D, M, 12\] for 3 channels of 2 x 2",
        ),
        (lambda: LinearSensor(torch.full((1, 1, 4), math.nan), 2), "operator has NaN"),
        (lambda: LinearSensor(torch.ones(1, 1, 4), 2, ridge=0), "ridge is 0, expected more"),
    ],
)
def test_what_cannot_be_is_refused_by_name(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]


@pytest.mark.parametrize(
    "sensor",
    [PatchSensor(8), PixelBlocks((6, 8)), Lines(8), KSpaceLines(8), Projections(8), Foveated(8, 2)],
    ids=lambda sensor: type(sensor).__name__,
)
def test_bounds_are_the_lowest_and_highest_design(sensor: Sensor | IndirectSensor) -> None:
    low, high = sensor.bounds  # type: ignore[union-attr]
    shape: tuple[int, int] = sensor.shape  # type: ignore[union-attr]
    scene = torch.rand(1, 1, *shape)
    for design in (low, high, (low + high) / 2 + 0.1):
        assert sensor.observe(blank(shape), scene, design[None]).seen.sum() > 0
    designs = sensor.designs(blank(shape))
    assert (designs >= low).all()
    assert (designs <= high).all()
