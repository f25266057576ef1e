"""Sessions: what `acquire` does, whatever happens on the way."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from boed.acquire import acquire
from boed.acquisition import Budget
from boed.data.observation import Observation
from boed.eig import eig_map
from boed.foundation.randomness import derive, per_scene
from boed.policies import BOED, CentreOut, FirstLook, Oracle, Policy, Random, Until
from boed.policies.stopping import Confident
from boed.sensors import PatchSensor, Sensor
from boed.sensors.reading import read, record
from boed.sensors.sensor import look as looked
from boed.session import Look, Session
from boed.session.log import EVENTS
from boed.session.pending import Pending
from tests.doubles import (
    CLUE,
    ClueClassifier,
    ClueCompleter,
    Clues,
    Constant,
    FindingsClassifier,
)

TILED = PatchSensor(16, 0.25, 4)
CLUES = Clues(((0, 0), (4, 8), CLUE))
SCENE = CLUES.dataset(1, seed=3).scenes()
STEPS = 5


def boed(n: int = 6) -> BOED:
    completer = ClueCompleter(CLUES)
    return BOED(completer, ClueClassifier(), n=n, first_look=FirstLook(n=8))


def reading(look: Look, sensor: Sensor = TILED, scene: Tensor = SCENE, seed: int = 7) -> Tensor:
    """What the instrument returns: the noise of `acquire` with that seed."""
    noise = derive(per_scene(seed, 1)[0], "noise")
    design = torch.tensor(look.design)
    return read(sensor, scene, design, seed=noise)


def run(
    session: Session, sensor: Sensor = TILED, scene: Tensor = SCENE, steps: int = STEPS
) -> None:
    for _ in range(steps):
        for look in session.suggest():
            session.ingest(look, reading(look, sensor, scene))


def test_boed_in_a_session_decides_as_in_acquire() -> None:
    expected = acquire(SCENE, TILED, boed(), steps=STEPS, classifier=ClueClassifier(), seed=7)
    session = Session(TILED, boed(), ClueClassifier(), seed=7)
    run(session)
    looks = session.looks
    assert [look.design for look in looks] == [tuple(row) for row in expected.designs[0].tolist()]
    assert [look.eig for look in looks] == expected.scores[0].tolist()
    assert torch.equal(session.beliefs().log(), expected.log_beliefs[0])
    assert all(look.status == "taken" and look.suggested for look in looks)
    designs, scores = session.map() or (torch.empty(0), torch.empty(0))
    assert torch.equal(designs, expected.decisions[-1].candidates)
    assert torch.equal(scores, expected.decisions[-1].scores[0])  # type: ignore[index]
    assert session.completions(3).shape == (3, 1, 16, 16)


def test_it_ends_as_acquire_does() -> None:
    """By the policy's own rule, the budget, or when all has been read; and it says so."""
    until = Until(CentreOut(), Confident(ClueClassifier(), 0.9))
    ways: list[tuple[Policy, Budget | None, str]] = [
        (until, None, "the policy says"),
        (CentreOut(), Budget(cost=3.5 / 16), "the budget of 0.21875 has no room"),
        (CentreOut(), Budget(seconds=1e-9), "the budget of 1e-09 seconds of deciding"),
        (CentreOut(), None, "everything that the candidates can read has been read"),
    ]
    for policy, budget, reason in ways:
        expected = acquire(
            SCENE, TILED, policy, steps=20, classifier=ClueClassifier(), seed=7, budget=budget
        )
        session = Session(TILED, policy, ClueClassifier(), seed=7, budget=budget)
        run(session, steps=20)
        assert len(session.looks) == int(expected.looks[0])
        assert (session.reason or "").startswith(reason)


def happens(session: Session, path: Path, check: Callable[[], None]) -> None:
    """A session in which everything happens that can; `check` after each thing."""
    first, second = session.suggest(2)
    check()
    session.ingest(second, reading(second))
    check()
    session.ingest(first, None, cost=0.01)
    check()
    session.ingest([12, 12], reading(Look(id=0, design=(12, 12), cost=0)))
    check()
    (third,) = session.suggest()
    session.veto(third)
    check()
    session.stop()
    check()
    session.undo()
    (fourth,) = session.suggest()
    check()
    session.label(2)
    session.ingest(fourth.id, reading(fourth))
    check()
    session.undo()
    check()


