"""The protocol of engines: independent jobs in, their results out in any order."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Hashable, Sequence
from typing import Protocol, TypeVar

Job = TypeVar("Job", bound=Hashable)
Result = TypeVar("Result")


class Engine(Protocol):
    """Does jobs, somewhere; `str(engine)` says where, for the record."""

    def run(
        self, work: Callable[[Job], Result], jobs: Sequence[Job], device: str = "cpu"
    ) -> Generator[tuple[Job, Result], None, None]:
        """Do every job once and yield it with its result as soon as that is there.

        What a job raises is raised here. Closing the generator ends what still runs.

        Args:
            work: does one job; sent to each worker once, however many jobs there are.
            jobs: all different.
            device: where `work` computes; of several GPUs, `cuda` gives each worker one.
        """
        ...


def cores() -> int:
    """CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


SENDABLE = "expected classes and functions of a module, or engine local"
"""What can be sent to a worker."""


def unsendable(work: object, error: Exception) -> ValueError:
    """What is raised when `work` cannot be sent to a worker."""
    return ValueError(
        f"{type(work).__name__} holds what cannot be sent to other processes ({error}); {SENDABLE}"
    )
