"""CelebA (Liu et al. 2015) from a user's own copy: faces cropped as Dupont & Suresha 2018 do.

CelebA may be used for research that is not commercial, so neither its images nor models trained
on them come with this package.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from boed.data.dataset import Dataset
from boed.data.labels import SPLITS, check_split
from boed.data.readers.image import read_image
from boed.data.resize import resize
from boed.foundation.memory import check_memory

CROP = 89
_WIDTH = 178
_FOLDER, _PARTITION, _ATTRIBUTES = (
    "img_align_celeba",
    "list_eval_partition.txt",
    "list_attr_celeba.txt",
)


def is_celeba(folder: Path) -> bool:
    """Whether a folder has the layout of CelebA."""
    return (folder / _FOLDER).is_dir() and (folder / _PARTITION).is_file()


def read_celeba(
    folder: Path | str, size: int | None = None, split: str = "test", *, crop: int = CROP
) -> Dataset:
    """One official split, the centre of each face cut out and resized: uint8 `[N, 3, size, size]`.

    Args:
        folder: with `img_align_celeba/` (178 x 218 pixels), `list_eval_partition.txt` and, for
            the 40 attributes as labels, `list_attr_celeba.txt`.
        size: width in pixels to resize to; 32 if not given.
        split: `train`, `val` or `test`.
        crop: width of the centre square that is kept, in pixels.

    Raises:
        ValueError: a file is missing or damaged, a line is not as expected, or the crop is wider
            than the pictures.
    """
    check_split(split)
    if not 1 <= crop <= _WIDTH:
        raise ValueError(f"crop is {crop}, expected 1..{_WIDTH} pixels")
    root = Path(folder)
    if not is_celeba(root):
        raise ValueError(f"{root}: expected a folder {_FOLDER} and a file {_PARTITION}")
    files = _files(root / _PARTITION, split)
    side = size or 32
    check_memory(f"size {side}: {len(files)} faces", 2 * len(files) * 3 * side**2)
    names, attributes = _attributes(root / _ATTRIBUTES)
    pictures = [_face(root / _FOLDER / file, crop, side) for file in files]
    unknown = next((file for file in files if attributes and file not in attributes), None)
    if unknown is not None:
        raise ValueError(f"{root / _ATTRIBUTES} has no line for {unknown}")
    labels = [attributes[file] for file in files] if attributes else np.zeros(len(files))
    return Dataset(
        name="celeba",
        split=split,
        images=torch.stack(pictures),
        labels=torch.from_numpy(np.array(labels, np.int64)),
        label_names=names if attributes else ("face",),
    )


def _files(partition: Path, split: str) -> list[str]:
    """Names of the pictures of a split."""
    names = []
    for number, line in enumerate(_lines(partition), 1):
        if not line.strip():
            continue
        fields = line.split()
        if len(fields) != 2 or fields[1] not in ("0", "1", "2") or "/" in fields[0]:
            raise ValueError(f"{partition}, line {number}: {line!r}, expected FILE 0, 1 or 2")
        if SPLITS[int(fields[1])] == split:
            names.append(fields[0])
    if not names:
        raise ValueError(f"{partition} has no picture of {split}")
    return names


def _attributes(table: Path) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
    """Names of the attributes and, by picture, 1 where one holds; nothing without the file."""
    if not table.is_file():
        return (), {}
    lines = _lines(table)
    if len(lines) < 2:
        raise ValueError(f"{table} has {len(lines)} lines, expected a number, names, and pictures")
    names = tuple(lines[1].split())
    attributes = {}
    for number, line in enumerate(lines[2:], 3):
        fields = line.split()
        if fields and (len(fields) != 1 + len(names) or set(fields[1:]) - {"1", "-1"}):
            raise ValueError(
                f"{table}, line {number}: expected FILE and {len(names)} times 1 or -1"
            )
        if fields:
            attributes[fields[0]] = np.array([field == "1" for field in fields[1:]], np.int64)
    return names, attributes


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} cannot be read as text ({error})") from error


def _face(file: Path, crop: int, size: int) -> torch.Tensor:
    """The centre of one picture. `read_image` has cut away what is above and below its width."""
    square = read_image(file, None, channels=3)
    if square.shape[-1] != _WIDTH:
        raise ValueError(f"{file} is {square.shape[-1]} pixels wide, expected {_WIDTH}")
    start = (_WIDTH - crop) // 2
    cut = square[:, start : start + crop, start : start + crop]
    resized = resize(np.ascontiguousarray(cut.permute(1, 2, 0).numpy())[None], size)[0]
    return torch.from_numpy(np.ascontiguousarray(resized.transpose(2, 0, 1)))
