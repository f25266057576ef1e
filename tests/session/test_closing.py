"""What a session refuses lest two of them are mixed up, on the disk or in the hand."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from boed.policies import CentreOut
from boed.sensors import PatchSensor
from boed.session import Look, Session
from boed.session.log import EVENTS
from tests.doubles import ClueClassifier

HALF = torch.full((1, 4, 4), 0.5)
ACTS: dict[str, Callable[[Session, Look], object]] = {
    "suggest": lambda session, look: session.suggest(),
    "choose": lambda session, look: session.choose((12, 12)),
    "ingest": lambda session, look: session.ingest(look, HALF),
    "ingest unasked": lambda session, look: session.ingest((12, 12), HALF),
    "fail": lambda session, look: session.ingest(look, None),
    "veto": lambda session, look: session.veto(look),
    "label": lambda session, look: session.label(1),
    "stop": lambda session, look: session.stop(),
    "undo": lambda session, look: session.undo(),
}


def begun(path: Path | None = None) -> tuple[Session, Look]:
    session = Session(PatchSensor(16, 0.25, 4), CentreOut(), ClueClassifier(), path=path)
    (look,) = session.suggest()
    return session, look


def known(session: Session) -> list[object]:
    return [session.looks, session.beliefs().tolist(), session.stopped, len(session.history)]


@pytest.mark.parametrize("act", ACTS)
def test_a_closed_session_leaves_its_log_to_others(act: str, tmp_path: Path) -> None:
    first, look = begun(tmp_path)
    first.close()
    with Session(PatchSensor(16, 0.25, 4), CentreOut(), ClueClassifier(), path=tmp_path) as second:
        second.suggest()
        lines, before = (tmp_path / EVENTS).read_bytes(), known(first)
        with pytest.raises(ValueError, match="was closed; expected the session to be opened again"):
            ACTS[act](first, look)
        assert (tmp_path / EVENTS).read_bytes() == lines
        assert known(first) == before
        second.ingest(look, HALF)
        assert second.looks[0].status == "taken"


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("fails", [1, 2, 3, 4])
def test_what_could_not_be_written_is_not_there_when_opened_again(
    act: str, fails: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At whichever file the disk is full: an array, the event's line, or the folder's list."""
    session, look = begun(tmp_path)
    before, calls = known(session), iter(range(1, 99))
    sync = os.fsync

    def full(handle: int) -> None:
        if next(calls) == fails:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(handle)

    monkeypatch.setattr(os, "fsync", full)
    try:
        ACTS[act](session, look)
    except OSError:
        pass
    else:
        assert fails > 2  # that many files the event does not write
        before = known(session)
    monkeypatch.undo()
    session.close()
    with Session(PatchSensor(16, 0.25, 4), CentreOut(), ClueClassifier(), path=tmp_path) as again:
        assert known(again) == before


TAKES: dict[str, Callable[[Session, Any], object]] = {
    "ingest": lambda session, look: session.ingest(look, HALF),
    "fail": lambda session, look: session.ingest(look, None),
    "veto": lambda session, look: session.veto(look),
    "choose instead": lambda session, look: session.choose((12, 12), instead=look),
    "reading shape": lambda session, look: session.reading_shape(look),
}


@pytest.mark.parametrize("take", TAKES)
def test_a_look_of_another_session_is_refused(take: str) -> None:
    """Or one that was undone, whose id another look has by now."""
    session, look = begun()
    other, _ = begun()
    other.undo()
    theirs = other.choose((12, 0))
    session.undo()
    assert session.suggest() == [look]  # made anew, it is the same look
    before = known(session)
    with pytest.raises(ValueError, match=r"look is 0 at \[12, 0\], expected one of this session"):
        TAKES[take](session, theirs)
    assert known(session) == before
    TAKES[take](session, look)
