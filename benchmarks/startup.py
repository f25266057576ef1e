"""Time how long `import boed` takes beyond torch, and how long `boed --help` takes in all.

    python benchmarks/startup.py --out startup.json

Every figure is the median over fresh processes, taken in turns so that a busy moment of the
machine falls on all of them.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from boed.foundation.files import write_json

IMPORTS = {
    "import torch": "import torch",
    "import boed, beyond torch": "import boed",
    "all public names of boed, beyond torch": "from boed import *",
}
"""What is timed inside a process, which has imported torch before unless that is timed."""

LIMITS = {"import boed, beyond torch": 0.5, "boed --help": 1.0}
"""Seconds that each may take."""

COMMANDS = ("", "benchmark", "report", "train", "train completer", "train classifier", "data list")
"""Commands whose `--help` is timed."""

TIMED = """
import time
{before}
began = time.perf_counter()
{code}
print(time.perf_counter() - began)
"""


def import_seconds(code: str) -> float:
    """Seconds that one import takes in a fresh process."""
    before = "" if code == "import torch" else "import torch"
    program = TIMED.format(before=before, code=code)
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    return float(done.stdout)


def help_seconds(words: str) -> float:
    """Seconds from the start of the console script to its end."""
    script = Path(sys.executable).with_name("boed")
    began = time.perf_counter()
    subprocess.run([script, *words.split(), "--help"], check=True, capture_output=True)
    return time.perf_counter() - began


def measured(runs: int) -> dict[str, list[float]]:
    """Seconds of every run, the first of each left out: it fills the disk's cache."""
    seconds: dict[str, list[float]] = {}
    for _ in range(runs + 1):
        for name, code in IMPORTS.items():
            seconds.setdefault(name, []).append(import_seconds(code))
        for words in COMMANDS:
            name = " ".join(["boed", *words.split(), "--help"])
            seconds.setdefault(name, []).append(help_seconds(words))
    return {name: each[1:] for name, each in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    rows = [
        {
            "what": name,
            "median": statistics.median(each),
            "fastest": min(each),
            "slowest": max(each),
            "limit": LIMITS.get(name),
        }
        for name, each in measured(arguments.runs).items()
    ]
    table = Table("what", "median (s)", "fastest", "slowest", "limit")
    for row in rows:
        figures = (f"{row[name]:.3f}" for name in ("median", "fastest", "slowest"))
        table.add_row(str(row["what"]), *figures, str(row["limit"] or ""))
    Console().print(table)
    if arguments.out is not None:
        machine = {
            "cores": os.cpu_count(),
            "load": os.getloadavg()[0],
            "platform": platform.platform(),
            "python": platform.python_version(),
            "torch": torch.__version__,
        }
        write_json(
            arguments.out,
            {
                "command": f"python benchmarks/startup.py --runs {arguments.runs}",
                "machine": machine,
                "seconds": rows,
            },
        )


if __name__ == "__main__":
    main()
