"""What has been seen, and how it grows."""

from __future__ import annotations

import pytest
import torch

from data import Observation, check_scenes


@pytest.fixture
def scenes():
    return torch.rand(3, 2, 6, 6, generator=torch.Generator().manual_seed(0))


def window(rows, columns, batch=3, size=6):
    mask = torch.zeros(batch, 1, size, size)
    mask[:, :, rows, columns] = 1
    return mask


def test_unseen_pixels_are_zero_and_seen_ones_true(scenes):
    mask = window(slice(0, 2), slice(1, 4))
    observation = Observation.of(scenes, mask)
    assert torch.equal(observation.values[:, :, 0:2, 1:4], scenes[:, :, 0:2, 1:4])
    assert observation.values.count_nonzero() == 3 * 2 * 6
    assert torch.allclose(observation.fraction_seen, torch.full((3,), 6 / 36))
    assert (len(observation), observation.size, observation.channels) == (3, 6, 2)


def test_nothing_is_seen_at_first():
    observation = Observation.nothing(4, 3, 5)
    assert observation.stacked().shape == (4, 4, 5, 5)
    assert observation.stacked().count_nonzero() == 0


def test_stacked_ends_with_the_mask(scenes):
    observation = Observation.of(scenes, window(slice(2, 4), slice(2, 4)))
    assert torch.equal(observation.stacked()[:, :2], observation.values)
    assert torch.equal(observation.stacked()[:, 2:], observation.mask)


def test_looks_add_up_in_any_order(scenes):
    first, second = window(slice(0, 3), slice(0, 3)), window(slice(2, 5), slice(1, 6))
    both = Observation.of(scenes, torch.maximum(first, second))
    for one, other in ((first, second), (second, first)):
        grown = Observation.of(scenes, one).with_seen(scenes, other)
        assert torch.equal(grown.values, both.values)
        assert torch.equal(grown.mask, both.mask)


def test_with_seen_leaves_the_old_observation(scenes):
    observation = Observation.nothing(3, 2, 6)
    observation.with_seen(scenes, torch.ones(3, 1, 6, 6))
    assert observation.values.count_nonzero() == 0


def test_composite_keeps_what_was_measured(scenes):
    mask = window(slice(1, 5), slice(1, 5))
    guesses = torch.rand(7, 3, 2, 6, 6)
    composed = Observation.of(scenes, mask).composite(guesses)
    seen = (mask > 0).expand_as(scenes)
    assert composed.shape == guesses.shape
    for guess, result in zip(guesses, composed, strict=True):
        assert torch.equal(result[seen], scenes[seen])
        assert torch.equal(result[~seen], guess[~seen])


def test_repeat_puts_copies_one_after_the_other(scenes):
    observation = Observation.of(scenes, window(slice(0, 2), slice(0, 2))).repeat(2)
    assert len(observation) == 6
    assert torch.equal(observation.values[:3], observation.values[3:])
    assert torch.equal(observation[4:5].values, observation[1:2].values)


@pytest.mark.parametrize(
    ("values", "mask", "message"),
    [
        ((2, 6, 6), (2, 1, 6, 6), r"values must be \[B, C, H, W\], got \(2, 6, 6\)"),
        ((2, 1, 6, 6), (1, 1, 6, 6), r"mask must be \(2, 1, 6, 6\)"),
        ((2, 3, 6, 6), (2, 3, 6, 6), r"got \(2, 3, 6, 6\)"),
        ((2, 3, 6, 6), (2, 1, 6, 5), r"got \(2, 1, 6, 5\)"),
    ],
)
def test_refuses_shapes_that_do_not_fit(values, mask, message):
    with pytest.raises(ValueError, match=message):
        Observation(torch.zeros(values), torch.zeros(mask))


def test_check_scenes(scenes):
    check_scenes(scenes)
    broken = scenes.clone()
    broken[0, 0, 0, :2] = torch.tensor([float("nan"), float("inf")])
    for wrong, message in (
        (scenes[0], r"scenes must be \[B, C, H, W\]"),
        (scenes[..., :5], r"H = W, got \(3, 2, 6, 5\)"),
        (broken, "scenes has 2 NaN or infinite pixels"),
        (scenes * 255, r"expected values in \[0, 1\]"),
        (scenes - 1, r"spans \[-"),
    ):
        with pytest.raises(ValueError, match=message):
            check_scenes(wrong)
    with pytest.raises(ValueError, match=r"^guess has 2 NaN"):
        check_scenes(broken, "guess")
