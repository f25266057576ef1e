"""Where boed keeps what it can make or fetch again."""

from __future__ import annotations

import os
import sys
from pathlib import Path

VARIABLE = "BOED_CACHE"
"""The environment variable that names the folder; empty, nothing is kept."""


def cache_folder() -> Path | None:
    """`$BOED_CACHE`, or `boed` in the user's cache folder; None where nothing is to be kept.

    That is where `BOED_CACHE` is empty, or it is not set and the user has no home.
    """
    given = os.environ.get(VARIABLE)
    if given is not None:
        return Path(given) if given else None
    try:
        return _of_user() / "boed"
    except RuntimeError:
        return None


def _of_user() -> Path:
    """The user's cache folder by the custom of the system, as platformdirs has it."""
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return Path(local) if local else Path.home() / "AppData" / "Local"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
