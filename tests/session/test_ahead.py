"""Decisions made ahead: the same ones, made before they are asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch

from boed.data.observation import Observation
from boed.policies import BOED, CentreOut, FirstLook, Policy, Random
from boed.sensors import PatchSensor, Sensor
from boed.sensors.reading import read
from boed.session import Look, Session
from tests.doubles import CLUE, ClueClassifier, ClueCompleter, Clues

SENSOR = PatchSensor(16, 0.25, 4)
CLUES = Clues(((0, 0), (4, 8), CLUE))
SCENE = CLUES.dataset(1, seed=3).scenes()


def boed() -> Policy:
    return BOED(ClueCompleter(CLUES), ClueClassifier(), n=6, first_look=FirstLook(n=8))


def reading(look: Look) -> torch.Tensor:
    return read(SENSOR, SCENE, torch.tensor(look.design))


def one_by_one(session: Session) -> None:
    for _ in range(4):
        (look,) = session.suggest()
        session.ingest(look, reading(look))


def two_pending(session: Session) -> None:
    looks = session.suggest(2)
    for _ in range(4):
        look = looks.pop(0)
        session.ingest(look, reading(look))
        looks += session.suggest()


def everything(session: Session) -> None:
    first, second, third = session.suggest(3)
    session.ingest(third, reading(third))
    session.ingest(first, None)
    session.veto(second)
    session.choose((12, 12))
    session.suggest()
    session.undo()
    session.stop()
    session.undo()
    session.label(1)
    session.suggest(2)


def nothing_left(session: Session) -> None:
    session.suggest(20)
    assert session.suggest() == []
    assert session.reason is not None


@pytest.mark.parametrize("policy", [boed, Random, CentreOut])
@pytest.mark.parametrize("happens", [one_by_one, two_pending, everything, nothing_left])
def test_the_looks_are_the_same(
    policy: Callable[[], Policy], happens: Callable[[Session], None]
) -> None:
    sessions = [
        Session(SENSOR, policy(), ClueClassifier(), seed=5, prefetch=prefetch)
        for prefetch in (False, True)
    ]
    for session in sessions:
        happens(session)
    plain, ahead = sessions
    assert plain.looks == ahead.looks
    assert plain.reason == ahead.reason
    assert torch.equal(plain.beliefs(), ahead.beliefs())
    for ours, theirs in zip(plain.map() or (), ahead.map() or (), strict=True):
        assert torch.equal(ours, theirs)
    ahead.close()


class Watched:
    """Decides when it may, and says in which thread and after how many pixels."""

    def __init__(self) -> None:
        self.go_on, self.made = threading.Semaphore(0), threading.Semaphore(0)
        self.began = threading.Semaphore(0)
        self.calls: list[tuple[bool, int]] = []
        self.error: Exception | None = None

    def choose(self, observation: Observation, sensor: Sensor, *given: Any, **more: Any) -> Any:
        ahead = threading.current_thread().name.startswith("boed-ahead")
        self.calls.append((ahead, int(observation.mask.sum())))
        self.began.release()
        assert self.go_on.acquire(timeout=20)
        if self.error is not None:
            raise self.error
        assert not torch.is_grad_enabled()
        decision = CentreOut().choose(observation, sensor, *given, **more)
        self.made.release()
        return decision


def wait(semaphore: threading.Semaphore) -> None:
    assert semaphore.acquire(timeout=20)


def test_a_decision_is_made_before_it_is_asked_for() -> None:
    """At the beginning, and when as few looks are pending as when one was last asked for."""
    policy = Watched()
    policy.go_on.release(50)
    with Session(SENSOR, policy, ClueClassifier(), prefetch=True) as session:
        wait(policy.made)
        (look,) = session.suggest()
        session.ingest(look, reading(look))
        wait(policy.made)
        assert policy.calls == [(True, 0), (True, 16)]  # none while the one look was pending
        first, second = session.suggest(2)
        assert policy.calls[2:] == [(False, 16)]
        session.ingest(second, reading(second))  # of a batch: the other one is waited for
        assert len(policy.calls) == 3
        session.ingest(first, reading(first))
        wait(policy.made)
        wait(policy.made)
        assert policy.calls[3:] == [(True, 48)]
        first, second = session.suggest(2)
        session.ingest(first, reading(first))
        session.suggest()  # while one is pending, and so it goes on
        wait(policy.made)
        wait(policy.made)
        session.ingest(second, reading(second))
        wait(policy.made)
        assert policy.calls[-1] == (True, 80)


def test_a_reading_is_taken_while_a_decision_is_made_ahead() -> None:
    """What is decided of an older state is dropped, and does not hold up what is asked for."""
    policy = Watched()
    with Session(SENSOR, policy, ClueClassifier(), prefetch=True) as session:
        wait(policy.began)  # of the empty scene
        session.ingest((4, 4), reading(Look(id=0, design=(4, 4), cost=0)))
        with ThreadPoolExecutor(1) as asked:
            suggesting = asked.submit(session.suggest)
            wait(policy.began)
            policy.go_on.release(2)
            (look,) = suggesting.result(20)
    assert policy.calls[:2] == [(True, 0), (False, 16)]
    assert look.design != (4, 4)


def test_what_goes_wrong_ahead_is_raised_when_asked_and_tried_again() -> None:
    policy = Watched()
    policy.go_on.release(50)
    policy.error = ValueError("the network is out of shape")
    with Session(SENSOR, policy, ClueClassifier(), prefetch=True) as session:
        with pytest.raises(ValueError, match="out of shape"):
            session.suggest()
        policy.error = None
        assert len(session.suggest()) == 1


def test_after_its_end_or_stop_nothing_is_made_ahead() -> None:
    policy = Watched()
    policy.go_on.release(50)
    with Session(SENSOR, policy, ClueClassifier(), prefetch=True) as session:
        wait(policy.made)
        session.stop()
        session.undo()
        wait(policy.made)
        session.stop()
    session.undo()
    assert len(policy.calls) == 2
    assert len(session.suggest()) == 1
    assert policy.calls[-1] == (False, 0)