def state(session: Session) -> list[object]:
    return [
        session.looks,
        session.observation.values.tolist(),
        session.beliefs().tolist(),
        session.spent,
        session.stopped,
        None if session.map() is None else [part.tolist() for part in session.map()],  # type: ignore[union-attr]
        [event.kind for event in session.history],
    ]


def test_it_resumes_to_the_same_state_and_suggestion_whenever_it_was_killed(tmp_path: Path) -> None:
    path = tmp_path / "session"
    session = Session(TILED, boed(), ClueClassifier(), path=path)
    copies = 0

    def check() -> None:
        nonlocal copies
        copies += 1
        after = shutil.copytree(path, tmp_path / str(copies))
        with (after / EVENTS).open("ab") as stream:  # killed while it wrote the next event
            stream.write(b'{"n": 99, "event": "readi')
        with Session(TILED, boed(), ClueClassifier(), path=after) as again:
            assert state(again) == state(session)
            if again.stopped is None:
                fresh = Session(TILED, boed(), ClueClassifier(), path=None)
                fresh._log.events = list(session._log.events)
                fresh._state = session._state.after(fresh._start, fresh._log.events)
                assert again.suggest() == fresh.suggest()
        with Session(TILED, boed(), ClueClassifier(), path=after) as again:
            assert again.stopped is not None or again.looks[:-1] == session.looks

    happens(session, path, check)
    assert copies == 9


def test_a_session_killed_at_its_very_beginning_begins_again(tmp_path: Path) -> None:
    """The arrays of its first event are there, and no event, or half of one."""
    Session(TILED, CentreOut(), ClueClassifier(), path=tmp_path).close()
    for left in (b"", b'{"n": 0, "event": "beg', None):
        if left is None:
            (tmp_path / EVENTS).unlink()
        else:
            (tmp_path / EVENTS).write_bytes(left)
        with Session(TILED, CentreOut(), ClueClassifier(), path=tmp_path) as session:
            assert session.history == []
        with Session(TILED, CentreOut(), ClueClassifier(), path=tmp_path) as session:
            assert len(session.suggest()) == 1
        (tmp_path / EVENTS).write_bytes((tmp_path / EVENTS).read_bytes().split(b"\n")[0] + b"\n")


def test_looks_under_way_are_accounted_for() -> None:
    """Pending, failed and vetoed looks are not suggested again; all of them end the session."""
    session = Session(TILED, CentreOut(), ClueClassifier())
    looks = session.suggest(16)
    assert len({look.design for look in looks}) == 16
    assert session.suggest() == []
    assert session.reason == "every candidate was read, is pending, failed or was vetoed"
    session.ingest(looks[3], None)
    session.veto(looks[5])
    assert session.suggest() == []
    session.undo()
    assert [look.id for look in session.pending] == [k for k in range(16) if k != 3]


def test_a_chosen_look_takes_the_place_of_the_suggested_one(tmp_path: Path) -> None:
    """It is pending like any other; the other one may be suggested again, and undo restores it."""
    session = Session(TILED, boed(), ClueClassifier(), path=tmp_path / "log")
    (suggested,) = session.suggest()
    chosen = session.choose((12, 12), instead=suggested)
    assert (chosen.id, chosen.design, chosen.suggested) == (1, (12.0, 12.0), False)
    assert session.looks[0].status == "replaced"
    assert session.pending == [chosen]
    session.ingest(chosen, reading(chosen))
    (again,) = session.suggest()
    assert again.design == suggested.design
    before = state(session)
    session.close()
    with Session(TILED, boed(), ClueClassifier(), path=tmp_path / "log") as session:
        assert state(session) == before
        assert [session.undo() for _ in range(3)] == ["suggestion", "reading", "choice"]
        assert session.pending == [suggested]


def test_a_slow_decision_holds_up_no_reading() -> None:
    """What is read meanwhile is acknowledged at once, and the look is decided anew."""
    deciding, go_on = threading.Event(), threading.Event()
    starts: list[float] = []

    class Slow:
        def choose(self, observation: Observation, sensor: Sensor, *given: Any, **more: Any) -> Any:
            starts.append(float(observation.mask.sum()))
            deciding.set()
            assert go_on.wait(10)
            return CentreOut().choose(observation, sensor, *given, **more)

    session = Session(TILED, Slow(), ClueClassifier())
    with ThreadPoolExecutor(1) as worker:
        suggesting = worker.submit(session.suggest)
        assert deciding.wait(10)
        session.ingest((4, 4), reading(Look(id=0, design=(4, 4), cost=0)))
        assert not suggesting.done()
        assert len(session.beliefs()) == 2
        go_on.set()
        (look,) = suggesting.result(10)
    assert starts == [0, 16]
    assert (look.id, look.design) != (1, (4.0, 4.0))


