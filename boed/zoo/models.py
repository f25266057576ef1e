"""Trained models by name: those that are shipped, a checkpoint's path, or what is fitted at once.

For a data set and a sensor there is a default of each. The names of shipped models are those of
their folders, such as `flow-kermany-64`; any of them can be asked for with any data of its size.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch

from boed.classifiers.classifier import Classifier, check_is_classifier
from boed.classifiers.ensemble import load_classifier
from boed.classifiers.networks.densenet import DenseNetConfig
from boed.classifiers.screen import ScreenNet
from boed.classifiers.torchxrayvision.classifier import TorchXRayVisionClassifier, check_question
from boed.classifiers.torchxrayvision.weights import (
    check_weights,
    fetch_weights,
    is_torchxrayvision,
    pathologies,
)
from boed.classifiers.trained import TrainedClassifier
from boed.completion.completer import Completer, check_is_completer
from boed.completion.registry import LEARNED, load_completer
from boed.data.dataset import Dataset
from boed.data.labels import naming_advice
from boed.eig.completions.agreement import Agreeing
from boed.eig.completions.clarity import Clear, clarity_rate
from boed.eig.completions.kept import Kept
from boed.foundation.checks import attribute, check_fits
from boed.foundation.registry import make_own, names_object
from boed.sensors.random_looks import RandomLooks
from boed.sensors.registry import is_table
from boed.zoo.defaults import FAMILY
from boed.zoo.fitted import (
    FITTED,
    Context,
    GaussianClassifier,
    Missing,
    labelled_library,
    mixture_for,
)
from boed.zoo.names import (
    AGREEMENT,
    CLARITY,
    CLASSIFIERS,
    check_names,
    default_classifier,
    default_completer,
    shipped_for,
    weights,
)

Model = TypeVar("Model")

SCENES_TO_CLEAR = 64


def completer_for(context: Context, name: str | None = None) -> Completer:
    """The completer of a name or path, or the default for the scenes and their sensor.

    The default is what is shipped for the data at its size where the sensor sees pixels, a
    mixture of Gaussians for tables and for readings, and retrieval otherwise.

    Args:
        context: what it is for.
        name: `retrieval`, `gaussian`, `harmonic`, `ridge`, `tv`, `low-rank` or `patch-match`
            (given the library), `aipo`, `flow`, ... (the one shipped for the data), the name of a
            shipped model, the path of a checkpoint, or `package.module:Class` of one of your own,
            made without arguments.

    Raises:
        Missing: none is shipped, or there is no library to fit to.
        ValueError: an unknown name (the nearest is suggested), a checkpoint that does not fit, or
            a class that cannot be made.
    """
    if name is None:
        name = default_completer(context)
    if names_object(name):
        own: Completer = make_own(name, argument="completer")
        check_is_completer(own)
        return own
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
        path = shipped_for("completer", name, context)
    model = load_completer(path)
    config: Any = getattr(model, "config", None)
    check_fits("completer", config, context.data, name=context.data.name, resized=context.resized)
    trained = (attribute(model, "provenance", {}).get("data") or {}).get("name")
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
    expected = "aipo, retrieval, or checkpoints"
    return _named(
        "completer", given, lambda where: completer_for(context, where), expected=expected
    )


def named_classifiers(given: Sequence[str], context: Context) -> dict[str, TrainedClassifier]:
    """Classifiers from what was typed: names as `network_for` takes them, PATH or NAME=PATH.

    Raises:
        ValueError: nothing or the same name twice, or a checkpoint that does not fit the data.
    """
    made = partial(network_for, context)
    return _named("classifier", given, made, expected="names of shipped ones, or checkpoints")


def _named(
    role: str, given: Sequence[str], made: Callable[[str], Model], *, expected: str
) -> dict[str, Model]:
    models: dict[str, Model] = {}
    for each in given:
        name, _, where = each.rpartition("=")
        name = name or (where.partition(":")[2] if names_object(where) else Path(where).stem)
        if name in models:
            raise ValueError(f"{role} {name!r} is given twice; write NAME={where}")
        models[name] = made(where)
    if not models:
        raise ValueError(f"no {role} is given: expected {expected}")
    return models


def classifier_for(context: Context, name: str | None = None) -> Classifier:
    """The classifier of a name or path, or the default for the scenes and their sensor.

    Args:
        context: what it is for.
        name: `trees` (of a table's features, fitted to the library), `gaussian` (the posterior of
            a mixture fitted to the library), the name of a shipped model, a checkpoint's path,
            `torchxrayvision:NAME` for whole-image beliefs of published weights, or
            `package.module:Class` of one of your own, made without arguments.

    Raises:
        Missing: none is shipped, or there is no library to fit to.
        ValueError: an unknown name, a checkpoint that does not fit, or a class that cannot be made.
    """
    if name is None:
        table = is_table(context.data)
        name = "trees" if table else default_classifier(context, network=False)
    if name in CLASSIFIERS:
        library = labelled_library(context, f"classifier {name}")
        if name == "gaussian":
            if context.data.multi_label:
                raise ValueError(
                    f"classifier is 'gaussian', which answers one question with one answer; "
                    f"{context.data.name} asks for several findings: train one with "
                    f"`boed train classifier {context.options}`"
                )
            return GaussianClassifier(mixture_for(context, library))
        from boed.classifiers.tabular import TabularClassifier

        if context.val is None:
            raise Missing(f"classifier trees is calibrated on a val split; {library.name} has none")
        return TabularClassifier(library, context.val)
    if names_object(name) and not is_torchxrayvision(name):
        own: Classifier = make_own(name, argument="classifier")
        check_is_classifier(own)
        return own
    check_names(classifier=name)
    return network_for(context, name)


def network_for(
    context: Context, name: str | None = None, *, argument: str = "classifier"
) -> TrainedClassifier:
    """A trained classifier, which has features that describe scenes, and can be distilled.

    On scenes of the data set that it was trained on it assumes the answers' frequencies there,
    though training may have balanced them.

    Args:
        context: what it is for.
        name: of a shipped model, a checkpoint's path, or torchxrayvision's with that before it;
            what is shipped for the scenes and their sensor if not given.
        argument: what the name was given for, in error messages.

    Raises:
        Missing: none is shipped.
        ValueError: an unknown name, or a checkpoint that does not fit.
    """
    name = name or default_classifier(context, network=True)
    data = context.data
    if is_torchxrayvision(name):
        return _of_torchxrayvision(name, data, argument)
    model = load_classifier(weights(argument, name, "classifiers"))
    check_fits(argument, model.config, data, name=data.name, resized=context.resized)
    if model.label_names != data.label_names or model.multi_label != data.multi_label:
        raise ValueError(
            f"{argument}: {name} answers {', '.join(model.label_names)}; "
            f"{data.name} asks {', '.join(data.label_names)}{naming_advice(data)}"
        )
    if (model.provenance.get("data") or {}).get("name") == data.name:
        model.assume_trained_on()
    return model


def _of_torchxrayvision(name: str, data: Dataset, argument: str) -> TrainedClassifier:
    """The published network for a data set's questions, fetched once it is known to answer them."""
    check_weights(argument, name)
    grey = DenseNetConfig(size=data.size, channels=1, outputs=1)
    check_fits(argument, grey, data, name=data.name)
    asked: dict[str, Any] = {"multi_label": data.multi_label, "argument": argument}
    check_question(name, pathologies(name), data.label_names, **asked)
    path = fetch_weights(argument, name)
    return TorchXRayVisionClassifier(path, data.label_names, size=data.size, **asked)


