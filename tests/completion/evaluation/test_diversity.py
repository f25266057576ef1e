from __future__ import annotations

import math

import pytest
import torch

from boed.completion.evaluation import feature_distance, pixel_std


def test_feature_distance_is_the_mean_over_pairs():
    """Corners of a 3-4-5 triangle, and equal points far from 0."""
    triangle = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]])
    equal = torch.full((3, 2), 1e4)
    found = feature_distance(torch.stack([triangle, equal], dim=1))
    torch.testing.assert_close(found, torch.tensor([4.0, 0.0]))


def test_pixel_std_counts_hidden_pixels_only():
    hidden = torch.zeros(3, 1, 4, 4)
    hidden[1, :, 0] = 1
    hidden[2] = 1
    scenes = torch.zeros(2, 3, 2, 4, 4)
    scenes[0, :, :, 0] = 1  # the first row differs by 1: a standard deviation of sqrt(1/2)
    expected = torch.tensor([math.nan, math.sqrt(0.5), math.sqrt(0.5) / 4])
    torch.testing.assert_close(pixel_std(scenes, hidden), expected, equal_nan=True)


def test_pixel_std_estimates_that_of_the_law(world):
    made = world(200)
    sd = made.factor.square().sum(2).sqrt()  # [B, D]
    expected = sd.sum(1) / made.hidden.flatten(1).sum(1)
    found = pixel_std(made.samples(20, seed=1), made.hidden)
    assert float(found.mean() / expected.mean()) == pytest.approx(1, abs=0.03)
    halved = pixel_std(made.samples(20, seed=1, spread=0.5), made.hidden)
    torch.testing.assert_close(halved, found / 2)


def test_one_completion_has_no_spread():
    with pytest.raises(ValueError, match="expected 2 or more"):
        pixel_std(torch.zeros(1, 2, 1, 4, 4), torch.ones(2, 1, 4, 4))
    with pytest.raises(ValueError, match="n >= 2"):
        feature_distance(torch.zeros(1, 2, 3))
    with pytest.raises(ValueError, match="features has 6 NaN"):
        feature_distance(torch.full((2, 1, 3), math.nan))
