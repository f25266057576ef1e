"""The page of the benchmarks is what its script writes, and names every script."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
STARTED_BY_OTHERS = {"zea_worker.py"}


def test_the_page_is_what_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    page = importlib.import_module("tables").page()
    assert page == (BENCHMARKS / "README.md").read_text()


def test_every_script_is_named() -> None:
    page = (BENCHMARKS / "README.md").read_text()
    scripts = [each for each in BENCHMARKS.glob("*.py") if "__main__" in each.read_text()]
    missing = [each.name for each in scripts if f"benchmarks/{each.name}" not in page]
    assert set(missing) <= STARTED_BY_OTHERS
