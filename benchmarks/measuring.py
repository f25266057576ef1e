"""How the benchmarks measure: interleaved medians, peak memory, the machine and its peak."""

from __future__ import annotations

import os
import platform
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from scipy import stats

from boed.foundation.processor import processor


def interleaved(
    work: Mapping[str, Callable[[], object]], repeats: int, said: str = "", warm: bool = False
) -> dict[str, list[float]]:
    """Seconds of each piece of work, `repeats` times in turn, after once if it is not warm yet.

    In turn, so that what else the machine does falls on all alike.
    """
    times: dict[str, list[float]] = {name: [] for name in work}
    for index in range(1 if warm else 0, repeats + 1):
        for name, each in work.items():
            began = time.perf_counter()
            each()
            if index:
                times[name].append(time.perf_counter() - began)
        if said:
            print(f"{said}: {index} of {repeats}", flush=True)
    return times


def median(times: list[float]) -> float:
    """The median."""
    return statistics.median(times)


def matmul_peak(dtype: torch.dtype, repeats: int = 9) -> float:
    """Operations per second of a large matrix product: the most this machine does, as measured."""
    a, b = torch.randn(4096, 2048).to(dtype), torch.randn(2048, 2048).to(dtype)
    times = interleaved({"product": lambda: a @ b}, repeats)["product"]
    return 2 * 4096 * 2048 * 2048 / min(times)


def interval(fraction: float, number: int) -> tuple[float, float]:
    """Clopper-Pearson, 95 %; decisions about the same scene count as one."""
    hits = fraction * number
    low = stats.beta.ppf(0.025, hits, number - hits + 1) if hits > 0 else 0.0
    high = stats.beta.ppf(0.975, hits + 1, number - hits) if hits < number else 1.0
    return float(low), float(high)


@contextmanager
def peak_memory() -> Iterator[dict[str, float]]:
    """Fills in `mib`: the highest resident memory above that at the start, in MiB (Linux)."""
    found = {"mib": 0.0}
    before, done = _resident(), threading.Event()

    def watch() -> None:
        while not done.is_set():
            found["mib"] = max(found["mib"], _resident() - before)
            time.sleep(0.002)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield found
    finally:
        done.set()
        watcher.join()


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def machine() -> dict[str, Any]:
    """The machine and versions, as far as they say what a time means."""
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "load_at_start": round(os.getloadavg()[0], 2),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
