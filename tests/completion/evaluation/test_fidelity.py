from __future__ import annotations

import math

import pytest
import torch

from boed.completion.evaluation import best_of, l1, observed_error, psnr, ssim
from boed.data.observation import Observation


@pytest.fixture
def truth():
    return torch.rand(3, 2, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def hidden():
    """Nothing, the left half and everything."""
    mask = torch.zeros(3, 1, 8, 8)
    mask[1, :, :, :4] = 1
    mask[2] = 1
    return mask


def test_l1_counts_hidden_pixels_only(truth, hidden):
    scenes = torch.stack([truth + 0.25 * hidden, truth + (1 - hidden), truth - 0.5])
    expected = torch.tensor([[math.nan, 0.25, 0.25], [math.nan, 0, 0], [math.nan, 0.5, 0.5]])
    torch.testing.assert_close(l1(scenes, truth, hidden), expected, equal_nan=True)


def test_observed_error_counts_seen_pixels_only(truth, hidden):
    observation = Observation.of(truth, 1 - hidden)
    drawn = torch.stack([truth + 0.1 + 7 * hidden, truth - 0.3])
    found = observed_error(drawn, observation)
    torch.testing.assert_close(found, torch.tensor([0.2, 0.2, math.nan]), equal_nan=True)


def test_psnr_in_decibels(truth):
    scenes = torch.stack([truth + 0.1, truth + 0.01, truth])
    found = psnr(scenes, truth)
    torch.testing.assert_close(found[:2], torch.tensor([[20.0] * 3, [40.0] * 3]), atol=1e-3, rtol=0)
    assert found[2].isinf().all()


def test_ssim_of_the_truth_is_one_and_of_constants_in_closed_form(truth):
    torch.testing.assert_close(ssim(truth[None], truth), torch.ones(1, 3))
    flat, half = torch.full_like(truth, 0.25), torch.full_like(truth, 0.5)
    expected = (2 * 0.125 + 1e-4) / (0.0625 + 0.25 + 1e-4)  # no variance: the luminance term
    found = ssim(torch.stack([flat, half]), half)
    torch.testing.assert_close(found, torch.tensor([[expected] * 3, [1.0] * 3]), atol=1e-3, rtol=0)


def test_ssim_is_of_each_scene_alone(truth):
    noise = torch.randn(2, *truth.shape, generator=torch.Generator().manual_seed(1))
    scenes = truth + 0.2 * noise
    alone = ssim(scenes[1:, 2:], truth[2:])
    torch.testing.assert_close(ssim(scenes, truth)[1:, 2:], alone)
    assert 0 < float(alone) < 0.95


def test_best_of():
    values = torch.tensor([[1.0, 5.0], [3.0, 2.0]])
    assert best_of(values, higher=True).tolist() == [3, 5]
    assert best_of(values, higher=False).tolist() == [1, 2]
    assert best_of(torch.tensor([[math.nan], [1.0]]), higher=True).isnan().all()
    with pytest.raises(ValueError, match="values must be"):
        best_of(torch.ones(3), higher=True)


def test_bad_input_is_refused(truth, hidden):
    scenes = truth.expand(2, *truth.shape)
    with pytest.raises(ValueError, match=r"scenes must be \[n, B, C, H, W\]"):
        l1(truth, truth, hidden)
    with pytest.raises(ValueError, match="truth is"):
        l1(scenes, truth[:2], hidden)
    with pytest.raises(ValueError, match="hidden is"):
        l1(scenes, truth, hidden[:, :, :4])
    with pytest.raises(ValueError, match="hidden must be 1 where"):
        l1(scenes, truth, hidden + 0.5)
    with pytest.raises(ValueError, match=r"scenes has \d+ NaN"):
        psnr(scenes * math.nan, truth)
    with pytest.raises(ValueError, match="expected 6 or more a side"):
        ssim(scenes[..., :5], truth[..., :5])
    indirect = Observation(truth, hidden, readings=torch.zeros(3, 4), taken=torch.zeros(3, 4))
    with pytest.raises(ValueError, match="indirect sensor"):
        observed_error(scenes, indirect)