def test_the_budget_reserves_what_is_pending() -> None:
    session = Session(TILED, CentreOut(), ClueClassifier(), budget=Budget(cost=3 / 16))
    assert len(session.suggest(5)) == 3
    assert session.spent == 0
    assert session.reason == "the budget of 0.1875 has no room for the next look"


def test_several_looks_are_the_greedy_joint_batch() -> None:
    """The second look is the best one beside the first, by a joint EIG computed by brute force."""
    session = Session(TILED, boed(8), ClueClassifier(), seed=4)
    session.ingest((12, 0), reading(Look(id=0, design=(12, 0), cost=0)))
    first, second = session.suggest(2)
    policy, seen = boed(8), session.observation
    seed = derive(per_scene(4, 1)[0], "look", 2)
    from boed.completion.completer import complete

    completions = complete(policy.completer, seen, 8, seed=[seed])
    designs = TILED.designs(seen)
    one = torch.tensor([first.design]).to(designs)

    class Both:
        """Both looks at once, spelled out."""

        noise = 0

        def designs(self, observation: Observation) -> Tensor:
            return designs

        def observe(self, observation: Observation, scene: Tensor, design: Tensor) -> Observation:
            once = TILED.observe(observation, scene, one.expand(len(scene), -1))
            return TILED.observe(once, scene, design)

        def cost(self, design: Tensor) -> Tensor:
            return TILED.cost(design)

    joint = eig_map(seen, completions, Both(), classifier=ClueClassifier()).eig[0]
    assert second.design != first.design
    assert second.eig == pytest.approx(float(joint.max()), abs=1e-5)
    alone = eig_map(seen, completions, TILED, classifier=ClueClassifier()).eig[0]
    twice = (designs == one).all(1)
    assert (second.eig or 0) >= float(alone[twice]) - 1e-6


def test_pending_looks_are_seen_with_the_next_one() -> None:
    several = Pending(
        TILED, torch.tensor([[0, 0], [4, 4]]), without=torch.tensor([[8, 8]]), reserved=2 / 16
    )
    nothing = Observation.nothing_of(SCENE)
    offered = several.designs(nothing).tolist()
    assert len(offered) == 13
    assert all(each not in offered for each in ([0, 0], [4, 4], [8, 8]))
    after = looked(several, nothing, SCENE, design=torch.tensor([[12, 0]]), seeds=[0])
    assert float(after.mask.sum()) == 3 * 16
    assert several.cost(torch.tensor([[12, 0]])).tolist() == [3 / 16]
    assert torch.equal(several.bounds, TILED.bounds)


WRONG: dict[str, tuple[Callable[[Session], object], str]] = {
    "another shape": (lambda s: s.ingest(0, torch.rand(1, 3, 4)), r"reading is \(1, 3, 4\), exp"),
    "NaN": (lambda s: s.ingest(0, torch.full((1, 4, 4), torch.nan)), "reading has 16 NaN"),
    "masked": (
        lambda s: s.ingest(0, np.ma.array(np.ones((1, 4, 4)), mask=np.eye(4)[None])),
        "reading has 4 masked entries of 16",
    ),
    "whole numbers": (lambda s: s.ingest(0, [[[0] * 4] * 4]), "reading is int64, expected floa"),
    "unknown look": (lambda s: s.ingest(5, None), "look is 5, expected the id of one .*: 0 to 1"),
    "negative look": (lambda s: s.ingest(-1, None), "look is -1, expected the id"),
    "look taken": (lambda s: s.ingest(1, None), "look 1 was taken, expected a pending one: 0"),
    "veto of a taken one": (lambda s: s.veto(1), "look 1 was taken, expected a pending one: 0"),
    "no design": (lambda s: s.ingest([0.0], None), r"look is \[0.0\], which is no design of Patch"),
    "beyond the edge": (lambda s: s.ingest((13, 0), None), r"look is \(13, 0\), which is no desi"),
    "a word": (lambda s: s.ingest("a", None), "look is a str, 'a', expected"),
    "cost": (lambda s: s.ingest(0, None, cost=-1), "cost is -1, expected at least 0"),
    "endless cost": (lambda s: s.ingest(0, None, cost=float("inf")), "cost is inf, too high to be"),
    "cost beyond numbers": (lambda s: s.ingest(0, None, cost=1e308), "cost is 1e[+]308, too high"),
    "cost of NaN": (lambda s: s.ingest(0, None, cost=float("nan")), "cost is nan"),
    "choice of no design": (lambda s: s.choose((13, 0)), r"look is \(13, 0\), which is no desi"),
    "choice beside one taken": (lambda s: s.choose((0, 0), instead=1), "look 1 was taken, expect"),
    "none": (lambda s: s.suggest(0), "n is 0, expected at least 1"),
    "label": (lambda s: s.label(3), "label is 3, expected 0 to 2"),
    "labels": (lambda s: s.label([1, 1]), r"label is \[1, 1\], expected 0 to 2"),
    "label in a list": (lambda s: s.label([1]), r"label is \[1\], expected 0 to 2"),
    "completions": (lambda s: s.completions(), "CentreOut has no completer"),
}  # fmt: skip


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_policy_that_needs_the_scene_is_refused(wrapped: bool, tmp_path: Path) -> None:
    policy: Policy = Oracle(ClueClassifier())
    if wrapped:
        policy = Until(policy, Confident(ClueClassifier(), 0.9))
    log = tmp_path / "log"
    with pytest.raises(ValueError, match=r"policy is .*, which chooses by the whole scene"):
        Session(TILED, policy, ClueClassifier(), path=log)
    assert not log.exists()


