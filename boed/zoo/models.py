"""Trained models by name: those that are shipped, a checkpoint's path, or what is fitted at once.

For a data set and a sensor there is a default of each. The names of shipped models are those of
their folders, such as `flow-kermany-64`; any of them can be asked for with any data of its size.
"""

from __future__ import annotations

import copy
import re
import shlex
import warnings
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from boed.classifiers.classifier import Classifier, DenseNetClassifier, cross_entropy
from boed.classifiers.primary import Primary
from boed.classifiers.screen import ScreenNet
from boed.completion.classical.gaussian import GaussianMixture
from boed.completion.classical.retrieval import Retrieval
from boed.completion.completer import Completer
from boed.completion.registry import LEARNED, load_completer
from boed.data.dataset import Dataset
from boed.data.observation import Observation
from boed.foundation.checks import check_fits
from boed.foundation.randomness import derive
from boed.foundation.registry import unknown
from boed.foundation.shipped import shipped, shipped_names
from boed.sensors import (
    Foveated,
    KSpaceLines,
    Lines,
    PatchSensor,
    PixelBlocks,
    Projections,
    Sensor,
)
from boed.sensors.random_looks import RandomLooks
from boed.sensors.registry import is_table
from boed.sensors.sensor import returns_readings

FAMILY: dict[str, str] = {
    "digits": "digits",
    "mnist_28": "digits",
    "kermany_pneumonia_128": "kermany",
    "cifar10_jpeg_32": "cifar10",
    "cifar10": "cifar10",
}
"""Data sets whose scenes are of one kind, by the word that stands for them in names of models."""

DEFAULT_SIZE = {
    "digits": 32,
    "mnist_28": 32,
    "kermany_pneumonia_128": 64,
    "cifar10_jpeg_32": 32,
    "cifar10": 32,
}
"""Width in pixels at which a data set is read when none is asked for."""

DEFAULT_COMPLETER = {"kermany": "flow", "cifar10": "flow", "digits": "aipo"}
"""What did best of the completers that learn, by docs/completers.md."""

PRIMARY = {
    "kermany": Primary("auroc", 2),
    "cifar10": Primary("accuracy", 2),
    "digits": Primary("accuracy", 2),
}
"""What a run is judged by, unless it says otherwise: by family, as the data's cards say too."""

LOOKS: dict[type, str] = {
    KSpaceLines: "kspace",
    PixelBlocks: "pixels",
    Projections: "projections",
    Foveated: "foveated",
    Lines: "lines",
}
"""Sensors that have classifiers of their own, by the word that stands for them in names of models;
other sensors that see pixels use those that were trained on patches."""

LARGE = 20_000
"""Retrieval from more images than this goes through an index."""

BANDWIDTHS = (0.01, 0.02, 0.05, 0.1, 0.2)
NOISES = (0.02, 0.05, 0.1, 0.2, 0.4)
"""What is tried on val where a completer without training needs a number."""

FITTED = ("retrieval", "gaussian")
"""Completers that need a library and no training."""


@dataclass(frozen=True, eq=False)
class Context:
    """What models are chosen for: a data set, its library and its sensor.

    Attributes:
        data: the scenes.
        sensor: what looks at them.
        library: scenes to retrieve from and to fit to; None where there is none.
        val: scenes on which numbers are chosen; None where there is none.
        steps: looks at most.
        source: name or path of the data, as advice on what to type gives it; its name if None.
    """

    data: Dataset
    sensor: Sensor
    _: KW_ONLY
    library: Dataset | None = None
    val: Dataset | None = None
    steps: int = 3
    source: str | None = None

    @property
    def options(self) -> str:
        """What is typed for these data."""
        return f"--data {shlex.quote(self.source or self.data.name)} --size {self.data.size}"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        channels, height, width = self.data.images.shape[1:]
        return channels, height, width

    @property
    def family(self) -> str | None:
        """The word for this kind of scenes in the names of models, where there are any."""
        return FAMILY.get(self.data.name)

    @cached_property
    def indirect(self) -> bool:
        """Whether a look returns readings that are no pixels."""
        return returns_readings(self.sensor, self.shape)

    def fitted(self, name: str) -> Completer:
        """`retrieval` or `gaussian`, fitted to the library once and shared."""
        if name not in self._fitted:
            self._fitted[name] = _fitted(self, name)
        return self._fitted[name]

    @cached_property
    def _fitted(self) -> dict[str, Completer]:
        return {}

    @property
    def transform(self) -> Callable[[Tensor], Tensor] | None:
        """From scenes to readings, where the sensor has such a thing."""
        if not self.indirect:
            return None
        forward: Callable[[Tensor], Tensor] | None = getattr(self.sensor, "forward", None)
        return forward


