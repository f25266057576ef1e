"""Several live sessions in one process: one for each scene that is looked at."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from boed.live.live_session import LiveSession
from boed.session.log import EVENTS

FIRST = "1"
"""Name of the session that is there if there was none."""

MOST = 100
"""Sessions of one process, at most."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


class Sessions:
    """Live sessions by name, each as if it were alone; none waits for another one.

    Those whose logs are in the folder go on. Threads may share them.

    Args:
        begin: makes a session whose log is in a folder, or in memory alone.
        folder: of the logs, each in a folder of its session's name; None keeps them in memory.

    Attributes:
        limit: bytes of a message or file, at most.

    Raises:
        ValueError: the folder is a file or the log of one session, or one of its logs is refused.
        OSError: the folder cannot be written.
    """

    def __init__(
        self, begin: Callable[[Path | None], LiveSession], folder: Path | str | None = None
    ) -> None:
        self._make, self._folder = begin, None if folder is None else Path(folder)
        self._lives: dict[str, LiveSession] = {}
        self._one_by_one = threading.Lock()
        try:
            for name in logged(self._folder) or [FIRST]:
                self.begin(name)
        except BaseException:
            self.close()
            raise
        self.limit = max(live.limit for live in self._lives.values())

    def begin(self, name: str) -> LiveSession:
        """A new session.

        Raises:
            ValueError: a name that is taken or cannot be one, or too many sessions.
            OSError: its log cannot be written.
        """
        if not is_name(name):
            raise ValueError(
                f"session is {name!r}, expected a name of at most 64 small letters, digits, - and _"
            )
        with self._one_by_one:
            if name in self._lives:
                raise ValueError(f"session {name!r} is there already; expected another name")
            if len(self._lives) >= MOST:
                raise ValueError(f"there are {MOST} sessions; expected no more in one process")
            live = self._make(None if self._folder is None else self._folder / name)
            self._lives = {**self._lives, name: live}
        return live

    @property
    def lives(self) -> dict[str, LiveSession]:
        """The sessions by name."""
        return dict(self._lives)

    def answer(self, message: object) -> dict[str, Any]:
        """Do what a message to one of the sessions asks for; its `session` says to which.

        `begin` makes a new one of that name, `sessions` says where each stands.

        Raises:
            ValueError: it is no message, of no session that is there, or what it asks for is
                refused; nothing is changed then.
            OSError: a log cannot be written; nothing is changed then.
        """
        if not isinstance(message, Mapping):
            raise ValueError(f"message is {type(message).__name__}, expected an object")
        given = dict(message)
        action = given.get("action")
        if action == "sessions" and list(given) == ["action"]:
            return self.overview()
        name, lives = given.pop("session", None), self.lives
        if action == "begin" and list(given) == ["action"]:
            self.begin(name)
            return {"session": name}
        if not isinstance(name, str) or name not in lives:
            raise ValueError(f"session is {name!r}, expected one of {', '.join(lives)}")
        return {"session": name, **lives[name].answer(given)}

    def overview(self) -> dict[str, Any]:
        """Where each session stands."""
        return {"sessions": [_overview(name, live) for name, live in self.lives.items()]}

    def close(self) -> None:
        """Let other processes have the logs."""
        for live in self._lives.values():
            live.close()


def logged(folder: Path | None) -> list[str]:
    """Names of the sessions whose logs are in a folder; other things in it are left alone.

    Raises:
        ValueError: it is a file, or the log of one session.
    """
    if folder is None or not folder.exists():
        return []
    if not folder.is_dir():
        raise ValueError(f"out {folder} is a file, expected a folder for the logs of sessions")
    if (folder / EVENTS).exists():
        raise ValueError(
            f"out {folder} is the log of one session, expected a folder for the logs of several"
        )
    names = (each.name for each in folder.iterdir() if (each / EVENTS).exists())
    return sorted(filter(is_name, names))


def is_name(name: object) -> bool:
    """Whether a session may be called so."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def _overview(name: str, live: LiveSession) -> dict[str, Any]:
    session = live.session
    with session.lock:
        pending = [each.id for each in session.pending]
        return {
            "session": name,
            **live.belief(),
            "pending": pending,
            "deciding": live.deciding > 0,
            "spent": session.spent,
            "ended": session.stopped or (None if pending else session.reason),
        }
