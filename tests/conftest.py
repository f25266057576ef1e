"""No test reads or leaves a first look outside its own folders; the command line is built once."""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # workers share the cores out; torch reads it on import
    os.environ.setdefault("OMP_NUM_THREADS", "1")

os.environ["BOED_CACHE"] = ""

import typer.main
import typer.testing

# Typer builds all commands anew for each call: half of the time of a call that is refused
typer.main.get_command = typer.testing._get_command = lru_cache(typer.main.get_command)


LONGEST = ("tests/test_readme.py::test_commands_run", "tests/notebooks/")
"""Each takes a minute or more."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest begin first, so that no worker is left alone with one of them at the end."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Each worker goes through its own half in order, so that most fixtures are made once."""
    if config.getoption("dist") != "load":  # another one is asked for
        return None
    from xdist.scheduler import WorkStealingScheduling

    return WorkStealingScheduling(config, log)
