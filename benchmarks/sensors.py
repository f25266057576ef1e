"""Sensors that see no patches: informed looks against random ones and against a fixed design.

    python benchmarks/sensors.py --out runs/sensors --docs docs/sensors

Lines of k-space and blocks of pixels on digits, features of tables of scikit-learn. Numbers that a
completer needs are chosen on val, the fixed design on train; test scenes are looked at once. Of a
table every row is tested once, over five folds. An interrupted run goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import xarray as xr

from boed import run, setup
from boed.data.readers.tables import FOLDS, TABLES, table
from boed.foundation.files import atomic, write_json
from boed.report.figures import curves_figure
from boed.report.statistics import summary
from boed.report.tables import with_interval

HALF = range(16, -1, -1)
LOW_FREQUENCIES_FIRST = [[line] for line in (*HALF, *range(17, 32))]
"""One side of zero first: the other side repeats it, since scenes are real."""

INFORMED = ["boed_gaussian", "boed_gaussian_entropy", "boed_retrieval"]
SETUPS: dict[str, dict[str, Any]] = {
    "kspace": {
        "title": "Lines of k-space, digits",
        "data": "digits",
        "sensor": {"name": "kspace", "designs": LOW_FREQUENCIES_FIRST},
        "policies": [*INFORMED, "fixed", "in_order", "random"],
        "steps": 6,
    },
    "pixels": {
        "title": "Blocks of 4 x 4 pixels, digits",
        "data": "digits",
        "sensor": "pixels,block=4",
        "policies": [*INFORMED, "boed", "fixed", "centre_out", "random"],
        "steps": 6,
    },
    **{
        name: {
            "title": f"Features, {name.replace('_', ' ')}",
            "data": name,
            "policies": [*INFORMED, "boed_retrieval_entropy", "fixed", "random"],
            "steps": 8,
        }
        for name in ("breast_cancer", "wine")
    },
}

INTRODUCTION = """# Sensors that see no patches

Informed looks against random ones and against the best fixed sequence of looks, which is
optimised on the train split. All of it again, numbers chosen on val included:

    python benchmarks/sensors.py --out runs/sensors --docs docs/sensors

Brackets hold 95 % intervals (bootstrap over scenes, paired for differences); NLL is in nats.
`boed_gaussian` draws completions from a Gaussian mixture with one component per class,
`boed_retrieval` from the train images, `boed` from the shipped AIPO network (for its first look
from the train images, as in the paper); they use the variational estimator, and those called
`entropy` Eq. 17. `fixed` is the optimised sequence, `in_order` reads lines from zero frequency on,
`centre_out` blocks from the middle on. A look costs the same wherever it goes.
"""


def on_images(name: str, out: Path, scenes: int) -> xr.Dataset:
    """A set-up on digits."""
    options = {key: value for key, value in SETUPS[name].items() if key != "title"}
    data = options.pop("data")
    return run(setup(data, **options), out / name, scenes=scenes)


def on_table(name: str, out: Path, folds: int) -> xr.Dataset:
    """A set-up on each fold of a table, joined."""
    options = {k: v for k, v in SETUPS[name].items() if k in ("policies", "steps")}
    parts = []
    for fold in range(folds):
        train, val, test = (table(name, split, fold) for split in ("train", "val", "test"))
        one = setup(test, library=train, val=val, **options)
        parts.append(run(one, out / f"{name}-{fold}"))
    joined = xr.concat(
        [part.drop_vars(["scene", "seconds"]) for part in parts],
        dim="scene",
        data_vars="minimal",
        coords="minimal",
        compat="equals",
        combine_attrs="override",
    )
    joined["seconds"] = sum(part["seconds"] for part in parts)
    return joined.assign_coords(scene=range(joined.sizes["scene"]))


def section(name: str, content: dict[str, Any]) -> str:
    """What the README says of one sensor."""
    looks = sorted({max(content["looks"] * part // 3, 1) for part in (1, 2, 3)})
    metrics = {"accuracy": "accuracy", "nll": "NLL"}
    titles = [f"{shown}, {look}" for shown in metrics.values() for look in looks]

    def row(title: str, curve: dict[str, Any], signed: bool = False) -> str:
        cells = [with_interval(curve[key], look, signed) for key in metrics for look in looks]
        return f"| {title} | " + " | ".join(cells) + " |"

    rule = "|---" * (len(titles) + 1) + "|"
    informed = [policy for policy in content["policies"] if policy.startswith("boed")]
    compared = [
        row(pair, curve, True)
        for pair, curve in content["paired"].items()
        if pair.split(" - ")[0] in informed and pair.split(" - ")[1] not in informed
    ]
    rows = [row(policy, curve) for policy, curve in content["policies"].items()]
    whole = ", ".join(f"{text} {content['full_image'][key]:.3f}" for key, text in metrics.items())
    lines = [
        f"## {SETUPS[name]['title']}",
        f"{content['scenes']} scenes of `{content['data']}` (test), {content['candidates']} "
        f"candidates, 10 completions, seed 0. On whole scenes: {whole}.",
        f"![curves]({name}/curves.png)",
        "\n".join(["| policy, looks | " + " | ".join(titles) + " |", rule, *rows]),
        "\n".join(["| difference, looks | " + " | ".join(titles) + " |", rule, *compared]),
    ]
    return "\n\n".join(lines) + "\n"


def report(name: str, results: xr.Dataset, docs: Path) -> None:
    """Write a sensor's summary and curves, and the README of all sensors done so far."""
    content = {**summary(results), "candidates": results.sizes["candidate"]}
    write_json(docs / name / "summary.json", content)
    files = {each: docs / each / "summary.json" for each in SETUPS}
    done = {each: json.loads(file.read_text()) for each, file in files.items() if file.exists()}
    with atomic(docs / name / "curves.png") as temporary:
        figure = curves_figure(content, ("accuracy", "nll"), stacked=True)
        figure.savefig(temporary, dpi=110)
    with atomic(docs / "README.md") as temporary:
        sections = [section(each, one) for each, one in done.items()]
        temporary.write_text("\n".join([INTRODUCTION, *sections]))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sensors", nargs="*", help=f"of {', '.join(SETUPS)}; all by default")
    parser.add_argument("--out", type=Path, default=Path("runs/sensors"))
    parser.add_argument("--docs", type=Path, help="for summaries and figures; --out by default")
    parser.add_argument("--scenes", type=int, default=256, help="test images")
    parser.add_argument("--folds", type=int, default=FOLDS, help="of the tables")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    for name in given.sensors or SETUPS:
        if name not in SETUPS:
            parser.error(f"sensor {name!r} is none of {', '.join(SETUPS)}")
        if name in TABLES:
            results = on_table(name, given.out, given.folds)
        else:
            results = on_images(name, given.out, given.scenes)
        report(name, results, given.docs or given.out)


if __name__ == "__main__":
    main()
