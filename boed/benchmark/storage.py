"""The folder of a run: whose it is, and the finished parts in it."""

from __future__ import annotations

import json
import shutil
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from boed.benchmark.jobs import Block, Part
from boed.foundation.files import atomic, write_json

_STORED = ("log_belief", "design", "score", "cost", "looks", "seconds")


@dataclass(frozen=True)
class Parts:
    """The finished parts of a run, one file each.

    Attributes:
        folder: of the run; if there is none, nothing is kept.
    """

    folder: Path | None

    def file(self, block: Block) -> Path | None:
        """Where the part of a block is kept."""
        if self.folder is None:
            return None
        name = f"{quote(block.policy, safe='')}-{block.seed}-{block.scenes.start}.npz"
        return self.folder / "parts" / name

    def load(self, block: Block, steps: int) -> Part | None:
        """A finished part; None if there is none, or it is damaged and has to be done again."""
        path = self.file(block)
        if path is None or not path.exists():
            return None
        try:
            with np.load(path, allow_pickle=False) as file:
                part = {name: file[name] for name in _STORED}
        except (ValueError, KeyError, EOFError, OSError, zipfile.BadZipFile, zlib.error):
            return None
        return part if part["design"].shape[:2] == (len(block.scenes), steps) else None

    def save(self, block: Block, part: Part) -> None:
        """Keep a finished part.

        Raises:
            OSError: it cannot be written.
        """
        path = self.file(block)
        if path is None:
            return
        with atomic(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, **part)  # type: ignore[arg-type]

    def claim(self, settings: dict[str, Any]) -> None:
        """Make the folder the home of this run, or make sure that it already is.

        Raises:
            ValueError: it holds a run with other settings, or a damaged description.
        """
        folder = self.folder
        if folder is None:
            return
        stated = json.loads(json.dumps(settings))
        described = folder / "run.json"
        if not described.exists():
            write_json(described, stated)
            return
        try:
            there = json.loads(described.read_text())
        except ValueError as error:
            raise ValueError(
                f"out: {described} is damaged ({error}); choose another folder or remove that one"
            ) from error
        differing = sorted(k for k in stated.keys() | there.keys() if stated.get(k) != there.get(k))
        if differing:
            key = differing[0]
            raise ValueError(
                f"out: {folder} holds a run with other settings: {key} is {there.get(key)!r} "
                f"there, now {stated.get(key)!r}; choose another folder or remove that one"
            )


def finish(out: Path | str) -> None:
    """Remove the parts of a run whose results have been saved."""
    shutil.rmtree(Path(out) / "parts", ignore_errors=True)
