"""The MedMNIST npz convention: `{train,val,test}_images` and `_labels`, and optionally more.

Images are uint8 `[N, H, W]` or `[N, H, W, C]`. Labels are `[N]` or `[N, 1]` class indices, or 0/1
findings `[N, L]`. `label_names` and `{split}_patients` are used when present.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from boed.data.dataset import Dataset, not_whole
from boed.data.labels import SPLITS, absent_or_present, check_split, with_any
from boed.data.resize import resize
from boed.foundation.memory import check_memory
from boed.foundation.npz import Arrays


def read_npz(
    path: Path | str,
    size: int | None = None,
    split: str = "test",
    *,
    name: str | None = None,
    label_names: tuple[str, ...] | None = None,
) -> Dataset:
    """One split of an npz file, checked.

    Multi-label sets get a last column `any` (some finding is present) unless they already have one
    that says so or a "no finding" column.

    Args:
        path: the file. Only the images of `split` are decoded.
        size: width in pixels to resize to; native if not given.
        split: `train`, `val` or `test`.
        name: name of the set; the file's stem if not given.
        label_names: used where the file has none.

    Raises:
        ValueError: the file is missing, damaged or not of this form, a label is out of range, a
            patient is in two splits, or `{split}_masks` says that the images are only partly seen.
            The message names file, key, what was given and expected.
    """
    file = Path(path)
    check_split(split)
    with _Archive(file) as archive:
        if f"{split}_masks" in archive:
            raise not_whole(file, f"images with {split}_masks")
        images = _checked_images(archive, split)
        labels, names = _checked_labels(archive, split, len(images), label_names)
        patients = _checked_patients(archive, split, len(images))
    if size is not None:
        images = resize(images, size)
    return Dataset(
        name=name or file.stem,
        split=split,
        images=torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))),
        labels=torch.from_numpy(labels),
        label_names=names,
        patients=patients,
    )


def images_with_masks(path: Path | str, split: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Images `[N, H, W, C]` of one split and the array `{split}_masks`; None if it is not there.

    Images may be floats here, which hold whatever they like, NaN included, where nothing was seen.

    Raises:
        ValueError: the file is damaged, or the images are not as they should be.
    """
    check_split(split)
    with _Archive(Path(path)) as archive:
        if f"{split}_masks" not in archive:
            return None
        return _checked_images(archive, split, floats=True), archive[f"{split}_masks"]


class _Archive(Arrays):
    """An npz of the MedMNIST convention."""

    def __getitem__(self, key: str) -> np.ndarray:
        if key not in self:
            raise ValueError(
                f"{self.path}: no key {key!r}; expected the MedMNIST convention "
                f"({{train,val,test}}_images and _labels), found {', '.join(self.names)}"
            )
        return super().__getitem__(key)

    def wrong(self, key: str, given: object, expected: str) -> ValueError:
        return ValueError(f"{self.path}: {key!r} is {given}; expected {expected}")


def _checked_images(archive: _Archive, split: str, *, floats: bool = False) -> np.ndarray:
    """Images `[N, H, W, C]`: uint8, or with `floats` also float32."""
    key = f"{split}_images"
    images = archive[key]
    given = f"{images.dtype} {list(images.shape)}"
    if images.ndim == 3:
        images = images[..., None]
    if floats and images.dtype.kind == "f":
        images = images.astype(np.float32)
    known = images.dtype == np.uint8 or (floats and images.dtype == np.float32)
    if not known or images.ndim != 4 or images.shape[3] not in (1, 3):
        kinds = "uint8, or floats in [0, 1]," if floats else "uint8"
        raise archive.wrong(key, given, f"{kinds} [N, H, W] or [N, H, W, 3]")
    if images.shape[1] != images.shape[2] or 0 in images.shape:
        raise archive.wrong(key, given, "at least one image, square and not empty")
    return images


def _checked_labels(
    archive: _Archive, split: str, number: int, fallback: tuple[str, ...] | None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Labels int64 `[N]` or `[N, L]`, and their names."""
    key = f"{split}_labels"
    labels = _whole_numbers(archive, key)
    if len(labels) != number:
        raise archive.wrong(key, f"{len(labels)} labels", f"{number}, one for each image")
    names = fallback
    if "label_names" in archive:
        names = tuple(str(name) for name in np.atleast_1d(archive["label_names"]))
    if labels.ndim == 2:
        names = names or tuple(f"finding {column}" for column in range(labels.shape[1]))
        if len(names) != labels.shape[1]:
            raise archive.wrong(
                "label_names", f"{len(names)} names", f"{labels.shape[1]}, as {key!r} has columns"
            )
        _check_range(archive, key, labels, 1)
        return with_any(labels, names)
    if names is None:
        highest = [
            int(_whole_numbers(archive, f"{part}_labels").max(initial=1))
            for part in SPLITS
            if f"{part}_labels" in archive
        ]
        classes = max(highest) + 1  # each has a name, and a belief for each image
        what = f"{archive.path}: {classes:,} classes, as {key!r} has no label_names,"
        check_memory(what, classes * (100 + 8 * number))
        names = tuple(f"class {index}" for index in range(classes))
    elif len(names) == 1:  # one finding, absent or present
        names = absent_or_present(names[0])
    _check_range(archive, key, labels, len(names) - 1)
    return labels, names


def _whole_numbers(archive: _Archive, key: str) -> np.ndarray:
    """Labels as int64 `[N]` or `[N, L]` with L > 1."""
    labels = archive[key]
    if labels.dtype.kind == "f":
        if np.isnan(labels).any():
            raise archive.wrong(key, f"NaN in {int(np.isnan(labels).sum())} places", "a label each")
        if (labels != np.round(labels)).any():
            raise archive.wrong(key, f"{labels.dtype} with fractions", "whole numbers")
    elif labels.dtype.kind not in "biu":
        raise archive.wrong(key, labels.dtype, "whole numbers")
    if labels.ndim not in (1, 2) or 0 in labels.shape:
        raise archive.wrong(key, f"of shape {list(labels.shape)}", "[N], [N, 1] or [N, L]")
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    return labels.astype(np.int64)


def _check_range(archive: _Archive, key: str, labels: np.ndarray, highest: int) -> None:
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high > highest:
        raise archive.wrong(key, f"from {low} to {high}", f"labels in 0..{highest}")


def _checked_patients(archive: _Archive, split: str, number: int) -> np.ndarray | None:
    """Patient ids `[N]` where known; no patient may be in two splits."""
    known = {part: archive[f"{part}_patients"] for part in SPLITS if f"{part}_patients" in archive}
    for first, second in (("train", "val"), ("train", "test"), ("val", "test")):
        if first in known and second in known:
            shared = np.intersect1d(known[first], known[second])
            if len(shared):
                raise archive.wrong(
                    f"{second}_patients",
                    f"sharing {len(shared)} patients with {first} (such as {shared[0]})",
                    "every patient in one split only",
                )
    if split not in known:
        return None
    if known[split].shape != (number,):
        raise archive.wrong(
            f"{split}_patients", f"of shape {list(known[split].shape)}", f"[{number}]"
        )
    return known[split]
