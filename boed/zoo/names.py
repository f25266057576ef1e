"""What models can be asked for by name, which of them are shipped, and which is the default."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from boed.classifiers.torchxrayvision.weights import (
    check_weights,
    fetch_weights,
    is_torchxrayvision,
)
from boed.completion.registry import LEARNED
from boed.foundation.registry import import_object, names_object, one_of, unknown
from boed.foundation.shipped import WEIGHTS, shipped, shipped_names
from boed.search.names import SEARCHES
from boed.sensors import PatchSensor
from boed.sensors.registry import is_table
from boed.zoo.defaults import DEFAULT_COMPLETER, LOOKS
from boed.zoo.fitted import FITTED, Context, Missing

CLASSIFIERS = ("trees", "gaussian")
"""Classifiers that need a library and no training."""


AGREEMENT = "agreement"
"""The `reweight` that keeps completions so that the answers they imply are those believed."""

CLARITY = "clarity"
"""The `reweight` that keeps completions as clear to the classifier as real scenes are."""

KEPT = (AGREEMENT, CLARITY)
"""What `reweight` may name that is no completer."""


def check_names(
    *,
    classifier: object = None,
    network: object = None,
    networks: Iterable[object] = (),
    judge: object = None,
    completers: Iterable[object] = (),
    reweight: object = None,
    search: object = None,
) -> None:
    """Refuse models that no data set could be given: unknown names and files that do not exist.

    Args:
        classifier, completers, reweight, search: as they were asked for; objects and None are
            passed over.
        network, networks, judge: classifiers that have to be trained ones.

    Raises:
        ValueError: see `weights`.
    """
    asked: list[tuple[str, object, str, tuple[str, ...]]]
    asked = [("classifier", classifier, "classifiers", CLASSIFIERS)]
    asked += [("classifier", each, "classifiers", ()) for each in (network, *networks)]
    asked += [("judge", judge, "classifiers", ())]
    asked += [("completer", each, "completion", (*FITTED, *LEARNED)) for each in completers]
    asked += [("reweight", reweight, "completion", (*KEPT, *FITTED, *LEARNED))]
    asked += [("search", search, "screens", (*SEARCHES, "screen"))]
    for argument, name, kind, known in asked:
        if not isinstance(name, str | Path) or str(name) in known:
            continue
        if kind == "classifiers" and is_torchxrayvision(str(name)):
            check_weights(argument, str(name))
        elif known and kind != "screens" and names_object(str(name)):
            import_object(str(name), argument=argument)
        else:
            weights(argument, str(name), kind, known=known)


def weights(argument: str, name: str, kind: str, *, known: Sequence[str] = ()) -> Path:
    """The checkpoint that a shipped model's name, or the path of a file or a model's folder is of.

    Torchxrayvision's weights are fetched if they are not there yet.

    Args:
        argument: what it was given for.
        name: of the model, or path.
        kind: `completion`, `classifiers`, `screens` or `policies`.
        known: what else could have been given.

    Raises:
        ValueError: there is no such file, no such name (the nearest is suggested), or it is the
            name of a model of another kind.
        OSError: weights could not be fetched.
    """
    if kind == "classifiers" and is_torchxrayvision(name):
        return fetch_weights(argument, name)
    if Path(name).is_dir() and not (Path(name) / WEIGHTS).is_file():
        raise ValueError(
            f"{argument} is {name!r}, a folder without {WEIGHTS}; expected the folder of a model, "
            "the path of a checkpoint, or a name"
        )
    if Path(name).exists():
        return Path(name)
    ours = shipped_of(kind)
    if name in ours:
        return shipped(name)
    if name in shipped_names():
        what = next(word for each, word in _ROLES.items() if name in shipped_of(each))
        raise ValueError(
            f"{argument} is {name!r}, which is a {what}, expected {one_of((*known, *ours))}; "
            "or give the path of a checkpoint"
        )
    raise unknown(argument, name, (*known, *ours), path="a checkpoint")


def shipped_of(kind: str) -> list[str]:
    """Names of the shipped completers (`completion`), `classifiers`, `screens` or `policies`."""
    names = shipped_names("classifiers" if kind == "screens" else kind)
    if kind in ("classifiers", "screens"):
        names = [each for each in names if each.startswith("screen-") == (kind == "screens")]
    return names


_ROLES = {
    "completion": "completer",
    "classifiers": "classifier",
    "screens": "screen for `search`",
    "policies": "trained policy",
}


def default_completer(context: Context) -> str:
    """Name of the completer for some scenes and their sensor."""
    if is_table(context.data) or context.indirect:
        return "gaussian"
    kind = DEFAULT_COMPLETER.get(context.family or "", "")
    name = f"{kind}-{context.family}-{context.data.size}"
    return name if name in shipped_names("completion") else "retrieval"


def default_classifier(context: Context, *, network: bool) -> str:
    """Name of the shipped classifier for some scenes and their sensor.

    Raises:
        Missing: there is none; how to train one is said.
    """
    looks = next((word for kind, word in LOOKS.items() if isinstance(context.sensor, kind)), None)
    family = f"{context.family}-{context.data.size}"
    of = family if looks is None else f"{looks}-{family}"
    unseen = looks is None and context.indirect
    for name in (f"ensemble-{of}", f"densenet-{of}"):
        if name in shipped_of("classifiers") and not unseen:
            return name
    how = f"boed train classifier {context.options}"
    if not isinstance(context.sensor, PatchSensor):
        how += f" --sensor {looks or 'SENSOR'}"
    untrained = (
        ""
        if network or context.data.multi_label  # a mixture has a posterior of one answer
        else ", or take `classifier='gaussian'`, a baseline that needs no training"
    )
    raise Missing(
        f"no classifier is shipped for {context.data.name} at {context.data.size} px seen by "
        f"{type(context.sensor).__name__}. Train one with `{how} --out classifier.safetensors` and "
        f"give it as `classifier='classifier.safetensors'`{untrained}. "
        f"Shipped: {', '.join(shipped_of('classifiers'))}"
    )


def shipped_for(role: str, what: str, context: Context) -> Path:
    """The completer or screen that is shipped for the data.

    Raises:
        Missing: there is none; how to train one is said.
    """
    kind = "completion" if role == "completer" else "screens"
    name = f"{what}-{context.family}-{context.data.size}"
    if name in shipped_of(kind):
        return shipped(name)
    train = f"boed train {role}{f' {what}' if role == 'completer' else ''} {context.options}"
    wanted = what if what == role else f"{role} {what}"
    raise Missing(
        f"no {wanted} is shipped for {context.data.name} at {context.data.size} px; train one "
        f"with `{train} --out {role}.safetensors` and give it as "
        f"`{'search' if role == 'screen' else role}='{role}.safetensors'`"
        + ("; `completer='retrieval'` needs no training" if role == "completer" else "")
        + f". Shipped: {', '.join(shipped_of(kind))}"
    )