@pytest.mark.parametrize("name", WRONG)
def test_wrong_input_is_refused_and_changes_nothing(name: str, tmp_path: Path) -> None:
    wrong, message = WRONG[name]
    session = Session(TILED, CentreOut(), ClueClassifier(), path=tmp_path / "session")
    looks = session.suggest(2)
    session.ingest(looks[1], reading(looks[1]))
    before, files = state(session), sorted((tmp_path / "session").iterdir())
    lines = (tmp_path / "session" / EVENTS).read_bytes()
    with pytest.raises(ValueError, match=message):
        wrong(session)
    assert state(session) == before
    assert sorted((tmp_path / "session").iterdir()) == files
    assert (tmp_path / "session" / EVENTS).read_bytes() == lines


@pytest.mark.parametrize("act", ["suggest", "choose", "ingest", "veto", "stop"])
def test_nothing_happens_after_the_end_until_it_is_undone(act: str) -> None:
    session = Session(TILED, CentreOut(), ClueClassifier())
    (look,) = session.suggest()
    session.stop("the patient left")
    given = {"choose": ((0, 0),), "ingest": (look, None), "veto": (look,)}.get(act, ())
    with pytest.raises(ValueError, match=r"was stopped \(the patient left\); undo takes that back"):
        getattr(session, act)(*given)
    assert session.undo() == "stop"
    getattr(session, act)(*given)


def test_there_is_nothing_to_undo_at_first() -> None:
    session = Session(TILED, CentreOut(), ClueClassifier())
    with pytest.raises(ValueError, match="nothing has happened"):
        session.undo()


def test_findings_have_a_label_each() -> None:
    session = Session(TILED, CentreOut(), FindingsClassifier())
    assert session.belief().shape == (2, 2)
    session.label([1, 0])
    with pytest.raises(ValueError, match="label is 1, expected 0 to 1 for each of 2 findings"):
        session.label(1)


@pytest.mark.parametrize(
    ("what", "given"),
    [
        ("sensor", {"sensor": PatchSensor(16, 0.5, 4)}),
        ("policy", {"policy": Random()}),
        ("classifier", {"classifier": FindingsClassifier()}),
        ("seed", {"seed": 1}),
        ("shape", {"classifier": Constant((0.0,)), "shape": (2, 16, 16)}),
        ("budget", {"budget": Budget(cost=1)}),
    ],
)
def test_a_log_belongs_to_its_session(what: str, given: dict[str, Any], tmp_path: Path) -> None:
    ours: dict[str, Any] = {"sensor": TILED, "policy": CentreOut(), "classifier": ClueClassifier()}
    if what == "shape":  # the exact classifier knows one channel alone
        ours["classifier"] = given["classifier"]
    Session(**ours, path=tmp_path / "log").close()
    with pytest.raises(ValueError, match=f"log .* is of a session whose {what} is .*, this one's"):
        Session(**{**ours, **given}, path=tmp_path / "log")
    Session(**ours, path=tmp_path / "log").close()


