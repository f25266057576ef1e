"""No test reads or leaves a first look outside its own folders."""

from __future__ import annotations

import os

os.environ["BOED_CACHE"] = ""
