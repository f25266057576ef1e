"""A session over a folder: the next look appears as JSON, its reading is dropped as a file."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any

from boed.foundation.files import atomic, write_json
from boed.live.live_session import LiveSession

NEXT = "next.json"
"""The file that says where to look next."""

EVERY = 0.25
"""Seconds between two polls."""

_READING = re.compile(r"(0|[1-9]\d{0,8})\.(npy|png|dcm|failed)", re.IGNORECASE)


class Folder:
    """Takes the readings that appear in a folder, as `ID.npy`, `ID.png` or `ID.dcm`.

    `ID.failed`, which may be empty, says that a look failed. A file is read when its size and time
    were the same in two polls. What is wrong with one stands in `ID.error.txt`, and a better file
    may take its place. All other files are left alone.

    Args:
        live: the session.
        folder: made if it is not there.

    Raises:
        ValueError: it holds readings of looks that this session has not suggested.
        OSError: it cannot be written.
    """

    def __init__(self, live: LiveSession, folder: Path | str) -> None:
        self.live, self.folder = live, Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._seen: dict[str, tuple[int, int]] = {}
        looks = {each.id: each.status for each in live.session.looks}
        self._done = {
            name: signature
            for name, signature in self._files().items()
            if looks.get(_number(name)) not in (None, "pending")
        }
        for name in self._files():
            if _number(name) not in looks:
                raise ValueError(
                    f"folder {self.folder} holds {name}, a reading of a look that was not yet "
                    "suggested; expected an empty folder, or the log of the session that it is of"
                )
        self._written: dict[str, Any] | None = None

    def poll(self) -> bool:
        """Take what is there, and say where to look next; whether there is anything left to do."""
        files = self._files()
        for name, signature in sorted(files.items(), key=lambda each: _number(each[0])):
            if self._done.get(name) != signature and self._seen.get(name) == signature:
                self._done[name] = signature
                self._take(name)
        self._seen = files
        session = self.live.session
        if session.stopped is None and not session.pending:
            try:
                self.live.next()
            except ValueError:
                if session.stopped is None:  # it was stopped meanwhile
                    raise
        self._publish()
        return session.stopped is None and bool(session.pending)

    def watch(self, until: threading.Event, *, on: bool = False) -> None:
        """Poll until something says to end.

        Args:
            until: ends it.
            on: go on when there is nothing left to do, as it may be undone elsewhere.
        """
        while (self.poll() or on) and not until.wait(EVERY):
            pass

    def _files(self) -> dict[str, tuple[int, int]]:
        """Files that are named as readings are, with size and time."""
        found = {}
        for each in self.folder.iterdir():
            if _READING.fullmatch(each.name) and each.is_file() and not each.is_symlink():
                try:
                    about = each.stat()
                except FileNotFoundError:  # it was taken away again
                    continue
                if about.st_size or each.suffix.lower() == ".failed":
                    found[each.name] = (about.st_size, about.st_mtime_ns)
        return found

    def _take(self, name: str) -> None:
        number, file = _number(name), self.folder / name
        error = self.folder / f"{number}.error.txt"
        try:
            if file.suffix.lower() == ".failed":
                self.live.fail(number)
            else:
                self.live.ingest_file(number, file)
        except FileNotFoundError:  # it was taken away again
            return
        except ValueError as wrong:
            with atomic(error) as temporary:
                temporary.write_text(f"{name}: {wrong}\n", encoding="utf-8")
            return
        error.unlink(missing_ok=True)

    def _publish(self) -> None:
        """Write the next look, if it is another one than before."""
        session = self.live.session
        with session.lock:
            pending = [self.live.shown(each) for each in session.pending]
            ended = session.stopped or (None if pending else session.reason)
            first = pending[0] if pending and ended is None else {"id": None}
            content = {
                **first,
                "file": None if first["id"] is None else f"{first['id']}.npy",
                "pending": [each["id"] for each in pending],
                "ended": ended,
                **self.live.belief(),
                "spent": session.spent,
            }
        if content != self._written:
            write_json(self.folder / NEXT, content)
            self._written = content


def _number(name: str) -> int:
    return int(name.partition(".")[0])
