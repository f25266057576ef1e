"""Jobs for the tests of engines. Workers import this file, so it imports little."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch


def note(file: Path, line: object) -> None:
    """Add a line to a file that several processes write to."""
    with open(file, "a") as log:
        log.write(f"{line}\n")


def lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


def once(flag: Path) -> bool:
    """True for the first that asks."""
    try:
        os.close(os.open(flag, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def squared(job: int) -> int:
    return job * job


@dataclass
class Noted:
    """Squares; notes each job begun, and how often it was itself unpacked."""

    folder: Path

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        note(self.folder / "unpacked", os.getpid())

    def __call__(self, job: int) -> int:
        note(self.folder / "jobs", job)
        if job < 0:
            raise ValueError("job is below 0", job)
        return job * job


@dataclass
class Dying:
    """Squares, but the worker that is given `fatal` is killed: once, or always without `flag`."""

    fatal: int
    flag: Path | None

    def __call__(self, job: int) -> int:
        if job == self.fatal and (self.flag is None or once(self.flag)):
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.05)
        return job * job


@dataclass
class Slow:
    """Notes its process and takes very long for every job but 0."""

    log: Path

    def __call__(self, job: int) -> int:
        note(self.log, os.getpid())
        time.sleep(0 if job == 0 else 600)
        return job


@dataclass
class Somewhere:
    """Notes on which machine of the cluster a job begins."""

    log: Path

    def __call__(self, job: int) -> int:
        import ray

        note(self.log, ray.get_runtime_context().get_node_id())
        time.sleep(0.3)
        return job * job


def threads(job: int) -> int:
    return torch.get_num_threads()
