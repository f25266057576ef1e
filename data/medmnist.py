"""MedMNIST's chest x-rays, downloaded once and verified (Yang et al. 2023, CC BY 4.0).

Files and MD5 checksums are those that the medmnist package 3.0.2 publishes.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BASE_URL = "https://zenodo.org/records/10519652/files"
SIZES = (28, 64, 128, 224)
_PIECE = 1 << 18
_TIMEOUT_S = 60


@dataclass(frozen=True)
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


def cache() -> Path:
    """Where downloads are kept: `$BOED_CACHE`, or `~/.cache/boed`."""
    folder = os.environ.get("BOED_CACHE")
    return Path(folder) if folder else Path.home() / ".cache" / "boed"


def fetch(
    name: str,
    size: int,
    root: str | Path | None = None,
    base_url: str = BASE_URL,
    progress: bool = True,
) -> Path:
    """The npz file of one set, downloaded if it is not there yet.

    The download goes to a `.part` file, which the next call continues if this one is interrupted,
    and gets its name only when the checksum is right.

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
    if name not in SOURCES:
        raise ValueError(f"name must be one of {', '.join(SOURCES)}; got {name!r}")
    if size not in SIZES:
        raise ValueError(f"{name}: size must be one of {', '.join(map(str, SIZES))}; got {size}")
    if not base_url.startswith(("http://", "https://")):
        raise ValueError(f"base_url must begin with http:// or https://, got {base_url!r}")
    source = SOURCES[name]
    target = Path(root or cache()) / file_name(name, size)
    if target.is_file():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    url = f"{base_url.rstrip('/')}/{target.name}"
    most_bytes = source.images * (size * size + len(source.label_names)) + (1 << 20)

    found = _digest(part)
    if found.hexdigest() != source.md5[size]:
        with _bar(target.name, progress) as advance:
            found = _download(url, part, found, most_bytes, advance)
    if found.hexdigest() != source.md5[size]:
        part.unlink()
        raise ValueError(
            f"{url}: MD5 is {found.hexdigest()}, expected {source.md5[size]}; "
            "what arrived was deleted, try again or use another mirror"
        )
    part.replace(target)
    return target


def _digest(part: Path) -> Any:
    """Running MD5 of what has been downloaded so far."""
    digest = hashlib.md5(usedforsecurity=False)
    if part.exists():
        with part.open("rb") as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
    return digest


def _download(
    url: str, part: Path, digest: Any, most_bytes: int, advance: Callable[[int, int | None], None]
) -> Any:
    """Continue `part` from where it ends; returns the MD5 of all of it."""
    start = part.stat().st_size if part.exists() else 0
    with _request(url, start) as answer:
        if start and not _continues(answer, start):  # the server sends all of it again
            start, digest = 0, hashlib.md5(usedforsecurity=False)
        length = answer.headers.get("Content-Length")
        total = start + int(length) if length and length.isdigit() else None
        if total is not None and total > most_bytes:
            raise ValueError(f"{url}: {total:,} bytes offered, expected at most {most_bytes:,}")
        done = start
        with part.open("ab" if start else "wb") as file:
            advance(done, total)
            try:
                while piece := answer.read(_PIECE):
                    done += len(piece)
                    if done > most_bytes:
                        raise ValueError(f"{url}: sends more than {most_bytes:,} bytes")
                    file.write(piece)
                    digest.update(piece)
                    advance(done, total)
            except http.client.HTTPException as error:
                raise OSError(f"{url}: broke off after {done:,} bytes ({error})") from error
    if total is not None and done < total:
        raise OSError(f"{url}: broke off after {done:,} of {total:,} bytes; run again to go on")
    return digest


def _request(url: str, start: int) -> Any:
    """Ask for `url` from byte `start` on; from 0 if the server has nothing from there on."""
    headers = {"User-Agent": "boed", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        return urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=_TIMEOUT_S
        )
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and start:
            return _request(url, 0)
        raise OSError(f"{url}: the server answers {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        raise OSError(f"{url}: no connection ({error.reason})") from error
    except http.client.HTTPException as error:
        raise OSError(f"{url}: the server's answer is not HTTP ({error!r})") from error


def _continues(answer: Any, start: int) -> bool:
    content_range = answer.headers.get("Content-Range", "")
    return answer.status == http.HTTPStatus.PARTIAL_CONTENT and content_range.startswith(
        f"bytes {start}-"
    )


@contextmanager
def _bar(title: str, show: bool) -> Iterator[Callable[[int, int | None], None]]:
    """Yield a function of (bytes done, bytes in all)."""
    if not show:
        yield lambda done, total: None
        return
    from rich import progress
    from rich.console import Console

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
