"""Completers by name, and checkpoints whatever they hold."""

from __future__ import annotations

import difflib
import importlib
from pathlib import Path

from boed.completion.completer import Completer
from boed.completion.learned import LearnedCompleter
from boed.foundation.files import load_weights

LEARNED: dict[str, tuple[str, str]] = {
    "aipo": ("boed.completion.vae.aipo", "AIPO"),
    "aipo-r": ("boed.completion.vae.aipo_r", "AIPOR"),
    "pic": ("boed.completion.adversarial.pluralistic", "Pluralistic"),
    "anp": ("boed.completion.neural_process.attentive", "AttentiveNeuralProcess"),
    "ce": ("boed.completion.adversarial.context_encoder", "ContextEncoder"),
    "vaeac": ("boed.completion.vae.vaeac", "VAEAC"),
    "flow": ("boed.completion.flow.matching", "FlowMatching"),
    "diffusion": ("boed.completion.flow.diffusion", "DiffusionPosterior"),
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
        from boed.completion.vae.latent import LatentPosterior

        return LatentPosterior.load(path)
    if kind not in LEARNED:
        raise ValueError(
            f"checkpoint {path} holds {kind!r}, expected a completer: vdvae, {', '.join(LEARNED)}"
        )
    return learned(kind).load(path)
