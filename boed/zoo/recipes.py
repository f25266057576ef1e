"""Running recipes: whatever can be trained, from the TOML file that says how."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from boed.foundation.options import Device, OutFile
from boed.foundation.registry import check_known, unknown
from boed.foundation.shipped import shipped_folder, shipped_names
from boed.training.config import (
    LOOK_TRAININGS,
    ClassifierTrainingConfig,
    PolicyTrainingConfig,
    TrainingConfig,
)
from boed.training.recipes import Recipe
from boed.zoo.job import FROM, Job, OnStep
from boed.zoo.trainings import train_job


def recipe_named(name_or_path: str | Path) -> tuple[Recipe, Path]:
    """A recipe, and the folder from which it names other files.

    Args:
        name_or_path: the name of a shipped model, or the path of a recipe, of a checkpoint, in
            whose header one stands, or of a folder with a `recipe.toml`.

    Raises:
        ValueError: no such name (the nearest is suggested), or the recipe is not as it should be.
    """
    path = Path(name_or_path)
    if str(name_or_path) in shipped_names():
        path = shipped_folder(str(name_or_path)) / "recipe.toml"
    elif path.is_dir():
        path = path / "recipe.toml"
    elif not path.exists():
        raise unknown("recipe", str(name_or_path), shipped_names(), path="a recipe or a checkpoint")
    return Recipe.read(path), path.parent


def changed(recipe: Recipe, changes: Mapping[str, Any]) -> Recipe:
    """A recipe with other values: of its own keys, or of `training` and so without a prefix.

    Raises:
        ValueError: an unknown key (the nearest is suggested), or a value that does not fit.
    """
    own = [each.name for each in fields(Recipe) if each.name not in ("kind", "training")]
    kind = ClassifierTrainingConfig if recipe.kind == "classifier" else TrainingConfig
    if recipe.kind == "policy" and recipe.problem is None:
        check_known("name", recipe.name, LOOK_TRAININGS)
        kind = LOOK_TRAININGS[str(recipe.name)]
    elif recipe.kind == "policy":
        kind = PolicyTrainingConfig
    settings = [each.name for each in fields(kind)]
    table = recipe.table()
    table["training"] = dict(recipe.training)
    for key, value in changes.items():
        check_known("set", key, dict.fromkeys((*own, *settings)))
        (table if key in own else table["training"])[key] = value
    return Recipe.of(table)


def train_recipe(
    recipe: str | Path | Recipe,
    out: Path | str,
    *,
    changes: Mapping[str, Any] | None = None,
    on_start: Callable[[TrainingConfig], None] | None = None,
    on_step: OnStep | None = None,
    command: str | None = None,
    models: Mapping[str, Path] | None = None,
) -> torch.nn.Module:
    """Train what a recipe says and save it, with the recipe beside it.

    The same call goes on with a training that was interrupted.

    Args:
        recipe: as `recipe_named` takes it, or the recipe itself.
        out: checkpoint to write.
        changes: other values, such as `{"steps": 10, "device": "cuda"}`.
        on_start: called with how it is trained, before the first step of each training.
        on_step: called with step and loss.
        command: what was typed, for the record.
        models: checkpoints that stand in place of models that the recipe names.

    Returns:
        The trained model.

    Raises:
        ValueError: the recipe is not as it should be, or does not fit the data.
        TimeOver: the minutes were over before all members of an ensemble were finished.
    """
    read, folder = (recipe, Path()) if isinstance(recipe, Recipe) else recipe_named(recipe)
    read = changed(read, changes or {})
    OutFile(endings=(".safetensors",)).check("out", out)
    if isinstance(read.training.get("device"), str):
        Device().check("device", read.training["device"])
    job = Job(
        recipe=read,
        folder=folder,
        out=Path(out),
        on_start=on_start,
        on_step=on_step,
        command=command,
        models=models or {},
        train=train_job,
    )
    for key in FROM:
        job.path(key)  # what does not exist is said before any work
    return train_job(job)
