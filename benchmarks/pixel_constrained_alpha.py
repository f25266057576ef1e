"""What the second term of PC-CNN's loss is for: alpha = 0 against others (Dupont & Suresha 2019).

    python benchmarks/pixel_constrained_alpha.py --folder runs/pixel_constrained_alpha

trains the small network on black and white digits once with each alpha, alike otherwise, going on
where it was interrupted; then -log p of what is hidden of val digits under three masks, paired by
digit with alpha = 1, as the paper has it. It says of alpha = 0 that the network over what is seen
is ignored. Under `bottom` that network alone can know of what is seen: all of it comes later in the
order of drawing. Beside it what that is worth: nats that are lost where it is told of nothing seen.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from in_use import with_interval
from inpainting import observed
from measuring import machine
from page_parts import table
from pages import bracketed, fill
from pixel_constrained import nats
from pixel_constrained_study import BATCH
from torch import Tensor
from trainings import Planned, finished, short, train

from boed.benchmark.sweep import scene_rows
from boed.completion.autoregressive.pixel_constrained import PixelConstrained
from boed.completion.registry import load_completer
from boed.data.dataset import Dataset
from boed.data.load import load
from boed.data.observation import Observation
from boed.data.training_split import training_splits
from boed.foundation.files import write_json

DATA, SIZE = "mnist_28", 28
ALPHAS = (0.0, 1.0)
REFERENCE = ALPHAS[-1]
MASKS = {"blobs": "blobs", "upper half seen": "top:14", "lower half seen": "bottom:14"}


def planned(alphas: Sequence[float], steps: int) -> list[Planned]:
    """A training for each alpha."""
    _, training = PixelConstrained.preset(SIZE, 1)
    config = PixelConstrained.architectures["binary"](SIZE, 1)[0]
    fit = replace(training, steps=steps, every=max(steps // 16, 1))
    return [
        Planned(
            name=f"alpha-{alpha:g}",
            completer="pc-cnn",
            config=replace(config, alpha=alpha),
            training=fit,
            data=partial(training_splits, DATA, SIZE),
            masks="blobs",
        )
        for alpha in alphas
    ]


@torch.no_grad()
def deaf(model: PixelConstrained, scenes: Tensor, seen: Observation) -> np.ndarray:
    """The same, the network over what is seen being told that nothing is."""
    parts = []
    for start in range(0, len(scenes), BATCH):
        some = slice(start, start + BATCH)
        condition = model.condition(Observation.nothing_of(scenes[some]))
        logits = model.logits(model.quantised(scenes[some]), condition)
        each = model.cross_entropy(logits, scenes[some]) * (seen.mask[some] == 0)
        parts.append(each.flatten(1).sum(1))
    return torch.cat(parts).double().numpy()


def measured(folder: Path, plans: Sequence[Planned], val: Dataset, scenes: int, seed: int) -> Any:
    """A row for each training that is finished."""
    rows: list[dict[str, Any]] = []
    levels = torch.from_numpy(scene_rows(len(val), scenes))
    reference: dict[str, np.ndarray] = {}
    for plan in sorted(plans, key=lambda each: each.config.alpha != REFERENCE):
        path = plan.checkpoint(folder)
        if not finished(path):
            print(f"{plan.name} is not finished; --minutes 0 finishes it", flush=True)
            continue
        model = cast(PixelConstrained, load_completer(path)).eval()
        truth = model.quantised(val.scenes(levels))
        row: dict[str, Any] = {"alpha": plan.config.alpha, "short": short(path), "masks": {}}
        row["cpu_seconds"] = model.provenance["cpu_seconds"]
        for said, masks in MASKS.items():
            seen = observed(truth, masks, seed)
            own = nats(model, truth, seen).double().numpy()
            reference.setdefault(said, own)
            row["masks"][said] = {
                "nats": with_interval(own),
                "more_than_reference": with_interval(own - reference[said]),
                "worth_of_seen": with_interval(deaf(model, truth, seen) - own),
            }
        rows.append(row)
        print(row, flush=True)
    return rows


def page(found: dict[str, Any]) -> str:
    """The table."""
    lines = []
    for row in sorted(found["rows"], key=lambda each: each["alpha"]):
        name = f"{row['alpha']:g}" + (" (not level)" if row["short"] else "")
        for said, each in row["masks"].items():
            more = bracketed(each["more_than_reference"], 1, signed=True)
            is_reference = row["alpha"] == REFERENCE
            worth = bracketed(each["worth_of_seen"], 1)
            lines.append(
                [name, said, bracketed(each["nats"], 1), "" if is_reference else more, worth]
            )
    head = ["alpha", "mask", "-log p, nats", f"less that of alpha = {REFERENCE:g}", "worth of seen"]
    return (
        f"{found['steps']:,} steps of each, {found['scenes']} val digits of `{DATA}`, training "
        f"seed 0; {found['machine']['processor']}.\n\n{table(head, lines)}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--folder", type=Path, required=True, help="of the checkpoints")
    parser.add_argument("--alphas", type=float, nargs="+", default=list(ALPHAS))
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--minutes", type=float, default=0.0, help="of training; 0 is no limit")
    parser.add_argument("--scenes", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--docs", type=Path, default=Path("docs/pixel_constrained.md"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    plans = planned(options.alphas, options.steps)
    train(plans, options.folder, options.minutes)
    found = {
        "machine": machine(),
        "data": f"{DATA} (val)",
        **{key: getattr(options, key) for key in ("scenes", "seed", "steps")},
        "rows": measured(
            options.folder, plans, load(DATA, SIZE, "val"), options.scenes, options.seed
        ),
    }
    write_json(options.out / "pixel_constrained_alpha.json", found)
    fill(options.docs, "alpha", page(found))


if __name__ == "__main__":
    main()
