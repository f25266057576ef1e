"""The trainings behind benchmarks/cifar_inpainting.py: what is trained, how long, and is it enough.

Models of the CIFAR-10 inpainting report at half its width, so that each trains on one core; what
they make (the hole, or with the overlap 16 x 16 pixels) is the report's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from trainings import Planned, best_of, check_planned, short

from boed.completion.learned import LearnedCompleter
from boed.completion.registry import LEARNED, load_completer
from boed.data.load import load

DATA, SIZE, CHANNELS = "cifar10_jpeg_32", 32, 3
MASKS = "centre_hole:0.25"
"""The hole of 8 x 8 pixels."""

VALIDATIONS = 20
"""In each training."""


@dataclass(frozen=True, kw_only=True)
class Asked:
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

TRAININGS: dict[str, Asked] = {
    **{
        name: Asked(kind="l2-cnn", steps=6000, changes=HOLE | {"bottleneck": bottleneck})
        for name, bottleneck in BOTTLENECKS.items()
    },
    "l2-cnn-stride": Asked(kind="l2-cnn", steps=6000, changes=HOLE | {"downsampling": "stride"}),
    "l2-cnn-overlap": Asked(kind="l2-cnn", steps=6000, changes=OVERLAP),
    "l2-cnn-augmented": Asked(kind="l2-cnn", steps=6000, changes=HOLE | {"augmentation": True}),
    "dcgan": Asked(kind="dcgan", steps=8000, changes=HOLE | PRETRAINED),
    "wgan": Asked(kind="wgan", steps=8800, changes=OVERLAP | PRETRAINED),
    "wgan-alpha-1": Asked(kind="wgan", steps=6000, changes=OVERLAP | {"alpha": 1.0}),
    "pixelcnn-zone": Asked(kind="pixelcnn-zone", steps=4000),
    "flattened-row-lstm": Asked(kind="flattened-row-lstm", steps=12_000),
    "row-lstm": Asked(kind="row-lstm", steps=2400),
    "diagonal-bilstm": Asked(kind="diagonal-bilstm", steps=1600),
}
"""By the name of the checkpoint; each takes 12 to 35 CPU minutes, all of them about five hours."""


def planned(names: Sequence[str], steps: int | None = None) -> list[Planned]:
    """The trainings of some of `TRAININGS`, with their own numbers of steps if none is given."""
    plans = []
    for name in names:
        asked = TRAININGS[name]
        config, training = LEARNED[asked.kind].preset(SIZE, CHANNELS)
        number = steps or asked.steps
        plans.append(
            Planned(
                name=name,
                completer=asked.kind,
                config=replace(config, **asked.changes),
                training=replace(training, steps=number, every=max(number // VALIDATIONS, 1)),
                data=lambda: (load(DATA, SIZE, "train"), load(DATA, SIZE, "val")),
                masks=MASKS,
            )
        )
    return plans


def trained(weights: Path, names: Sequence[str]) -> dict[str, LearnedCompleter]:
    """Models by name, of those that have been trained.

    Where the squared error, or the likelihood, is all that is minimised, early stopping is part of
    the training: weights are the best on val. Of models with a critic they are the last.
    """
    models = {}
    for plan in planned(names):
        name, path = plan.name, plan.checkpoint(weights)
        if not path.exists():
            print(f"{name}: {path} does not exist; --train makes it", flush=True)
            continue
        check_planned(plan, path)
        model = cast(LearnedCompleter, load_completer(path))
        if adversarial_from(model) is None:
            model = cast(LearnedCompleter, load_completer(best_of(path)))
        models[name] = model.eval()
    return models


def adversarial_from(model: LearnedCompleter) -> float | None:
    """The share of the training from which on a critic has its turns; None if none has any."""
    config = vars(model.config)
    return config["pretraining"] if config.get("alpha", 1.0) < 1 else None


def account(path: Path, model: LearnedCompleter) -> dict[str, Any]:
    """What a training was: steps, time, figures on val, and whether it was level."""
    last = cast(LearnedCompleter, load_completer(path)).provenance
    return {
        "kind": model.name,
        "parameters": sum(each.numel() for each in model.parameters()),
        "steps": last["steps"],
        "of": last["fit"]["steps"],
        "used": model.provenance["steps"],
        "batch": last["fit"]["batch"],
        "cpu_seconds": last["cpu_seconds"],
        "merit": model.merit,
        "last": last["history"][-1],
        "short": short(path),
    }
