"""Images per second and core in training, and what was tried to make it more.

    python benchmarks/training_speed.py --out benchmarks/results/training_speed.json

Every completer, the VD-VAE, the classifiers and a screen at 32 and 64 pixels, by the functions that
`boed train` calls: batches, masks, forward, backward and update, in single precision and in bf16
autocast, in turns, in one process with one thread. Random images of one channel, and presets: what
the images show changes no time. Per core means per second that the process kept one busy, so that
what else the machine does hardly counts. AIPO besides with other ways of doing the same, in turns,
and on two cores as one process or two.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from measuring import interleaved, machine, median
from torch import Tensor

from boed.classifiers import DenseNetClassifier
from boed.classifiers.distilling import TRAINING as SCREEN_TRAINING
from boed.classifiers.distilling import train_screen
from boed.classifiers.training import preset as classifier_preset
from boed.classifiers.training import train_classifier
from boed.completion.registry import LEARNED
from boed.completion.training import preset, standardised_for, train_completer, train_vae
from boed.completion.vae.vdvae import Gaussian
from boed.data.dataset import Dataset
from boed.foundation.files import write_json
from boed.foundation.precision import bf16_speedup
from boed.training import ClassifierTrainingConfig, TrainingConfig

SIZES = (32, 64)
PRECISIONS = ("fp32", "bf16")
CLASSIFIERS = ("classifier, small", "classifier, densenet121", "screen")
NAMES = (*LEARNED, "vae", *CLASSIFIERS)
WARM = 1
"""Steps of each short training that are not timed."""

CORES = {"one thread": (1, 1), "one process of two threads": (2, 1), "two of one": (1, 2)}
"""Threads and processes, each process with its share of the same batch."""


class Enough(Exception):
    """All steps have been timed."""


def images(size: int, number: int) -> Dataset:
    """Random images of two classes."""
    pixels = torch.randint(0, 256, (number, 1, size, size), dtype=torch.uint8)
    return Dataset(
        name="random",
        split="train",
        images=pixels,
        labels=torch.arange(number) % 2,
        label_names=("a", "b"),
    )


def trainer(name: str, size: int, folder: Path) -> tuple[Callable[..., object], TrainingConfig]:
    """What trains a model, given `training`, `out` and `on_step`, and how its preset trains it."""
    train, val = images(size, 512), images(size, 8)
    if name in LEARNED:
        config, training = preset(name, train)
        taught_by, teacher = LEARNED[name].taught_by, None
        if taught_by is not None:
            teacher = LEARNED[taught_by].of(standardised_for(config, train))
        return partial(train_completer, name, train, val, config=config, init=teacher), training
    if name == "vae":
        config, training = preset("vae", train)
        return partial(train_vae, train, val, config), training
    config, training = classifier_preset(train)
    if name == "screen":
        DenseNetClassifier(config, train.label_names).save(folder / "classifier.safetensors", {})
        judge = DenseNetClassifier.load(folder / "classifier.safetensors")
        return partial(train_screen, judge, train, val), SCREEN_TRAINING
    config = replace(config, kind=name.split(", ")[1])

    def classifier(training: ClassifierTrainingConfig, **rest: Any) -> object:
        return train_classifier(train, val, training, config=config, **rest)

    return classifier, training


def short_training(
    name: str, size: int, precision: str, *, batch: int, on_step: Callable[[int, float], None]
) -> None:
    """A training on random images, which `on_step` ends by `Enough`."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of bf16 where it is slower
        train, training = trainer(name, size, Path(folder))
        settings = replace(
            training, steps=100_000, every=100_000, batch=batch, precision=precision, device="cpu"
        )
        with suppress(Enough):
            train(training=settings, out=Path(folder) / "m.safetensors", on_step=on_step)


def timed(name: str, size: int, precision: str, *, batch: int, steps: int) -> dict[str, float]:
    """Images per second, and per second of a busy core, of a short training."""
    stamps: list[tuple[float, float]] = []

    def on_step(step: int, loss: float) -> None:
        stamps.append((time.perf_counter(), time.process_time()))
        if step == WARM + steps:
            raise Enough

    short_training(name, size, precision, batch=batch, on_step=on_step)
    wall, busy = (stamps[-1][k] - stamps[WARM - 1][k] for k in (0, 1))
    return {"per_second": steps * batch / wall, "per_core": steps * batch / busy}


def in_turns(
    work: Mapping[str, Callable[[], dict[str, float]]], turns: int, said: str
) -> dict[str, dict[str, float]]:
    """Medians of what each piece of work returns, with the extremes of the first of its figures.

    Every turn is a training begun anew, whose first step is not timed.
    """
    returned: dict[str, list[dict[str, float]]] = {name: [] for name in work}

    def once(name: str) -> None:
        returned[name].append(work[name]())

    interleaved({name: partial(once, name) for name in work}, turns, said, warm=True)
    return {
        name: {figure: median([each[figure] for each in rows]) for figure in rows[0]}
        | {"low": min(each["per_second"] for each in rows)}
        | {"high": max(each["per_second"] for each in rows)}
        for name, rows in returned.items()
    }


