"""Lines of k-space, against the Fourier transform."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from boed.sensors import (
    KSpaceLines,
)
from tests.sensors.observing import blank, one


def test_k_space_is_unitary_with_the_low_frequencies_in_the_middle() -> None:
    sensor = KSpaceLines((6, 8))
    scene = torch.rand(2, 3, 6, 8)
    assert sensor.forward(scene).norm() == pytest.approx(float(scene.norm()), rel=1e-5)
    # rows of equal pixels have all their energy in the middle line
    flat = torch.rand(1, 1, 6, 1).expand(-1, -1, -1, 8)
    result = sensor.observe(blank((6, 8)), flat, one(4))
    assert torch.allclose(result.values, flat, atol=1e-6)
    assert result.readings is not None
    lines = sensor.forward(flat).view(2, 6, 8).square().sum((0, 1))
    assert lines[4] > 0.99 * flat.square().sum()


def test_zero_filled_reconstruction_is_that_of_a_masked_transform() -> None:
    scene, sensor = torch.rand(1, 1, 6, 8), KSpaceLines((6, 8))
    result = blank((6, 8))
    for line in (4, 5, 1):
        result = sensor.observe(result, scene, one(line))
    spectrum = np.fft.fftshift(np.fft.fft2(scene[0, 0].numpy()))
    spectrum[:, [0, 2, 3, 6, 7]] = 0
    expected = np.abs(np.fft.ifft2(np.fft.ifftshift(spectrum)))
    assert np.allclose(result.values[0, 0].numpy(), expected, atol=1e-6)
    assert result.mask[0, 0, 0].tolist() == [0, 1, 0, 0, 1, 1, 0, 0]


def test_acceleration_and_cost() -> None:
    scene, sensor = torch.rand(1, 1, 6, 8), KSpaceLines((6, 8))
    assert sensor.acceleration(blank((6, 8))).item() == math.inf
    once = sensor.observe(blank((6, 8)), scene, one(1))
    twice = sensor.observe(once, scene, one(7))
    assert (sensor.acceleration(once).item(), sensor.acceleration(twice).item()) == (8, 4)
    assert 2 * sensor.cost(one(0)).item() == pytest.approx(1 / 4)


@pytest.mark.parametrize(("centre", "lines"), [(1, [4]), (2, [3, 4]), (3, [3, 4, 5])])
def test_the_centre_comes_with_every_look(centre: int, lines: list[int]) -> None:
    sensor = KSpaceLines((6, 8), centre)
    designs = sensor.designs(blank((6, 8)))
    assert designs[:, 0].tolist() == [k for k in range(8) if k not in lines]
    result = sensor.observe(blank((6, 8)), torch.rand(1, 1, 6, 8), one(0))
    assert result.mask[0, 0, 0].nonzero()[:, 0].tolist() == [0, *lines]
    assert sensor.acceleration(result).item() == pytest.approx(8 / (centre + 1))