def primary_for(data: Dataset, steps: int) -> Primary:
    """The primary outcome of a data set, after no more looks than are taken."""
    usual = Primary.usual(answers=len(data.label_names), multi_label=data.multi_label, steps=steps)
    named = PRIMARY.get(FAMILY.get(data.name, ""), usual)
    return replace(named, looks=min(named.looks, steps))


class Missing(ValueError):
    """Nothing is shipped for what was asked, and what to do about it."""


def completer_for(context: Context, name: str | None = None) -> Completer:
    """The completer of a name or path, or the default for the scenes and their sensor.

    The default is what is shipped for the data at its size where the sensor sees pixels, a
    mixture of Gaussians for tables and for readings, and retrieval otherwise.

    Args:
        context: what it is for.
        name: `retrieval` or `gaussian` (fitted to the library), `aipo`, `flow`, ... (the one
            shipped for the data), the name of a shipped model, or the path of a checkpoint.

    Raises:
        Missing: none is shipped, or there is no library to fit to.
        ValueError: an unknown name (the nearest is suggested), or a checkpoint that does not fit.
    """
    if name is None:
        name = _default_completer(context)
    if name in FITTED:
        return context.fitted(name)
    if name not in LEARNED:
        path = weights("completer", name, "completion", known=(*FITTED, *LEARNED))
    if context.indirect:
        raise ValueError(
            f"completer: {name} completes pixels; {type(context.sensor).__name__} returns "
            "readings, which gaussian and retrieval can be given"
        )
    if name in LEARNED:
        path = _shipped("completer", name, context)
    model = load_completer(path)
    config: Any = getattr(model, "config", None)
    check_fits("completer", config, context.data, name=context.data.name)
    trained = (getattr(model, "provenance", {}).get("data") or {}).get("name")
    if trained is not None and FAMILY.get(trained, trained) != (
        context.family or context.data.name
    ):
        warnings.warn(
            f"completer: {name} was trained on {trained}, the scenes are of {context.data.name}",
            stacklevel=2,
        )
    return model


def named_completers(given: Sequence[str], context: Context) -> dict[str, Completer]:
    """Completers from what was typed: names as `completer_for` takes them, PATH or NAME=PATH.

    Raises:
        ValueError: nothing or the same name twice, or a checkpoint that does not fit the data.
    """
    completers: dict[str, Completer] = {}
    for each in given:
        name, _, where = each.rpartition("=")
        name = name or Path(where).stem
        if name in completers:
            raise ValueError(f"completer {name!r} is given twice; write NAME={where}")
        completers[name] = completer_for(context, where)
    if not completers:
        raise ValueError("no completer is given: expected aipo, retrieval, or checkpoints")
    return completers


def classifier_for(context: Context, name: str | None = None) -> Classifier:
    """The classifier of a name or path, or the default for the scenes and their sensor.

    Args:
        context: what it is for.
        name: `trees` (of a table's features, fitted to the library), `gaussian` (the posterior of
            a mixture fitted to the library), the name of a shipped model, or a checkpoint's path.

    Raises:
        Missing: none is shipped, or there is no library to fit to.
        ValueError: an unknown name, or a checkpoint that does not fit.
    """
    if name is None:
        name = "trees" if is_table(context.data) else _default_classifier(context)
    if name in ("trees", "gaussian"):
        library = _library(context, f"classifier {name}")
        if name == "gaussian":
            if context.data.multi_label:
                raise ValueError(
                    f"classifier is 'gaussian', which answers one question with one answer; "
                    f"{context.data.name} asks for several findings: train one with "
                    f"`boed train classifier {context.options}`"
                )
            return GaussianClassifier(_mixture(context, library))
        from boed.classifiers.tabular import TabularClassifier

        if context.val is None:
            raise Missing(f"classifier trees is calibrated on a val split; {library.name} has none")
        return TabularClassifier(library, context.val)
    path = weights("classifier", name, "classifiers", known=("trees", "gaussian"))
    model = DenseNetClassifier.load(path)
    check_fits("classifier", model.config, context.data, name=context.data.name)
    data = context.data
    if model.label_names != data.label_names or model.multi_label != data.multi_label:
        unnamed = all(re.fullmatch(r"(class|finding) \d+|any", each) for each in data.label_names)
        advice = "; if they are the same, give the file the key label_names" if unnamed else ""
        raise ValueError(
            f"classifier: {name} answers {', '.join(model.label_names)}; "
            f"{data.name} asks {', '.join(data.label_names)}{advice}"
        )
    return model


