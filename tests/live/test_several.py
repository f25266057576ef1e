"""Several sessions over lines, and over a folder of folders."""

from __future__ import annotations

import io
import json
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from boed.cli import app
from boed.live import Folders, LiveSession, Sessions, answer_lines
from boed.policies import CentreOut, Random
from tests.live.sessions import as_text, patch, record, small, until
from tests.live.test_folder import following, npy


def random(path: Path | None = None) -> LiveSession:
    return small(path, policy=Random())


def quick(path: Path | None = None) -> LiveSession:
    return small(path, policy=CentreOut())


def said(sessions: Sessions, *messages: object) -> list[dict[str, Any]]:
    lines = "\n".join(map(json.dumps, messages)).encode()
    answers = io.StringIO()
    answer_lines(sessions, io.BytesIO(lines), answers)
    return [json.loads(line) for line in answers.getvalue().splitlines()]


def test_each_goes_its_own_way_over_lines(tmp_path: Path) -> None:
    """As a session alone does, and goes on from its log."""
    sessions, alone = Sessions(random, tmp_path), random()
    (begun,) = said(sessions, {"action": "begin", "session": "left"})
    assert begun == {"session": "left"}
    for _ in range(2):
        (look,) = alone.next()["looks"]
        for name in ("left", "1"):
            (found,) = said(sessions, {"action": "next", "session": name})
            assert (found["session"], found["looks"]) == (name, [look])
        given = {
            "look": look["id"],
            "reading": as_text(patch(alone, look["id"])),
            "shape": [1, 4, 4],
        }
        said(sessions, {"action": "ingest", "session": "left", **given})
        said(sessions, {"action": "take", "session": "1", "look": look["id"]})
        alone.take(look["id"])
    said(sessions, {"action": "stop", "session": "1"})
    (where,) = said(sessions, {"action": "sessions"})
    ended = {each["session"]: each["ended"] for each in where["sessions"]}
    assert ended == {"1": "stopped by hand", "left": None}
    sessions.close()
    again = Sessions(random, tmp_path)
    for name in ("left", "1"):
        assert torch.equal(again.lives[name].session.beliefs(), alone.session.beliefs())
    again.close()


WRONG: dict[str, tuple[object, str]] = {
    "no object": ([1], "message is list, expected an object"),
    "no session": ({"action": "next"}, "session is None, expected one of 1, left"),
    "another session": ({"action": "next", "session": "right"}, "session is 'right', expected one"),
    "a list": ({"action": "next", "session": ["left"]}, "session is ['left'], expected one of 1"),
    "no action": ({"session": "left"}, "action is None, expected one of next"),
    "unknown action": (
        {"action": "nxt", "session": "left"},
        "action is 'nxt': did you mean 'next'",
    ),
    "a look of another session": (
        {"action": "fail", "session": "1", "look": 0},
        "look is 0, expected the id of one of this session: none so far",
    ),
    "begun twice": ({"action": "begin", "session": "left"}, "session 'left' is there already"),
    "no name": ({"action": "begin", "session": "../x"}, "session is '../x', expected a name of"),
    "begin of nothing": ({"action": "begin"}, "session is None, expected a name of"),
    "begin with more": (
        {"action": "begin", "session": "right", "seed": 1},
        "session is 'right', expected one of 1, left",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_message_is_answered_and_changes_nothing(name: str, tmp_path: Path) -> None:
    sessions = Sessions(quick, tmp_path)
    said(sessions, {"action": "begin", "session": "left"}, {"action": "next", "session": "left"})
    before = {each: record(live) for each, live in sessions.lives.items()}
    message, told = WRONG[name]
    (answer,) = said(sessions, message)
    assert list(answer) == ["error"]
    assert told in answer["error"]
    assert {each: record(live) for each, live in sessions.lives.items()} == before
    sessions.close()


def test_each_goes_its_own_way_over_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Begun by a folder, or elsewhere; one that cannot be is told, and the others go on."""
    monkeypatch.setattr("boed.live.folder.EVERY", 0.001)
    monkeypatch.setattr("boed.live.folders.EVERY", 0.001)
    sessions, looks = Sessions(quick, tmp_path / "logs"), tmp_path / "looks"
    folders, end = Folders(sessions, looks), threading.Event()
    for foreign in ("wrong/0.npy", "Not a name/0.npy"):
        (looks / foreign).parent.mkdir()
        (looks / foreign).write_bytes(b"another session's")
    (looks / "notes.txt").write_text("mine")
    watcher = threading.Thread(target=folders.watch, args=(end,))
    watcher.start()
    try:
        (looks / "left").mkdir()
        sessions.begin("right")  # in the page
        for name in ("1", "left", "right"):
            until(lambda name=name: (looks / name / "next.json").exists())  # type: ignore[misc]
            until(lambda name=name: following(looks / name)["id"] == 0)  # type: ignore[misc]
            if name != "right":
                live = sessions.lives[name]
                (looks / name / "0.npy").write_bytes(npy(patch(live, 0)))
                until(lambda name=name: following(looks / name)["id"] == 1)  # type: ignore[misc]
        until(lambda: (looks / "wrong.error.txt").exists())
    finally:
        end.set()
        watcher.join()
        sessions.close()
    assert (
        "holds 0.npy, a reading of a look that was not" in (looks / "wrong.error.txt").read_text()
    )
    taken = {name: len(live.session.beliefs()) - 1 for name, live in sessions.lives.items()}
    assert taken == {"1": 1, "left": 1, "right": 0, "wrong": 0}
    assert sorted(each.name for each in (looks / "Not a name").iterdir()) == ["0.npy"]


@pytest.mark.slow
def test_the_command_has_several_over_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    typed = [{"action": "begin", "session": "left"}, {"action": "next", "session": "left"}]
    given = ["live", "--several", "--stdio", "--policy", "random", "--out", "logs"]
    done = CliRunner().invoke(app, given, input="\n".join(map(json.dumps, typed)))
    assert done.exit_code == 0, done.output
    _, answer = [json.loads(line) for line in done.stdout.splitlines()]
    assert (answer["session"], answer["looks"][0]["id"]) == ("left", 0)
    assert (tmp_path / "logs" / "left" / "log.jsonl").exists()
