"""The patch: where it may lie, and what it shows."""

from __future__ import annotations

import pytest
import torch

from boed.sensors import (
    PatchSensor,
)
from tests.sensors.observing import blank


@pytest.mark.parametrize(
    ("size", "patch", "grid", "pixels", "number"),
    [
        (64, 0.25, 17, 16, 289),
        (28, 0.25, 17, 7, 289),
        (128, 0.25, 17, 32, 289),
        (8, 0.5, 17, 4, 25),  # only five different positions
        (16, 0.25, 4, 4, 16),  # tiles
        (20, 1.0, 17, 20, 1),
        (28, 0.25, 1, 7, 1),
    ],
)
def test_patches_lie_evenly_from_border_to_border(
    size: int, patch: float, grid: int, pixels: int, number: int
) -> None:
    sensor = PatchSensor(size, patch, grid)
    designs = sensor.designs(blank(size))
    assert (sensor.patch, designs.shape) == (pixels, (number, 2))
    if grid > 1:
        assert (int(designs.min()), int(designs.max())) == (0, size - pixels)
        steps = sensor.positions.diff()
        assert number == 1 or int(steps.max() - steps.min()) <= 1
    assert sensor.footprint(designs).sum((1, 2, 3)).tolist() == [pixels**2] * number
    assert torch.allclose(sensor.cost(designs), torch.tensor((pixels / size) ** 2))
    assert torch.equal(sensor.bounds, torch.tensor([[0.0, 0.0], [size - pixels] * 2]))


def test_a_patch_is_a_slice() -> None:
    scene = torch.rand(5, 2, 28, 28) + 0.01
    sensor = PatchSensor(28)
    design = torch.tensor([[0, 0], [21, 21], [3, 17], [20, 1], [9, 9]])
    result = sensor.observe(blank(28, 5, 2), scene, design)
    for b, (row, column) in enumerate(design.tolist()):
        place = (slice(None), slice(row, row + 7), slice(column, column + 7))
        assert torch.equal(result.values[b][place], scene[b][place])
        assert result.values[b].count_nonzero() == 2 * 7 * 7


@pytest.mark.parametrize("patch", [1.5, 0.001, 0.0, -0.25])
def test_patch_that_does_not_fit_is_refused(patch: float) -> None:
    with pytest.raises(ValueError, match=r"patch .* of a scene of 28 pixels .* expected 1 to 28"):
        PatchSensor(28, patch)


@pytest.mark.parametrize("design", [[-1, 0], [0, 22], [28, 28]])
def test_patch_over_the_border_is_refused(design: list[int]) -> None:
    with pytest.raises(ValueError, match=r"design spans pixels .* the scene has 0\.\.27"):
        PatchSensor(28).observe(blank(28), torch.rand(1, 1, 28, 28), torch.tensor([design]))
    with pytest.raises(ValueError, match=r"design spans pixels .* the scene has 0\.\.27"):
        PatchSensor(28, grid=torch.tensor([[0, 0], design]))


def test_looks_keep_off_the_border():
    sensor = PatchSensor(32, 0.25, 5, border=0.125)
    assert sensor.positions.tolist() == [4, 8, 12, 16, 20]
    assert sensor.bounds.tolist() == [[4.0, 4.0], [20.0, 20.0]]
    assert len(sensor.designs(blank(32))) == 25
    own = torch.tensor([[0.0, 12.0], [12.0, 12.0]])
    assert PatchSensor(32, 0.25, own, border=0.125).designs(blank(32)).tolist() == [[12.0, 12.0]]
    assert PatchSensor(32, 0.25, 3, border=0.375).positions.tolist() == [12]


def test_looks_stay_within_a_region():
    region = torch.zeros(32, 32)
    region[:16] = 1
    sensor = PatchSensor(32, 0.25, 5, region=region)
    shown = sensor.footprint(sensor.designs(blank(32)))
    assert len(shown) == 10  # rows 0 and 6
    assert not (shown[:, 0] * (1 - region)).any()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"border": 0.4},
            r"border 0.4 of a scene of 32 pixels is 13 pixels .* expected 0 to 0.375",
        ),
        ({"border": -0.1}, "border -0.1 of a scene"),
        ({"region": torch.ones(8, 8)}, r"region is \(8, 8\), expected \(32, 32\)"),
        ({"region": torch.zeros(32, 32)}, "border 0 and region leave no candidate of 25"),
    ],
)
def test_regions_without_room(options, words):
    with pytest.raises(ValueError, match=words):
        PatchSensor(32, 0.25, 5, **options)
