"""The checkpoints that come with the packages, and how a checkpoint is asked for."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from boed.classifiers.classifier import DenseNetClassifier
from boed.classifiers.screen import ScreenNet
from boed.completion.classical.retrieval import Retrieval
from boed.completion.completer import Completer
from boed.completion.registry import LEARNED, load_completer
from boed.data.dataset import Dataset
from boed.foundation.checks import check_fits
from boed.foundation.registry import unknown
from boed.foundation.shipped import shipped

SHIPPED: dict[tuple[str, int], str] = {
    ("digits", 32): "digits-32",
    ("mnist_28", 32): "digits-32",
    ("kermany_pneumonia_128", 64): "kermany-64",
    ("cifar10_jpeg_32", 32): "cifar10-32",
    ("cifar10", 32): "cifar10-32",
}
"""What the names of the shipped models for a data set at a width in pixels end with."""

DEFAULT_COMPLETER = {
    "kermany_pneumonia_128": "flow",
    "cifar10": "flow",
    "cifar10_jpeg_32": "flow",
}
"""Where another completer than AIPO did better in docs/completers.md, and is what is meant."""

LARGE = 20_000
"""Retrieval from more images than this goes through an index."""

DEFAULT_SIZE = {"digits": 32, "mnist_28": 32, "kermany_pneumonia_128": 64, "cifar10_jpeg_32": 32}
"""Width at which a data set is read when none is asked for."""


def completer_for(dataset: Dataset, checkpoint: str | None, library: Dataset) -> Completer:
    """The completer of a name (shipped), `retrieval` (from `library`), or of a checkpoint's path.

    Where none is named it is the data's default: AIPO, or what `DEFAULT_COMPLETER` says.

    One that was trained on another data set is used, with a warning that names both.

    Raises:
        ValueError: an unknown name (the nearest is suggested), no checkpoint is shipped for this
            data and size, or the given one does not fit it.
    """
    if checkpoint == "retrieval":
        return Retrieval(library, candidates=1_000 if len(library) > LARGE else None)
    name = checkpoint or DEFAULT_COMPLETER.get(dataset.name, "aipo")
    if name in LEARNED:
        path = _path("completer", name, dataset, None)
    elif Path(name).exists():
        path = Path(name)
    else:
        known = ("retrieval", *LEARNED)
        raise unknown("completer", name, known, extra="or the path of a .safetensors checkpoint")
    model = load_completer(path)
    config: Any = getattr(model, "config", None)
    check_fits("completer", config, dataset, name=dataset.name)
    trained = (getattr(model, "provenance", {}).get("data") or {}).get("name")
    if trained is not None and _family(trained) != _family(dataset.name):
        warnings.warn(
            f"completer: {path.name} was trained on {trained}, the scenes are of {dataset.name}",
            stacklevel=2,
        )
    return model


def _family(name: str) -> str:
    """The shipped digits are MNIST's; CIFAR-10 as JPEG files is CIFAR-10."""
    return {"mnist_28": "digits", "cifar10_jpeg_32": "cifar10"}.get(name, name)


def classifier_for(dataset: Dataset, checkpoint: str | None) -> DenseNetClassifier:
    """The shipped classifier for a data set, or that of a checkpoint's path.

    Raises:
        ValueError: no checkpoint is shipped for this data and size, or the given one does not
            fit it.
    """
    model = DenseNetClassifier.load(_path("classifier", "densenet", dataset, checkpoint))
    check_fits("classifier", model.config, dataset, name=dataset.name)
    if model.label_names != dataset.label_names or model.multi_label != dataset.multi_label:
        raise ValueError(
            f"classifier: the checkpoint answers {', '.join(model.label_names)}; "
            f"{dataset.name} asks {', '.join(dataset.label_names)}"
        )
    return model


def screen_for(dataset: Dataset, classifier: DenseNetClassifier, checkpoint: str) -> ScreenNet:
    """The shipped screen for a data set's classifier (`screen`), or that of a checkpoint's path.

    Raises:
        ValueError: none is shipped for this data and size, or the one found was distilled from
            another classifier.
    """
    path = _path("screen", "screen", dataset, checkpoint, "screen")
    model = ScreenNet.load(path)
    model.check(classifier, model.config.patch)
    return model


def _path(
    role: str, prefix: str, dataset: Dataset, checkpoint: str | None, default: str = "shipped"
) -> Path:
    if checkpoint not in (None, default):
        if not Path(checkpoint).exists():
            raise ValueError(
                f"{role} is {checkpoint!r}, which is no file; expected a .safetensors checkpoint"
            )
        return Path(checkpoint)
    name = SHIPPED.get((dataset.name, dataset.size))
    if name is None:
        known = ", ".join(f"{data} at {size} px" for data, size in SHIPPED)
        raise ValueError(
            f"no {role} is shipped for {dataset.name} at {dataset.size} px (there is one for "
            f"{known}); train one with `boed train {role} --data {dataset.name} "
            f"--size {dataset.size} --out FILE` and pass it as --{role} FILE"
        )
    return shipped(f"{prefix}-{name}")
