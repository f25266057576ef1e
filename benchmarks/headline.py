"""The headline runs, as docs/headline.md states them before any of them is run.

    python benchmarks/headline.py --only kermany-64

Each is one `boed benchmark` in its own folder, which goes on where it was interrupted. At the end
the curves and tables of each finished run are written for the docs, which tell of them all.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headline_page import document

from boed.foundation.files import write_json
from boed.foundation.registry import check_known

FIXED = "fixed,centre_out"
EVERY = f"boed,{FIXED},random,boed_entropy,boed_retrieval,max_variance,oracle"
"""The first is judged; the strongest fixed scan and random are what it has to beat."""

FEW = f"boed,{FIXED},random,boed_entropy"
"""Of the runs that change one part of the primary one."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One `boed benchmark`.

    Attributes:
        data, size: the scenes.
        primary: metric and look.
        scenes: how many; 0 for all.
        seeds: repetitions.
        policies: the first is judged.
        grid: candidates along each axis.
        prevalence: of the answers, that of the train split.
        further: other options.
    """

    data: str
    size: int
    primary: str
    scenes: int = 256
    seeds: int = 1
    policies: str = EVERY
    grid: int = 17
    prevalence: str = ""
    further: tuple[str, ...] = ()

    def command(self, folder: Path, engine: list[str]) -> list[str]:
        """What is typed."""
        return [
            *(sys.executable, "-m", "boed", "benchmark", "--data", self.data),
            *("--size", str(self.size), "--grid", str(self.grid), "--primary", self.primary),
            *("--scenes", str(self.scenes), "--seeds", str(self.seeds)),
            *(("--prevalence", self.prevalence) if self.prevalence else ()),
            *("--policies", self.policies, "--out", str(folder), *self.further, *engine),
        ]


KERMANY: dict[str, Any] = {
    "data": "kermany_pneumonia_128",
    "size": 64,
    "primary": "auroc@2",
    "prevalence": "pneumonia=0.745",
}

RUNS: dict[str, Run] = {
    "kermany-64": Run(**KERMANY, scenes=0, seeds=3),
    "kermany-64-aipo": Run(**KERMANY, policies=FEW, further=("--completer", "aipo")),
    "kermany-64-distilled": Run(**KERMANY, policies=FEW, further=("--completer", "flow-distilled")),
    "kermany-64-single": Run(
        **KERMANY, policies=FEW, further=("--classifier", "densenet-kermany-64")
    ),
    "digits": Run(data="digits", size=32, primary="accuracy@2"),
    "digits-flow": Run(
        data="digits",
        size=32,
        primary="accuracy@2",
        policies=FEW,
        further=("--completer", "flow-distilled"),
    ),
    "cifar10": Run(data="cifar10_jpeg_32", size=32, primary="accuracy@2"),
}
"""In the order in which they are run."""


def figures(name: str, folder: Path, out: Path) -> None:
    """The run's curves and tables, for the docs."""
    target = out / name
    target.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "boed", "report", str(folder), "--figures", str(target)]
    subprocess.run(command, check=True)
    for picture in target.iterdir():
        if picture.suffix == ".png" and picture.stem != "curves":
            picture.unlink()  # they show scenes
    for table in ("primary", "metrics", "paired", "gains"):
        shutil.copy(folder / "tables" / f"{table}.csv", target / f"{table}.csv")
    summary = json.loads((folder / "summary.json").read_text())
    keys = ("data", "scenes", "primary", "full_image", "seconds", "versions")
    kept = {key: summary[key] for key in keys}
    write_json(target / "summary.json", kept)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", default=",".join(RUNS))
    parser.add_argument("--runs", type=Path, default=Path("runs/headline"))
    parser.add_argument("--out", type=Path, default=Path("docs/headline"))
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    names = options.only.split(",")
    for name in names:
        check_known("only", name, RUNS)
    engine = ["--engine", "processes", "--workers", str(options.workers)]
    for name in names:
        folder = options.runs / name
        subprocess.run(
            RUNS[name].command(folder, engine if options.workers > 1 else []), check=True
        )
        figures(name, folder, options.out)
    document(RUNS, options.out, fixed=tuple(FIXED.split(",")))


if __name__ == "__main__":
    main()
