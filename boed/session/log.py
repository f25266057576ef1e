"""A log of events that survives everything: written and synced before anyone is told of them."""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from boed.foundation.events import EVENTS, Arrays, Event, read_events
from boed.foundation.files import sha256, unwritable
from boed.foundation.interruption import held_back


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

    def begin(self, facts: Mapping[str, Any], arrays: Arrays | None = None) -> None:
        """Write what session this is the log of, or make sure that it is of this one.

        Raises:
            ValueError: it is of another session.
            OSError: it cannot be written.
        """
        if not self.events:
            self.append("begin", facts, arrays)
            return
        first = self.events[0]
        before = first.facts if first.kind == "begin" else {}
        for name, ours in facts.items():
            if before.get(name) != ours:
                raise ValueError(
                    f"log {self.folder} is of a session whose {name} is {before.get(name)}, "
                    f"this one's is {ours}; expected the same, or another folder as path"
                )

    def append(self, kind: str, facts: Mapping[str, Any], arrays: Arrays | None = None) -> Event:
        """Add an event; it is on the disk when this returns.

        Raises:
            ValueError: the log was closed, and may be another process's by now.
            OSError: it could not be written; the log is as it was.
        """
        event = Event(kind, dict(facts), dict(arrays or {}))
        if self.folder is not None:
            if not self._lock.is_locked:
                raise ValueError(
                    f"log {self.folder} was closed; expected the session to be opened again"
                )
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
            data = (json.dumps(line, allow_nan=False, default=_plain) + "\n").encode()
            with open(file, "r+b" if file.exists() else "w+b") as stream:
                stream.truncate(self._end)  # what another event left half written
                stream.seek(self._end)
                stream.write(data)
                _sync(stream)
            _sync_folder(folder)
        except OSError as error:
            with contextlib.suppress(OSError):  # lest it is found when the log is opened again
                os.truncate(file, self._end)
            raise unwritable(file, error) from error
        self._end += len(data)


class Logged:
    """What keeps a log, which other processes may have once it is closed."""

    _log: Log

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let another process have the log."""
        self._log.close()


def check_is_log(folder: Path) -> None:
    """Refuse a folder of something else.

    Raises:
        ValueError: it is a file, or holds other things than a log.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"log {folder} is a file, expected a folder")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / EVENTS).exists():
        ours = (".lock", "000000.")  # of a first event whose writing was killed
        names = sorted(each.name for each in folder.iterdir() if not each.name.startswith(ours))
        if names:
            raise ValueError(
                f"log {folder} holds {names[0]} but no {EVENTS}; expected the folder of a "
                "session, or one that is empty or not there"
            )


def _plain(value: Any) -> Any:
    """A number of numpy's as Python has it."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} is no JSON")


def _write_array(path: Path, array: NDArray[Any]) -> dict[str, str]:
    """Write an array, and say what is known of the file."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    with open(path, "wb") as stream:
        stream.write(buffer.getvalue())
        _sync(stream)
    return {"file": path.name, "sha256": sha256(path)}


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
