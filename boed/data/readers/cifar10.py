"""CIFAR-10 (Krizhevsky 2009): the official binary archive, or JPEG files in a tar archive.

The official archive is the binary version, which can be read without unpickling anything. The
official training part has no val split: a tenth of it, by position, is ours.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path, PurePosixPath

import numpy as np
import torch

from boed.data.dataset import Dataset
from boed.data.download import cache, download
from boed.data.labels import check_split
from boed.foundation.memory import check_memory

URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
SHA256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
_BYTES = 170_052_171
NAMES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
_WIDTH = 32
_RECORD = 1 + 3 * _WIDTH**2
_BATCH = 10_000 * _RECORD
_LARGEST_PICTURE = 1 << 20


def fetch(root: str | Path | None = None, url: str = URL, progress: bool = True) -> Path:
    """The official archive (162 MiB), downloaded and verified if it is not there yet.

    Raises:
        ValueError: what the server sent is not the published file.
        OSError: no connection, it broke, or the disk is full. Call again to go on.
    """
    target = Path(root or cache()) / "cifar-10-binary.tar.gz"
    return download(url, target, f"sha256:{SHA256}", most_bytes=_BYTES, progress=progress)


def read_cifar10(path: Path | str, split: str = "test", name: str = "cifar10") -> Dataset:
    """One split of an archive: uint8 `[N, 3, 32, 32]`, 45,000 / 5,000 / 10,000 when whole.

    Args:
        path: `cifar-10-binary.tar.gz`, or a tar archive of `{train,test}/{class}/*.jpg` (or png).
        split: `train`, `val` or `test`.
        name: what the set is called in reports.

    Raises:
        ValueError: the file is missing, damaged, or neither of the two.
    """
    check_split(split)
    file = Path(path)
    if not file.is_file():
        raise ValueError(f"{file} does not exist or is not a file")
    try:
        images, labels, positions = _read(file, split == "test")
    except ValueError:
        raise
    except Exception as error:  # tar and each of its compressions raise kinds of their own
        raise ValueError(f"{file} is damaged or is no tar archive ({error})") from error
    if not len(labels):
        raise ValueError(
            f"{file} has no image of {split}; expected cifar-10-batches-bin/*.bin, or "
            "{train,test}/{class}/*.jpg"
        )
    rows = np.arange(len(labels))
    if split != "test":
        rows = np.flatnonzero((positions % 10 == 9) == (split == "val"))
    return Dataset(
        name=name,
        split=split,
        images=torch.from_numpy(images[rows]),
        labels=torch.from_numpy(labels[rows]),
        label_names=NAMES,
    )


@lru_cache(maxsize=2)
def _read(file: Path, test: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images, labels, and each image's number within its file, or the whole."""
    images: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    positions: list[np.ndarray] = []
    unpacked = 0
    with tarfile.open(file) as archive:
        for where, content in _members(archive, test):
            unpacked += max(len(content), 3 * _WIDTH**2)
            check_memory(f"{file}: its images", 2 * unpacked)
            if where.suffix == ".bin":
                some, answers = _batch(content, f"{file}: {where}")
                numbers = np.arange(len(answers))
            else:
                some, answers = _picture(content, where, f"{file}: {where}")
                numbers = np.array([len(positions)])
            images.append(some)
            labels.append(answers)
            positions.append(numbers)
    if not images:
        nothing = np.zeros(0, np.int64)
        return np.zeros((0, 3, _WIDTH, _WIDTH), np.uint8), nothing, nothing
    return np.concatenate(images), np.concatenate(labels), np.concatenate(positions)


def _members(archive: tarfile.TarFile, test: bool) -> Iterator[tuple[PurePosixPath, bytes]]:
    """The files of the archive that hold the wanted images. Nothing is unpacked to disk."""
    for member in archive:
        where = PurePosixPath(member.name)
        if not member.isfile():
            continue
        if where.suffix == ".bin":
            wanted = where.name == "test_batch.bin" if test else where.name.startswith("data_")
            limit = _BATCH
        else:
            part = where.parts[-3] if len(where.parts) >= 3 else ""
            picture = where.suffix in (".jpg", ".jpeg", ".png")
            wanted = picture and part == ("test" if test else "train")
            limit = _LARGEST_PICTURE
        if not wanted:
            continue
        if member.size > limit:
            raise ValueError(f"{where} has {member.size:,} bytes, expected at most {limit:,}")
        opened = archive.extractfile(member)
        assert opened is not None
        yield where, opened.read()


def _batch(content: bytes, where: str) -> tuple[np.ndarray, np.ndarray]:
    """The records of a file of the official archive: a label, then red, green and blue."""
    if not content or len(content) % _RECORD:
        raise ValueError(f"{where} has {len(content):,} bytes, expected a multiple of {_RECORD:,}")
    records = np.frombuffer(content, np.uint8).reshape(-1, _RECORD)
    labels = records[:, 0].astype(np.int64)
    if labels.max() >= len(NAMES):
        raise ValueError(f"{where}: labels up to {labels.max()}, expected 0..{len(NAMES) - 1}")
    return records[:, 1:].reshape(-1, 3, _WIDTH, _WIDTH), labels


def _picture(content: bytes, where: PurePosixPath, here: str) -> tuple[np.ndarray, np.ndarray]:
    """One picture, labelled by its folder."""
    from PIL import Image

    if where.parts[-2] not in NAMES:
        raise ValueError(f"{here}: {where.parts[-2]!r} is none of {', '.join(NAMES)}")
    try:
        with Image.open(io.BytesIO(content)) as opened:
            pixels = np.asarray(opened.convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{here} is not a readable image ({error})") from error
    if pixels.shape != (_WIDTH, _WIDTH, 3):
        raise ValueError(f"{here} is {pixels.shape[:2]} pixels, expected {(_WIDTH, _WIDTH)}")
    return pixels.transpose(2, 0, 1)[None], np.array([NAMES.index(where.parts[-2])])
