"""Completers by name, and checkpoints whatever they hold."""

from __future__ import annotations

import difflib
import importlib
from pathlib import Path

from completion.completer import Completer
from completion.learned import LearnedCompleter
from data.files import load_weights

LEARNED: dict[str, tuple[str, str]] = {
    "aipo": ("completion.aipo", "AIPO"),
    "aipo-r": ("completion.aipo_r", "AIPOR"),
    "pic": ("completion.pluralistic", "Pluralistic"),
    "anp": ("completion.neural_process", "AttentiveNeuralProcess"),
    "ce": ("completion.context_encoder", "ContextEncoder"),
    "vaeac": ("completion.vaeac", "VAEAC"),
    "flow": ("completion.flow", "FlowMatching"),
    "diffusion": ("completion.diffusion", "DiffusionPosterior"),
}
"""Completers that are trained: module and class, imported when asked for."""


def learned(name: str) -> type[LearnedCompleter]:
    """The class of a completer that is trained.

    Raises:
        ValueError: there is none of that name; the nearest is suggested.
    """
    if name not in LEARNED:
        near = difflib.get_close_matches(name.lower(), LEARNED, n=1, cutoff=0.0)
        raise ValueError(
            f"unknown completer {name!r}: did you mean {near[0]!r}? Known: {', '.join(LEARNED)}"
        )
    module, attribute = LEARNED[name]
    found: type[LearnedCompleter] = getattr(importlib.import_module(module), attribute)
    return found


def load_completer(path: Path | str) -> Completer:
    """The completer of a checkpoint, whichever `boed train completer` wrote it.

    An unconditional VD-VAE comes back as `LatentPosterior`.

    Raises:
        ValueError: the file is missing, damaged, or holds no completer.
    """
    kind = load_weights(path)[1].get("kind")
    if kind == "vdvae":
        from completion.latent import LatentPosterior

        return LatentPosterior.load(path)
    if kind not in LEARNED:
        raise ValueError(
            f"checkpoint {path} holds {kind!r}, expected a completer: vdvae, {', '.join(LEARNED)}"
        )
    return learned(kind).load(path)
