"""MedMNIST's chest x-rays, downloaded once and verified (Yang et al. 2023, CC BY 4.0).

Files and MD5 checksums are those that the medmnist package 3.0.2 publishes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from boed.data.download import cache, download
from boed.foundation.registry import check_known

BASE_URL = "https://zenodo.org/records/10519652/files"
SIZES = (28, 64, 128, 224)


@dataclass(frozen=True, kw_only=True)
class Source:
    """What is published of one set: names of the labels, number of images, MD5 for each size."""

    what: str
    label_names: tuple[str, ...]
    images: int
    md5: dict[int, str]


SOURCES = {
    "pneumoniamnist": Source(
        what="5,856 paediatric chest x-rays, pneumonia or not",
        label_names=("normal", "pneumonia"),
        images=5_856,
        md5={
            28: "28209eda62fecd6e6a2d98b1501bb15f",
            64: "8f4eceb4ccffa70c672198ea285246c6",
            128: "05b46931834c231683c68f40c47b2971",
            224: "d6a3c71de1b945ea11211b03746c1fe1",
        },
    ),
    "chestmnist": Source(
        what="112,120 NIH chest x-rays, 14 findings and any",
        label_names=(
            *("atelectasis", "cardiomegaly", "effusion", "infiltration", "mass", "nodule"),
            *("pneumonia", "pneumothorax", "consolidation", "edema", "emphysema", "fibrosis"),
            *("pleural", "hernia"),
        ),
        images=112_120,
        md5={
            28: "02c8a6516a18b556561a56cbdd36c4a8",
            64: "9de6cd0b934ebb5b7426cfba5efbae16",
            128: "db107e5590b27930b62dbaf558aebee3",
            224: "45bd33e6f06c3e8cdb481c74a89152aa",
        },
    ),
}


def native_size(size: int | None) -> int:
    """The published size to take for images of `size` pixels: the nearest that is not smaller."""
    return min((native for native in SIZES if native >= (size or 0)), default=SIZES[-1])


def file_name(name: str, size: int) -> str:
    """How MedMNIST calls the file of one published size."""
    return f"{name}.npz" if size == 28 else f"{name}_{size}.npz"


def fetch(
    name: str,
    size: int,
    root: str | Path | None = None,
    *,
    base_url: str = BASE_URL,
    progress: bool = True,
) -> Path:
    """The npz file of one set, downloaded if it is not there yet.

    Interrupted, it goes on at the next call (`boed.data.download`).

    Args:
        name: `pneumoniamnist` or `chestmnist`.
        size: a published width: 28, 64, 128 or 224 pixels.
        root: folder to keep the file in; `cache()` if not given.
        base_url: folder on the server, for a mirror.
        progress: show a bar with rate and time left, on stderr.

    Raises:
        ValueError: unknown name or size, or what the server sent is not the published file.
        OSError: no connection, it broke, or the disk is full. Call again to go on.
    """
    check_known("name", name, SOURCES)
    if size not in SIZES:
        raise ValueError(f"size is {size}; {name} has {', '.join(map(str, SIZES))}")
    source = SOURCES[name]
    target = Path(root or cache()) / file_name(name, size)
    most_bytes = source.images * (size * size + len(source.label_names)) + (1 << 20)
    url = f"{base_url.rstrip('/')}/{target.name}"
    return download(
        url, target, f"md5:{source.md5[size]}", most_bytes=most_bytes, progress=progress
    )
