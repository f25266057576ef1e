"""Which images a model is trained and validated on."""

from __future__ import annotations

from pathlib import Path

from boed.data.dataset import Dataset
from boed.data.incomplete import Incomplete
from boed.data.load import NAMES, load
from boed.data.readers.digits import bordered, without_shipped_test
from boed.data.readers.incomplete import read_incomplete


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


def incomplete_splits(
    data: str | Path, size: int | None = None, *, masks: str | None = None, seed: int = 0
) -> tuple[Incomplete, Incomplete]:
    """The train and val images of a data set, no more of them than what was seen.

    Args:
        data: an npz file or a folder with masks of its own, or of logs of sessions
            (`boed.data.readers.incomplete`), or whole images as `boed.data.load` takes them, which
            are then hidden.
        size: width in pixels; native if not given. Images with masks of their own have no other.
        masks: by which whole images are hidden, as `boed.data.masks.named` takes them; `squares`
            if not given.
        seed: of these.

    Raises:
        ValueError: as `load` and `Incomplete` do, only one split has masks, or `masks` or another
            `size` was given where images have masks of their own.
    """
    train = val = None
    if str(data) not in NAMES:  # before a path, as `load` has it
        train, val = read_incomplete(data, "train"), read_incomplete(data, "val")
    if train is not None and val is not None:
        if masks is not None:
            raise ValueError(f"masks is {masks!r}, but {data} has masks of its own: leave it out")
        if size not in (None, train.size):
            raise ValueError(
                f"size is {size}, but {data} has masks of {train.size} pixels: resized images "
                "would have hidden pixels mixed into the seen ones"
            )
        return train, val
    if train is not None or val is not None:
        has, lacks = ("train", "val") if val is None else ("val", "train")
        raise ValueError(f"{data}: {has} has masks and {lacks} has none; expected both, or neither")
    whole = training_splits(data, size)
    return (
        Incomplete.hidden(whole[0], masks or "squares", seed),
        Incomplete.hidden(whole[1], masks or "squares", seed),
    )


def _holds_digits(data: str | Path, size: int | None) -> bool:
    """Whether it is full MNIST at a size at which its images can be told from those of `digits`."""
    return data == "mnist_28" and size in (None, 28, 32)
