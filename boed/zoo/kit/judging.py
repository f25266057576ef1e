"""Judging by val: the same figure of merit of the new model and the shipped one, computed now."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from boed.classifiers.distilling import val_scores
from boed.classifiers.distilling import val_situations as screen_situations
from boed.classifiers.ensemble import load_classifier
from boed.classifiers.evaluation.scoring import classifier_figures, enough, val_shifted
from boed.classifiers.screen import ScreenNet
from boed.classifiers.trained import TrainedClassifier, checksum
from boed.completion.evaluation.calibration import energy_score
from boed.completion.registry import LEARNED
from boed.completion.sources import val_parts
from boed.completion.sources import val_situations as completer_situations
from boed.completion.training import val_bound
from boed.completion.vae.vdvae import VDVAE
from boed.data.dataset import Dataset
from boed.data.looking import Squares
from boed.data.training_split import incomplete_splits, val_split
from boed.foundation.files import load_weights
from boed.foundation.shipped import WEIGHTS, shipped
from boed.policies.learned import NETWORKS, CandidateLooks
from boed.policies.learned.training import TRAININGS, watched_of
from boed.policies.learned.training import val_figures as policy_figures
from boed.training.config import PolicyTrainingConfig
from boed.training.recipes import Recipe
from boed.zoo.defaults import DEFAULT_SIZE
from boed.zoo.job import looks_of
from boed.zoo.kit.plan import Member, has_ended, trainable
from boed.zoo.learned import chosen_for

COMPLETIONS = 8
"""Of each of `SCENES` scenes, for the energy score of a completer that a teacher's loss trains."""

SCENES = 64

ENERGY_SCORE = "val_energy_score"

MERITS = {
    "vae": VDVAE.merit,
    "classifier": TrainedClassifier.merit,
    "screen": ScreenNet.merit,
}


def merit(recipe: Recipe, figures: Mapping[str, float]) -> float:
    """The one figure that a model is judged by; lower is better.

    It is the one that the model's class names as its `merit`; of a policy for a problem the
    negative gain,
    and of a completer that learns from a teacher the energy score, where that was computed.

    Args:
        recipe: what was trained.
        figures: a row of a training's history, or what `val_figures` returns.
    """
    if recipe.kind == "policy":
        if recipe.problem is not None:
            return -figures["val_gain" if "val_gain" in figures else "val_spce"]
        return figures[NETWORKS[str(recipe.name)].merit]
    if ENERGY_SCORE in figures:
        return figures[ENERGY_SCORE]
    name = LEARNED[str(recipe.name)].merit if recipe.kind == "completer" else MERITS[recipe.kind]
    return figures[name]


