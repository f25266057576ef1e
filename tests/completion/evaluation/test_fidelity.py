from __future__ import annotations

import math

import pytest
import torch

from boed.completion.evaluation import (
    best_of,
    l1,
    mean_decibels,
    observed_error,
    psnr,
    relative_l1,
    relative_l2,
    share_within,
    squared_error,
    ssim,
)
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


def test_relative_errors_by_hand():
    truth = torch.tensor([[3.0, 4.0], [0.5, 0.0]]).view(2, 1, 1, 2)
    scenes = truth + torch.tensor([[0.7, 0.0], [0.0, 0.2]]).view(2, 1, 1, 2)
    torch.testing.assert_close(relative_l1(scenes[None], truth), torch.tensor([[10.0, 40.0]]))
    torch.testing.assert_close(relative_l2(scenes[None], truth), torch.tensor([[14.0, 40.0]]))
    assert relative_l1(scenes[None], truth * 0).isnan().all()
    assert relative_l2(scenes[None], truth * 0).isnan().all()


@pytest.mark.parametrize(("decibels", "percent"), [(14.5, 40.6), (17.4, 28.2), (19.5, 22.4)])
def test_l2_over_rmse_is_one_over_the_rms_of_the_images(decibels, percent):
    """As the table of Dupont & Suresha 2019 has it, nearly, for images whose RMS is 0.47."""
    generator = torch.Generator().manual_seed(0)
    truth = torch.rand(1, 3, 8, 8, generator=generator)
    truth = 0.47 * truth / truth.square().mean().sqrt()
    noise = torch.randn(1, *truth.shape, generator=generator)
    scenes = truth + noise / noise.square().mean().sqrt() * 10 ** (-decibels / 20)
    assert float(psnr(scenes, truth)) == pytest.approx(decibels, abs=1e-3)
    assert float(relative_l2(scenes, truth)) == pytest.approx(percent, rel=0.03)
    rmse = 10 ** (-decibels / 20)
    assert float(relative_l2(scenes, truth)) == pytest.approx(100 * rmse / 0.47, rel=1e-4)


def test_squared_error_sums_over_channels(truth, hidden):
    scenes = torch.stack([truth + 0.1 + 5 * (1 - hidden), truth])
    expected = torch.tensor([[math.nan, 0.02, 0.02], [math.nan, 0, 0]])
    torch.testing.assert_close(squared_error(scenes, truth, hidden), expected, equal_nan=True)


def test_share_of_pixels_within_five_levels(hidden):
    truth = torch.full((3, 2, 8, 8), 100 / 255)
    scenes = truth.expand(3, *truth.shape).clone()
    scenes[0] += 5 / 255  # right
    scenes[1, :, 1, :2] += 6 / 255  # a channel of the upper two rows is not
    scenes[2, :, :, 0] -= 6 / 255  # of the first row, in both
    found = share_within(scenes, truth, hidden)
    expected = torch.tensor([[math.nan, 1, 1], [math.nan, 0.75, 0.75], [math.nan, 0.875, 0.875]])
    torch.testing.assert_close(found, expected, equal_nan=True)
    within = share_within(scenes, truth, hidden, levels=6)
    torch.testing.assert_close(within[:, 1:], torch.ones(3, 2))


def test_mean_of_decibels_and_decibels_of_the_mean(truth):
    scenes = torch.stack([truth + 0.1, truth + 0.01])
    torch.testing.assert_close(
        mean_decibels(scenes, truth), torch.full((3,), 30.0), atol=1e-3, rtol=0
    )
    of_mean = -10 * (10 ** (-psnr(scenes, truth) / 10)).mean(0).log10()
    assert (of_mean < 24).all()
    assert mean_decibels(truth[None], truth).isinf().all()


def test_ssim_of_the_truth_is_one_and_of_constants_in_closed_form(truth):
    torch.testing.assert_close(ssim(truth[None], truth), torch.ones(1, 3))
    flat, half = torch.full_like(truth, 0.25), torch.full_like(truth, 0.5)
    expected = (2 * 0.125 + 1e-4) / (0.0625 + 0.25 + 1e-4)  # no variance: the luminance term
    found = ssim(torch.stack([flat, half]), half)
    torch.testing.assert_close(found, torch.tensor([[expected] * 3, [1.0] * 3]), atol=1e-3, rtol=0)


def test_of_the_hidden_pixels_alone(truth, hidden):
    """What is wrong elsewhere does not count for PSNR; for SSIM it does, where a window sees it."""
    scenes = torch.stack([truth + 0.1 * hidden, truth + 0.1 * hidden + 0.3 * (1 - hidden)])
    found = psnr(scenes, truth, hidden)
    torch.testing.assert_close(found[:, 1:], torch.full((2, 2), 20.0), atol=1e-3, rtol=0)
    assert found[:, 0].isnan().all()  # nothing is hidden
    assert psnr(truth[None], truth, hidden)[0, 1:].isinf().all()
    everywhere = torch.ones_like(hidden)
    for metric in (psnr, ssim):
        torch.testing.assert_close(metric(scenes, truth, everywhere), metric(scenes, truth))
    structure = ssim(scenes, truth, hidden)
    assert structure[:, 0].isnan().all()
    assert structure[0, 1] > structure[1, 1] + 0.01
    assert (structure[:, 1] < ssim(scenes, truth)[:, 1])[0]


def test_ssim_of_a_hole_is_of_the_windows_around_its_pixels(truth):
    """A pixel 6 or further away is in none of them."""
    scenes, hidden = truth.clone(), torch.zeros(len(truth), 1, *truth.shape[2:])
    hidden[..., 0, 0] = 1
    scenes[..., 6:, 6:] = 1 - scenes[..., 6:, 6:]
    torch.testing.assert_close(ssim(scenes[None], truth, hidden), torch.ones(1, len(truth)))
    assert (ssim(scenes[None], truth) < 0.99).all()


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
    with pytest.raises(ValueError, match="levels is -1, expected at least 0"):
        share_within(scenes, truth, hidden, levels=-1)
    with pytest.raises(ValueError, match="expected 6 or more a side"):
        ssim(scenes[..., :5], truth[..., :5])
    indirect = Observation(truth, hidden, readings=torch.zeros(3, 4), taken=torch.zeros(3, 4))
    with pytest.raises(ValueError, match="indirect sensor"):
        observed_error(scenes, indirect)


@pytest.mark.parametrize("metric", [l1, squared_error, share_within, psnr, ssim])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s, t, h: (t, t, h), r"scenes must be \[n, B, C, H, W\]"),
        (lambda s, t, h: (s, t[:2], h), "truth is"),
        (lambda s, t, h: (s, t * math.nan, h), "truth has"),
        (lambda s, t, h: (s, t, h[:, :, :4]), "hidden is"),
        (lambda s, t, h: (s, t, h + 0.5), "hidden must be 1 where"),
    ],
)
def test_metrics_of_hidden_pixels_refuse(metric, change, said, truth, hidden):
    with pytest.raises(ValueError, match=said):
        metric(*change(truth.expand(2, *truth.shape), truth, hidden))


@pytest.mark.parametrize("metric", [psnr, ssim, relative_l1, relative_l2, mean_decibels])
def test_metrics_of_whole_images_refuse(metric, truth):
    scenes = truth.expand(2, *truth.shape)
    with pytest.raises(ValueError, match=r"scenes must be \[n, B, C, H, W\]"):
        metric(truth, truth)
    with pytest.raises(ValueError, match="truth is"):
        metric(scenes, truth[:2])
    with pytest.raises(ValueError, match="scenes has"):
        metric(scenes * math.inf, truth)
