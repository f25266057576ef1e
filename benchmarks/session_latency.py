"""How long a session takes to say where to look next, by policy.

    python benchmarks/session_latency.py --out benchmarks/results/session_latency.json

Timed is what an instrument waits: from the moment that `ingest` has acknowledged a reading (it is
on the disk) to the moment that `suggest` returns the next look (it is on the disk, too). Policies
take turns on the same scenes, so that a busy moment of the machine falls on all; the first look of
a session, which is computed once for all scenes, is not counted. Beside the JSON file stands a
Markdown table of the same name.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import machine

from boed.foundation.files import atomic, write_json
from boed.live.simulated import Simulated
from boed.session import Session
from boed.setup import Setup, setup

DATA = {"digits": 32, "kermany_pneumonia_128": 64}
"""Scenes, and their width in pixels."""

KINDS = {
    "BOED, exact": ("boed", "exhaustive"),
    "BOED, racing": ("boed", "racing"),
    "learned value": ("value", "racing"),
}
"""Policy and search by what the table calls them."""


def made(data: str, kind: str, options: argparse.Namespace) -> Setup | None:
    """The set-up of one policy; None where no network is shipped for it, and none was given."""
    name, search = KINDS[kind]
    if name == "value" and data != "digits":
        if options.value is None:
            return None
        name = f"value={options.value}"
    return setup(
        data,
        size=DATA[data],
        sensor=f"patch,grid={options.grid}",
        policies=[name],
        search=search,
        completions=options.completions,
    )


def decisions(run: Setup, row: int, looks: int, folder: Path) -> list[float]:
    """Seconds of each decision but the first, in one session about one scene."""
    (policy,) = run.policies.values()
    scene = run.data.scenes([row])
    instrument = Simulated(run.sensor, scene, truth=run.data.labels[row].tolist(), seed=row)
    seconds = []
    channels, height, width = scene.shape[1:]
    with Session(
        run.sensor,
        policy,
        run.classifier,
        path=folder,
        shape=(channels, height, width),
        seed=row,
    ) as session:
        (look,) = session.suggest()
        for _ in range(looks):
            session.ingest(look, instrument.read(look.design))
            began = time.perf_counter()
            suggested = session.suggest()
            seconds.append(time.perf_counter() - began)
            if not suggested:
                break
            (look,) = suggested
    return seconds


def measured(data: str, options: argparse.Namespace) -> dict[str, list[float]]:
    """Seconds by policy on one data set."""
    runs = {kind: made(data, kind, options) for kind in KINDS}
    times: dict[str, list[float]] = {kind: [] for kind, run in runs.items() if run is not None}
    with tempfile.TemporaryDirectory(dir=options.folder) as work:
        for row in range(options.scenes + 1):  # the first one warms up
            for kind in times:
                run = runs[kind]
                assert run is not None
                where = Path(work) / f"{row}-{kind}".replace(" ", "-")
                taken = decisions(run, row, options.looks, where)
                if row:
                    times[kind] += taken
            print(f"{data}: {row} of {options.scenes}", flush=True)
    return times


def table(results: dict[str, dict[str, dict[str, Any]]]) -> str:
    """As Markdown."""
    lines = [
        "| scenes | policy | decisions | median (ms) | 95 % within (ms) |",
        "|---|---|---:|---:|---:|",
    ]
    for data, policies in results.items():
        for kind, found in policies.items():
            median, within = (1000 * found[key] for key in ("median", "within_95"))
            lines.append(
                f"| {data}, {DATA[data]} px | {kind} | {found['decisions']} | {median:.0f} | "
                f"{within:.0f} |"
            )
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", choices=DATA, default=list(DATA))
    parser.add_argument("--scenes", type=int, default=20)
    parser.add_argument("--looks", type=int, default=5, help="timed decisions of each session")
    parser.add_argument("--completions", type=int, default=10)
    parser.add_argument("--grid", type=int, default=9, help="candidates along each axis")
    parser.add_argument("--value", help="trained value network for the x-rays; none is shipped")
    parser.add_argument("--folder", type=Path, help="disk on which the logs are written")
    parser.add_argument("--out", type=Path, default=Path("runs/session_latency.json"))
    options = parser.parse_args(arguments)
    results = {}
    for data in options.data:
        results[data] = {
            kind: {
                "decisions": len(seconds),
                "median": float(np.median(seconds)),
                "within_95": float(np.quantile(seconds, 0.95)),
                "seconds": [round(each, 5) for each in seconds],
            }
            for kind, seconds in measured(data, options).items()
        }
    study = {key: str(value) for key, value in vars(options).items() if key != "out"}
    write_json(options.out, {"machine": machine(), "study": study, "results": results})
    with atomic(options.out.with_suffix(".md")) as temporary:
        temporary.write_text(table(results), encoding="utf-8")
    print(table(results))


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
