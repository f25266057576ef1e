"""Linear readings of Gaussian scenes, against their closed forms."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from boed.sensors import (
    LinearSensor,
)
from tests.sensors.observing import blank
from tests.sensors.test_sensors import gaussian


def information(rows: Tensor, covariance: Tensor, noise: float) -> float:
    """1/2 log det(I + A S A^T / sigma^2)."""
    eye = torch.eye(len(rows), dtype=torch.double)
    inner = eye + rows.double() @ covariance.double() @ rows.double().T / noise**2
    return float(0.5 * torch.logdet(inner))


def test_linear_gaussian_eig_is_the_reference_value() -> None:
    """1.1989477 and 0.346574 nats: the first two rows of the table of known answers."""
    three = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    prior = torch.diag(torch.tensor([1.0, 1.5]) ** 2)
    together = LinearSensor(three[None], (1, 2), noise=1.0)
    assert together.eig(blank((1, 2)), prior).item() == pytest.approx(1.1989477, abs=1e-7)
    single = LinearSensor(torch.ones(1, 1, 1), (1, 1), noise=1.0)
    assert single.eig(blank((1, 1)), torch.eye(1)).item() == pytest.approx(0.346574, abs=1e-6)


def test_linear_gaussian_eig_obeys_the_chain_rule() -> None:
    operator, prior = gaussian((4, 2, 6)), torch.eye(6) + 0.3
    sensor, result, total = LinearSensor(operator, (2, 3), noise=0.7), blank((2, 3), 2), 0.0
    scene = gaussian((2, 1, 2, 3), 1)
    for look in (2, 0, 3):
        eig = sensor.eig(result, prior)
        assert torch.allclose(eig[0], eig[1])  # it does not depend on what was read
        total += eig[0, look].item()
        result = sensor.observe(result, scene, torch.tensor([[look]] * 2), seed=[0, 1])
        after = sensor.eig(result, prior)
        assert after[0, look] == 0
        assert (after <= eig + 1e-9).all()
    rows = operator[[2, 0, 3]].flatten(0, 1)
    assert total == pytest.approx(information(rows, prior, 0.7), abs=1e-6)


def test_linear_gaussian_posterior_is_that_of_the_precision_form() -> None:
    """S' = (S^-1 + A^T A / sigma^2)^-1, m' = S' (S^-1 m + A^T y / sigma^2)."""
    operator, prior, mean = gaussian((4, 2, 6)), torch.eye(6) + 0.3, gaussian((6,), 2)
    sensor = LinearSensor(operator, (2, 3), noise=0.7)
    result = blank((2, 3), 2)
    centre, covariance = sensor.posterior(result, mean, prior)
    assert torch.allclose(centre, mean.double().expand(2, -1))
    assert torch.allclose(covariance, prior.double().expand(2, -1, -1))
    for look in (1, 3):
        result = sensor.observe(
            result, torch.rand(2, 1, 2, 3), torch.tensor([[look]] * 2), seed=[3, 4]
        )
    centre, covariance = sensor.posterior(result, mean, prior)
    rows, inverse = operator[[1, 3]].flatten(0, 1).double(), torch.linalg.inv(prior.double())
    expected = torch.linalg.inv(inverse + rows.T @ rows / 0.7**2)
    assert result.readings is not None
    read = result.readings[:, [2, 3, 6, 7]].double()
    assert torch.allclose(covariance, expected.expand(2, -1, -1), atol=1e-6)
    natural = inverse @ mean.double() + read @ rows / 0.7**2
    assert torch.allclose(centre, natural @ expected, atol=1e-5)


def test_linear_gaussian_posterior_is_calibrated() -> None:
    """The squared distance of 2000 scenes from their posterior mean is chi-squared, mean 6."""
    sensor = LinearSensor(gaussian((4, 2, 6)), (2, 3), noise=0.7)
    scene = gaussian((2000, 1, 2, 3), 5)
    result = sensor.observe(
        blank((2, 3), 2000), scene, torch.full((2000, 1), 2), seed=list(range(2000))
    )
    centre, covariance = sensor.posterior(result, torch.zeros(6), torch.eye(6))
    off = scene.flatten(1).double() - centre
    distance = (off * torch.linalg.solve(covariance, off)).sum(1)
    assert distance.mean().item() == pytest.approx(6, abs=5 * (12 / 2000) ** 0.5)


@pytest.mark.parametrize("looks", [3, 20])
def test_linear_gaussian_shows_least_squares(looks: int) -> None:
    """The least-norm scene from few rows, the least-squares one from more than there are pixels."""
    operator, scene = gaussian((looks, 2, 12)), torch.rand(2, 1, 4, 3)
    sensor, result = LinearSensor(operator, (4, 3), noise=0.1), blank((4, 3), 2)
    for look in (0, 2, 1):
        result = sensor.observe(result, scene, torch.tensor([[look]] * 2), seed=[0, 1])
    rows = operator[:3].flatten(0, 1).double()
    assert result.readings is not None
    expected = result.readings[:, :6].double() @ torch.linalg.pinv(rows).T
    assert torch.allclose(result.values.flatten(1).double(), expected, atol=1e-4)


def test_linear_gaussian_without_noise_has_no_finite_eig() -> None:
    sensor = LinearSensor(gaussian((2, 1, 4)), (2, 2))
    with pytest.raises(ValueError, match="noise is 0; without noise the EIG is infinite"):
        sensor.eig(blank(2), torch.eye(4))
