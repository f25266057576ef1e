"""Small live sessions, and messages that every way in refuses."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from boed.acquisition import Budget
from boed.live import LiveSession
from boed.live.folder import REFUSED
from boed.live.simulated import Simulated
from boed.policies import BOED, CentreOut, FirstLook, Policy
from boed.sensors import PatchSensor
from boed.session import Session
from boed.session.log import EVENTS
from tests.doubles import CLUE, ClueClassifier, ClueCompleter, Clues

SENSOR = PatchSensor(16, 0.25, 4)
CLUES = Clues(((0, 0), (4, 8), CLUE))
DATA = CLUES.dataset(1, seed=3)
NAMES = ("dark", "middle", "bright")


def until(what: Callable[[], bool]) -> None:
    """Wait for it, some seconds at most."""
    for _ in range(4000):
        if what():
            return
        time.sleep(0.001)
    raise AssertionError("waited in vain")


def small(
    path: Path | None = None, *, policy: Policy | None = None, budget: float | None = None
) -> LiveSession:
    """A session about the clue of a scene of 4 x 4 tiles, with a simulated instrument."""
    completer = ClueCompleter(CLUES)
    policy = policy or BOED(completer, ClueClassifier(), n=6, first_look=FirstLook(n=8))
    limits = Budget(cost=budget)
    session = Session(SENSOR, policy, ClueClassifier(), path=path, budget=limits)
    instrument = Simulated(SENSOR, DATA.scenes(), truth=int(DATA.labels[0]))
    return LiveSession(session, answers=NAMES, about="clues, boed", instrument=instrument, log=path)


def patch(live: LiveSession, look: int) -> np.ndarray[Any, Any]:
    """What the instrument returns for a look."""
    assert live.instrument is not None
    return live.instrument.read(live.session.looks[look].design).numpy()


def as_text(reading: Any) -> str:
    """Base64 of float32."""
    return base64.b64encode(np.asarray(reading, "<f4").tobytes()).decode()


ROWS = [[[0.5] * 4] * 4]
WRONG: dict[str, tuple[Any, str]] = {
    "no object": ([1], "message is list, expected an object"),
    "no action": ({}, "action is None, expected one of next"),
    "unknown action": ({"action": "sugest"}, "action is 'sugest': did you mean 'suggest'?"),
    "a method that is no action": ({"action": "ingest_file"}, "action is 'ingest_file'"),
    "unknown argument": ({"action": "veto", "lok": 0}, "argument is 'lok': did you mean 'look'?"),
    "missing argument": ({"action": "veto"}, "veto needs look"),
    "another type": ({"action": "suggest", "n": "2"}, "n is a str, '2', expected a whole number"),
    "none": ({"action": "suggest", "n": 0}, "n is 0, expected at least 1"),
    "another shape": ({"action": "ingest", "look": 0, "reading": [[0.5]]}, "reading is (1, 1), ex"),
    "ragged": ({"action": "ingest", "look": 0, "reading": [[0.5], []]}, "reading is list, expect"),
    "words": ({"action": "ingest", "look": 0, "reading": [["a"]]}, "expected nested lists of num"),
    "numbers as text": ({"action": "ingest", "look": 0, "reading": [["0.5"]]}, "is a list of <U3"),
    "truths": ({"action": "ingest", "look": 0, "reading": [[[True] * 4] * 4]}, "is a list of bool"),
    "endless cost": ({"action": "fail", "look": 0, "cost": float("inf")}, "cost is inf, too high"),
    "too large a number": ({"action": "ingest", "look": 0, "reading": [10**400]}, "reading is"),
    "NaN": (
        {"action": "ingest", "look": 0, "reading": [[[float("nan")] * 4] * 4]},
        "reading has 16 NaN",
    ),
    "counts": ({"action": "ingest", "look": 0, "reading": [[[200] * 4] * 4]}, "reading spans [200"),
    "no base64": ({"action": "ingest", "look": 0, "reading": "*", "shape": [1]}, "is no base64"),
    "base64 without shape": ({"action": "ingest", "look": 0, "reading": "AAAA"}, "shape is None"),
    "negative shape": (
        {"action": "ingest", "look": 0, "reading": "AAAAAA==", "shape": [-1]},
        "shape is [-1]",
    ),
    "base64 cut short": (
        {"action": "ingest", "look": 0, "reading": "AAAAAA==", "shape": [1, 4, 4]},
        "reading has 4 bytes, expected 64",
    ),
    "unknown look": ({"action": "ingest", "look": 9, "reading": ROWS}, "look is 9, expected the"),
    "look taken": ({"action": "fail", "look": 1}, "look 1 was taken, expected a pending one: 0"),
    "take of none": ({"action": "take", "look": 9}, "look is 9, expected the id"),
    "no design": ({"action": "choose", "design": [99, 0]}, "look is [99, 0], which is no design"),
    "design of words": ({"action": "choose", "design": ["a", 0]}, "which is no design"),
    "design of NaN": ({"action": "choose", "design": [float("nan"), 0]}, "which is no design"),
    "nested design": ({"action": "choose", "design": [[0, 0]]}, "which is no design"),
    "empty design": ({"action": "choose", "design": []}, "which is no design"),
    "endless design": ({"action": "choose", "design": [10**400, 0]}, "which is no design"),
    "label": ({"action": "label", "label": 3}, "label is 3, expected 0 to 2"),
    "label of words": ({"action": "label", "label": ["a"]}, "label is ['a'], expected 0 to 2"),
    "cost": ({"action": "fail", "look": 0, "cost": -1}, "cost is -1, expected at least 0"),
}  # fmt: skip
"""Messages to a session whose look 0 is pending and whose look 1 was taken."""


def begun(path: Path) -> LiveSession:
    """A session to which the wrong messages are sent."""
    live = small(path, policy=CentreOut())
    live.suggest(2)
    live.take(1)
    return live


def record(live: LiveSession) -> list[object]:
    """All that a wrong message could have changed."""
    state = {**live.state(), "changes": 0}
    folder = live.session._log.folder
    assert folder is not None
    files = sorted(each for each in folder.iterdir() if each.name != REFUSED)
    return [state, files, (folder / EVENTS).read_bytes()]
