"""Decisions that are made before anyone asks for them, while the instrument is at work."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import torch

from boed.acquisition import Proposal
from boed.session.state import State

Decided = tuple[Proposal | None, str | None]
"""The next look, and what speaks against it."""


class Ahead:
    """Makes the decision that belongs to the newest state in a thread of its own.

    A decision depends on the state alone, so one that is made ahead is the one that would be made
    when it is asked for. It never guesses what a pending look will return: beside pending looks it
    is the next one of a joint batch. It is made when as few looks are pending as when one was last
    asked for, since with more of them readings are waited for, which would make it anew.

    Args:
        decide: makes the decision of a state.
    """

    def __init__(self, decide: Callable[[State], Decided]) -> None:
        self._decide = decide
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="boed-ahead")
        self._lock = threading.Lock()
        self._newest: tuple[int, Future[Decided]] | None = None
        self._asked = 0
        self._closed = False

    def asked(self, pending: int) -> None:
        """Someone asks for looks while so many are pending, and will do so again."""
        with self._lock:
            self._asked = pending

    def prepare(self, number: int, state: State) -> None:
        """Begin to decide.

        Args:
            number: of events, which says what state it is.
            state: which stays as it is from now on.
        """
        with self._lock:
            self._forget()
            if self._closed or state.stopped is not None or len(state.pending) > self._asked:
                return
            self._newest = (number, self._worker.submit(self._decided, state))

    def decision(self, number: int, state: State) -> Decided:
        """The decision of a state: the one that was made ahead, or one that is made now."""
        with self._lock:
            known, made = self._newest or (-1, None)
            if made is None or known != number or made.cancel():  # an older one is in its way
                self._newest = None if known == number else self._newest
                made = None
        if made is None:
            return self._decide(state)
        try:
            return made.result()
        except BaseException:
            with self._lock:
                self._forget()  # it is tried again when it is asked for again
            raise

    def close(self) -> None:
        """Make no more decisions ahead."""
        with self._lock:
            self._closed = True
            self._forget()
            self._worker.shutdown(wait=False, cancel_futures=True)

    def _forget(self) -> None:
        if self._newest is not None:
            self._newest[1].cancel()
            self._newest = None

    @torch.no_grad()
    def _decided(self, state: State) -> Decided:
        return self._decide(state)
