"""No test reads or leaves a first look outside its own folders; the command line is built once."""

from __future__ import annotations

import os
from functools import lru_cache

if "PYTEST_XDIST_WORKER" in os.environ:  # workers share the cores out; torch reads it on import
    os.environ.setdefault("OMP_NUM_THREADS", "1")

os.environ["BOED_CACHE"] = ""

import typer.main
import typer.testing

# Typer builds all commands anew for each call: half of the time of a call that is refused
typer.main.get_command = typer.testing._get_command = lru_cache(typer.main.get_command)
