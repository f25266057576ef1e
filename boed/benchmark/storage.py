"""The finished jobs of a run, a file each, so that an interrupted run goes on."""

from __future__ import annotations

import shutil
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np

from boed.benchmark.jobs import ARRAYS, Job, JobResult
from boed.foundation.files import atomic


@dataclass(frozen=True)
class JobStore:
    """What came out of the finished jobs of a run.

    Attributes:
        folder: of the run; if there is none, nothing is stored.
    """

    folder: Path | None

    def file(self, job: Job) -> Path | None:
        """Where the result of a job is stored."""
        if self.folder is None:
            return None
        name = f"{quote(job.policy, safe='')}-{job.seed}-{job.scenes.start}.npz"
        return self.folder / "parts" / name

    def load(self, job: Job, steps: int) -> JobResult | None:
        """A stored result; None if there is none, or it is damaged and has to be made again."""
        path = self.file(job)
        if path is None or not path.exists():
            return None
        try:
            with np.load(path, allow_pickle=False) as file:
                result = {name: file[name] for name in ARRAYS}
        except (
            ValueError, TypeError, AttributeError, KeyError, EOFError, OSError, RuntimeError,
            NotImplementedError, zipfile.BadZipFile, zlib.error,
        ):  # fmt: skip
            return None
        whole = result["design"].shape[:2] == (len(job.scenes), steps)
        return result if whole and not np.isnan(result["log_belief"]).any() else None

    def save(self, job: Job, result: JobResult) -> None:
        """Store the result of a job.

        Raises:
            OSError: it cannot be written.
        """
        path = self.file(job)
        if path is None:
            return
        with atomic(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, **result)  # type: ignore[arg-type]


def finish(out: Path | str) -> None:
    """Remove the stored jobs of a run whose results have been saved."""
    shutil.rmtree(Path(out) / "parts", ignore_errors=True)
