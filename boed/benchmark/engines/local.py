"""One job after the other, in this process."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

from boed.benchmark.engines.engine import Job, Result


@dataclass(frozen=True)
class Local:
    """Does the jobs here, in order, with all of torch's threads."""

    def __str__(self) -> str:
        return "local"

    def run(
        self, work: Callable[[Job], Result], jobs: Sequence[Job], device: str = "cpu"
    ) -> Generator[tuple[Job, Result], None, None]:
        """See `Engine.run`."""
        for job in jobs:
            yield job, work(job)