def test_one_process_at_a_time_has_a_log(tmp_path: Path) -> None:
    first = Session(TILED, CentreOut(), ClueClassifier(), path=tmp_path / "log")
    with pytest.raises(ValueError, match="is in use by another process"):
        Session(TILED, CentreOut(), ClueClassifier(), path=tmp_path / "log")
    first.close()
    Session(TILED, CentreOut(), ClueClassifier(), path=tmp_path / "log").close()


def damage_line(folder: Path) -> str:
    lines = (folder / EVENTS).read_bytes().split(b"\n")
    lines[1] = lines[1][:-5]
    (folder / EVENTS).write_bytes(b"\n".join(lines))
    return "line 2 of log.jsonl is damaged"


def lose_line(folder: Path) -> str:
    lines = (folder / EVENTS).read_bytes().split(b"\n")
    (folder / EVENTS).write_bytes(b"\n".join([*lines[:1], *lines[2:]]))
    return "line 2 of log.jsonl is damaged, expected event 1"


def lose_array(folder: Path) -> str:
    (folder / "000003.reading.npy").unlink()
    return r"000003.reading.npy \(reading\) is missing"


def change_array(folder: Path) -> str:
    (folder / "000003.reading.npy").write_bytes(b"other")
    return r"000003.reading.npy \(reading\) is not what was written"


def point_elsewhere(folder: Path) -> str:
    text = (folder / EVENTS).read_text()
    (folder / EVENTS).write_text(text.replace("000003.reading.npy", "../../secret.npy"))
    return r"'../../secret.npy' is no file of it"


def foreign_files(folder: Path) -> str:
    (folder / EVENTS).rename(folder / "notes.txt")
    return r"holds 000003.log_belief.npy but no log.jsonl"


def undo_nothing(folder: Path) -> str:
    begin, _, rest = (folder / EVENTS).read_bytes().partition(b"\n")
    (folder / EVENTS).write_bytes(begin + b'\n{"n": 1, "event": "undo"}\n')
    assert rest
    return "event 1 undoes what did not happen"


def lose_fact(folder: Path) -> str:
    text = (folder / EVENTS).read_text()
    (folder / EVENTS).write_text(text.replace('"design"', '"desing"', 1))
    return "event 'suggestion' .* cannot have happened"


def look_that_is_not_there(folder: Path) -> str:
    text = (folder / EVENTS).read_text()
    (folder / EVENTS).write_text(text.replace('"look": 1', '"look": 9'))
    return "event 'reading' .* cannot have happened"


@pytest.mark.parametrize(
    "harm",
    [
        damage_line, lose_line, lose_array, change_array, point_elsewhere, foreign_files,
        undo_nothing, lose_fact, look_that_is_not_there,
    ],
)  # fmt: skip
def test_damaged_logs_are_refused(harm: Callable[[Path], str], tmp_path: Path) -> None:
    with Session(TILED, CentreOut(), ClueClassifier(), path=tmp_path) as session:
        for look in session.suggest(2)[::-1]:
            session.ingest(look, reading(look))
    message = harm(tmp_path)
    with pytest.raises(ValueError, match=f"log .*{message}"):
        Session(TILED, CentreOut(), ClueClassifier(), path=tmp_path)


