"""Downloads that are verified, and go on where they were interrupted."""

from __future__ import annotations

import hashlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock

from boed.foundation.cache import VARIABLE, cache_folder
from boed.foundation.files import unwritable

_PIECE = 1 << 18
_TIMEOUT_S = 60
_GOES_ON = "the same command goes on from there"


def cache() -> Path:
    """Where downloads are kept (`boed.foundation.cache`).

    Raises:
        ValueError: nowhere, by the user's wish or for want of a home.
    """
    folder = cache_folder()
    if folder is None:
        raise ValueError(
            f"{VARIABLE} is empty or there is no home, so downloads have no place; set {VARIABLE} "
            "to a folder, or put the file into the one that BOED_DATA names"
        )
    return folder


def download(
    url: str, target: Path, checksum: str, *, most_bytes: int, progress: bool = True
) -> Path:
    """The file at `url`, as `target`, unless that is there already.

    The download goes to a `.part` file, which the next call continues if this one is interrupted,
    and gets its name only when the file's checksum is right. A second call for the same file,
    also by another process, waits for the first.

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
    lock = target.with_name(f"{target.name}.lock")
    with FileLock(lock):  # of two that fetch the same file, one waits
        if target.is_file():
            return target
        part = target.with_name(f"{target.name}.part")
        if _digest(part, algorithm) != expected:
            with _bar(target.name, progress) as advance:
                _download(url, part, most_bytes, advance)
        digest = _digest(part, algorithm)  # of the file, whoever has written to it
        if digest != expected:
            part.unlink()
            raise ValueError(
                f"{url}: {algorithm.upper()} is {digest}, expected {expected}; "
                "what arrived was deleted, try again or use another mirror"
            )
        part.replace(target)
        with suppress(OSError):  # who waits for it finds the target
            lock.unlink()
    return target


def _digest(part: Path, algorithm: str) -> str:
    """Checksum of what has been downloaded so far."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    if part.exists():
        with part.open("rb") as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
    return digest.hexdigest()


def _download(
    url: str, part: Path, most_bytes: int, advance: Callable[[int, int | None], None]
) -> None:
    """Continue `part` from where it ends."""
    start = part.stat().st_size if part.exists() else 0
    with _request(url, start) as answer:
        if start and not _continues(answer, start):  # the server sends all of it again
            start = 0
        length = answer.headers.get("Content-Length")
        total = start + int(length) if length and length.isdecimal() else None
        if total is not None and total > most_bytes:
            raise ValueError(f"{url}: {total:,} bytes offered, expected at most {most_bytes:,}")
        done = start
        with part.open("ab" if start else "wb") as file:
            advance(done, total)
            while piece := _read(url, answer, done):
                done += len(piece)
                if done > most_bytes:
                    raise ValueError(f"{url}: sends more than {most_bytes:,} bytes")
                try:
                    file.write(piece)
                    file.flush()
                except OSError as error:
                    raise unwritable(part, error) from error
                advance(done, total)
    if total is not None and done < total:
        raise OSError(f"{url}: broke off after {done:,} of {total:,} bytes; {_GOES_ON}")


def _read(url: str, answer: Any, done: int) -> bytes:
    """The next piece of the file."""
    try:
        return answer.read(_PIECE)  # type: ignore[no-any-return]
    except (OSError, http.client.HTTPException) as error:  # stalled, reset, or cut short
        raise OSError(f"{url}: broke off after {done:,} bytes ({error!r}); {_GOES_ON}") from error


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
        raise OSError(f"{url}: no connection ({error.reason}); {_GOES_ON}") from error
    except OSError as error:  # stalled or reset before it answered
        raise OSError(f"{url}: no answer ({error!r}); {_GOES_ON}") from error
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
