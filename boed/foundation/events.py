"""Events of a session with an instrument, as its log holds them.

A folder with one line of JSON for each event in `log.jsonl`, and arrays of numbers beside it, each
with its checksum in the event. What the end of a line is missing of was never acknowledged.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boed.foundation.files import sha256

EVENTS = "log.jsonl"
"""The file of a log's folder that holds the events, one a line."""

UNDO = "undo"
"""The event that takes the last one back."""


Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Event:
    """What happened: its kind, facts as JSON holds them, and arrays by name."""

    kind: str
    facts: dict[str, Any] = field(default_factory=dict)
    arrays: Arrays = field(default_factory=dict)


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


def effective(events: Sequence[Event]) -> list[Event]:
    """All that happened and was not taken back, without the beginning.

    Raises:
        ValueError: something is taken back before anything has happened: the log is damaged.
    """
    happened: list[Event] = []
    for number, event in enumerate(events[1:], 1):
        if event.kind == UNDO:
            if not happened:
                raise ValueError(f"log is damaged: event {number} undoes what did not happen")
            happened.pop()
        else:
            happened.append(event)
    return happened


_NAME = re.compile(r"\d{6}\.\w+\.npy")


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
