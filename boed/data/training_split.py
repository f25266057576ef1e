"""Which images a model is trained and validated on."""

from __future__ import annotations

from pathlib import Path

from boed.data.dataset import Dataset
from boed.data.load import load
from boed.data.readers.digits import bordered, without_shipped_test


def training_splits(data: str | Path, size: int | None = None) -> tuple[Dataset, Dataset]:
    """The train and val images of a data set.

    Of full MNIST at 28 or 32 px they are its train images without those that `digits` keeps for
    val and test, and the val images of `digits`: what is trained on it can be tested on `digits`.

    Args:
        data: name or path, as `boed.data.load` takes it.
        size: width in pixels; native if not given.

    Raises:
        ValueError: as `load` does.
    """
    if _holds_digits(data, size):
        images = without_shipped_test(load(data, 28, "train"))
        return bordered(images) if size == 32 else images, val_split(data, size)
    return load(data, size, "train"), val_split(data, size)


def val_split(data: str | Path, size: int | None = None) -> Dataset:
    """The val images of `training_splits` alone."""
    return load("digits" if _holds_digits(data, size) else data, size, "val")


def _holds_digits(data: str | Path, size: int | None) -> bool:
    """Whether it is full MNIST at a size at which its images can be told from those of `digits`."""
    return data == "mnist_28" and size in (None, 28, 32)
