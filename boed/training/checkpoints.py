"""The files of a training: whose they are, where they lie, and how they are written at its end."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch

from boed.foundation.checks import attribute
from boed.foundation.files import load_weights
from boed.foundation.identity import check_same
from boed.training.config import TrainingConfig
from boed.training.recipes import Recipe, recipe_path, unsaid_settings
from boed.training.state import Progress, best_weights


class Saved(Protocol):
    """A model that writes its weights with provenance.

    One that writes other files beside them has a method `files` that names all, given the path.
    """

    provenance: dict[str, Any]

    def save(self, path: Path, provenance: dict[str, Any]) -> None: ...

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> Any: ...


M = TypeVar("M", bound=Saved)

ANOTHER = "give another file as `out`, or remove that one and what lies beside it"
"""What to do about a checkpoint of another training."""


def running_state(out: Path) -> Path:
    """Where the running state of a training lies until its end."""
    return out.with_suffix(".training.safetensors")


def best_path(out: Path) -> Path:
    """Where the best weights by val lie beside a checkpoint whose last ones are worse."""
    return out.with_suffix(".best.safetensors")


def check_layers(
    what: str, given: Mapping[str, torch.Tensor], ours: Mapping[str, torch.Tensor]
) -> None:
    """Refuse to start a network with the weights of another one.

    Args:
        what: they are of, such as `init weights.safetensors`.
        given, ours: weights by name.

    Raises:
        ValueError: naming a layer that differs, and its shapes.
    """
    for name in sorted(ours.keys() | given.keys()):
        shapes = [tuple(each[name].shape) if name in each else None for each in (given, ours)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"{what} has other layers than the model to train: {name} is {shapes[0]}, "
                f"expected {shapes[1]}"
            )


def claim_checkpoint(
    out: Path, ours: Mapping[str, Any], *, steps: int, beside: Sequence[Path] = ()
) -> bool:
    """Make sure that a checkpoint is not there yet, or is of the very same training.

    So are its best weights, if they lie beside it.

    Args:
        out: the checkpoint.
        ours: what the training is of, by keys of the header, as JSON holds them.
        steps: after which it is finished.
        beside: other checkpoints that the training writes.

    Returns:
        Whether the training is finished: there is nothing to do but to read the checkpoint.

    Raises:
        ValueError: there is a checkpoint of another training, or another file; naming what differs.
    """
    for each in (best_path(out), *beside):
        _claim(each, ours, steps=steps)
    finished = _claim(out, ours, steps=steps)
    if finished:
        running_state(out).unlink(missing_ok=True)  # of a process that was killed at its very end
    elif out.exists() and not running_state(out).exists():
        warnings.warn(
            f"out: {out} is of a training that had not ended, whose running state is gone; it "
            "begins anew",
            stacklevel=2,
        )
    return finished


def _claim(out: Path, ours: Mapping[str, Any], *, steps: int) -> bool:
    if not out.exists():
        return False
    try:
        _, header = load_weights(out)
    except ValueError as error:
        raise ValueError(
            f"out: {out} exists and is no checkpoint of boed, which would be lost ({error}); "
            "give another file as `out`"
        ) from error
    theirs = {key: header.get(key) for key in ours}
    what = f"out: {out} holds another training"
    check_same(what, _unfolded(theirs), _unfolded(ours), advice=ANOTHER)
    return int(header.get("steps", 0)) >= steps


def claim_trained(
    out: Path,
    recipe: Recipe,
    about: Mapping[str, Any],
    *,
    steps: int,
    beside: Sequence[Path] = (),
) -> bool:
    """`claim_checkpoint` of a training with a recipe, which lies beside the checkpoint.

    Args:
        out: the checkpoint.
        recipe: with everything that was left out of it, `Recipe.trained`.
        about: what else must be the same, such as the data's checksum.
        steps: after which it is finished.
        beside: other checkpoints that the training writes.

    Raises:
        ValueError: there is a checkpoint or a recipe of another training.
    """
    check_recipe(out, recipe)
    ours = {"recipe": recipe.table(), "about": dict(about)}
    return claim_checkpoint(out, ours, steps=steps, beside=beside)


def check_recipe(out: Path, recipe: Recipe) -> None:
    """Refuse to train where another training's recipe lies in the place of this one's.

    Raises:
        ValueError: naming what differs.
    """
    beside = recipe_path(out)
    if beside.exists() and not out.exists():
        check_same(
            f"out: {beside}, where the recipe of {out.name} belongs, says another training",
            _filled(_without_unsaid(Recipe.read(beside).table()), recipe.table()),
            recipe.table(),
            advice="give another file as `out`, or remove that one",
        )


def conclude(
    model: M,
    out: Path,
    finish: Callable[[M, Progress], dict[str, Any]],
    *,
    training: TrainingConfig,
    recipe: Recipe,
    about: Mapping[str, Any],
    progress: Progress,
) -> None:
    """Write checkpoint and recipe, and remove the running state if all steps have been made.

    If an earlier validation was better than the last one, its weights are written beside them.
    All ranks call it; the first one writes, the others wait for it. A recipe that is there, from
    which the model was trained, stays as it is.

    Args:
        model: what was trained, with its last averaged weights; it gets its `provenance`.
        out: the checkpoint.
        finish: does with a model what follows its training, such as calibration, and makes its
            header, to which `recipe` and `about` are added.
        training: how it was trained.
        recipe, about: as `claim_trained` was given them.
        progress: how far the training has come.
    """
    told, ranks = {"recipe": recipe.table(), "about": dict(about)}, training.ranks()

    def whole(model: M, progress: Progress) -> dict[str, Any]:
        return finish(model, progress) | told

    if not ranks.first:
        header = whole(model, progress)
    else:
        header = save_with_best(model, out, whole, progress=progress)
        if not recipe_path(out).exists():
            recipe.write(recipe_path(out))
        if progress.step >= training.steps:
            running_state(out).unlink(missing_ok=True)
    ranks.wait()
    model.provenance = header


def save_with_best(
    model: M,
    out: Path,
    finish: Callable[[M, Progress], dict[str, Any]],
    *,
    progress: Progress,
    part: str = "",
) -> dict[str, Any]:
    """Write a checkpoint, and beside it the weights of an earlier validation that was better.

    Args:
        model: with its last averaged weights.
        out: the checkpoint; the running state beside it holds the best weights.
        finish: see `conclude`; makes the whole header.
        progress: how far the training has come.
        part: what names of the model's weights begin with where it is trained as a part of another.

    Returns:
        The header of the checkpoint.
    """
    earlier = progress.at_best()
    best = None if earlier is None else copy.deepcopy(model)
    header = finish(model, progress)
    if best is not None and earlier is not None:
        weights = best_weights(running_state(out))
        own = {k.removeprefix(part): v for k, v in weights.items() if k.startswith(part)}
        best.load_state_dict(own, strict=False)
        best.save(best_path(out), finish(best, earlier))
    else:
        files = attribute(model, "files", lambda path: (path,))
        for each in files(best_path(out)):
            each.unlink(missing_ok=True)
    model.save(out, header)
    return header


def _unfolded(told: Mapping[str, Any]) -> dict[str, Any]:
    """What a header says, the keys of its recipe beside the others."""
    recipe = told.get("recipe")
    return {**told, "recipe": None, **recipe} if isinstance(recipe, Mapping) else dict(told)


def _without_unsaid(table: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe as it is written, where its author has given what recipes leave unsaid."""
    unsaid = unsaid_settings()
    training = {
        key: value
        for key, value in table.get("training", {}).items()
        if key not in unsaid or unsaid[key] != value
    }
    return {**table, "training": training} if "training" in table else dict(table)


def _filled(partial: Mapping[str, Any], whole: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe with what it leaves out, or names by a preset, as another one has it."""
    filled = {**whole, **partial}
    for key, value in partial.items():
        if isinstance(value, Mapping) and isinstance(whole.get(key), Mapping):
            filled[key] = _filled(value, whole[key])
        elif key == "architecture" and isinstance(value, str):
            filled[key] = whole.get(key)
    return filled
