"""Quantisation: bins, round trips, and what is refused."""

import pytest
import torch

from boed.completion.levels import from_level, to_level


@pytest.mark.parametrize("levels", range(2, 257))
def test_a_level_stands_for_itself(levels):
    k = torch.arange(levels)
    assert torch.equal(to_level(from_level(k, levels), levels), k)
    assert torch.equal(to_level(torch.tensor([0.0, 1.0]), levels), torch.tensor([0, levels - 1]))


@pytest.mark.parametrize("levels", [2, 3, 8, 32, 256])
def test_bins_are_equal(levels):
    x = (torch.arange(levels * 100, dtype=torch.double) + 0.5) / (levels * 100)
    assert torch.bincount(to_level(x, levels)).tolist() == [100] * levels


def test_eight_bits_keep_their_levels_and_white_is_one_of_32():
    grey = torch.arange(256) / 255
    assert torch.equal(to_level(grey, 256), torch.arange(256))
    assert torch.bincount(to_level(grey, 32)).tolist() == [8] * 32


def test_binary_is_above_one_half():
    assert to_level(torch.tensor([0.5, 0.5001, 128 / 255]), 2).tolist() == [0, 1, 1]


@pytest.mark.parametrize("levels", [1, 0, 257, 2.0, True, "2"])
@pytest.mark.parametrize("convert", [to_level, from_level])
def test_numbers_of_levels_that_there_are_not_are_refused(convert, levels):
    with pytest.raises(ValueError, match="levels is"):
        convert(torch.zeros(2, dtype=torch.long if convert is from_level else torch.float), levels)


@pytest.mark.parametrize(
    ("convert", "given", "said"),
    [
        (to_level, [-0.1, 0.5], r"x spans -0.1 to 0.5, expected pixels in \[0, 1\]"),
        (to_level, [0.5, 1.1], "x spans 0.5 to 1.1"),
        (to_level, [float("nan")], "x spans nan"),
        (to_level, [0, 1], "x is a Tensor, int64"),
        (from_level, [0, 8], "k spans 0 to 8, expected 0 to 7"),
        (from_level, [-1, 0], "k spans -1 to 0"),
        (from_level, [0.0], "k is a Tensor, float32"),
        (from_level, [True], "k is a Tensor, bool"),
    ],
)
def test_values_that_have_no_level_are_refused(convert, given, said):
    with pytest.raises(ValueError, match=said):
        convert(torch.tensor(given), 8)
