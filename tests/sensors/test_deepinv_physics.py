"""deepinv's physics as sensors."""

from __future__ import annotations

import pytest
import torch

from boed.data.observation import Observation
from boed.sensors import (
    DeepinvSensor,
    KSpaceLines,
    Sensor,
)
from tests.sensors.observing import blank, one
from tests.sensors.test_sensors import gaussian, physics_module


def test_deepinv_readings_and_noise_are_the_physics() -> None:
    physics = physics_module()
    blur = physics.Blur(torch.ones(1, 1, 3, 3) / 9, padding="valid")
    sensor, scene = DeepinvSensor(blur, (8, 6), -1), torch.rand(1, 1, 8, 6)
    assert sensor.noise == 0
    assert sensor.designs(blank((8, 6))).shape == (4, 1)  # columns of 6 x 4 readings
    result = sensor.observe(blank((8, 6)), scene, one(2))
    assert result.readings is not None
    column = result.readings.view(6, 4)
    assert torch.allclose(column[:, 2], blur.A(scene)[0, 0, :, 2])
    assert column[:, [0, 1, 3]].count_nonzero() == 0
    assert result.mask.unique().tolist() == [0.25]  # a quarter of the readings
    blur.noise_model = physics.GaussianNoise(0.05)
    assert DeepinvSensor(blur, (8, 6), -1).noise == pytest.approx(0.05)


def test_deepinv_mri_is_k_space_lines() -> None:
    physics, scene = physics_module(), torch.rand(1, 1, 6, 8)
    theirs = DeepinvSensor(physics.MRI(img_size=(6, 8)), (6, 8), -1, complex_images=True)
    ours = KSpaceLines((6, 8))
    one_by_one: list[tuple[Sensor, Observation]] = []
    for sensor in (theirs, ours):
        result = blank((6, 8))
        for line in (4, 2, 7):
            result = sensor.observe(result, scene, one(line))
        one_by_one.append((sensor, result))
    (_, first), (_, second) = one_by_one
    assert torch.allclose(first.values, second.values, atol=1e-5)
    assert torch.equal(first.mask, second.mask)


def test_deepinv_physics_with_complex_readings() -> None:
    physics = physics_module()
    fourier = physics.LinearPhysics(
        A=lambda x, **_: torch.fft.fft2(x, norm="ortho"),
        A_adjoint=lambda y, **_: torch.fft.ifft2(y, norm="ortho").real,
    )
    sensor, scene = DeepinvSensor(fourier, (4, 6), 3), torch.rand(2, 1, 4, 6)
    readings = sensor.forward(scene)
    assert readings.shape == (2, 48)
    y = gaussian((2, 48))
    assert (readings * y).sum().item() == pytest.approx(
        (scene * sensor.adjoint(y)).sum().item(), abs=1e-4
    )
    assert sensor.taken(one(1)).view(4, 6, 2)[:, 1].sum() == 8
    assert sensor.taken(one(1)).sum() == 8
    result = blank((4, 6), 2)
    for column in range(6):
        result = sensor.observe(result, scene, torch.tensor([[column]] * 2))
    assert torch.allclose(result.values, scene, atol=1e-6)


def test_deepinv_physics_that_does_not_fit_is_refused() -> None:
    physics = physics_module()
    identity = physics.Denoising(physics.PoissonNoise())
    with pytest.raises(ValueError, match=r"physics has noise Poisson.*expected .*GaussianNoise"):
        DeepinvSensor(identity, 4, -1)
    with pytest.raises(ValueError, match=r"physics is Identity, expected a deepinv\.physics\.Lin"):
        DeepinvSensor(torch.nn.Identity(), 4, -1)
    identity = physics.Denoising(physics.ZeroNoise())
    with pytest.raises(ValueError, match=r"looks must be \[D, 16\], got \(3, 5\)"):
        DeepinvSensor(identity, 4, torch.ones(3, 5))
    with pytest.raises(ValueError, match="looks must be 0 or 1"):
        DeepinvSensor(identity, 4, torch.full((3, 16), 0.5))
    for dimension in (0, 4, -4):
        with pytest.raises(ValueError, match=f"looks is dimension {dimension};"):
            DeepinvSensor(identity, 4, dimension)
