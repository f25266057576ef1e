"""Which images a model is trained and validated on."""

from __future__ import annotations

import os

import pytest
import torch

from boed.data import load
from boed.data.training_split import training_splits


def test_the_splits_of_the_set_itself():
    train, val = training_splits("digits", 32)
    assert torch.equal(train.images, load("digits", 32, "train").images)
    assert torch.equal(val.images, load("digits", 32, "val").images)


@pytest.mark.skipif(not os.environ.get("BOED_DATA"), reason="needs $BOED_DATA")
@pytest.mark.parametrize("size", [None, 32])
def test_full_mnist_without_the_digits_that_are_kept_for_val_and_test(size):
    train, val = training_splits("mnist_28", size)
    assert (train.size, val.size) == (size or 28,) * 2
    assert (train.name, val.name) == ("mnist_28", "digits")
    seen = {image.numpy().tobytes() for image in train.images}
    for split in ("val", "test"):
        held_out = load("digits", size or 28, split).images
        assert not seen & {image.numpy().tobytes() for image in held_out}
