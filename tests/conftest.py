"""No test reads or leaves a first look outside its own folders."""

from __future__ import annotations

import os

if "PYTEST_XDIST_WORKER" in os.environ:  # workers share the cores out; torch reads it on import
    os.environ.setdefault("OMP_NUM_THREADS", "1")

os.environ["BOED_CACHE"] = ""
