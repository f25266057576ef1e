"""The trainings behind benchmarks/cifar_inpainting.py: what is trained, how long, and is it enough.

Models of the CIFAR-10 inpainting report at half its width, so that each trains on one core; what
they make (the hole, or with the overlap 16 x 16 pixels) is the report's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from boed.completion.learned import LearnedCompleter
from boed.completion.registry import LEARNED, load_completer
from boed.completion.training import train_completer
from boed.data.dataset import Dataset
from boed.training.checkpoints import best_path

DATA, SIZE = "cifar10_jpeg_32", 32
MASKS = "centre_hole:0.25"
"""The hole of 8 x 8 pixels."""

VALIDATIONS = 8
"""In each training."""

LEVEL = 0.02
"""What the last quarter of a level training has lowered its best figure on val by at most."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """A model to train.

    Attributes:
        kind: of completer.
        steps: updates.
        changes: of the preset's configuration.
    """

    kind: str
    steps: int
    changes: Mapping[str, Any] = field(default_factory=dict)


HOLE: dict[str, Any] = {"patch": 8, "overlap": 0.0}
OVERLAP: dict[str, Any] = {"patch": 16, "overlap": 20.0}
PRETRAINED: dict[str, Any] = {"pretraining": 0.5}

BOTTLENECKS: dict[str, int] = {
    "l2-cnn-2000": 2000,
    "l2-cnn-1000": 1000,
    "l2-cnn": 512,
    "l2-cnn-256": 256,
}
"""The sweep, by training."""

TRAININGS: dict[str, Training] = {
    **{
        name: Training(kind="l2-cnn", steps=6000, changes=HOLE | {"bottleneck": bottleneck})
        for name, bottleneck in BOTTLENECKS.items()
    },
    "l2-cnn-stride": Training(kind="l2-cnn", steps=6000, changes=HOLE | {"downsampling": "stride"}),
    "l2-cnn-overlap": Training(kind="l2-cnn", steps=6000, changes=OVERLAP),
    "l2-cnn-augmented": Training(kind="l2-cnn", steps=6000, changes=HOLE | {"augmentation": True}),
    "dcgan": Training(kind="dcgan", steps=8000, changes=HOLE | PRETRAINED),
    "wgan": Training(kind="wgan", steps=8800, changes=OVERLAP | PRETRAINED),
    "wgan-alpha-1": Training(kind="wgan", steps=6000, changes=OVERLAP | {"alpha": 1.0}),
    "pixelcnn-zone": Training(kind="pixelcnn-zone", steps=4000),
    "flattened-row-lstm": Training(kind="flattened-row-lstm", steps=12_000),
    "row-lstm": Training(kind="row-lstm", steps=2400),
    "diagonal-bilstm": Training(kind="diagonal-bilstm", steps=1600),
}
"""By the name of the checkpoint; each takes 12 to 35 CPU minutes, all of them about five hours."""


def checkpoint(weights: Path, name: str) -> Path:
    """Where the last weights of a training are."""
    return weights / f"{name}.safetensors"


def train(
    name: str,
    train: Dataset,
    val: Dataset,
    *,
    weights: Path,
    minutes: float,
    steps: int | None = None,
) -> None:
    """Train a model, or go on where it stopped; nothing is done if it is finished.

    Args:
        name: one of `TRAININGS`.
        train, val: images.
        weights: folder of the checkpoints.
        minutes: after which it stops, resumably; 0 is no limit.
        steps: in place of its own, to try it.
    """
    asked = TRAININGS[name]
    config, training = LEARNED[asked.kind].preset(train.size, train.channels)
    number = steps or asked.steps
    training = replace(training, steps=number, every=max(number // VALIDATIONS, 1), minutes=minutes)
    train_completer(
        asked.kind,
        train,
        val,
        training=training,
        out=checkpoint(weights, name),
        config=replace(config, **asked.changes),
        masks=MASKS,
        command=f"python benchmarks/cifar_inpainting.py --train --only {name}",
    )


def trained(weights: Path, names: Sequence[str]) -> dict[str, LearnedCompleter]:
    """Models by name, of those that have been trained.

    Where the squared error, or the likelihood, is all that is minimised, early stopping is part of
    the training: weights are the best on val. Of models with a critic they are the last.
    """
    models = {}
    for name in names:
        path = checkpoint(weights, name)
        if not path.exists():
            print(f"{name}: {path} does not exist; --train makes it", flush=True)
            continue
        model = cast(LearnedCompleter, load_completer(path))
        if adversarial_from(model) is None and best_path(path).exists():
            model = cast(LearnedCompleter, load_completer(best_path(path)))
        models[name] = model.eval()
    return models


def adversarial_from(model: LearnedCompleter) -> float | None:
    """The share of the training from which on a critic has its turns; None if none has any."""
    config = vars(model.config)
    return config["pretraining"] if config.get("alpha", 1.0) < 1 else None


def account(weights: Path, name: str, model: LearnedCompleter) -> dict[str, Any]:
    """What a training was: steps, time, figures on val, and whether it was level."""
    last = cast(LearnedCompleter, load_completer(checkpoint(weights, name))).provenance
    asked, made, history = last["fit"]["steps"], last["steps"], last["history"]
    since = asked * (adversarial_from(model) or 0.0)
    return {
        "kind": model.name,
        "parameters": sum(each.numel() for each in model.parameters()),
        "steps": made,
        "of": asked,
        "used": model.provenance["steps"],
        "batch": last["fit"]["batch"],
        "cpu_seconds": last["cpu_seconds"],
        "merit": model.merit,
        "last": history[-1],
        "level": made >= TRAININGS[name].steps
        and is_level([row for row in history if row["step"] > since], model.merit),
    }


def is_level(history: Sequence[Mapping[str, float]], merit: str) -> bool:
    """Whether the last quarter of the validations lowered the best figure by `LEVEL` at most.

    >>> rows = [{"step": k, "nats": 1 / k} for k in range(1, 9)]
    >>> is_level(rows, "nats"), is_level([*rows, *[rows[-1]] * 4], "nats")
    (False, True)
    """
    before = len(history) - len(history) // 4
    figures = [row[merit] for row in history]
    return before < len(figures) and min(figures) >= (1 - LEVEL) * min(figures[:before])
