"""Means over parts and the covariance of their errors."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from boed.eig.model.scores import Moments, deviations, over_replicates, together


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def moments(terms: Tensor, *, memory: int = 512, pieces: int = 1) -> Moments:
    result = Moments(len(terms), None, designs=terms.shape[1], memory=memory, device=terms.device)
    for part in terms.tensor_split(pieces):
        result.add(part)
    return result


@pytest.mark.parametrize("pieces", [1, 3, 7])
def test_covariance_is_that_of_the_mean_of_the_terms(pieces: int) -> None:
    terms = noise(50, 3) @ noise(3, 3, seed=1) + 5
    scores = moments(terms, pieces=pieces).scores()
    assert torch.allclose(scores.eig.float(), terms.mean(0), atol=1e-5)
    covariance = scores.deviations.T @ scores.deviations
    assert torch.allclose(covariance.float(), terms.T.cov() / 50, atol=1e-6)
    replicated = over_replicates(terms)
    assert torch.allclose(replicated.deviations, scores.deviations, atol=1e-6)


def test_samples_are_taken_together_where_memory_is_short() -> None:
    """4,096 designs in 1 MiB leave room for 8 rows."""
    terms = noise(100, 4096)
    whole, few = moments(terms).scores(), moments(terms, memory=1, pieces=9).scores()
    assert len(whole.deviations) == 100
    assert len(few.deviations) == 8
    assert torch.allclose(whole.eig, few.eig)
    variance = few.deviations.square().sum(0).mean()
    assert float(variance) == pytest.approx(1 / 100, rel=0.05)


def test_parts_of_unequal_size_give_an_unbiased_variance() -> None:
    fractions = torch.tensor([0.5, 0.3, 0.2])
    sums = fractions[:, None] + fractions.sqrt()[:, None] * noise(3, 20_000)
    rows = deviations(sums, fractions, sums.sum(0))
    assert float(rows.square().sum(0).mean()) == pytest.approx(1.0, rel=0.05)


def test_independent_estimates_are_weighted_by_their_samples() -> None:
    first, second = moments(noise(30, 2)).scores(), moments(noise(90, 2, seed=1)).scores()
    both = together([first, second], [30, 90])
    assert torch.allclose(both.eig, 0.25 * first.eig + 0.75 * second.eig)
    expected = (first.deviations.norm(dim=0) / 4).square()
    expected = expected + (0.75 * second.deviations.norm(dim=0)).square()
    assert torch.allclose(both.deviations.square().sum(0), expected)


def test_a_single_sample_and_an_infinite_one_have_no_finite_error() -> None:
    assert moments(noise(1, 2)).scores().deviations.isnan().all()
    terms = torch.tensor([[0.0, math.inf], [1.0, 0.0]])
    scores = moments(terms).scores()
    error = scores.deviations.norm(dim=0)
    assert scores.eig.tolist() == [0.5, math.inf]
    assert error[0].isfinite()
    assert error[1] == math.inf
