"""Jobs in several processes of this machine."""

from __future__ import annotations

import functools
import multiprocessing
import os
import shutil
import signal
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import Any

import torch

from boed.benchmark.engines.engine import SENDABLE, Job, Result, cores, unsendable
from boed.foundation.options import COUNT


@dataclass(frozen=True)
class Processes:
    """Does the jobs in processes that share out torch's threads, and the GPUs where `cuda` is used.

    A script that uses it starts with `if __name__ == "__main__":`, since every worker imports it.

    Attributes:
        workers: processes.
        retries: how often workers that died, perhaps for want of memory, are replaced.

    Raises:
        ValueError: `workers` below 1.
    """

    workers: int = field(default_factory=cores)
    retries: int = 3

    def __post_init__(self) -> None:
        COUNT.check("workers", self.workers)

    def __str__(self) -> str:
        return f"processes, {self.workers} workers"

    def run(
        self, work: Callable[[Job], Result], jobs: Sequence[Job], device: str = "cpu"
    ) -> Generator[tuple[Job, Result], None, None]:
        """See `Engine.run`.

        Raises:
            ValueError: `work` cannot be pickled.
            ChildProcessError: workers died more often than `retries`.
        """
        from boed.benchmark.engines.scratch import scratch_folder  # which Windows does not have

        left = list(jobs)
        with scratch_folder() as folder:
            file = folder / "work.pt"
            _write(work, file)
            for _ in range(self.retries + 1):
                for job, result in self._round(file, left, device):
                    left.remove(job)
                    yield job, result
                if not left:
                    return
        raise ChildProcessError(
            f"{self.retries + 1} times a worker died; it may have run out of memory: try fewer "
            f"workers than {self.workers}, or a lower memory bound. In a script, "
            'is there an `if __name__ == "__main__":`?'
        )

    def _round(
        self, file: Path, jobs: Sequence[Job], device: str
    ) -> Generator[tuple[Job, Any], None, None]:
        """The jobs that are finished before a worker dies; all if none does."""
        with _pool(min(self.workers, max(len(jobs), 1)), device, file.parent) as pool:
            futures = {}
            with _ctrl_c_later(), suppress(BrokenProcessPool):  # so are the futures then
                for job in jobs:
                    futures[pool.submit(_do, file, job)] = job
            for future in as_completed(list(futures)):
                if isinstance(future.exception(), BrokenProcessPool):
                    continue
                yield futures.pop(future), future.result()


def _write(work: object, file: Path) -> None:
    """To a file that the workers map into memory, where tensors then are once for all of them."""
    try:
        torch.save(work, file)
    except OSError:
        raise
    except Exception as error:  # whatever a user's part raises when it is pickled
        raise unsendable(work, error) from error


@contextmanager
def _pool(workers: int, device: str, folder: Path) -> Generator[ProcessPoolExecutor, None, None]:
    """A pool whose workers are ended on the way out, in the middle of their jobs if need be."""
    context = multiprocessing.get_context("spawn")
    threads = max(torch.get_num_threads() // workers, 1)
    gpus = None
    if device == "cuda":
        visible = _visible_gpus()
        gpus = context.SimpleQueue()
        for index in range(workers):
            gpus.put(visible[index % len(visible)])
    pool = ProcessPoolExecutor(workers, context, _begin, (threads, gpus, folder))
    try:
        yield pool
    finally:
        processes = list((pool._processes or {}).values())
        manager = pool._executor_manager_thread  # which a shutdown without waiting forgets
        pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()
        for process in processes:
            process.join()
        if manager is not None:  # else it may fail beside the end of Python
            manager.join()  # type: ignore[attr-defined]


@contextmanager
def _ctrl_c_later() -> Generator[None, None, None]:
    """Hold Ctrl-C back: workers that are started meanwhile do not get it before they ignore it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _visible_gpus() -> list[str]:
    stated = os.environ.get("CUDA_VISIBLE_DEVICES")
    every = [str(index) for index in range(max(torch.cuda.device_count(), 1))]
    return stated.split(",") if stated else every


def _begin(threads: int, gpus: SimpleQueue[str] | None, folder: Path) -> None:
    """Prepare a worker, which leaves Ctrl-C to the process that started it and ends with that."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, args=(folder,), daemon=True).start()
    torch.set_num_threads(threads)
    if gpus is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus.get()


def _end_with_parent(folder: Path) -> None:
    """End when the process that started this one does, and remove what it could not."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


@functools.cache
def _read(file: Path) -> Callable[[Any], Any]:
    try:
        return torch.load(file, mmap=True, weights_only=False)
    except OSError:
        raise
    except Exception as error:  # whatever a user's part raises when it is read
        raise ValueError(f"a worker cannot read what it was sent ({error}); {SENDABLE}") from error


def _do(file: Path, job: Any) -> Any:
    return _read(file)(job)
