"""A log of events that survives everything: written and synced before anyone is told of them.

A folder with one line of JSON for each event in `log.jsonl`, and arrays of numbers beside it, each
with its checksum in the event. What the end of a line is missing of was never acknowledged.
"""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from boed.foundation.files import sha256, unwritable
from boed.foundation.interruption import held_back

EVENTS = "log.jsonl"
"""The file of a log's folder that holds the events, one a line."""

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Event:
    """What happened: its kind, facts as JSON holds them, and arrays by name."""

    kind: str
    facts: dict[str, Any] = field(default_factory=dict)
    arrays: Arrays = field(default_factory=dict)


class Log:
    """The events of a folder, which one process at a time may add to.

    Args:
        folder: made if it is not there; None keeps the events in memory alone.

    Attributes:
        events: all that were acknowledged, in order.

    Raises:
        ValueError: the folder is in use, holds other things than a log, or is damaged.
        OSError: the folder cannot be written.
    """

    def __init__(self, folder: Path | str | None) -> None:
        self.folder = None if folder is None else Path(folder)
        self.events: list[Event] = []
        self._end = 0
        if self.folder is None:
            return
        check_is_log(self.folder)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(self.folder, error) from error
        self._lock = FileLock(self.folder / ".lock", thread_local=False)
        try:
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise ValueError(
                f"log {self.folder} is in use by another process; expected one at a time"
            ) from error
        try:
            self.events, self._end = read_events(self.folder)
        except BaseException:
            self.close()
            raise

    def append(self, kind: str, facts: Mapping[str, Any], arrays: Arrays | None = None) -> Event:
        """Add an event; it is on the disk when this returns.

        Raises:
            OSError: it could not be written; the log is as it was.
        """
        event = Event(kind, dict(facts), dict(arrays or {}))
        if self.folder is not None:
            with held_back():
                self._write(self.folder, event)
        self.events.append(event)
        return event

    def close(self) -> None:
        """Let another process have the log."""
        if self.folder is not None:
            self._lock.release()

    def _write(self, folder: Path, event: Event) -> None:
        number = len(self.events)
        file = folder / EVENTS
        try:
            written = {
                name: _write_array(folder / f"{number:06d}.{name}.npy", array)
                for name, array in event.arrays.items()
            }
            line = {"n": number, "event": event.kind, **event.facts}
            if written:
                line["arrays"] = written
            data = (json.dumps(line, allow_nan=False) + "\n").encode()
            with open(file, "r+b" if file.exists() else "w+b") as stream:
                stream.truncate(self._end)  # what another event left half written
                stream.seek(self._end)
                stream.write(data)
                _sync(stream)
            _sync_folder(folder)
        except OSError as error:
            raise unwritable(file, error) from error
        self._end += len(data)


def check_is_log(folder: Path) -> None:
    """Refuse a folder of something else.

    Raises:
        ValueError: it is a file, or holds other things than a log.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"log {folder} is a file, expected a folder")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / EVENTS).exists():
        names = sorted(each.name for each in folder.iterdir() if each.name != ".lock")
        if names:
            raise ValueError(
                f"log {folder} holds {names[0]} but no {EVENTS}; expected the folder of a "
                "session, or one that is empty or not there"
            )


def read_events(folder: Path | str) -> tuple[list[Event], int]:
    """The events of a log, and how many bytes of its file they fill.

    Raises:
        ValueError: it is damaged: an event before the last is no JSON, one is missing, or an array
            is missing, no array or another one than was written.
    """
    file = Path(folder) / EVENTS
    if not file.exists():
        return [], 0
    *lines, _ = file.read_bytes().split(b"\n")  # without an end it was not acknowledged
    events = [_event(Path(folder), number, line) for number, line in enumerate(lines)]
    return events, sum(len(line) + 1 for line in lines)


def _event(folder: Path, number: int, line: bytes) -> Event:
    where = f"log {folder}: line {number + 1} of {EVENTS}"
    try:
        facts = json.loads(line)
    except ValueError as error:
        raise ValueError(f"{where} is damaged ({error})") from error
    if not isinstance(facts, dict) or facts.pop("n", None) != number or "event" not in facts:
        raise ValueError(f"{where} is damaged, expected event {number}")
    kind, arrays = facts.pop("event"), facts.pop("arrays", {})
    return Event(kind, facts, {name: _array(folder, name, about) for name, about in arrays.items()})


_NAME = re.compile(r"\d{6}\.\w+\.npy")


def _write_array(path: Path, array: NDArray[Any]) -> dict[str, str]:
    """Write an array, and say what is known of the file."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    with open(path, "wb") as stream:
        stream.write(buffer.getvalue())
        _sync(stream)
    return {"file": path.name, "sha256": sha256(path)}


def _array(folder: Path, name: str, about: Any) -> NDArray[Any]:
    known = about if isinstance(about, dict) else {}
    file = str(known.get("file"))
    if not _NAME.fullmatch(file):
        raise ValueError(f"log {folder} is damaged: {file!r} is no file of it")
    path = folder / file
    if not path.is_file():
        raise ValueError(f"log {folder} is damaged: {file} ({name}) is missing")
    if sha256(path) != known.get("sha256"):
        raise ValueError(f"log {folder} is damaged: {file} ({name}) is not what was written")
    return np.asarray(np.load(path, allow_pickle=False))


def _sync(stream: Any) -> None:
    stream.flush()
    os.fsync(stream.fileno())


def _sync_folder(folder: Path) -> None:
    """Make the folder's own list of files last, where a system has such a thing."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
