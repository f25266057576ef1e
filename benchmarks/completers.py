"""Every completer with the same budget on one data set: train, evaluate, and look with each.

    python -m benchmarks.completers --data digits

trains all completers for about five CPU minutes each (one thread), unless they are in the folder
already, compares them by `boed evaluate completer`, and runs `boed benchmark` with each. Single
columns: `--only aipo,flow`. Interrupted, the same command goes on.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

SETS: dict[str, int] = {"digits": 32, "cifar10_jpeg_32": 32, "kermany_pneumonia_128": 64}
"""Data sets, and the width in pixels at which they are compared."""

STEPS: dict[str, tuple[int, int, int]] = {
    "aipo": (1100, 1000, 740),
    "vae": (1000, 850, 600),
    "aipo-r": (750, 650, 500),
    "flow": (1250, 1250, 1200),
    "diffusion": (1250, 1250, 1200),
    "vaeac": (1000, 1000, 1000),
    "pic": (1000, 1000, 1000),
    "anp": (1000, 1000, 1000),
    "ce": (1000, 1000, 1000),
}
"""Updates for each of `SETS` that take about 300 CPU seconds; `vae` and `aipo-r`, which extends
it, take 150 each. Measured with one thread of a 2-core machine while the other core was busy."""


def checkpoint(out: Path, name: str) -> Path:
    """Where a completer's weights are."""
    return out / f"{name}.safetensors"


def train(name: str, data: str, out: Path) -> None:
    """Train one completer, if that has not been done."""
    target = checkpoint(out, name)
    if target.exists() and not target.with_suffix(".training.safetensors").exists():
        print(f"{name}: {target} is there")
        return
    steps = STEPS[name][list(SETS).index(data)]
    options = ["--data", data, "--size", SETS[data], "--steps", steps, "--out", target]
    if name == "aipo-r":
        train("vae", data, out)
        options += ["--vae", checkpoint(out, "vae")]
    boed("train", "completer", name, *options)


def boed(*arguments: object) -> None:
    """Run the command `boed` with one thread, and stop if it fails."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "boed.cli", *map(str, arguments)]
    print("boed", *arguments, flush=True)
    subprocess.run(command, check=True, env=environment)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", choices=list(SETS), default="digits")
    parser.add_argument("--only", default=",".join(each for each in STEPS if each != "vae"))
    parser.add_argument("--out", type=Path, default=None, help="runs/completers/DATA if not given")
    options = parser.parse_args()
    out = options.out or Path("runs/completers") / options.data
    for name in options.only.split(","):
        train(name, options.data, out)


if __name__ == "__main__":
    main()
