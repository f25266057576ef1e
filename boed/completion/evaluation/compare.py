"""The comparison of completers: what is measured of them, how they were trained, and pictures."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from boed.completion.completer import Completer
from boed.completion.evaluation.evaluate import evaluate
from boed.completion.evaluation.perceptual import LPIPS
from boed.completion.evaluation.pictures import examples
from boed.completion.evaluation.plan import Extractor, Plan
from boed.data.dataset import Dataset
from boed.foundation.checks import attribute

if TYPE_CHECKING:
    import xarray as xr


def compare(
    completers: Mapping[str, Completer],
    test: Dataset,
    library: Dataset,
    *,
    extractor: Extractor,
    plan: Plan,
    perceptual: LPIPS | None = None,
    folder: Path | None = None,
    advance: Callable[[str, int], None] | None = None,
) -> tuple[xr.Dataset, xr.Dataset]:
    """Measure completers and draw examples with them.

    Args:
        completers: by name.
        test: scenes to complete.
        library: other images of the same kind, for the floor of realism.
        extractor: describes scenes, and answers the question about them.
        plan: what is measured on how many scenes.
        perceptual: for LPIPS.
        folder: for the parts that are finished, so that an interrupted comparison goes on.
        advance: called with a completer and the number of completions it has drawn.

    Returns:
        The figures, and the examples (`boed.report.completers.page`).

    Raises:
        ValueError: too few scenes, or a completer that does not fit them.
    """
    results = evaluate(
        completers,
        test,
        library,
        extractor=extractor,
        plan=plan,
        perceptual=perceptual,
        folder=folder,
        advance=advance,
    )
    _add_training(results, completers)
    return results, examples(completers, test, seed=plan.seeds[0])


def _add_training(results: xr.Dataset, completers: Mapping[str, Completer]) -> None:
    """How long each was trained, on what, and how large it is."""
    about = {}
    columns: dict[str, list[float]] = {
        "training_cpu_seconds": [],
        "training_steps": [],
        "parameters": [],
    }
    for name, completer in completers.items():
        header: dict[str, Any] = attribute(completer, "provenance", {})
        columns["training_cpu_seconds"].append(_cpu_seconds(header))
        columns["training_steps"].append(float(header.get("steps", math.nan)))
        is_module = isinstance(completer, torch.nn.Module)
        model = completer if is_module else getattr(completer, "vae", None)
        weights = model.parameters() if isinstance(model, torch.nn.Module) else []
        columns["parameters"].append(float(sum(p.numel() for p in weights)) or math.nan)
        said = ("kind", "objective", "steps", "cpu_seconds", "masks", "data", "command")
        about[name] = {k: header[k] for k in said if k in header} or {
            "kind": type(completer).__name__
        }
    for name, values in columns.items():
        results[name] = (("completer",), values)
    results.attrs["checkpoints"] = json.dumps(about)


def _cpu_seconds(header: Mapping[str, Any]) -> float:
    """Of this training and, where it began with a trained VAE, of that."""
    own = float(header.get("cpu_seconds", math.nan))
    before = header.get("vae") or {}
    return own + float(before.get("cpu_seconds", 0.0))
