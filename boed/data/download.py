"""Downloads that are verified, and go on where they were interrupted."""

from __future__ import annotations

import hashlib
import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_PIECE = 1 << 18
_TIMEOUT_S = 60


def cache() -> Path:
    """Where downloads are kept: `$BOED_CACHE`, or `~/.cache/boed`."""
    folder = os.environ.get("BOED_CACHE")
    return Path(folder) if folder else Path.home() / ".cache" / "boed"


def download(
    url: str, target: Path, checksum: str, *, most_bytes: int, progress: bool = True
) -> Path:
    """The file at `url`, as `target`, unless that is there already.

    The download goes to a `.part` file, which the next call continues if this one is interrupted,
    and gets its name only when the checksum is right.

    Args:
        url: http or https.
        target: where to keep it.
        checksum: algorithm and hexadecimal digest, such as `sha256:1f...`.
        most_bytes: more than this is not taken.
        progress: show a bar with rate and time left, on stderr.

    Raises:
        ValueError: a URL of another kind, or what the server sent is not the published file.
        OSError: no connection, it broke, or the disk is full. Call again to go on.
    """
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"url must begin with http:// or https://, got {url!r}")
    if target.is_file():
        return target
    algorithm, expected = checksum.split(":")
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    digest = _digest(part, algorithm)
    if digest.hexdigest() != expected:
        with _bar(target.name, progress) as advance:
            digest = _download(url, part, digest, most_bytes, advance)
    if digest.hexdigest() != expected:
        part.unlink()
        raise ValueError(
            f"{url}: {algorithm.upper()} is {digest.hexdigest()}, expected {expected}; "
            "what arrived was deleted, try again or use another mirror"
        )
    part.replace(target)
    return target


def _digest(part: Path, algorithm: str) -> Any:
    """Running checksum of what has been downloaded so far."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    if part.exists():
        with part.open("rb") as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
    return digest


def _download(
    url: str, part: Path, digest: Any, most_bytes: int, advance: Callable[[int, int | None], None]
) -> Any:
    """Continue `part` from where it ends; returns the checksum of all of it."""
    start = part.stat().st_size if part.exists() else 0
    with _request(url, start) as answer:
        if start and not _continues(answer, start):  # the server sends all of it again
            start, digest = 0, hashlib.new(digest.name, usedforsecurity=False)
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
