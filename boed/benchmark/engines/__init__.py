"""Where the jobs of a benchmark are done: here, in other processes, or on a Ray cluster."""

from __future__ import annotations

from boed.benchmark.engines.engine import Engine, cores
from boed.benchmark.engines.local import Local
from boed.benchmark.engines.processes import Processes
from boed.benchmark.engines.ray import Ray
from boed.foundation.registry import check_known

ENGINES = ("local", "processes", "ray")
"""Engines by name."""

__all__ = ["ENGINES", "Engine", "Local", "Processes", "Ray", "cores", "named"]


def named(engine: str, workers: int | None = None) -> Engine:
    """The engine of that name.

    Args:
        engine: one of `ENGINES`.
        workers: jobs done at once; if not given, a worker for each CPU core.

    Raises:
        ValueError: an unknown engine, `workers` below 1, or more than one for `local`.
        ImportError: `ray` where Ray is not installed.
    """
    if engine == "processes":
        return Processes(cores() if workers is None else workers)
    if engine == "ray":
        return Ray(workers)
    check_known("engine", engine, ENGINES)
    if workers not in (None, 1):
        raise ValueError(
            f"workers is {workers}, but the engine local does one job at a time; "
            "expected engine processes or ray"
        )
    return Local()
