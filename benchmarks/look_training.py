"""What an update costs of each policy that learns where to look.

    python benchmarks/look_training.py --page docs/learned_policies.md

Trains each for some updates, in a folder of its own that is removed, and takes the median of the
seconds of the processor from update to update: what is worked out once before the first one, such
as the gains of the first look, does not count.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from measuring import machine
from pages import check_place, publish

from boed.foundation.files import write_json
from boed.policies.learned import NETWORKS
from boed.policies.learned.training import TRAININGS
from boed.training import Recipe
from boed.zoo import train_recipe

Case = dict[str, Any]
"""What a recipe has, but for the training."""

CASES: dict[str, tuple[Case, dict[str, int]]] = {
    "digits 32 px, patches 9 x 9": (
        {"data": "mnist_28", "size": 32, "sensor": {"name": "patch", "grid": 9}},
        {"looks": 4},
    ),
    "digits 32 px, k-space lines": (
        {"data": "mnist_28", "size": 32, "sensor": {"name": "kspace"}},
        {"looks": 6},
    ),
    "digits 28 px, single pixels, `mlp`": (
        {"data": "mnist_28", "size": 28, "sensor": {"name": "pixels"}, "architecture": "mlp"},
        {"looks": 30},
    ),
    "Kermany 64 px, patches 9 x 9": (
        {"data": "kermany_pneumonia_128", "size": 64, "sensor": {"name": "patch", "grid": 9}},
        {"looks": 3},
    ),
    "Kermany 64 px, patches 17 x 17": (
        {"data": "kermany_pneumonia_128", "size": 64, "sensor": {"name": "patch", "grid": 17}},
        {"looks": 3},
    ),
}
"""By what the table calls them: the recipe, and settings of the training."""

WARM = 4
"""Updates that do not count: torch sets up what it needs."""


def seconds_of(policy: str, case: Case, training: dict[str, int], *, updates: int) -> float:
    """The median of an update's seconds of the processor."""
    ends: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        given = dict(case)
        if "architecture" in given:  # no classifier is shipped for it
            classifier = Path(folder) / "classifier.safetensors"
            first = Recipe(kind="classifier", **given, training={"steps": 20})
            train_recipe(first, classifier)
            del given["architecture"]
            given["classifier"] = str(classifier)
        steps = {**training, "steps": WARM + updates + 1}
        recipe = Recipe(kind="policy", name=policy, **given, training=steps)
        out = Path(folder) / "policy.safetensors"
        train_recipe(recipe, out, on_step=lambda *_: ends.append(time.process_time()))
    return statistics.median(b - a for a, b in itertools.pairwise(ends[WARM:]))


def page(found: dict[str, Any]) -> str:
    """The table."""
    batches = ", ".join(f"{TRAININGS[name].batch} of `{name}`" for name in NETWORKS)
    steps = " / ".join(f"{TRAININGS[name].steps:,}" for name in NETWORKS)
    lines = [
        f"Presets: updates of so many scenes, {batches}. "
        f"One core of {found['machine']['processor']}.",
        "",
        f"| looks | T | {' | '.join(f'`{name}`, s' for name in NETWORKS)} | {steps} updates, min |",
        f"|---|---:|{'---:|' * len(NETWORKS)}---|",
    ]
    for name, row in found["rows"].items():
        each = [row[policy] for policy in NETWORKS]
        whole = [TRAININGS[policy].steps * row[policy] / 60 for policy in NETWORKS]
        lines.append(
            f"| {name} | {row['looks']} | {' | '.join(f'{value:.2g}' for value in each)} "
            f"| {' / '.join(f'{value:.0f}' for value in whole)} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--updates", type=int, default=16)
    parser.add_argument("--only", nargs="*", choices=CASES, help="Cases; all if not given.")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--page", type=Path, help="Whose place `updates` is filled.")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.page is not None:
        check_place(options.page, "updates")
    rows: dict[str, dict[str, float]] = {}
    for name in options.only or CASES:
        case, training = CASES[name]
        rows[name] = {"looks": training["looks"]}
        for policy in NETWORKS:
            rows[name][policy] = seconds_of(policy, case, training, updates=options.updates)
            print(f"{name}, {policy}: {rows[name][policy]:.3f} s an update", flush=True)
    found = {"machine": machine(), "rows": rows}
    write_json(options.out / "look_training.json", found)
    publish(page(found), options.page, "updates")


if __name__ == "__main__":
    main()
