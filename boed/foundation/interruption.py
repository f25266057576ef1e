"""Ctrl-C and SIGTERM: as exceptions that clean up on their way, or held back until a good moment.

Signals can be handled in the main thread alone; elsewhere these leave them as they are, as they do
those that are ignored, such as Ctrl-C in a job in the background.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """Work was ended from outside; the message says what of it is stored.

    Attributes:
        signal: that ended it.
    """

    def __init__(self, number: int = signal.SIGINT, message: str = "") -> None:
        super().__init__(message)
        self.signal = signal.Signals(number)


class Held:
    """The signal that came while it was held back, if one did."""

    signal: int | None = None


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """Raise `Interrupted` on SIGTERM, so that what cleans up after Ctrl-C does so then, too."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise Interrupted(number)

    with _handled({signal.SIGTERM: interrupt}):
        yield


@contextmanager
def held_back() -> Iterator[Held]:
    """Hold Ctrl-C and SIGTERM back; the second one in a row interrupts at once."""
    held = Held()

    def hold(number: int, frame: FrameType | None) -> None:
        if held.signal is not None:
            raise Interrupted(number)
        held.signal = number

    with _handled(dict.fromkeys(SIGNALS, hold)):
        yield held


@contextmanager
def _handled(handlers: dict[signal.Signals, Any]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {
        number: signal.signal(number, handler)
        for number, handler in handlers.items()
        if signal.getsignal(number) != signal.SIG_IGN
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
