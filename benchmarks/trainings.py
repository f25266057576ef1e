"""Many trainings of completers in one folder: what is missing is trained, what is short is marked.

A training is level where its loss and its figure of merit on val no longer move: of each, the mean
over the last fifth of the updates is within 2 % of that over the fifth before, or within two
standard errors of the difference. The learning rate falls to zero over a training, which levels
any loss, so that a training which is not level has certainly not come to its end; of an adversarial
one the loss says nothing more, and its figure on val is what to look at.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from boed.completion.training import train_completer
from boed.data.dataset import Dataset
from boed.data.incomplete import Incomplete
from boed.foundation.files import load_weights
from boed.training.checkpoints import best_path, running_state
from boed.training.config import TrainingConfig
from boed.training.curve import curve_path, read_curve

LEVEL = 0.02
"""How much the mean over a fifth of a training may differ from that of the fifth before."""

Splits = tuple[Dataset, Dataset] | tuple[Incomplete, Incomplete]


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A training.

    Attributes:
        name: of its checkpoint.
        completer: kind of the completer.
        config: its architecture.
        training: how.
        data: makes train and val images.
        masks: by which whole scenes are hidden.
    """

    name: str
    completer: str
    config: Any
    training: TrainingConfig
    data: Callable[[], Splits]
    masks: str | None = None

    def checkpoint(self, folder: Path) -> Path:
        """Where it lies."""
        return folder / f"{self.name}.safetensors"


def finished(checkpoint: Path) -> bool:
    """Whether a training has made all its updates."""
    return checkpoint.exists() and not running_state(checkpoint).exists()


def best_of(checkpoint: Path) -> Path:
    """The best weights by val of a training: its last ones, or those beside them."""
    best = best_path(checkpoint)
    return best if best.exists() else checkpoint


def check_planned(plan: Planned, checkpoint: Path) -> None:
    """Refuse a finished checkpoint of another training, such as a short one to try the command.

    Raises:
        ValueError: naming the steps of both.
    """
    made = load_weights(checkpoint)[1]["fit"]["steps"]
    if made != plan.training.steps:
        raise ValueError(
            f"{checkpoint} was trained for {made} updates, and {plan.name} has "
            f"{plan.training.steps}; remove it, or give another folder"
        )


def train(planned: Sequence[Planned], folder: Path, minutes: float) -> None:
    """Train what is not finished, one after another, for so many minutes in all; 0 is no limit."""
    folder.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    for each in planned:
        out = each.checkpoint(folder)
        left = minutes - (time.monotonic() - began) / 60
        if finished(out):
            check_planned(each, out)
            continue
        if minutes and left <= 0:
            print(f"{each.name}: not finished; the same command goes on", flush=True)
            continue
        print(f"{each.name}: {each.completer}, {each.training.steps} updates", flush=True)
        splits = each.data()
        model = train_completer(
            each.completer,
            *splits,
            training=replace(each.training, minutes=left if minutes else 0.0),
            out=out,
            config=each.config,
            masks=each.masks,
        )
        print(f"{each.name}: {model.provenance['cpu_seconds']} CPU seconds", flush=True)


def short(checkpoint: Path) -> str:
    """Why a training counts as too short, by the rule of this file; empty where it is level."""
    if not finished(checkpoint):
        return "not finished"
    rows = read_curve(curve_path(checkpoint))
    steps = int(rows[-1]["step"])
    figures = [name for name in rows[-1] if name == "loss" or name.startswith("val_")]
    for name in figures:
        points = [(int(row["step"]) / steps, float(row[name])) for row in rows if row[name]]
        before, last = (
            np.array([value for share, value in points if low < share <= low + 0.2])
            for low in (0.6, 0.8)
        )
        if min(len(before), len(last)) < 3:
            return f"{name} was looked at too rarely"
        error = (before.var(ddof=1) / len(before) + last.var(ddof=1) / len(last)) ** 0.5
        moved = abs(last.mean() - before.mean())
        if moved > max(LEVEL * abs(before.mean()), 2 * error):
            return f"{name} moved by {moved / abs(before.mean()):.0%}"
    return ""
