"""Coarse to fine: finds smooth peaks from a part of the candidates."""

from __future__ import annotations

import pytest
import torch

from boed.search import (
    CoarseToFine,
)
from tests.search.worlds import Table, search, skewed


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_coarse_to_fine_finds_a_smooth_peak_anywhere(dimensions: int) -> None:
    """One Gaussian bump per scene over 500 scattered designs in units of very different size."""
    draw = torch.Generator().manual_seed(0)
    points = torch.rand(500, dimensions, generator=draw)
    peaks = torch.rand(60, dimensions, generator=draw)
    eig = torch.exp(-4 * torch.cdist(peaks, points) ** 2)
    table = Table(eig.expand(3, -1, -1), points * 10.0 ** torch.arange(dimensions))
    result = search(CoarseToFine(coarse=0.1, around=4), table)
    assert torch.equal(result.eig.where(result.finished, -torch.inf).argmax(1), eig.argmax(1))
    assert result.evaluations < 0.45 * table.gains.numel()
    assert len(result.finished.unique(dim=0)) > 30  # each scene refines its own


def test_coarse_to_fine_of_all_candidates_is_exhaustive() -> None:
    table = skewed(10, 20)
    result = search(CoarseToFine(coarse=1.0), table)
    assert result.finished.all()
    assert torch.allclose(result.eig, table.eig, atol=1e-6)
