"""Data for a machine that has none: as many images as fit beside the code, as compressed uint8."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from boed.data.dataset import Dataset
from boed.data.load import IN_FOLDER
from boed.data.training_split import training_splits
from boed.foundation import shipped
from boed.foundation.files import atomic
from boed.foundation.options import COUNT, Number, OutFolder
from boed.training.recipes import Recipe
from boed.zoo.defaults import DEFAULT_SIZE
from boed.zoo.kit.plan import Member, check_data, plan

MIB = 1 << 20

ROOM = 64.0
"""MiB that a machine may be given: code, shipped weights and data."""

FEWEST_VAL = 64
"""Val images where there are so many: with fewer, figures say nothing."""

UNBORDERED = {"mnist_28": 28}
"""Width in pixels of files whose images get their border where they are read."""


@dataclass(frozen=True, kw_only=True)
class Pack:
    """A file of images that was written.

    Attributes:
        path: of the file.
        size: width of the images in pixels.
        train, val: images of each split, and how many there are in all.
        megabytes: of the file, in MiB.
    """

    path: Path
    size: int
    train: tuple[int, int]
    val: tuple[int, int]
    megabytes: float


def pack(
    folder: Path | str,
    only: Sequence[str] = (),
    *,
    images: int | None = None,
    megabytes: float | None = None,
) -> Pack:
    """Write the train and val images of some models to a folder that `$BOED_DATA` can name.

    Where not all of them fit, both splits are cut to the same fraction, drawn at random with a
    fixed seed; `images` leaves at least 64 of val, or all there are. Images are packed at the
    largest size at which the models learn.

    Args:
        folder: where the file goes, named after the data set.
        only: models that learn from one data set; all if there are none.
        images: of the train split, at most.
        megabytes: of the file in MiB, at most; what `code_megabytes` leaves of 64 if not given.

    Raises:
        ValueError: an unknown name (the nearest is suggested), models of several data sets, of
            none, or of one that is not read from that folder, missing data, or not one image that
            fits.
    """
    OutFolder().check("folder", folder)
    if images is not None:
        COUNT.check("images", images)
    if megabytes is None:
        megabytes = ROOM - code_megabytes()
    Number(above=0).check("megabytes", megabytes)
    members = plan(only, Path(folder))
    name, size = _wanted(members)
    check_data(members)
    splits = training_splits(name, UNBORDERED.get(name, size))
    path = Path(folder) / f"{name}.npz"
    if path.exists():
        raise ValueError(f"folder: {path} is there already; choose another folder or remove it")
    fraction = 1.0 if images is None else min(1.0, images / len(splits[0]))
    fewest = FEWEST_VAL
    while True:
        parts = [_part(splits[0], fraction, 1), _part(splits[1], fraction, fewest)]
        with atomic(path) as temporary:
            np.savez_compressed(temporary, **_arrays(parts))
        written = path.stat().st_size / MIB
        if written <= megabytes:
            train, val = ((len(a), len(b)) for a, b in zip(parts, splits, strict=True))
            return Pack(path=path, size=parts[0].size, train=train, val=val, megabytes=written)
        if len(parts[0]) == 1:
            path.unlink()
            raise ValueError(f"megabytes is {megabytes:.3g}, expected room for an image or more")
        less = 0.98 * megabytes / written
        fraction, fewest = less * fraction, max(1, int(less * fewest))


def code_megabytes() -> float:
    """Size of the package and of the shipped models with their cards, in MiB."""
    package = Path(shipped.__file__).parents[1]
    folders = [package, *(shipped.zoo_folder() / kind for kind in shipped.KINDS)]
    files = {path for folder in folders for path in folder.rglob("*") if path.is_file()}
    return sum(path.stat().st_size for path in files if path.suffix != ".pyc") / MIB


def _wanted(members: Iterable[Member]) -> tuple[str, int | None]:
    """The data set of some models, and the largest size at which they learn."""
    recipes: dict[str, Recipe] = {each.name: Recipe.read(each.source) for each in members}
    sets = {each.data for each in recipes.values() if each.data is not None}
    if len(sets) != 1:
        said = ", ".join(f"{name} from {each.data or 'no data'}" for name, each in recipes.items())
        raise ValueError(f"only: {said}; expected models of one data set, packed one at a time")
    name = sets.pop()
    if name not in IN_FOLDER:
        raise ValueError(
            f"only: {', '.join(recipes)} learn from {name}, expected models of a data set that is "
            f"read from the folder of BOED_DATA ({', '.join(IN_FOLDER)}); take files and folders "
            "along as they are, with the masks that they have"
        )
    sizes = [each.size or DEFAULT_SIZE.get(name) for each in recipes.values() if each.data]
    return name, None if None in sizes else max(size for size in sizes if size is not None)


def _part(data: Dataset, fraction: float, fewest: int) -> Dataset:
    """Rows that a fraction of a data set has, in their order."""
    number = min(len(data), max(fewest, round(fraction * len(data))))
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(0))
    return data.subset(order[:number].sort().values)


def _arrays(parts: Iterable[Dataset]) -> dict[str, Any]:
    """The arrays of an npz file as `boed.data.readers.npz` reads them."""
    arrays: dict[str, Any] = {}
    for split, part in zip(("train", "val"), parts, strict=True):
        if part.images.dtype != torch.uint8:
            raise ValueError(f"{part.name} has images of {part.images.dtype}, expected uint8")
        images = part.images.numpy().transpose(0, 2, 3, 1)
        arrays[f"{split}_images"] = images[..., 0] if images.shape[3] == 1 else images
        arrays[f"{split}_labels"] = part.labels.numpy()
        if part.patients is not None:
            arrays[f"{split}_patients"] = part.patients
        arrays["label_names"] = np.array(part.label_names)
    return arrays
