"""The temporary folder of an engine: gone at its end, and whatever ended its owner."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from boed.benchmark.engines.scratch import LOCK, PREFIX, scratch_folder


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_folder_is_gone_at_the_end(temporary: Path) -> None:
    with scratch_folder() as folder:
        assert folder.parent == temporary
        (folder / "work.pt").write_text("work")
    with pytest.raises(KeyboardInterrupt), scratch_folder():
        raise KeyboardInterrupt
    assert not list(temporary.iterdir())


def test_those_of_the_dead_are_removed_and_those_of_the_living_stay(temporary: Path) -> None:
    dead, foreign = temporary / f"{PREFIX}dead", temporary / f"{PREFIX}by-someone-else"
    for folder in (dead, foreign):
        folder.mkdir()
        (folder / "work.pt").write_text("work")
    (dead / LOCK).touch()  # nobody holds it
    with scratch_folder() as ours, scratch_folder() as another:
        assert set(temporary.iterdir()) == {ours, another, foreign}


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_a_killed_run_leaves_nothing(number: signal.Signals, tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    run = subprocess.Popen(
        [
            *(sys.executable, "-m", "boed", "benchmark", "--engine", "processes", "--workers", "2"),
            *("--scenes", "128", "--steps", "2", "--grid", "5", "--policies", "boed,random"),
            *("--out", str(tmp_path / "run")),
        ],
        env={**os.environ, "TMPDIR": str(temporary)},
        stderr=subprocess.PIPE,
        text=True,
    )
    _wait(lambda: any((tmp_path / "run" / "parts").glob("*.npz")), 300)
    assert list(temporary.glob(f"{PREFIX}*"))
    run.send_signal(number)
    said = run.communicate(timeout=120)[1]
    _wait(lambda: not list(temporary.glob(f"{PREFIX}*")), 60)
    assert run.returncode == (-number if number == signal.SIGKILL else 128 + number)
    if number != signal.SIGKILL:
        assert "the same command goes on" in said


def _wait(happened: object, seconds: float) -> None:
    assert callable(happened)
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.2)
