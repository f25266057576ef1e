"""The finished jobs of a run, a file each, so that an interrupted run goes on."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import numpy as np

from boed.benchmark.jobs import ARRAYS, Job, JobResult
from boed.foundation.files import atomic
from boed.foundation.identity import PARTS, RESULTS
from boed.foundation.npz import Arrays

if TYPE_CHECKING:
    import xarray as xr


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
        return self.folder / PARTS / name

    def load(self, job: Job, steps: int) -> JobResult | None:
        """A stored result; None if there is none, or it is damaged and has to be made again."""
        path = self.file(job)
        if path is None or not path.exists():
            return None
        try:
            with Arrays(path) as file:
                result = {name: file[name] for name in ARRAYS}
        except ValueError:
            return None
        return result if _is_whole(result, len(job.scenes), steps) else None

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


def _is_whole(result: JobResult, scenes: int, steps: int) -> bool:
    """Whether a result is of so many scenes and steps, and holds nothing that Results refuse."""
    shapes = {name: array.shape for name, array in result.items()}
    belief, design = shapes.pop("log_belief"), shapes.pop("design")
    expected = {
        "score": (scenes, steps),
        "winners_curse": (scenes, steps),
        "effective": (scenes, steps),
        "cost": (scenes, steps),
        "looks": (scenes,),
        "distance": (scenes, steps + 1),
        "seconds": (),
    }
    if shapes != expected or belief[:2] != (scenes, steps + 1) or design[:2] != (scenes, steps):
        return False
    if len(belief) < 3 or len(design) != 3:
        return False
    if any(array.dtype.kind not in "fiu" for array in result.values()):
        return False
    known = ("log_belief", "design", "cost", "seconds")  # a policy may have no score: NaN
    return not any(np.isnan(result[name]).any() for name in known)


def saved_results(folder: Path | None) -> xr.Dataset | None:
    """The results in a run folder that is claimed; None if there are none, or they are damaged."""
    from boed.report.results import load

    if folder is None or not (folder / RESULTS).exists():
        return None
    try:
        return load(folder / RESULTS)
    except ValueError:
        return None


def finish(out: Path | str) -> None:
    """Remove the stored jobs of a run whose results have been saved."""
    shutil.rmtree(Path(out) / PARTS, ignore_errors=True)
