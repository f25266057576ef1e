"""Seeds for a purpose, and noise that belongs to a scene."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from boed.foundation.randomness import SceneNoise, derive, per_scene


def test_derived_seeds_are_the_same_everywhere():
    assert derive(0, "scene", 0) == 2078757628079647459
    code = "from boed.foundation.randomness import derive; print(derive(3, 'look', 1))"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(other.stdout) == derive(3, "look", 1)


def test_derived_seeds_differ_and_fit_a_generator():
    seeds = {derive(seed, purpose, i) for seed in range(9) for purpose in "abc" for i in range(99)}
    assert len(seeds) == 9 * 3 * 99
    assert min(seeds) >= 0
    assert max(seeds) < 2**63
    torch.Generator().manual_seed(max(seeds))


def test_one_seed_per_scene():
    seeds = per_scene(4, 3)
    assert len(set(seeds)) == 3
    assert per_scene(4, 2) == seeds[:2]
    assert set(per_scene(5, 3)).isdisjoint(seeds)
    assert per_scene([7, 8], 2) == per_scene(torch.tensor([7, 8]).tolist(), 2) == [7, 8]


@pytest.mark.parametrize("seeds", [[], [1], [1, 2, 3]])
def test_as_many_seeds_as_scenes(seeds):
    message = f"seed has {len(seeds)} entries for a batch of 2 scenes"
    with pytest.raises(ValueError, match=message):
        per_scene(seeds, 2)


@pytest.mark.parametrize("draw", ["normal", "uniform"])
def test_rows_depend_on_their_own_seed_alone(draw):
    together = SceneNoise([1, 2, 3])
    first, second = (getattr(together, draw)(4, 2, 5) for _ in range(2))
    assert first.shape == (4, 3, 2, 5)
    assert not torch.equal(first, second)
    for b, seed in enumerate([1, 2, 3]):
        alone = SceneNoise([seed])
        assert torch.equal(getattr(alone, draw)(4, 2, 5)[:, 0], first[:, b])
        assert torch.equal(getattr(alone, draw)(4, 2, 5)[:, 0], second[:, b])


def test_distributions():
    noise = SceneNoise(list(range(20)))
    normal, uniform = noise.normal(1000, 3), noise.uniform(1000, 3)
    assert abs(float(normal.mean())) < 0.02
    assert float(normal.std()) == pytest.approx(1, abs=0.02)
    assert 0 <= uniform.min() <= uniform.max() < 1
    assert float(uniform.mean()) == pytest.approx(0.5, abs=0.01)
