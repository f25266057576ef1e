"""The checkpoints that come with the packages, and how a checkpoint is asked for."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from classifiers.classifier import DenseNetClassifier
from classifiers.screen import ScreenNet
from completion.aipo import AIPO
from completion.completer import Completer
from completion.retrieval import Retrieval
from data.dataset import Dataset

SHIPPED: dict[tuple[str, int], str] = {
    ("digits", 32): "digits-32",
    ("mnist_28", 32): "digits-32",
    ("kermany_pneumonia_128", 64): "kermany-64",
}
"""Name of the checkpoints for a data set at a width in pixels."""

DEFAULT_SIZE = {"digits": 32, "mnist_28": 32, "kermany_pneumonia_128": 64}
"""Width at which a data set is read when none is asked for."""


def completer_for(dataset: Dataset, checkpoint: str | None, library: Dataset) -> Completer:
    """The completer `aipo` (shipped), `retrieval` (from `library`), or of a checkpoint's path.

    Raises:
        ValueError: no checkpoint is shipped for this data and size, or the given one does not
            fit it.
    """
    if checkpoint == "retrieval":
        return Retrieval(library)
    model = AIPO.load(_path("completion", "completer", dataset, checkpoint, "aipo"))
    config = model.config
    _check("completer", (config.size, config.channels), dataset)
    return model


def classifier_for(dataset: Dataset, checkpoint: str | None) -> DenseNetClassifier:
    """The shipped classifier for a data set, or that of a checkpoint's path.

    Raises:
        ValueError: no checkpoint is shipped for this data and size, or the given one does not
            fit it.
    """
    model = DenseNetClassifier.load(_path("classifiers", "classifier", dataset, checkpoint))
    _check("classifier", (model.config.size, model.config.channels), dataset)
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
    path = _path("classifiers", "screen", dataset, checkpoint, "screen", "-screen")
    model = ScreenNet.load(path)
    model.check(classifier, model.config.patch)
    return model


def _path(
    package: str,
    role: str,
    dataset: Dataset,
    checkpoint: str | None,
    default: str = "shipped",
    suffix: str = "",
) -> Path:
    if checkpoint not in (None, default):
        if not Path(checkpoint).exists():
            raise ValueError(
                f"{role} is {checkpoint!r}, which is no file; expected a .safetensors checkpoint"
                + (", 'aipo' or 'retrieval'" if role == "completer" else "")
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
    return shipped(package, name + suffix)


def shipped(package: str, name: str) -> Path:
    """Path of the checkpoint `name` that comes with `completion` or `classifiers`.

    Raises:
        ValueError: there is none of that name.
    """
    path = Path(str(resources.files(package) / "weights" / f"{name}.safetensors"))
    if not path.exists():
        raise ValueError(f"no checkpoint is called {name!r}; there are {', '.join(names())}")
    return path


def names() -> list[str]:
    """Names of the shipped checkpoints."""
    return sorted(set(SHIPPED.values()))


def _check(role: str, model: tuple[int, int], dataset: Dataset) -> None:
    if model != (dataset.size, dataset.channels):
        raise ValueError(
            f"{role}: the checkpoint is for {model[1]} channels of {model[0]} pixels; "
            f"{dataset.name} has {dataset.channels} of {dataset.size}"
        )
