"""The MedMNIST npz convention: `{train,val,test}_images` and `_labels`, and optionally more.

Images are uint8 `[N, H, W]` or `[N, H, W, C]`. Labels are `[N]` or `[N, 1]` class indices, or 0/1
findings `[N, L]`. `label_names` and `{split}_patients` are used when present.
"""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch

from boed.data.dataset import Dataset
from boed.data.labels import SPLITS, absent_or_present, check_split, with_any
from boed.data.resize import resize

_UNREADABLE = (OSError, ValueError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error)


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
        ValueError: the file is missing, damaged or not of this form, a label is out of range, or
            a patient is in two splits. The message names file, key, what was given and expected.
    """
    file = Path(path)
    check_split(split)
    with _Archive(file) as archive:
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


class _Archive:
    """An open npz whose every failure is a ValueError that names the file and the key."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> _Archive:
        if not self.path.is_file():
            raise ValueError(f"{self.path} does not exist or is not a file")
        try:
            self._file = np.load(self.path, allow_pickle=False)
        except _UNREADABLE as error:
            raise ValueError(
                f"{self.path} is truncated or is not an npz file ({error}); copy it again"
            ) from error
        if not isinstance(self._file, np.lib.npyio.NpzFile):
            raise ValueError(f"{self.path} holds a single array; expected an npz file")
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __contains__(self, key: str) -> bool:
        return key in self._file.files

    def __getitem__(self, key: str) -> np.ndarray:
        if key not in self:
            raise ValueError(
                f"{self.path}: no key {key!r}; expected the MedMNIST convention "
                f"({{train,val,test}}_images and _labels), found {', '.join(self._file.files)}"
            )
        try:
            array = self._file[key]
        except _UNREADABLE as error:
            raise ValueError(f"{self.path}: {key!r} is damaged ({error}); copy it again") from error
        if not isinstance(array, np.ndarray):  # numpy hands out as bytes what has no npy header
            raise ValueError(f"{self.path}: {key!r} is damaged (not an array); copy it again")
        return array

    def wrong(self, key: str, given: object, expected: str) -> ValueError:
        return ValueError(f"{self.path}: {key!r} is {given}; expected {expected}")


def _checked_images(archive: _Archive, split: str) -> np.ndarray:
    """Images uint8 `[N, H, W, C]`."""
    key = f"{split}_images"
    images = archive[key]
    given = f"{images.dtype} {list(images.shape)}"
    if images.ndim == 3:
        images = images[..., None]
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] not in (1, 3):
        raise archive.wrong(key, given, "uint8 [N, H, W] or [N, H, W, 3]")
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
        names = tuple(f"class {index}" for index in range(max(highest) + 1))
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