def screen_for(context: Context, classifier: DenseNetClassifier, name: str) -> ScreenNet:
    """The screen shipped for the data's classifier (`screen`), or that of a name or path.

    Raises:
        Missing: none is shipped for this data and size.
        ValueError: it was distilled from another classifier, or there is no such file.
    """
    if name == "screen":
        path = _shipped("screen", "screen", context)
    else:
        path = weights("search", name, "screens", known=("screen",))
    model = ScreenNet.load(path)
    model.check(classifier, model.config.patch)
    return model


class GaussianClassifier:
    """The classes' posterior under a mixture of Gaussians with a component for each class.

    It is exact for that mixture, and needs no training: a baseline, not a good classifier.
    """

    def __init__(self, mixture: GaussianMixture) -> None:
        self.mixture = mixture

    def log_probs(self, observation: Observation) -> Tensor:
        """Log-probabilities of the classes, `[B, K]`."""
        transform = self.mixture.transform
        if transform is not None and observation.readings is None and observation.mask.all():
            readings = transform(observation.values)  # of whole scenes, all that can be read
            everything = torch.ones_like(readings)
            observation = replace(observation, readings=readings, taken=everything)
        return self.mixture.log_probs(observation)


def weights(argument: str, name: str, kind: str, *, known: Sequence[str] = ()) -> Path:
    """The checkpoint that a shipped model's name or a path stands for.

    Args:
        argument: what it was given for.
        name: of the model, or path.
        kind: `completion`, `classifiers` or `screens`.
        known: what else could have been given.

    Raises:
        ValueError: there is no such file, no such name (the nearest is suggested), or it is the
            name of a model of another kind.
    """
    if Path(name).exists():
        return Path(name)
    if Path(name).suffix == ".safetensors" or "/" in name or "\\" in name:
        raise ValueError(f"{argument} is {name!r}, a file that does not exist")
    ours = shipped_of(kind)
    if name in ours:
        return shipped(name)
    extra = "or give the path of a checkpoint"
    if name in shipped_names():
        what = next(word for each, word in _ROLES.items() if name in shipped_of(each))
        raise ValueError(
            f"{argument} is {name!r}, which is a {what}. Known: {', '.join((*known, *ours))}; "
            f"{extra}"
        )
    raise unknown(argument, name, (*known, *ours), extra=extra)


def shipped_of(kind: str) -> list[str]:
    """Names of the shipped completers (`completion`), `classifiers`, `screens` or `policies`."""
    names = shipped_names("classifiers" if kind == "screens" else kind)
    if kind in ("classifiers", "screens"):
        names = [each for each in names if each.startswith("screen-") == (kind == "screens")]
    return names


_ROLES = {
    "completion": "completer",
    "classifiers": "classifier",
    "screens": "screen for --search",
    "policies": "policy for Pyro models",
}


def _default_completer(context: Context) -> str:
    if is_table(context.data) or context.indirect:
        return "gaussian"
    kind = DEFAULT_COMPLETER.get(context.family or "", "")
    name = f"{kind}-{context.family}-{context.data.size}"
    return name if name in shipped_names("completion") else "retrieval"


def _default_classifier(context: Context) -> str:
    looks = next((word for kind, word in LOOKS.items() if isinstance(context.sensor, kind)), None)
    family = f"{context.family}-{context.data.size}"
    name = f"densenet-{family}" if looks is None else f"densenet-{looks}-{family}"
    unseen = looks is None and context.indirect
    if name in shipped_of("classifiers") and not unseen:
        return name
    how = f"boed train classifier {context.options}"
    if not isinstance(context.sensor, PatchSensor):
        how += f" --sensor {looks or 'SENSOR'}"
    untrained = (
        ""
        if context.data.multi_label
        # which has a posterior of one answer
        else (", or take --classifier gaussian, a baseline that needs no training")
    )
    raise Missing(
        f"no classifier is shipped for {context.data.name} at {context.data.size} px seen by "
        f"{type(context.sensor).__name__}. Train one with `{how} --out classifier.safetensors` and "
        f"give it as --classifier classifier.safetensors{untrained}. "
        f"Shipped: {', '.join(shipped_of('classifiers'))}"
    )