def kept_for(
    context: Context, classifier: Classifier, completer: Completer, *, way: str, memory: int
) -> Kept:
    """Of the completer's completions those that are kept in one of the ways `KEPT`.

    Raises:
        Missing: what that takes.
    """
    if way == AGREEMENT:
        return Agreeing(completer, classifier, memory=memory)
    return clear_for(context, classifier, completer, memory=memory)


def clear_for(
    context: Context, classifier: Classifier, completer: Completer, *, memory: int
) -> Clear:
    """Of the completer's completions those that are as clear to the classifier as real scenes.

    How much clearer those are is measured on `SCENES_TO_CLEAR` scenes of the val split, or of the
    library, partly seen by random looks.

    Raises:
        Missing: there is neither.
    """
    shelf = context.val or context.library
    if shelf is None:
        raise Missing(
            f"reweight is {CLARITY!r}, which compares completions with real scenes; "
            f"{context.data.name} has neither a val split nor a library: give `library`"
        )
    rows = torch.randperm(len(shelf), generator=torch.Generator().manual_seed(0))
    scenes = shelf.scenes(rows[:SCENES_TO_CLEAR])
    counts = 1 + torch.arange(len(scenes)) % context.steps
    looks = RandomLooks(context.sensor, context.shape)
    seen = looks(scenes, counts, torch.Generator().manual_seed(0))
    rate = clarity_rate(completer, classifier, scenes=scenes, observation=seen, memory=memory)
    return Clear(completer, classifier, rate=rate, memory=memory)


def screen_for(context: Context, classifier: TrainedClassifier, name: str) -> ScreenNet:
    """The screen shipped for the data's classifier (`screen`), or that of a name or path.

    Raises:
        Missing: none is shipped for this data and size.
        ValueError: it was distilled from another classifier, or there is no such file.
    """
    if name == "screen":
        path = shipped_for("screen", "screen", context)
    else:
        path = weights("search", name, "screens", known=("screen",))
    model = ScreenNet.load(path)
    model.check(classifier, model.config.patch)
    return model
