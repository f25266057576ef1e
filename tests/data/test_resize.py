"""Means of blocks, Lanczos, squares."""

from __future__ import annotations

import numpy as np
import pytest

from boed.data.resize import centre_square, resize


@pytest.mark.parametrize("channels", [1, 3])
def test_whole_factor_is_the_mean_of_each_block(channels):
    images = np.random.default_rng(0).integers(0, 256, (600, 12, 12, channels), np.uint8)
    small = resize(images, 4)
    expected = np.empty((600, 4, 4, channels))
    for row in range(4):
        for column in range(4):
            block = images[:, 3 * row : 3 * row + 3, 3 * column : 3 * column + 3]
            expected[:, row, column] = block.mean((1, 2))
    assert small.dtype == np.uint8
    assert np.array_equal(small, np.floor(expected + 0.5))


@pytest.mark.parametrize("size", [9, 20])
def test_other_ratios_keep_a_constant_image_and_the_place_of_things(size):
    assert (resize(np.full((2, 12, 12, 1), 77, np.uint8), size) == 77).all()
    bright_left = np.zeros((1, 12, 12, 3), np.uint8)
    bright_left[:, :, :6] = 200
    resized = resize(bright_left, size).astype(int)
    assert resized.shape == (1, size, size, 3)
    assert resized[:, :, 0].min() > 190
    assert resized[:, :, -1].max() < 10


def test_same_size_is_the_same_and_none_stays_none():
    images = np.arange(16, dtype=np.uint8).reshape(1, 4, 4, 1)
    assert np.array_equal(resize(images, 4), images)
    assert resize(np.empty((0, 4, 4, 1), np.uint8), 3).shape == (0, 3, 3, 1)


@pytest.mark.parametrize(
    ("images", "size", "message"),
    [
        (np.zeros((1, 4, 5, 1), np.uint8), 2, r"H = W, got uint8 \(1, 4, 5, 1\)"),
        (np.zeros((1, 4, 4, 1), np.float32), 2, "got float32"),
        (np.zeros((1, 4, 4, 1), np.uint8), 0, "size is 0, expected at least 1"),
    ],
)
def test_refuses(images, size, message):
    with pytest.raises(ValueError, match=message):
        resize(images, size)


def test_centre_square_cuts_or_pads():
    wide = np.arange(1, 9, dtype=np.uint8).reshape(1, 2, 4, 1)
    assert centre_square(wide)[0, :, :, 0].tolist() == [[2, 3], [6, 7]]
    padded = centre_square(wide.transpose(0, 2, 1, 3), pad=True)[0, :, :, 0]
    assert padded.tolist() == [[0, 1, 5, 0], [0, 2, 6, 0], [0, 3, 7, 0], [0, 4, 8, 0]]