def by_randn_like(gaussian: Gaussian, noise: Any, n: int = 1) -> Tensor:
    """A reparametrised sample whose noise is drawn in the layout of its mean."""
    mean, log_std = gaussian
    assert noise is None
    return mean + log_std.exp() * torch.randn_like(mean)


def looped(*arguments: Any, real: type = torch.optim.AdamW, **options: Any) -> Any:
    """AdamW that updates one parameter after the other."""
    return real(*arguments, **{**options, "foreach": False})


VARIANTS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "as it is": nullcontext,
    "GELU by tanh": lambda: patch.object(F, "gelu", partial(F.gelu, approximate="tanh")),
    "noise by randn_like": lambda: patch("boed.completion.vae.aipo.draw", by_randn_like),
    "AdamW in a loop": lambda: patch.object(torch.optim, "AdamW", looped),
}
"""Other ways to do what AIPO's training does."""


def variants(size: int, *, batch: int, steps: int, turns: int) -> list[dict[str, Any]]:
    """AIPO in single precision as it is, and in each other way."""

    def one(name: str) -> dict[str, float]:
        with VARIANTS[name]():
            return timed("aipo", size, "fp32", batch=batch, steps=steps)

    work = {name: partial(one, name) for name in VARIANTS}
    found = in_turns(work, turns, f"ways, {size} px")
    base = found["as it is"]["per_core"]
    return [
        {"way": name, "size": size, **each, "ratio": each["per_core"] / base}
        for name, each in found.items()
    ]


def on_cores(size: int, *, batch: int, steps: int, turns: int) -> list[dict[str, Any]]:
    """AIPO in single precision with more threads, or more processes."""

    def one(threads: int, devices: int) -> dict[str, float]:
        with tempfile.TemporaryDirectory() as folder:
            run = [sys.executable, __file__, "--worker", folder, "--sizes", str(size)]
            run += ["--threads", str(threads), "--devices", str(devices)]
            run += ["--batch", str(batch), "--steps", str(steps)]
            done = subprocess.run(run, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr)
        return {"per_second": json.loads(done.stdout.splitlines()[-1])}

    found = in_turns({k: partial(one, *v) for k, v in CORES.items()}, turns, f"cores, {size} px")
    base = found["one thread"]["per_second"]
    return [
        {"how": name, "size": size, **each, "ratio": each["per_second"] / base}
        for name, each in found.items()
    ]


def worker(options: argparse.Namespace) -> None:
    """A whole short training, perhaps as one of several processes; the first prints its speed."""
    torch.set_num_threads(options.threads)
    stamps: list[float] = []
    train, training = trainer("aipo", options.sizes[0], Path(options.worker))
    settings = replace(
        training,
        steps=WARM + options.steps,
        every=100_000,
        batch=options.batch,
        precision="fp32",
        devices=options.devices,
    )
    train(
        training=settings,
        out=Path(options.worker) / "m.safetensors",
        on_step=lambda *_: stamps.append(time.perf_counter()),
    )
    if stamps:
        print(options.steps * options.batch / (stamps[-1] - stamps[WARM - 1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", nargs="+", choices=NAMES, default=list(NAMES), metavar="NAME")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=2, help="timed steps of each training")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one tiny turn: does it run?")
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--worker", default=None, help="folder of a training on several cores")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--devices", type=int, default=1)
    options = parser.parse_args()
    torch.manual_seed(0)
    if options.worker is not None:
        worker(options)
        return
    torch.set_num_threads(1)
    if options.quick:
        options.batch, options.steps, options.turns, options.sizes = 2, 1, 1, [32]
    about, how = machine(), {"batch": options.batch, "steps": options.steps}
    probe = bf16_speedup("cpu", training=True)
    rows = []
    for size in options.sizes:
        for name in options.only:
            work = {each: partial(timed, name, size, each, **how) for each in PRECISIONS}
            found = in_turns(work, options.turns, f"{name}, {size} px")
            ratio = found["bf16"]["per_core"] / found["fp32"]["per_core"]
            rows.append({"model": name, "size": size, **found, "bf16_speedup": ratio})
    ways = [row for s in options.sizes for row in variants(s, turns=options.turns, **how)]
    cores = [row for s in options.sizes for row in on_cores(s, turns=options.turns, **how)]
    result = {"machine": about, **how, "turns": options.turns, "probe_bf16_speedup": probe}
    result |= {"rows": rows, "aipo_ways": ways, "aipo_cores": cores}
    if options.out is None:
        print(json.dumps(result, indent=1))
    else:
        write_json(options.out, result)


if __name__ == "__main__":
    main()