IMPOSSIBLE: dict[str, tuple[int, dict[str, Any], str]] = {
    "an id that is not the next": (2, {"id": 7}, "id is 7, expected the next one, 1"),
    "an id that was there": (2, {"id": 0}, "id is 0, expected the next one, 1"),
    "an id that counts from the end": (2, {"id": -1}, "id is -1"),
    "an id that is no number": (2, {"id": True}, "id is True"),
    "a choice's id": (5, {"id": 9}, "id is 9, expected the next one, 2"),
    "a choice in place of nothing": (5, {"instead": 5}, "look is 5, expected the id of one"),
    "a choice in place of what was taken": (5, {"instead": 0}, "look 0 was taken before"),
    "a reading counted from the end": (3, {"look": -1}, "look is -1, expected the id of one"),
    "a second reading": (4, {"look": 1}, "look 1 was taken before, expected a pending one"),
    "a failure of what was taken": (6, {"look": 0}, "look 0 was taken before"),
    "a veto of nothing": (7, {"event": "veto", "look": 9}, "look is 9, expected the id of one"),
    "a veto of what failed": (7, {"event": "veto", "look": 2}, "look 2 was failed before"),
    "an unknown event": (7, {"event": "sugestion"}, "there is no such event"),
    "another beginning": (7, {"event": "begin"}, "there is no such event"),
    "a reading after the stop": (1, {"event": "stop", "reason": "enough"}, "was stopped before"),
    "a negative cost": (2, {"cost": -1}, "cost is -1.0, expected at least 0"),
    "a cost that is no number": (4, {"cost": "1"}, "cost is '1', expected a number"),
    "endless deciding": (1, {"seconds": float("inf")}, "seconds is inf, expected a finite number"),
    "a design of NaN": (1, {"design": [float("nan"), 0]}, "design is nan, expected a finite"),
    "a design of words": (1, {"design": "ab"}, "design is 'a', expected a number"),
    "a design that is too long": (1, {"design": [0, 0, 0]}, "expected a design of 2 numbers"),
}
"""Number of the event, what is changed of it, and what is told."""


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_events_that_cannot_have_happened_are_refused(name: str, tmp_path: Path) -> None:
    number, changed, told = IMPOSSIBLE[name]
    with Session(TILED, CentreOut(), ClueClassifier(), path=tmp_path) as session:
        for look in session.suggest(2)[::-1]:
            session.ingest(look, reading(look))
        session.ingest(session.choose((0, 0)), None)
        session.stop()
    lines = [json.loads(line) for line in (tmp_path / EVENTS).read_text().splitlines()]
    lines[number] |= changed
    (tmp_path / EVENTS).write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(ValueError, match=r"^log is damaged: .* cannot have happened") as refused:
        Session(TILED, CentreOut(), ClueClassifier(), path=tmp_path)
    assert told in str(refused.value)


def test_a_full_disk_changes_nothing_and_leaves_the_log_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Session(TILED, CentreOut(), ClueClassifier(), path=tmp_path)
    (look,) = session.suggest()
    before = state(session)
    for full_after in range(2):  # the array, and the event
        calls = iter([True] * full_after + [False] * 9)

        def sync(handle: int, calls: object = calls) -> None:
            if not next(calls):  # type: ignore[call-overload]
                raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", sync)
            with pytest.raises(OSError, match=r"could not write .*log.jsonl: disk full"):
                session.ingest(look, reading(look))
        assert state(session) == before
    session.ingest(look, reading(look))
    after = state(session)
    session.close()
    with Session(TILED, CentreOut(), ClueClassifier(), path=tmp_path) as again:
        assert state(again) == after


def live(path: Path, acknowledge: int) -> None:
    """The session of a child process, which says what was suggested and taken."""
    with Session(TILED, Random(), ClueClassifier(), path=path) as session:
        for _ in range(16):
            for look in session.pending or session.suggest():
                os.write(acknowledge, f"suggested {look.id}\n".encode())
                session.ingest(look, reading(look))
                os.write(acknowledge, f"taken {look.id}\n".encode())


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_processes_killed_at_any_moment_lose_nothing_acknowledged(tmp_path: Path) -> None:
    """Sessions killed again and again, each after another number of lines, or in between."""
    undisturbed = Session(TILED, Random(), ClueClassifier())
    run(undisturbed, steps=16)
    for lines in (2, 3, 5, 8):  # with one alone it might never get on
        path, acknowledged = tmp_path / str(lines), set[str]()
        while "taken 15" not in acknowledged:
            ours, theirs = os.pipe()
            child = os.fork()
            if child == 0:
                os.close(ours)
                try:
                    live(path, theirs)
                finally:
                    os._exit(0)
            os.close(theirs)
            with os.fdopen(ours) as stream:
                heard = [stream.readline().strip() for _ in range(lines)]
                os.kill(child, signal.SIGKILL)
                heard += stream.read().splitlines()
            os.waitpid(child, 0)
            acknowledged |= set(heard)
            with Session(TILED, Random(), ClueClassifier(), path=path) as session:
                taken = {f"taken {look.id}" for look in session.looks if look.status == "taken"}
            assert {each for each in acknowledged if each.startswith("taken")} <= taken
            acknowledged |= taken
        with Session(TILED, Random(), ClueClassifier(), path=path) as session:
            assert session.looks == undisturbed.looks
            assert torch.equal(session.beliefs(), undisturbed.beliefs())


def test_a_reading_is_recorded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is acknowledged is what was worked out for the belief, not worked out again."""
    times = []

    def counted(*given: Any, **more: Any) -> Observation:
        times.append(1)
        return record(*given, **more)

    monkeypatch.setattr("boed.session.state.record", counted)
    session = Session(TILED, CentreOut(), ClueClassifier())
    run(session, steps=2)
    assert len(times) == 2
