"""A session over a folder: the next look appears as JSON, its reading is dropped as a file."""

from __future__ import annotations

import json
import logging
import re
import threading
from pathlib import Path
from typing import Any

from boed.foundation.files import atomic, write_json
from boed.live.live_session import LiveSession
from boed.live.readings import ENDINGS

NEXT = "next.json"
"""The file that says where to look next."""

REFUSED = "files.json"
"""The file beside the session's log that says which files were refused: name, size and time."""

EVERY = 0.25
"""Seconds between two polls."""

AFTER_TROUBLE = 2.0
"""Seconds until the next poll after one that went wrong."""

File = tuple[str, int, int]
"""A file as it was once: its name, bytes, and time in nanoseconds."""

_NAMED = re.compile(r"(0|[1-9]\d{0,8})\.\w+")
FAILED = ".failed"
"""Ends the name of the file that says that a look failed."""


class Folder:
    """Takes the readings that appear in a folder, as `ID.npy`, `ID.png` or `ID.dcm`.

    `ID.failed`, which may be empty, says that a look failed. A file is read when its size and time
    were the same in two polls, and no more than once: the event in the log says which file a
    reading came from, and those that were refused are listed beside it, so that a file is never the
    reading of a later look that has its id after `undo`. What is wrong with one stands in
    `ID.error.txt`, and a better file may take its place; so does what is wrong with another ending,
    once the look is pending. All other files are left alone.

    Args:
        live: the session.
        folder: made if it is not there.

    Raises:
        ValueError: it holds readings of looks that this session has not suggested, or the list of
            files that were refused is damaged.
        OSError: it or the log cannot be written.
    """

    def __init__(self, live: LiveSession, folder: Path | str) -> None:
        self.live, self.folder = live, Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._seen: set[File] = set()
        self._refused = self._load()
        looks = {each.id for each in live.session.looks}
        for file in self._unread(self._files()):
            if _is_reading(file) and _number(file) not in looks:
                raise ValueError(
                    f"folder {self.folder} holds {file[0]}, a reading of a look that was not yet "
                    "suggested; expected an empty folder, or the log of the session that it is of"
                )
        self._written: dict[str, Any] | None = None
        self._asked = -1  # changes when there was nothing left to suggest, or one look

    def poll(self) -> bool:
        """Take what is there, and say where to look next; whether there is anything left to do.

        Raises:
            OSError: the folder or the log cannot be read or written; what was not read is read by
                a later poll.
        """
        files = self._files()
        for file in self._unread(files & self._seen):
            self._take(file)
        self._seen = files
        session = self.live.session
        if session.stopped is None and not session.pending and self._asked != self.live.changes:
            self._publish(deciding=True)
            try:
                self.live.next()
            except ValueError:
                if session.stopped is None:  # it was stopped meanwhile
                    raise
            self._asked = self.live.changes
        self._publish()
        return session.stopped is None and bool(session.pending)

    def watch(self, until: threading.Event, *, on: bool = False) -> None:
        """Poll until something says to end.

        Args:
            until: ends it.
            on: go on when there is nothing left to do, as it may be undone elsewhere.
        """
        while self._goes_on(on) and not until.wait(AFTER_TROUBLE if self.live.trouble else EVERY):
            pass

    def _goes_on(self, on: bool) -> bool:
        """Poll; where others share the session, what goes wrong is told to them and tried again."""
        try:
            more = self.poll()
        except Exception as error:  # a folder that cannot be written, or a part of the user's own
            if not on:
                raise
            if not isinstance(error, OSError | ValueError):
                logging.getLogger("boed.live").exception("the folder could not be watched")
            self.live.tell_trouble(f"folder {self.folder} ({type(error).__name__}: {error})")
            return True
        self.live.tell_trouble(None)
        return more or on

    def _load(self) -> set[File]:
        """Which files were refused before."""
        path = None if self.live.log is None else self.live.log / REFUSED
        if path is None or not path.exists():
            return set()
        try:
            files = json.loads(path.read_text(encoding="utf-8"))
            return {(str(name), int(size), int(time)) for name, size, time in files}
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{path} is damaged ({error}), expected a list of the files that were refused"
            ) from error

    def _refuse(self, file: File) -> None:
        """Remember that a file was refused."""
        self._refused.add(file)
        if self.live.log is not None:
            write_json(self.live.log / REFUSED, sorted(self._refused))

    def _unread(self, files: set[File]) -> list[File]:
        """Those that were neither read nor refused, by their number."""
        sources = self.live.session.sources
        left = (each for each in files - self._refused if _source(each) not in sources)
        return sorted(left, key=lambda each: (_number(each), each))

    def _files(self) -> set[File]:
        """Files that are named by the id of a look."""
        found = set()
        for each in self.folder.iterdir():
            if _NAMED.fullmatch(each.name) and each.is_file() and not each.is_symlink():
                try:
                    about = each.stat()
                except FileNotFoundError:  # it was taken away again
                    continue
                if about.st_size or each.suffix.lower() == FAILED:
                    found.add((each.name, about.st_size, about.st_mtime_ns))
        return found

    def _take(self, file: File) -> None:
        """Take a reading, or tell what is wrong with it."""
        number, path = _number(file), self.folder / file[0]
        if not _is_reading(file) and number not in [each.id for each in self.live.session.pending]:
            return
        error = self.folder / f"{number}.error.txt"
        given = None if path.suffix.lower() == FAILED else path
        try:
            if not _is_reading(file):
                expected = ", ".join(f"{number}{each}" for each in (*ENDINGS, FAILED))
                raise ValueError(f"is not read by this ending, expected one of {expected}")
            self.live.ingest_file(number, given, source=_source(file))
        except FileNotFoundError:
            if path.exists():  # the log is what is not there
                raise
        except ValueError as refused:
            with atomic(error) as temporary:
                temporary.write_text(f"{file[0]}: {refused}\n", encoding="utf-8")
            self._refuse(file)
        else:
            error.unlink(missing_ok=True)

    def _publish(self, *, deciding: bool = False) -> None:
        """Write the next look, or that it is being decided, if it is other news than before."""
        session = self.live.session
        with session.lock:
            pending = [self.live.shown(each) for each in session.pending]
            ended = session.stopped or (None if pending or deciding else session.reason)
            first = pending[0] if pending and ended is None else {"id": None}
            content = {
                **first,
                "file": None if first["id"] is None else f"{first['id']}.npy",
                "pending": [each["id"] for each in pending],
                "deciding": self.live.deciding_what if deciding else None,
                "ended": ended,
                **self.live.belief(),
                "spent": session.spent,
            }
        if content != self._written:
            write_json(self.folder / NEXT, content)
            self._written = content


def _is_reading(file: File) -> bool:
    """Whether its ending is one of those that are read."""
    return Path(file[0]).suffix.lower() in (*ENDINGS, FAILED)


def _number(file: File) -> int:
    return int(file[0].partition(".")[0])


def _source(file: File) -> str:
    """A file as the log says of a reading where it came from."""
    name, size, time = file
    return f"{name}, {size} bytes, time {time} ns"
