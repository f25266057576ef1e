"""From classifiers that were trained apart to one ensemble."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from boed.classifiers.calibration import balancing
from boed.classifiers.densenet_classifier import DenseNetClassifier
from boed.classifiers.ensemble import EnsembleClassifier, load_classifier
from boed.classifiers.evaluation.out_of_distribution import KEY, feature_record
from boed.classifiers.evaluation.scoring import (
    calibrate,
    classifier_figures,
    enough,
    score,
    val_shifted,
)
from boed.classifiers.trained import FREQUENCIES, PRIOR, TrainedClassifier
from boed.data.dataset import Dataset
from boed.data.looking import Looking
from boed.foundation.files import load_weights
from boed.foundation.fingerprint import fingerprint
from boed.foundation.identity import DIGITS
from boed.training.checkpoints import claim_trained
from boed.training.recipes import Recipe, recipe_path

SHARED = ("data", "fit", "look_fraction", "looking", PRIOR, FREQUENCIES)
"""What the headers of members say alike."""

SUMMED = ("cpu_seconds", "steps")
"""What the headers of members say that adds up."""


def combine(
    members: Sequence[Path],
    train: Dataset,
    val: Dataset,
    *,
    out: Path | str,
    looking: Looking,
    recipe: Recipe,
    command: str | None = None,
) -> TrainedClassifier:
    """An ensemble of trained classifiers, whose mixture is calibrated on `val`, saved to `out`.

    Args:
        members: checkpoints, at least two, trained on the same data.
        train: what they learned from.
        val: what to calibrate on.
        out: checkpoint to write, with its recipe beside it.
        looking: the random looks that they were trained on.
        recipe: of all of it, for the record.
        command: what was typed, for the record.

    Raises:
        ValueError: members of different questions or data, or `out` holds another training.
    """
    out = Path(out)
    held = [load_weights(each) for each in members]
    headers = [header for _, header in held]
    for path, header in zip(members, headers, strict=True):
        if header["data"]["sha256"] != train.sha256:
            raise ValueError(f"members: {path} was trained on other data than {train.name}")
    sums = {name: sum(header.get(name, 0) for header in headers) for name in SUMMED}
    about: dict[str, Any] = {"data": train.name, "sha256": train.sha256}
    about["members"] = [fingerprint(tensors)[:DIGITS] for tensors, _ in held]
    if claim_trained(out, recipe, about, steps=sums["steps"]):
        return load_classifier(out)
    model = EnsembleClassifier([DenseNetClassifier.load(each) for each in members])
    val = enough(val)
    balanced = recipe.training.get("balanced", False)
    weights = balancing(torch.tensor(headers[0][FREQUENCIES])) if balanced else None
    calibrate(model.eval(), val, looking=looking, weights=weights)
    found = classifier_figures(model, val, val_shifted(val), looking=looking)
    header = {
        **{name: headers[0][name] for name in SHARED if name in headers[0]},
        **sums,
        "history": [{"step": sums["steps"], **found}],
        "scored_on": f"{len(val)} scenes of {val.split}",
        "scores": {"val": score(model, val, looking=looking)},
        KEY: feature_record(model, train, val, looking=looking),
        "recipe": recipe.table(),
        "about": about,
    }
    if command is not None:
        header["command"] = command
    model.save(out, header)
    if not recipe_path(out).exists():
        recipe.write(recipe_path(out))
    return load_classifier(out)
