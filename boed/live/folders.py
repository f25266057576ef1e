"""Several sessions over a folder: each has a folder of its name in it."""

from __future__ import annotations

import threading
from pathlib import Path

from boed.foundation.files import atomic
from boed.live.folder import EVERY, Folder
from boed.live.sessions import Sessions, is_name


class Folders:
    """Takes the readings of several sessions, each from the folder of its name.

    A new folder begins a session of its name, and a session that was begun elsewhere has its folder
    made. What keeps one of them from being watched stands in `NAME.error.txt`; the others go on.
    Folders that are not named as sessions are, and files, are left alone.

    Args:
        sessions: those that there are.
        folder: made if it is not there.

    Raises:
        OSError: the folder cannot be written.
    """

    def __init__(self, sessions: Sessions, folder: Path | str) -> None:
        self.sessions, self.folder = sessions, Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._known: set[str] = set()

    def watch(self, until: threading.Event) -> None:
        """Watch each folder in a thread of its own, so that a slow decision holds up no other.

        Args:
            until: ends it.
        """
        threads: list[threading.Thread] = []
        try:
            while True:
                for folder in self.new():
                    given = {"target": folder.watch, "args": (until,), "kwargs": {"on": True}}
                    threads.append(threading.Thread(daemon=True, **given))  # type: ignore[arg-type]
                    threads[-1].start()
                if until.wait(EVERY):
                    return
        finally:
            until.set()
            for thread in threads:
                thread.join()

    def new(self) -> list[Folder]:
        """Folders of sessions that were not watched before."""
        there = {each.name for each in self.folder.iterdir() if each.is_dir()}
        names = {*self.sessions.lives, *filter(is_name, there)} - self._known
        self._known |= names
        watched = []
        for name in sorted(names):
            try:
                live = self.sessions.lives.get(name) or self.sessions.begin(name)
                watched.append(Folder(live, self.folder / name))
            except (OSError, ValueError) as error:
                with atomic(self.folder / f"{name}.error.txt") as temporary:
                    temporary.write_text(f"{name}: {error}\n", encoding="utf-8")
        return watched
