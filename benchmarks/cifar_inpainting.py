"""What the CIFAR-10 inpainting report shows, again: Table 1, the sweep of bottlenecks, Fig. 8.

    python benchmarks/cifar_inpainting.py --train
    python benchmarks/cifar_inpainting.py

The first trains the models one after another, with one thread, for `--minutes` if they are given,
and the same command goes on where it stopped; `--only` takes some. The second measures those that
have been trained, beside ways to fill the hole without training, on test images, and writes
benchmarks/results/cifar_inpainting.json, the tables of docs/cifar_inpainting.md and its pictures,
whose scenes are samples of the shipped flow. Weights stay in `--weights`. Figures that are there
for the same images stay, too, of models of which there are no weights now.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from inpainting import resampled
from inpainting_methods import Fill, methods, without_training
from inpainting_page import fill_page, write_figures
from inpainting_trainings import (
    BOTTLENECKS,
    DATA,
    MASKS,
    SIZE,
    TRAININGS,
    account,
    planned,
    trained,
)
from measuring import machine
from torch import Tensor
from trainings import train

from boed.benchmark.sweep import scene_rows
from boed.completion.evaluation.fidelity import share_within, squared_error
from boed.completion.learned import LearnedCompleter
from boed.data.dataset import Dataset
from boed.data.load import load
from boed.data.masks import named
from boed.data.observation import Observation
from boed.foundation.files import write_json
from boed.foundation.registry import check_known

BATCH = 250
"""Scenes filled at once."""


def some(data: Dataset, number: int) -> Tensor:
    """Scenes of a split, a fixed random choice."""
    return data.scenes(torch.from_numpy(scene_rows(len(data), number)))


def observed(scenes: Tensor) -> Observation:
    """All of them but the hole."""
    return Observation.of(scenes, named(MASKS)(len(scenes), scenes.shape[-1]))


def squared(fill: Fill, scenes: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """L2 of the hole of each scene, and the share of its pixels that are right to 5 of 255."""
    errors, shares = [], []
    for part in scenes.split(BATCH):
        seen = observed(part)
        hidden = 1 - seen.mask
        filled = seen.composite(fill(seen)).clamp(0, 1)[None]
        errors.append(squared_error(filled, part, hidden)[0])
        shares.append(share_within(filled, part, hidden)[0])
    return torch.cat(errors).double().numpy(), torch.cat(shares).double().numpy()


def measured(fill: Fill, scenes: Tensor) -> dict[str, Any]:
    """A row of the table: L2 with its interval, PSNR of the hole, MAEM, and CPU time."""
    began = time.process_time()
    errors, shares = squared(fill, scenes)
    seconds = time.process_time() - began
    return {
        "l2": resampled(errors),
        "psnr_hole_db": float(-10 * np.log10(errors.mean() / scenes.shape[1])),
        "maem": resampled(shares),
        "cpu_milliseconds": 1000 * seconds / len(scenes),
        "processor": machine()["processor"],
    }


def compared(fills: Mapping[str, Fill], scenes: Tensor) -> dict[str, dict[str, Any]]:
    """The table's rows by name."""
    rows = {}
    for name, fill in fills.items():
        rows[name] = measured(fill, scenes)
        l2, maem = rows[name]["l2"][0], rows[name]["maem"][0]
        print(f"{name}: L2 {l2:.4f}, MAEM {maem:.1%}", flush=True)
    return rows


def sweep(
    models: Mapping[str, LearnedCompleter], splits: Mapping[str, Tensor], seed: int
) -> dict[str, dict[str, Any]]:
    """L2 on training and val scenes by bottleneck, of those trained."""
    rows = {}
    for name, bottleneck in BOTTLENECKS.items():
        if name in models:
            ((_, fill),) = methods({name: models[name]}, seed)
            rows[str(bottleneck)] = {
                split: resampled(squared(fill, scenes)[0]) for split, scenes in splits.items()
            }
    return rows


def with_earlier(
    found: dict[str, Any], earlier: Mapping[str, Any], of: Mapping[str, Any]
) -> dict[str, Any]:
    """What was found, and what had been found before of the same images by other models."""
    if any(earlier[key] != value for key, value in of.items()):
        return found
    parts = ("rows", "sweep", "trainings")
    return found | {part: earlier[part] | found[part] for part in parts}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--train", action="store_true", help="train, and measure nothing")
    parser.add_argument("--only", default=",".join(TRAININGS), help="trainings, with commas")
    parser.add_argument("--minutes", type=float, default=0.0, help="of training; 0 is no limit")
    parser.add_argument("--steps", type=int, default=None, help="of each training, to try it")
    parser.add_argument("--weights", type=Path, default=Path("runs/cifar_inpainting"))
    parser.add_argument("--scenes", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--docs", type=Path, default=Path("docs"))
    options = parser.parse_args()
    names = options.only.split(",")
    for name in names:
        check_known("only", name, TRAININGS)
    torch.set_num_threads(1)
    if options.train:
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
        train(planned(names, options.steps), options.weights, options.minutes)
        return
    library = load(DATA, SIZE, "train")
    models = trained(options.weights, names)
    anchors = without_training(library)
    scenes = some(load(DATA, SIZE, "test"), options.scenes)
    splits = {
        "train": some(library, options.scenes),
        "val": some(load(DATA, SIZE, "val"), options.scenes),
    }
    of = {
        "data": DATA,
        "split": "test",
        "scenes": len(scenes),
        "seed": options.seed,
        "masks": MASKS,
    }
    found = {
        "machine": machine(),
        **of,
        "rows": compared(anchors | dict(methods(models, options.seed)), scenes),
        "sweep": sweep(models, splits, options.seed),
        "trainings": {
            plan.name: account(plan.checkpoint(options.weights), models[plan.name])
            for plan in planned(list(models))
        },
    }
    out = options.out / "cifar_inpainting.json"
    if out.exists():
        found = with_earlier(found, json.loads(out.read_text()), of)
    options.out.mkdir(parents=True, exist_ok=True)
    write_json(out, found)
    write_figures(options.docs / "cifar_inpainting", models, anchors, options.seed)
    fill_page(options.docs / "cifar_inpainting.md", found)


if __name__ == "__main__":
    main()