@torch.no_grad()
def val_figures(
    recipe: Recipe, path: Path, *, device: str = "cpu", teacher: Path | None = None
) -> dict[str, float]:
    """Figures of merit of a checkpoint on val: those of its training's history.

    A completer that learns from a teacher is judged by the energy score of its completions, since
    its loss says how near it is to one teacher or another.

    Args:
        recipe: what was trained.
        path: the checkpoint.
        device: where it is computed.
        teacher: the classifier that a screen is measured against.

    Raises:
        ValueError: the checkpoint is of another kind, or the data is missing.
    """
    return _FIGURES[recipe.kind](recipe, path, device, teacher)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What came of a training.

    Attributes:
        name: of the model, or of a stage of it.
        steps, of: steps that were made, and those of the recipe.
        images: that it saw, with repetitions.
        rate: images per second; NaN where that was not recorded.
        shipped, new: val figures, lower is better; None where there is no such model yet.
        chosen: whether the new one is to take the shipped one's place.
        why: in words.
    """

    name: str
    steps: int
    of: int
    images: int
    rate: float
    shipped: float | None
    new: float | None
    chosen: bool
    why: str


def judge(member: Member, out: Path, *, device: str = "cpu") -> Verdict:
    """Compare what was trained with what is shipped.

    Chosen is a training that has ended and whose val figure is better. A screen belongs to its
    classifier: one of a classifier that is replaced is chosen with it, and no classifier without
    its screens.

    Args:
        member: the training.
        out: folder of the run.
        device: where figures are computed.

    Raises:
        ValueError: as `val_figures` does.
    """
    recipe, header = member.asked(), member.header()
    steps = 0 if header is None else int(header["steps"])
    images = steps * int(recipe.training.get("batch", 0))
    seconds = 0.0 if header is None else float(header.get("seconds", 0))
    new, there, chosen = None, None, False
    if header is None:
        why = "not begun"
    elif "/" in member.name:
        why = "a stage of the model" if member.ended else "not ended"
    else:
        new, there = _compared(member, recipe, out, device)
        chosen = member.ended and _improves(new, there)
        why = "not ended" if not member.ended else "better" if chosen else "not better"
        if chosen and there is None:
            why = "nothing is shipped yet"
        if member.ended and recipe.kind == "screen":
            chosen, why = _with_its_classifier(member, recipe, out, device, (chosen, why))
        if chosen and recipe.kind == "classifier":
            lacking = _screens_lacking(member, out)
            chosen = not lacking
            why = f"better, but train {', '.join(lacking)} for it" if lacking else why
    return Verdict(
        name=member.name,
        steps=steps,
        of=int(recipe.training.get("steps", 0)) * (recipe.members or 1),
        images=images,
        rate=images / seconds if seconds else float("nan"),
        shipped=there,
        new=new,
        chosen=chosen,
        why=why,
    )


def better(name: str, out: Path, *, device: str = "cpu") -> Path | None:
    """The checkpoint of a model in the folder of a run, if it has ended and is better.

    Args:
        name: of the model.
        out: folder of the run.
        device: where figures are computed.
    """
    path, recipe = out / name / WEIGHTS, out / name / "recipe.toml"
    if not has_ended(path):
        return None
    there = _shipped(name)
    if there is None:
        return path
    read = Recipe.read(recipe)
    new, old = (merit(read, val_figures(read, each, device=device)) for each in (path, there))
    return path if _improves(new, old) else None


def _improves(new: float, there: float | None) -> bool:
    """Whether a figure is better than that of what is there; any is than none and than NaN."""
    return not math.isnan(new) and (there is None or math.isnan(there) or new < there)


def _compared(member: Member, recipe: Recipe, out: Path, device: str) -> tuple[float, float | None]:
    """Val figures of the new model and of the shipped one."""
    teacher = None
    if recipe.kind == "screen":
        teacher = _teacher(recipe, out, device)
    new = merit(recipe, val_figures(recipe, member.out, device=device, teacher=teacher))
    there = _shipped(member.name)
    if there is None:
        return new, None
    return new, merit(recipe, val_figures(recipe, there, device=device, teacher=teacher))


def _teacher(recipe: Recipe, out: Path, device: str) -> Path:
    assert recipe.classifier is not None
    return better(recipe.classifier, out, device=device) or shipped(recipe.classifier)


def _with_its_classifier(
    member: Member, recipe: Recipe, out: Path, device: str, so_far: tuple[bool, str]
) -> tuple[bool, str]:
    """Whether a screen is chosen, considering whose it is."""
    assert recipe.classifier is not None
    if not _distilled_from(member.out, _teacher(recipe, out, device)):
        return False, f"of another {recipe.classifier} than the one to be used"
    if better(recipe.classifier, out, device=device) is not None:
        return True, f"goes with the new {recipe.classifier}"
    return so_far


def _screens_lacking(member: Member, out: Path) -> list[str]:
    """Shipped screens of a classifier that have not been trained for the new one."""
    screens = {
        name: Recipe.read(folder / "recipe.toml")
        for name, folder in trainable().items()
        if (folder / WEIGHTS).exists()
    }
    return [
        name
        for name, recipe in screens.items()
        if recipe.classifier == member.name
        and not _distilled_from(out / name / WEIGHTS, member.out)
    ]


def _distilled_from(screen: Path, classifier: Path) -> bool:
    if not has_ended(screen):
        return False
    theirs: object = load_weights(screen)[1]["classifier"]
    return theirs == checksum(load_classifier(classifier))


def _shipped(name: str) -> Path | None:
    path = trainable()[name] / WEIGHTS
    return path if path.exists() else None


def _val(recipe: Recipe) -> Dataset:
    assert recipe.data is not None
    return val_split(recipe.data, recipe.size or DEFAULT_SIZE.get(recipe.data))


def _completer(recipe: Recipe, path: Path, device: str, _: Path | None) -> dict[str, float]:
    assert recipe.name is not None
    assert recipe.data is not None
    model = LEARNED[recipe.name].load(path).to(device)
    if recipe.learns_from == "observations":
        size = recipe.size or DEFAULT_SIZE.get(recipe.data)
        partly = incomplete_splits(recipe.data, size, masks=recipe.masks, seed=recipe.seed)[1]
        return model.partial_figures(*val_parts(partly, device))
    val = _val(recipe)
    masks = looks_of(recipe, val) or recipe.masks or "squares"
    scenes, observation = completer_situations(val, masks, device)
    if model.taught_by is None:
        return model.figures(scenes, observation)
    rows = torch.linspace(0, len(scenes) - 1, min(SCENES, len(scenes))).long()
    asked, hidden = observation[rows], 1 - observation.mask[rows]
    some = hidden.flatten(1).any(1)
    scores = energy_score(model.sample(asked, COMPLETIONS, seed=0), scenes[rows], hidden)
    return {ENERGY_SCORE: float(scores[some].mean())}


def _vae(recipe: Recipe, path: Path, device: str, _: Path | None) -> dict[str, float]:
    return val_bound(VDVAE.load(path).to(device), _val(recipe), device)


def _classifier(recipe: Recipe, path: Path, device: str, _: Path | None) -> dict[str, float]:
    val = enough(_val(recipe))
    looking = looks_of(recipe, val) or Squares(recipe.patch or 0.25)
    model = load_classifier(path).to(device)
    return classifier_figures(model, val, val_shifted(val), looking=looking)


def _screen(recipe: Recipe, path: Path, device: str, teacher: Path | None) -> dict[str, float]:
    assert teacher is not None
    classifier = load_classifier(teacher).to(device)
    patch = recipe.patch or 0.25
    asked = screen_situations(classifier, _val(recipe), patch=patch, seed=recipe.seed)
    return val_scores(ScreenNet.load(path).to(device), asked)


def _one_pass(recipe: Recipe, path: Path, device: str) -> dict[str, float]:
    name = str(recipe.name)
    training = recipe.config(TRAININGS[name])
    context, classifier = chosen_for(recipe, recipe.classifier)
    network = NETWORKS[name].load(path).to(device)
    network.check_classifier(classifier)
    assert context.val is not None
    watched = watched_of(context.val, training)
    looks = CandidateLooks.of(context.sensor, context.shape, device)
    return policy_figures(
        network,
        watched,
        looks,
        sensor=context.sensor,
        classifier=classifier,
        training=training,
    )


def _policy(recipe: Recipe, path: Path, device: str, _: Path | None) -> dict[str, float]:
    if recipe.problem is None:
        return _one_pass(recipe, path, device)
    import pyro

    from boed.deep_adaptive import design_policy, single_look
    from boed.deep_adaptive.objectives import nearby_for
    from boed.deep_adaptive.training import val_gain
    from boed.problems.names import problem_named

    settings = recipe.config(PolicyTrainingConfig())
    problem = problem_named(recipe.problem)
    policy = design_policy(path, problem, settings.looks)
    network: Any = policy.network.to(device)
    with torch.random.fork_rng(), pyro.validation_enabled(False):
        looked = single_look(
            problem.model,
            network,
            problem.observation,
            target=problem.target,
            space=policy.space,
        )
        nearby = nearby_for(looked, network, settings)
        figures: dict[str, float] = val_gain(looked, network, settings, nearby=nearby)
    return figures


_FIGURES: dict[str, Callable[[Recipe, Path, str, Path | None], dict[str, float]]] = {
    "completer": _completer,
    "vae": _vae,
    "classifier": _classifier,
    "screen": _screen,
    "policy": _policy,
}
