"""Where the time of a training step goes, what bounds it, and what smaller networks would give.

    python benchmarks/training_cost.py --out benchmarks/results/training_cost.json

For AIPO, flow and the classifiers at 32 and 64 pixels, in single precision, one thread: operations
of a step, images per second that a core was busy, how many it would be if every operation ran at
the speed of this machine's matrix product, and the shares of groups of PyTorch operators in its
time. Then presets and smaller networks after equal images of digits at 32 pixels: the val figure
after each quarter, and the speed (`--folder` keeps the trainings, and the same command goes on).
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from measuring import machine, matmul_peak, median
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode
from training_speed import Enough, short_training, timed

from boed.classifiers.training import preset as classifier_preset
from boed.classifiers.training import train_classifier
from boed.completion.training import preset, train_completer
from boed.data.training_split import training_splits
from boed.foundation.files import load_weights, write_json
from boed.training.curve import curve_path, read_curve

MODELS = ("aipo", "flow", "classifier, small", "classifier, densenet121")
SIZES = (32, 64)
BATCH, STEPS, TURNS = 32, 3, 3

GROUPS: dict[str, tuple[str, ...]] = {
    "convolutions, products": ("conv", "mm", "addmm", "bmm", "linear"),
    "activation functions": ("gelu", "silu", "relu", "elu", "softplus", "sigmoid", "tanh"),
    "norms, attention": ("norm", "softmax", "attention"),
    "random numbers": ("rand", "normal_", "uniform_", "bernoulli", "exponential_", "multinomial"),
    "updates": ("_foreach", "_fused", "adam"),
    "copies": ("copy_", "cat", "clone", "pixel", "index", "gather", "upsample", "fill", "zero"),
}
"""Groups by what an operator's name contains, the first that fits; `sums and the rest` else."""

REST = "sums and the rest"


def operations(name: str, size: int) -> float:
    """Floating-point operations for an image in forward and backward, of matrix products alone."""

    def stop(step: int, loss: float) -> None:
        raise Enough

    with FlopCounterMode(display=False) as counter:
        short_training(name, size, "fp32", batch=BATCH, on_step=stop)
    return counter.get_total_flops() / BATCH


def shares(name: str, size: int) -> dict[str, float]:
    """Of the time of some steps, by groups of operators."""
    watched = profile(activities=[ProfilerActivity.CPU])

    def watch(step: int, loss: float) -> None:
        if step == 1:
            watched.start()
        if step == 1 + STEPS:
            watched.stop()
            raise Enough

    short_training(name, size, "fp32", batch=BATCH, on_step=watch)
    spent = dict.fromkeys((*GROUPS, REST), 0.0)
    for event in watched.key_averages():
        low = event.key.lower()
        found = (g for g, parts in GROUPS.items() if any(part in low for part in parts))
        spent[next(found, REST)] += event.self_cpu_time_total
    total = sum(spent.values())
    return {group: each / total for group, each in spent.items()}


def cost(name: str, size: int, peak: float) -> dict[str, Any]:
    """Everything about the steps of one model."""
    speeds = [timed(name, size, "fp32", batch=BATCH, steps=STEPS) for _ in range(TURNS)]
    flops = operations(name, size)
    found = {
        "model": name,
        "size": size,
        "mflop": flops / 1e6,
        "per_core": median([each["per_core"] for each in speeds]),
        "bound": peak / flops,
        "shares": shares(name, size),
    }
    print(found, flush=True)
    return found


@dataclass(frozen=True, kw_only=True)
class Smaller:
    """A network that is trained on as many images as the preset of its kind.

    Attributes:
        kind: a completer, or `classifier`.
        said: what differs from the preset.
        change: of its architecture.
        images: in all.
        training: what differs from the preset's training.
    """

    kind: str
    said: str
    change: dict[str, Any]
    images: int
    training: dict[str, Any]


SMALLER = (
    Smaller(kind="aipo", said="preset", change={}, images=32_000, training={}),
    Smaller(
        kind="aipo",
        said="stem 4, shallower encoder and decoder, lr 0.002",
        change={"stem": 4, "encoder": "8x2,8d8,1x1", "decoder": "1x2,8m1,8x4"},
        images=32_000,
        training={"lr": 2e-3},
    ),
    Smaller(kind="flow", said="preset", change={}, images=32_000, training={}),
    Smaller(kind="flow", said="stem 4", change={"stem": 4}, images=32_000, training={}),
    Smaller(
        kind="flow", said="widths 32, 64", change={"widths": (32, 64)}, images=32_000, training={}
    ),
    Smaller(kind="classifier", said="preset", change={}, images=48_000, training={"batch": 96}),
    Smaller(
        kind="classifier",
        said="width 32, growth 16, 32, layers 2, 3, batch 48",
        change={"width": 32, "growth": (16, 32), "layers": (2, 3)},
        images=48_000,
        training={"batch": 48},
    ),
)


MERITS = {"aipo": "val_bits_per_dim", "flow": "val_loss", "classifier": "val_nll"}
"""The val figure of each kind."""


def after_equal_images(each: Smaller, folder: Path) -> dict[str, Any]:
    """Val figures after each quarter of a training, and its speed."""
    images, val = training_splits("mnist_28", 32)
    batch = each.training.get("batch", BATCH)
    steps = each.images // batch
    changes: dict[str, Any] = {**each.training, "batch": batch, "precision": "fp32"}
    changes |= {"steps": steps, "every": steps // 4}
    out = folder / f"{each.kind}-{SMALLER.index(each)}.safetensors"
    if each.kind == "classifier":
        config, how = classifier_preset(images)
        config = replace(config, **each.change)
        train_classifier(images, val, replace(how, **changes), config=config, out=out)
    else:
        shape, training = preset(each.kind, images)
        shape, training = replace(shape, **each.change), replace(training, **changes)
        train_completer(each.kind, images, val, training=training, out=out, config=shape)
    header, curve = load_weights(out)[1], read_curve(curve_path(out))
    figure = MERITS[each.kind]
    found = {
        "kind": each.kind,
        "said": each.said,
        "images": each.images,
        "figure": figure,
        "at": [float(row[figure]) for row in curve if row[figure]],
        "per_core": each.images / header["cpu_seconds"],
    }
    print(found, flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--folder", type=Path, default=Path("runs/training_cost"))
    parser.add_argument(
        "--quick", action="store_true", help="a model and no training: does it run?"
    )
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if options.quick:
        options.models, options.sizes = ["classifier, small"], [32]
    about, peak = machine(), matmul_peak(torch.float32)
    costs = [cost(name, size, peak) for size in options.sizes for name in options.models]
    options.folder.mkdir(parents=True, exist_ok=True)
    smaller = [] if options.quick else [after_equal_images(e, options.folder) for e in SMALLER]
    result = {"machine": about, "batch": BATCH, "peak_gflops": peak / 1e9}
    result |= {"costs": costs, "smaller": smaller}
    if options.out is None:
        print(result)
    else:
        write_json(options.out, result)


if __name__ == "__main__":
    main()
