"""The first look, which is the same for every scene, kept on disk between runs."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch

from boed.completion.completer import Completions
from boed.foundation.files import load_weights, save_weights
from boed.foundation.fingerprint import fingerprint, of_source
from boed.policies.policy import Decision

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


def default_folder() -> Path | None:
    """`$BOED_CACHE`, or `boed` in the user's cache folder; None where `BOED_CACHE` is empty."""
    stated = os.environ.get("BOED_CACHE")
    if stated is not None:
        return Path(stated) if stated else None
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "boed"


def kept(folder: Path, what: tuple[object, ...], decide: Callable[[], Decision]) -> Decision:
    """The decision that was made of the same models, data, sensor and code, or a new one.

    Args:
        folder: where decisions are kept; one that cannot be written is gone without.
        what: everything that the decision depends on.
        decide: makes it.
    """
    try:
        key = fingerprint(what, of_source(*PACKAGES), torch.__version__)
    except TypeError:  # a user's own model, whose content cannot be told
        return decide()
    path = folder / f"first-look-{key[:40]}.safetensors"
    if path.exists():
        with suppress(ValueError):  # damaged: made anew
            return _read(path)
    made = decide()
    with suppress(OSError):
        _write(path, made)
    return made


def _write(path: Path, decision: Decision) -> None:
    drawn = decision.completions
    assert drawn is not None
    tensors = {
        "designs": decision.designs,
        "candidates": decision.candidates,
        "index": decision.chosen,
        "scenes": drawn.scenes,
        "weights": drawn.weights,
        "scores": decision.scores,
        "gains": decision.gains,
    }
    there = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    save_weights(path, there, {"kind": KIND})


def _read(path: Path) -> Decision:
    tensors, _ = load_weights(path, KIND)
    try:
        return Decision(
            tensors["designs"],
            candidates=tensors["candidates"],
            index=tensors["index"],
            scores=tensors.get("scores"),
            gains=tensors.get("gains"),
            completions=Completions(tensors["scenes"], tensors["weights"]),
        )
    except KeyError as error:
        raise ValueError(f"{path} lacks {error}") from error
