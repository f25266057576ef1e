"""Sensors: what they offer, what they return, what they refuse."""

from __future__ import annotations

import pytest
import torch

from boed.sensors import PatchSensor, Sensor
from data.observation import Observation
from tests.boed.doubles import RowSensor


def blank(size: int, batch: int = 1, channels: int = 1) -> Observation:
    return Observation.nothing(batch, channels, size)


SENSORS: list[tuple[Sensor, int]] = [
    (PatchSensor(64), 64),
    (PatchSensor(28), 28),
    (PatchSensor(8, 0.5, 9), 8),
    (PatchSensor(9, 1.0), 9),
    (PatchSensor(10, 0.3, 1), 10),
    (RowSensor(), 12),
]
every_sensor = pytest.mark.parametrize(
    ("sensor", "size"), SENSORS, ids=lambda x: type(x).__name__ if not isinstance(x, int) else None
)


@every_sensor
def test_observe_shows_what_was_measured_and_nothing_else(sensor: Sensor, size: int) -> None:
    designs = sensor.designs(blank(size))
    assert isinstance(sensor, Sensor)
    assert len(designs.unique(dim=0)) == len(designs)
    batch = len(designs)
    scene = torch.rand(batch, 3, size, size) + 0.01  # never 0, so that seen is told from unseen
    seen = sensor.observe(blank(size, batch, 3), scene, designs)
    assert set(seen.mask.unique().tolist()) <= {0.0, 1.0}
    assert torch.equal(seen.values, scene * seen.mask)
    measured = sensor.measure(scene, designs)
    for b in range(batch):
        pixels = seen.mask[b, 0].bool()
        assert torch.equal(measured[b].flatten(1), scene[b][:, pixels])
    assert sensor.cost(designs).shape == (batch,)


@every_sensor
def test_observing_twice_adds_nothing_and_looks_add_up(sensor: Sensor, size: int) -> None:
    designs = sensor.designs(blank(size))[[0, -1]]
    scene = torch.rand(2, 1, size, size)
    once = sensor.observe(blank(size, 2), scene, designs)
    # what was seen stays as it was, even where a later scene differs
    twice = sensor.observe(once, scene, designs)
    assert torch.equal(once.values, twice.values)
    assert torch.equal(once.mask, twice.mask)
    both = sensor.observe(once, scene, designs.flip(0))
    other = sensor.observe(blank(size, 2), scene, designs.flip(0))
    assert torch.equal(both.mask, torch.maximum(once.mask, other.mask))


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


def test_measure_is_slicing() -> None:
    scene = torch.rand(5, 2, 28, 28)
    sensor = PatchSensor(28)
    design = torch.tensor([[0, 0], [21, 21], [3, 17], [20, 1], [9, 9]])
    found = sensor.measure(scene, design)
    for b, (row, column) in enumerate(design.tolist()):
        assert torch.equal(found[b], scene[b, :, row : row + 7, column : column + 7])


@pytest.mark.parametrize("patch", [1.5, 0.001, 0.0, -0.25])
def test_patch_that_does_not_fit_is_refused(patch: float) -> None:
    with pytest.raises(ValueError, match=r"patch .* of a scene of 28 pixels .* expected 1 to 28"):
        PatchSensor(28, patch)


def test_empty_grid_is_refused() -> None:
    with pytest.raises(ValueError, match="grid is 0"):
        PatchSensor(28, grid=0)


@pytest.mark.parametrize("design", [[-1, 0], [0, 22], [28, 28]])
def test_patch_over_the_border_is_refused(design: list[int]) -> None:
    sensor, scene = PatchSensor(28), torch.rand(1, 1, 28, 28)
    with pytest.raises(ValueError, match=r"design spans pixels .* the scene has 0\.\.27"):
        sensor.measure(scene, torch.tensor([design]))
    with pytest.raises(ValueError, match=r"design spans pixels .* the scene has 0\.\.27"):
        sensor.observe(blank(28), scene, torch.tensor([design]))


def test_one_design_for_each_scene() -> None:
    with pytest.raises(ValueError, match=r"design must be \(2, 2\).*got \(1, 2\)"):
        PatchSensor(28).measure(torch.rand(2, 1, 28, 28), torch.tensor([[0, 0]]))


def test_scene_of_another_size_is_refused() -> None:
    sensor, design = PatchSensor(28), torch.tensor([[0, 0]])
    wrong = torch.rand(1, 1, 64, 64)
    for act in (
        lambda: sensor.designs(blank(64)),
        lambda: sensor.measure(wrong, design),
        lambda: sensor.observe(blank(64), wrong, design),
    ):
        with pytest.raises(ValueError, match=r"\(64, 64\) pixels; this sensor is for 28 x 28"):
            act()