def _shipped(role: str, what: str, context: Context) -> Path:
    """The completer or screen that is shipped for the data."""
    kind = "completion" if role == "completer" else "screens"
    name = f"{what}-{context.family}-{context.data.size}"
    if name in shipped_of(kind):
        return shipped(name)
    train = f"boed train {role}{f' {what}' if role == 'completer' else ''} {context.options}"
    raise Missing(
        f"no {role} {what} is shipped for {context.data.name} at {context.data.size} px; train one "
        f"with `{train} --out {role}.safetensors` and give it as "
        f"--{'search' if role == 'screen' else role} {role}.safetensors"
        + ("; --completer retrieval needs no training" if role == "completer" else "")
        + f". Shipped: {', '.join(shipped_of(kind))}"
    )


def _library(context: Context, role: str) -> Dataset:
    if context.library is None:
        raise Missing(
            f"{role} is fitted to a library, and {context.data.name} has no train split: give "
            "--library the name or path of a data set that has one"
        )
    return context.library


def _fitted(context: Context, name: str) -> Completer:
    library = _library(context, f"completer {name}")
    if context.indirect and context.transform is None:
        raise ValueError(
            f"completer {name}: {type(context.sensor).__name__} returns readings and has no method "
            "forward(scenes) -> readings [B, R] that tells what it would read of a scene"
        )
    patches = not context.indirect and not is_table(context.data)
    if name == "retrieval" and (patches or context.val is None):
        large = not context.indirect and len(library) > LARGE
        return Retrieval(
            library,
            transform=context.transform,
            labelled=_same_question(library, context),
            candidates=1_000 if large else None,
        )
    if name == "retrieval":
        return _chosen(
            context,
            BANDWIDTHS,
            lambda width: Retrieval(
                library, width, context.transform, labelled=_same_question(library, context)
            ),
        )
    mixture = _mixture(context, library)
    if context.val is None:
        return mixture

    def with_noise(noise: float) -> GaussianMixture:
        model = copy.copy(mixture)  # the noise plays no part in the fit
        model.noise = noise
        return model

    return _chosen(context, NOISES, with_noise)


def _same_question(library: Dataset, context: Context) -> bool:
    """Whether the library's labels answer what the scenes are asked."""
    return library.label_names == context.data.label_names


def _mixture(context: Context, library: Dataset) -> GaussianMixture:
    by_class = not library.multi_label and _same_question(library, context)
    components: Any = "classes" if by_class else 10
    return GaussianMixture(library, components, transform=context.transform)


def _chosen(
    context: Context, numbers: Sequence[float], make: Callable[[float], Completer]
) -> Completer:
    """The one under which the completer itself says most of the labels of 200 val scenes."""
    assert context.val is not None
    val = context.val
    if val.multi_label or not _same_question(val, context):  # no such posterior: the default
        return make(numbers[len(numbers) // 2])
    if len(val) > 200:
        rows = torch.randperm(len(val), generator=torch.Generator().manual_seed(derive("val")))
        val = val.subset(rows[:200])
    generator = torch.Generator().manual_seed(0)
    counts = torch.randint(1, context.steps + 1, (len(val),), generator=generator)
    seen = RandomLooks(context.sensor, context.shape)(val.scenes(), counts, generator)
    losses = []
    for number in numbers:
        model = make(number)
        if isinstance(model, Retrieval):
            weights = (-model.distances(seen) / (2 * number**2)).softmax(1)
            answers = len(model.library.label_names)
            classes = torch.nn.functional.one_hot(model.library.labels, answers).float()
            belief = (weights @ classes + 1e-3).log().log_softmax(1)
        else:
            assert isinstance(model, GaussianMixture)
            belief = model.log_probs(seen)
        losses.append(float(cross_entropy(belief, val.labels).mean()))
    return make(numbers[losses.index(min(losses))])
