"""The first look, which is the same for every scene, cached on disk between runs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from boed.completion.completer import Completer, Completions
from boed.foundation.arguments import checked
from boed.foundation.checks import at_least
from boed.foundation.files import load_weights, save_weights
from boed.foundation.fingerprint import fingerprint, of_source
from boed.policies.policy import Decision


@checked
@dataclass(frozen=True)
class FirstLook:
    """What a policy decides with when nothing has been seen.

    Attributes:
        completer: draws the completions: in the paper, retrieval of random images of the training
            set. The policy's own if not given.
        n: completions; they cost nothing per scene.

    Raises:
        ValueError: `n` below 1.
    """

    completer: Completer | None = None
    n: int = 500

    def __post_init__(self) -> None:
        at_least(1, **{"first_look.n": self.n})


PACKAGES = (
    "boed.eig",
    "boed.search",
    "boed.sensors",
    "boed.policies",
    "boed.completion",
    "boed.classifiers",
)
"""Whose code decides the first look."""

KIND = "first look"


def cached(
    folder: Path, depends_on: tuple[object, ...], decide: Callable[[], Decision]
) -> Decision:
    """The decision from the cache, where the same code decided it from the same things.

    Args:
        folder: of the cache; one that cannot be read or written is gone without.
        depends_on: everything that the decision depends on: models, data, sensor, settings.
        decide: makes it anew.
    """
    try:
        key = fingerprint(depends_on, of_source(*PACKAGES), torch.__version__)
    except Exception:  # a model without a fingerprint
        return decide()
    path = folder / f"first-look-{key[:40]}.safetensors"
    with suppress(Exception):  # whatever is wrong with a cache, it is decided anew
        return _read(path)
    decision = decide()
    with suppress(Exception):
        _write(path, decision)
    return decision


def _write(path: Path, decision: Decision) -> None:
    completions = decision.completions
    assert completions is not None
    tensors = {
        "designs": decision.designs,
        "candidates": decision.candidates,
        "index": decision.chosen,
        "scenes": completions.scenes,
        "weights": completions.weights,
        "scores": decision.scores,
        "gains": decision.gains,
        "winners_curse": decision.winners_curse,
    }
    known = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    save_weights(path, known, {"kind": KIND, "sha256": fingerprint(dict(sorted(known.items())))})


def _read(path: Path) -> Decision:
    tensors, header = load_weights(path, KIND)
    if header.get("sha256") != fingerprint(dict(sorted(tensors.items()))):
        raise ValueError(f"{path} holds other numbers than were stored")
    return Decision(
        tensors["designs"],
        candidates=tensors["candidates"],
        index=tensors["index"],
        scores=tensors.get("scores"),
        gains=tensors.get("gains"),
        winners_curse=tensors.get("winners_curse"),
        completions=Completions(tensors["scenes"], tensors["weights"]),
    )
