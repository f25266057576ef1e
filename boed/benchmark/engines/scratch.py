"""A folder in the temporary directory that is gone when the process that made it is."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "boed-"
LOCK = "owner.lock"
"""Held by the owner of a folder while it lives, whatever ends it."""


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A new folder, removed at the end; so are those here whose owners were killed before theirs.

    Raises:
        OSError: the temporary directory cannot be written.
    """
    _remove_abandoned(Path(tempfile.gettempdir()))
    with tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with open(folder / "new.lock", "wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            os.rename(folder / "new.lock", folder / LOCK)  # no one finds it before it is held
            yield folder


def _remove_abandoned(where: Path) -> None:
    """Remove the folders whose owners are dead: their locks can be had."""
    for path in where.glob(f"{PREFIX}*/{LOCK}"):
        with suppress(OSError), open(path, "rb") as lock:  # of another user, or just removed
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path.parent, ignore_errors=True)
