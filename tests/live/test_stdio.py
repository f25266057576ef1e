"""Sessions over lines: a whole one, and lines that change nothing."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from boed.live import LiveSession, answer_lines
from boed.policies import Random
from tests.live.sessions import NAMES, WRONG, as_text, patch, record, small


def said(live: LiveSession, *messages: object) -> list[dict[str, Any]]:
    """The answers to messages, which are written as JSON unless they are bytes."""
    lines = [each if isinstance(each, bytes) else json.dumps(each).encode() for each in messages]
    answers = io.StringIO()
    answer_lines(live, io.BytesIO(b"\n".join(lines)), answers)
    return [json.loads(line) for line in answers.getvalue().splitlines()]


def test_a_whole_session() -> None:
    live = small(budget=3 / 16)
    shape = [1, 4, 4]
    (first,) = said(live, {"action": "next"})
    look = first["looks"][0]
    assert (look["id"], look["shape"], look["status"]) == (0, shape, "pending")
    assert said(live, {"action": "next"}) == [first]  # it is still pending
    given = {"action": "ingest", "look": 0, "reading": as_text(patch(live, 0)), "shape": shape}
    taken, state = said(live, given, {"action": "state"})
    assert list(taken["belief"]) == list(NAMES)
    assert (taken["readings"], taken["spent"]) == (1, 1 / 16)
    assert sum(state["beliefs"][-1]) == pytest.approx(1)
    again = {"action": "ingest", "look": [12, 12], "reading": [[[0.25] * 4] * 4]}
    said(live, again, {"action": "undo"}, {"action": "suggest"})
    assert [each.status for each in live.session.looks] == ["taken", "pending"]
    (chosen,) = said(live, {"action": "choose", "design": [0, 4], "instead": 1})
    assert chosen["looks"][0]["suggested"] is False
    answers = said(
        live, {"action": "fail", "look": 2}, {"action": "next"}, {"action": "veto", "look": 3}
    )
    assert [answers[0]["spent"], answers[2]] == [2 / 16, {"look": 3}]
    stopped, label, belief = said(
        live,
        {"action": "stop", "reason": "done"},
        {"action": "label", "label": 1},
        {"action": "belief"},
    )
    assert (stopped, label) == ({"stopped": "done"}, {"label": 1})
    assert belief["belief"] == taken["belief"]
    (refused,) = said(live, {"action": "next"})
    assert refused == {"error": "the session was stopped (done); undo takes that back"}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_message_is_answered_and_changes_nothing(name: str, untouched: LiveSession) -> None:
    message, told = WRONG[name]
    before = record(untouched)
    (answer,) = said(untouched, message)
    assert list(answer) == ["error"]
    assert told in answer["error"]
    assert record(untouched) == before


@pytest.mark.parametrize(
    "line",
    [b"", b"   ", b"hello", b"\xff\xfe", b"[" * 100_000, b'{"action": "next"', b"NaN", b"1" * 9999],
)
def test_a_foreign_line_is_answered_and_changes_nothing(
    line: bytes, untouched: LiveSession
) -> None:
    before = record(untouched)
    wrong, right = said(untouched, line, {"action": "belief"})
    assert wrong["error"].startswith("message is")
    assert right["readings"] == 1
    assert record(untouched) == before


def test_a_line_without_end_is_not_read_to_memory() -> None:
    live = small(policy=Random())
    live.limit = 100
    wrong, right = said(live, b"x" * 1000, {"action": "belief"})
    assert wrong == {"error": "message has more than 100 bytes"}
    assert right["readings"] == 0


def test_a_fault_inside_is_an_answer(caplog: pytest.LogCaptureFixture) -> None:
    live = small(policy=Random())
    live.belief = lambda: 1 / 0  # type: ignore[method-assign, assignment, return-value]
    wrong, right = said(live, {"action": "belief"}, {"action": "next"})
    assert wrong == {"error": "ZeroDivisionError: division by zero"}
    assert right["looks"][0]["id"] == 0
    assert "a message could not be answered" in caplog.text
