"""Data sets of torchxrayvision as ours."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from boed.data.dataset import Dataset
from boed.data.labels import absent_or_present, check_split, split_of, with_any
from boed.data.resize import centre_square, resize
from boed.foundation.memory import check_memory


def from_torchxrayvision(
    dataset: Any,
    size: int,
    split: str = "test",
    *,
    pathologies: Sequence[str] | None = None,
    name: str | None = None,
) -> Dataset:
    """One split of any torchxrayvision data set object, such as `xrv.datasets.NIH_Dataset(...)`.

    Images are cropped to the centre square and resized; their [-1024, 1024] becomes 0..255.
    The split is 80/10/10 by patient where patients are known, else by row.

    An unknown label (NaN) is never taken for "absent": a pathology that no image has a label for
    is dropped, and so is each image with an unknown label among the rest (with a warning). Name
    fewer `pathologies` to keep more images.

    Args:
        dataset: has `pathologies`, `labels` `[N, L]` and items with `img` `[1, H, W]`.
        size: width in pixels.
        split: `train`, `val` or `test`.
        pathologies: which to ask about; all that the set knows if not given. A single one makes a
            single-label set of two classes, several get a last column `any`.
        name: name of the set; its class's name if not given.

    Raises:
        ValueError: a pathology is unknown, no image is left, or pixels are out of range.
    """
    check_split(split)
    title = name or type(dataset).__name__
    labels, names = _known_labels(dataset, title, pathologies)
    patients = _patients(dataset)
    identities = [str(row) for row in range(len(labels))] if patients is None else patients
    wanted = np.array([split_of(identity) == split for identity in identities], bool)
    complete = ~np.isnan(labels).any(1)
    if dropped := int((wanted & ~complete).sum()):
        warnings.warn(
            f"{title}: dropped {dropped} of {int(wanted.sum())} {split} images, for which one of "
            f"{', '.join(names)} is unknown",
            stacklevel=2,
        )
    rows = np.flatnonzero(wanted & complete)
    if not len(rows):
        raise ValueError(
            f"{title}: no {split} image has all of {', '.join(names)} labelled; "
            "name fewer pathologies"
        )
    findings = labels[rows].astype(np.int64)
    if len(names) == 1:
        findings, names = findings[:, 0], absent_or_present(names[0])
    else:
        findings, names = with_any(findings, names)
    check_memory(f"size {size}: {len(rows)} images", 2 * len(rows) * size**2)
    images = np.concatenate([_pixels(dataset, int(row), size, title) for row in rows])
    return Dataset(
        name=title,
        split=split,
        images=torch.from_numpy(images)[:, None],
        labels=torch.from_numpy(findings),
        label_names=names,
        patients=None if patients is None else patients[rows],
    )


def _known_labels(
    dataset: Any, title: str, pathologies: Sequence[str] | None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Labels float `[N, L]` of the pathologies that some image has a label for."""
    offered = [str(pathology) for pathology in dataset.pathologies]
    labels = np.asarray(dataset.labels, float)
    for pathology in pathologies or ():
        if pathology not in offered:
            raise ValueError(f"{title}: no pathology {pathology!r}; it knows {', '.join(offered)}")
    columns = [
        offered.index(pathology)
        for pathology in (pathologies or offered)
        if not np.isnan(labels[:, offered.index(pathology)]).all()
    ]
    if not columns:
        raise ValueError(f"{title}: no image has a label for {', '.join(pathologies or offered)}")
    labels = labels[:, columns]
    if not np.isin(labels[~np.isnan(labels)], (0, 1)).all():
        raise ValueError(
            f"{title}: labels are {np.unique(labels[~np.isnan(labels)])[:5]}..., expected 0, 1, NaN"
        )
    return labels, tuple(offered[column] for column in columns)


def _patients(dataset: Any) -> np.ndarray | None:
    table = getattr(dataset, "csv", None)
    if table is None or "patientid" not in table:
        return None
    return np.asarray(table["patientid"]).astype(str)


def _pixels(dataset: Any, row: int, size: int, title: str) -> np.ndarray:
    """uint8 `[1, size, size]`."""
    image = np.asarray(dataset[row]["img"], np.float32)
    if image.ndim != 3 or image.shape[0] != 1:
        raise ValueError(f"{title}: image {row} is {image.shape}, expected [1, H, W]")
    if not np.isfinite(image).all() or np.abs(image).max() > 1025:
        raise ValueError(
            f"{title}: image {row} spans [{image.min():.4g}, {image.max():.4g}], "
            "expected torchxrayvision's [-1024, 1024]"
        )
    grey = np.rint((image + 1024) / 2048 * 255).clip(0, 255).astype(np.uint8)
    return resize(centre_square(grey[..., None]), size)[..., 0]
