"""Pictures of inverted polarity are told from others."""

from __future__ import annotations

import torch

from boed.data import load
from boed.data.polarity import correlation, inverted, unlike_the_others


def test_every_inverted_digit_is_noticed_and_no_other():
    typical = load("digits", 32, "val").scenes().mean(0)
    test = load("digits", 32, "test")
    assert not inverted(test.scenes(), typical).any()
    assert inverted(1 - test.scenes(), typical).all()
    assert not unlike_the_others(test.images).any()


def test_chest_x_rays_too(real_data):
    for name in ("kermany_pneumonia_128", "nih_cxr14_64"):
        typical = load(name, 64, "val").scenes().mean(0)
        scenes = load(name, 64, "test").scenes(slice(200))
        assert not inverted(scenes, typical).any()
        assert inverted(1 - scenes, typical).float().mean() > 0.98


def test_flat_pictures_correlate_with_nothing():
    flat, ramp = torch.full((2, 1, 4, 4), 0.5), torch.arange(16.0).reshape(1, 4, 4)
    assert correlation(flat, ramp).tolist() == [0, 0]
    assert correlation(ramp[None], flat[0]).tolist() == [0]
