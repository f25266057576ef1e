"""Shifts: each kind does what it says, more with each strength."""

from __future__ import annotations

import pytest
import torch

from boed.data.shifts import SHIFTS, STRENGTHS


@pytest.fixture(scope="module")
def scenes() -> torch.Tensor:
    row = torch.linspace(0.1, 0.9, 64)
    wave = 0.1 * torch.sin(torch.arange(64) * 0.3)
    return (row[:, None] * 0.6 + 0.2 + wave[None]).clamp(0, 1).expand(6, 1, 64, 64).clone()


@pytest.mark.parametrize("name", SHIFTS)
def test_more_with_each_strength_and_the_same_for_the_same_seed(name, scenes):
    shifted = [SHIFTS[name](scenes, strength) for strength in STRENGTHS]
    apart = [float((each - scenes).abs().mean()) for each in shifted]
    assert 0 < apart[0] < apart[1] < apart[2]
    assert all(0 <= each.min() <= each.max() <= 1 for each in shifted)
    assert torch.equal(SHIFTS[name](scenes, 2), shifted[1])
    assert torch.equal(SHIFTS[name](scenes, 2, seed=1), shifted[1]) == (
        name in ("blur", "compression")  # nothing of them is random
    )


@pytest.mark.parametrize("name", SHIFTS)
def test_colours_and_single_scenes(name):
    scenes = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert SHIFTS[name](scenes, 1).shape == scenes.shape


def test_exact_amounts(scenes):
    brighter = SHIFTS["brightness"](scenes, 1) - scenes
    assert set((brighter.mean((1, 2, 3)) * 100).round().tolist()) == {8, -8}
    framed = SHIFTS["border"](torch.ones(64, 1, 64, 64), 2)
    black = 1 - framed.mean((2, 3))
    assert black.mean() == pytest.approx(1 - (1 - 0.12) ** 2, abs=0.03)  # 0.06 a side
    marked = SHIFTS["marker"](torch.zeros(8, 1, 64, 64), 2)
    rows, columns = marked.amax((0, 1)).nonzero().T
    assert rows.max() < 0.3 * 64
    assert (columns < 0.2 * 64).any()  # R
    assert (columns > 0.8 * 64).any()  # L
    assert 5 <= marked[:, 0].amax(2).gt(0.3).sum(1).float().mean() <= 9  # 0.12 of 64 tall


def test_unknown_strength(scenes):
    with pytest.raises(ValueError, match="strength is 4, expected one of 1, 2, 3"):
        SHIFTS["blur"](scenes, 4)
