"""Jobs on a Ray cluster: of many machines, or one that is started on this."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from boed.benchmark.engines.engine import Job, Result, cores, unsendable
from boed.foundation.options import COUNT


@dataclass(frozen=True)
class Ray:
    """Does the jobs as Ray tasks, which share out the cluster's CPUs, and its GPUs for `cuda`.

    The cluster is the one that this process is connected to, else that of `address` or of the
    environment's RAY_ADDRESS, where boed is installed too; else one is started on this machine
    and stopped afterwards.

    Attributes:
        workers: tasks at once; one for each CPU of the cluster if not given.
        address: of a running cluster, such as `auto` on one of its machines.
        retries: how often the job of a worker or machine that was lost is done again.

    Raises:
        ValueError: `workers` below 1.
        ImportError: Ray is not installed.
    """

    workers: int | None = None
    address: str | None = None
    retries: int = 3

    def __post_init__(self) -> None:
        if self.workers is not None:
            COUNT.check("workers", self.workers)
        _ray()

    def __str__(self) -> str:
        return f"ray, {self.workers or 'as many'} workers" + ("" if self.workers else " as CPUs")

    def run(
        self, work: Callable[[Job], Result], jobs: Sequence[Job], device: str = "cpu"
    ) -> Generator[tuple[Job, Result], None, None]:
        """See `Engine.run`.

        Raises:
            ValueError: `work` cannot be pickled, or `device` is `cuda` and the cluster has no GPU.
            ChildProcessError: the worker of a job died more often than `retries`.
        """
        ray = _ray()
        with self._connected() as ours:
            workers, share = self._shares(device)
            task = ray.remote(_do).options(
                max_retries=self.retries, retry_exceptions=False, **share
            )
            try:
                there = ray.put(work)
            except (TypeError, AttributeError) as error:
                raise unsendable(work, error) from error
            waiting = list(reversed(jobs))
            running: dict[Any, Job] = {}

            def begin() -> None:
                while waiting and len(running) < workers:
                    job = waiting.pop()
                    running[task.remote([there], job, share["num_cpus"])] = job

            try:
                begin()
                while running:
                    (ready,), _ = ray.wait(list(running))
                    job, result = running.pop(ready), _result(ready)
                    begin()
                    yield job, result
            finally:
                for each in () if ours else running:  # they end with the connection if it is ours
                    ray.cancel(each, force=True)

    @contextmanager
    def _connected(self) -> Generator[bool, None, None]:
        """Whether the connection was made here, and ends here."""
        ray = _ray()
        if ray.is_initialized():
            yield False
            return
        address = self.address or os.environ.get("RAY_ADDRESS")
        options: dict[str, Any] = {"address": address}
        if address is None:
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
            cpus = max(cores(), self.workers or 1)
            options = {"address": "local", "num_cpus": cpus, "include_dashboard": False}
        ray.init(log_to_driver=False, logging_level=logging.ERROR, **options)
        try:
            yield True
        finally:
            ray.shutdown()

    def _shares(self, device: str) -> tuple[int, dict[str, float]]:
        """How many tasks at once, and what of the cluster is each one's."""
        ray = _ray()
        there = ray.cluster_resources()
        cpus = int(there.get("CPU", 1))
        workers = self.workers or cpus
        largest = max(int(node["Resources"].get("CPU", 1)) for node in ray.nodes() if node["Alive"])
        share: dict[str, float] = {"num_cpus": min(max(cpus // workers, 1), largest)}
        if device.startswith("cuda"):
            gpus = there.get("GPU", 0)
            if gpus == 0:
                raise ValueError(
                    f"device is {device!r}, but no machine of the Ray cluster has a GPU"
                )
            share["num_gpus"] = min(gpus / workers, 1)
        return workers, share


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise ImportError("the engine ray needs Ray: pip install 'boed[distributed]'") from error
    return ray


def _result(reference: Any) -> Any:
    """What a task returned, or what its job raised."""
    ray = _ray()
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error
    except ray.exceptions.RayError as error:
        raise ChildProcessError(
            f"a job was lost with its worker again and again: {error}"
        ) from error


@functools.lru_cache(maxsize=1)
def _fetched(reference: Any) -> Callable[[Any], Any]:
    return _ray().get(reference)


def _do(there: list[Any], job: Any, threads: float) -> Any:
    """One task; what does the work is fetched once for all tasks of a worker."""
    torch.set_num_threads(min(int(threads), torch.get_num_threads()))
    return _fetched(there[0])(job)
