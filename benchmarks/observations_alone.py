"""What it costs a completer never to see a whole scene: realism, calibration, answers and looks.

    python benchmarks/observations_alone.py --data digits --folder FOLDER --train --minutes 240

trains `flow`, `vaeac` and `unsup` on whole scenes under the usual masks (`unsup` unpaired), and on
observations alone: 5 or 3 squares of 35 % of the width, or one pixel in ten, of each scene once.
Twelve trainings of some 10 CPU minutes; interrupted, the same command goes on. Then all that have
come to their end are compared by `boed evaluate completer`'s figures on test scenes with 0 to 5
squares seen, and BOED looks with each at the same scenes: each row beside the one of its kind that
saw whole scenes, paired by scene.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import xarray as xr
from in_use import of_scenes, with_interval
from measuring import machine
from pages import bracketed, fill
from trainings import Planned, Splits, finished, short, train

from boed import BOED, benchmark, setup
from boed.completion.evaluation.plan import Plan
from boed.completion.evaluation.results import (
    by_condition,
    over_seeds,
    over_squares,
    sbc_rejected,
)
from boed.completion.registry import LEARNED, load_completer
from boed.data.training_split import incomplete_splits, training_splits
from boed.foundation.files import write_json
from boed.foundation.registry import check_known
from boed.run import evaluate_completers

SETS = {"digits": ("mnist_28", 32), "kermany_pneumonia_128": ("kermany_pneumonia_128", 64)}
"""What is trained on for each data set, and the width in pixels."""

STEPS = {"flow": (2500, 2400), "vaeac": (4200, 3300), "unsup": (5000, 2400)}
"""Updates for each of `SETS` that take some 600 CPU seconds."""

WHOLE = "whole"
SOURCES = {
    WHOLE: "",
    "5-squares": "squares:0.35:5",
    "3-squares": "squares:0.35:3",
    "dropped": "dropped:0.9",
}
"""What is seen of each scene, once and for good, by the name of a mask."""

ROWS = tuple(f"{kind}-{source}" for kind in STEPS for source in SOURCES)

PLAN = Plan(scenes=160, deep=48, n=10, seeds=(0, 1, 2), holes=False)
LOOKS, GRID = 3, 9


def splits(data: str, size: int, source: str, seed: int) -> Splits:
    """Train and val images as a source shows them."""
    if source == WHOLE:
        return training_splits(data, size)
    return incomplete_splits(data, size, masks=SOURCES[source], seed=seed)


def planned(row: str, data: str, channels: int, seed: int, steps: int | None) -> Planned:
    """The training of a row."""
    kind, _, source = row.partition("-")
    where, size = SETS[data]
    if kind == "unsup":
        config, training = LEARNED[kind].architectures["digits"](size, channels)
        config = replace(config, supervision="unpaired" if source == WHOLE else "none")
    else:
        config, training = LEARNED[kind].preset(size, channels)
    number = steps or STEPS[kind][list(SETS).index(data)]
    how = replace(training, steps=number, every=max(number // 50, 1), seed=seed, precision="fp32")
    return Planned(
        name=f"{data}-{row}-{seed}",
        completer=kind,
        config=config,
        training=how,
        data=partial(splits, where, size, source, seed),
    )


def looked(data: str, checkpoints: Mapping[str, Path], scenes: int, folder: Path) -> xr.Dataset:
    """BOED with each completer, and random looks, on the same test scenes."""
    made = setup(
        data,
        size=SETS[data][1],
        split="test",
        sensor=f"patch,grid={GRID}",
        policies="boed,random",
        completer=str(next(iter(checkpoints.values()))),
    )
    start = made.policies["boed"]
    assert isinstance(start, BOED)
    policies: dict[str, Any] = {
        name: replace(start, completer=load_completer(path)) for name, path in checkpoints.items()
    }
    return benchmark(
        made.data,
        made.sensor,
        made.classifier,
        policies={**policies, "random": made.policies["random"]},
        steps=LOOKS,
        seeds=[0],
        scenes=scenes,
        out=folder,
    )


def of_samples(results: xr.Dataset, name: str) -> dict[str, Any]:
    """Figures of completions, each a mean over sampling seeds with half its interval."""
    columns = {
        "frechet": results["frechet"].sel(group="all"),
        "crps": over_squares(by_condition(results, "crps")),
        "coverage_of_80": over_squares(by_condition(results, "interval_coverage", 0.8)),
        "sbc_rejected": sbc_rejected(results),
        "label_nll": over_squares(by_condition(results, "label_nll")),
    }
    found = {}
    for figure, values in columns.items():
        over = over_seeds(values.sel(completer=name))
        found[figure] = [float(over.mean), float(over.half)]
    return found


def cost(results: xr.Dataset, used: xr.Dataset, row: str, whole: str) -> dict[str, Any]:
    """Differences of a row to the one that saw whole scenes, paired by scene, with intervals."""
    found: dict[str, Any] = {}
    for figure in ("crps", "label_nll"):
        values = results[figure].mean(("seed", "condition"))
        less = values.sel(completer=row) - values.sel(completer=whole)
        found[figure] = with_interval(less.values.astype(float))
    own, other = of_scenes(used, row), of_scenes(used, whole)
    for metric in own:
        looks = (own[metric] - other[metric])[:, 1:].T
        found[f"use_{metric}"] = [with_interval(each) for each in looks]
    return found


def rows_of(
    results: xr.Dataset, used: xr.Dataset, checkpoints: Mapping[str, Path]
) -> list[dict[str, Any]]:
    """One for each completer, random looks last."""
    rows = []
    for name in (*checkpoints, "random"):
        own = of_scenes(used, name)
        row: dict[str, Any] = {
            "row": name,
            "use": {k: v[:, : LOOKS + 1].mean(0).tolist() for k, v in own.items()},
        }
        if name in checkpoints:
            header = load_completer(checkpoints[name]).provenance  # type: ignore[attr-defined]
            row |= {k: header[k] for k in ("steps", "cpu_seconds")}
            row |= {"short": short(checkpoints[name]), "samples": of_samples(results, name)}
            whole = f"{name.partition('-')[0]}-{WHOLE}"
            if name != whole and whole in checkpoints:
                row["cost"] = cost(results, used, name, whole)
        rows.append(row)
    return rows


def markdown(rows: list[dict[str, Any]]) -> str:
    """What came out, and below what it cost."""
    head = ("", "Fréchet", "CRPS", "coverage of 80 %", "SBC rejected", "label NLL")
    looks = [f"accuracy, {k} looks" for k in range(1, LOOKS + 1)]
    lines = ["| " + " | ".join((*head, *looks, "NLL, last", "too short")) + " |"]
    lines.append("|---|" + "---:|" * (len(head) + LOOKS) + "---|")
    for row in rows:
        samples = row.get("samples", {})
        cells = [f"{mean:.4g} ± {half:.2g}" for mean, half in samples.values()] or ["-"] * 5
        use = [f"{each:.3f}" for each in row["use"]["accuracy"][1:]]
        cells += [*use, f"{row['use']['nll'][-1]:.3f}", row.get("short", "")]
        lines.append("| " + " | ".join((row["row"], *cells)) + " |")
    lines += ["", f"| less whole scenes | CRPS | label NLL | accuracy, {LOOKS} looks | NLL |"]
    lines.append("|---|" + "---:|" * 4)
    for row in rows:
        if "cost" in row:
            each = row["cost"]
            values = (each["crps"], each["label_nll"], *(each[f"use_{m}"][-1] for m in row["use"]))
            cells = [bracketed(value, 4, signed=True) for value in values]
            lines.append("| " + " | ".join((row["row"], *cells)) + " |")
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", choices=list(SETS), default="digits")
    parser.add_argument("--folder", type=Path, required=True, help="of trainings and runs")
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--minutes", type=float, default=0.0, help="of training; 0 is no limit")
    parser.add_argument("--only", default=",".join(ROWS), help="rows")
    parser.add_argument("--steps", type=int, default=None, help="updates of each, to try it")
    parser.add_argument("--scenes", type=int, default=128, help="that are looked at")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("docs/unsupervised"))
    parser.add_argument("--page", type=Path, default=Path("docs/unsupervised.md"), help="to fill")
    options = parser.parse_args()
    names = options.only.split(",")
    for name in names:
        check_known("only", name, ROWS)
    plans = {name: planned(name, options.data, 1, options.seed, options.steps) for name in names}
    if options.train:
        train(list(plans.values()), options.folder, options.minutes)
    paths = {name: each.checkpoint(options.folder) for name, each in plans.items()}
    checkpoints = {name: path for name, path in paths.items() if finished(path)}
    if not checkpoints:
        parser.error(f"--folder {options.folder} has no finished training; give --train")
    results = evaluate_completers(
        [f"{name}={path}" for name, path in checkpoints.items()],
        options.folder / f"{options.data}-evaluation",
        data=options.data,
        size=SETS[options.data][1],
        plan=PLAN,
    )
    use = options.folder / f"{options.data}-use"
    used = looked(options.data, checkpoints, options.scenes, use)
    rows = rows_of(results, used, checkpoints)
    options.out.mkdir(parents=True, exist_ok=True)
    about = {"machine": machine(), "data": options.data, "scenes": options.scenes}
    write_json(options.out / f"alone-{options.data}.json", {**about, "rows": rows})
    fill(options.page, options.data, markdown(rows))


if __name__ == "__main__":
    main()
