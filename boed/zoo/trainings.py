"""How each kind of recipe is trained: completers, classifiers, screens and policies."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from boed.classifiers.distilling import TRAINING as SCREEN_TRAINING
from boed.classifiers.distilling import train_screen
from boed.classifiers.ensembling import combine
from boed.classifiers.networks.densenet import DenseNetConfig
from boed.classifiers.training import preset as classifier_preset
from boed.classifiers.training import train_classifier
from boed.completion.registry import LEARNED
from boed.completion.sources import check_learns_from
from boed.completion.training import preset as completer_preset
from boed.completion.training import train_completer, train_vae
from boed.completion.vae.vdvae import VDVAE, VDVAEConfig
from boed.data.incomplete import Incomplete
from boed.data.looking import Squares
from boed.foundation.files import load_weights
from boed.foundation.registry import check_known
from boed.policies.learned import load_network
from boed.policies.learned.training import usual_training
from boed.sensors import PatchSensor
from boed.training.checkpoints import check_recipe, running_state
from boed.training.config import (
    POLICY_METHODS,
    ClassifierTrainingConfig,
    PolicyTrainingConfig,
    TrainingConfig,
)
from boed.training.recipes import Recipe, recipe_path
from boed.zoo.fitted import Context
from boed.zoo.job import Job
from boed.zoo.learned import chosen_for, train_network_for
from boed.zoo.models import network_for


class TimeOver(Exception):
    """The minutes of a training were over before there was anything to return."""


def _completer(job: Job) -> torch.nn.Module:
    recipe = job.recipe
    assert recipe.name is not None
    kind = LEARNED[recipe.name]
    check_learns_from(recipe.name, recipe.learns_from or "scenes")
    partly = recipe.learns_from == "observations"
    train, val = job.observations() if partly else job.data()
    config: Any = None
    training: TrainingConfig
    if recipe.vae is not None and "steps" in recipe.training:  # of a size that may have no preset
        training = job.training()
    elif job.preset is not None:
        config, how = completer_preset(recipe.name, train, job.preset)
        training = job.training(how)
    else:
        config = job.architecture(kind.Config, size=train.size, channels=train.channels)
        training = job.training()
    looking = None if isinstance(train, Incomplete) else job.looking(train, pixels=True)
    init, vae = job.model("init"), job.model("vae")
    return train_completer(
        recipe.name,
        train,
        val,
        training=training,
        config=None if vae is not None else config,
        vae=None if vae is None else VDVAE.load(vae),
        init=None if init is None else LEARNED[kind.taught_by or recipe.name].load(init),
        masks=None if partly else recipe.masks,
        looking=looking,
        **job.begin(training),
    )


def _vae(job: Job) -> torch.nn.Module:
    train, val = job.data()
    if job.preset is not None:
        config, how = completer_preset("vae", train, job.preset)
        training = job.training(how)
    else:
        config = job.architecture(VDVAEConfig, size=train.size, channels=train.channels)
        training = job.training()
    return train_vae(train, val, config, training=training, **job.begin(training))


def _classifier(job: Job) -> torch.nn.Module:
    policy = job.model("policy")
    if policy is not None:
        load_network(policy)  # what is no such policy is refused
        if job.recipe.sensor is None:  # its looks are the policy's
            job = replace(job, recipe=replace(job.recipe, sensor=_sensor_of(policy)))
    if job.recipe.members is not None:
        return _ensemble(job, job.recipe.members)
    recipe, (train, val) = job.recipe, job.data()
    config, how = classifier_preset(train, job.preset or "small")
    if job.preset is not None:
        training = job.training(how)
    else:
        shape = {"size": train.size, "channels": train.channels, "outputs": config.outputs}
        config = job.architecture(DenseNetConfig, **shape)
        training = job.training(kind=ClassifierTrainingConfig)
    looking, init = job.looking(train), job.model("init")
    return train_classifier(
        train,
        val,
        training,
        config=config,
        fraction=recipe.patch or 0.25,
        looking=looking,
        init=init,
        **job.begin(training),
    )


def _sensor_of(policy: Path) -> dict[str, Any]:
    """The sensor that a policy was trained for."""
    told = load_weights(policy)[1].get("recipe") or {}
    if told.get("sensor") is None:
        raise ValueError(f"policy: {policy} does not say for which sensor it was trained; name it")
    return dict(told["sensor"])


def member_path(out: Path, number: int) -> Path:
    """Where a member of an ensemble lies that is written to `out`."""
    return out.with_name(f"{out.stem}.member-{number}.safetensors")


def member_recipe(recipe: Recipe, number: int) -> Recipe:
    """How a member of an ensemble is trained by itself."""
    return replace(recipe, members=None, seed=recipe.seed + number)


def _ensemble(job: Job, members: int) -> torch.nn.Module:
    """Members one after another, each in a file of its own, which stays; then the ensemble.

    Of those that are there already, also of another process, nothing is trained again.
    """
    paths = [member_path(job.out, k) for k in range(members)]
    deadline, minutes = time.monotonic(), job.recipe.training.get("minutes", 0)
    for k, path in enumerate(paths):
        training = dict(job.recipe.training)
        if minutes:
            left = minutes - (time.monotonic() - deadline) / 60
            if left <= 0:
                break
            training["minutes"] = left
        one = replace(member_recipe(job.recipe, k), training=training)
        _classifier(replace(job, recipe=one, out=path))
    unfinished = [path for path in paths if running_state(path).exists() or not path.exists()]
    if unfinished:
        raise TimeOver(
            f"{len(unfinished)} of {members} members are not finished; the same command goes on"
        )
    train, val = job.data()
    headers = load_weights(paths[0])[1]
    return combine(
        paths,
        train,
        val,
        out=job.out,
        looking=job.looking(train) or Squares(job.recipe.patch or 0.25),
        recipe=replace(Recipe.of(headers["recipe"]), members=members, seed=job.recipe.seed),
        command=job.command,
    )


def _screen(job: Job) -> torch.nn.Module:
    recipe, (train, val) = job.recipe, job.data()
    patch, training = recipe.patch or 0.25, job.training(SCREEN_TRAINING)
    checkpoint = job.model("classifier")
    context = Context(val, PatchSensor(val.size, patch), source=recipe.data)
    teacher = network_for(context, None if checkpoint is None else str(checkpoint))
    return train_screen(teacher, train, val, training=training, patch=patch, **job.begin(training))


def _policy(job: Job) -> torch.nn.Module:
    return _one_pass(job) if job.recipe.problem is None else _for_problem(job)


def _one_pass(job: Job) -> torch.nn.Module:
    recipe, checkpoint = job.recipe, job.model("classifier")
    assert recipe.name is not None
    context, classifier = chosen_for(recipe, str(checkpoint) if checkpoint else recipe.classifier)
    assert context.library is not None
    training = job.training(usual_training(recipe.name, context.library))
    how = {**job.begin(training), "init": job.model("init")}
    return train_network_for(context, classifier, recipe=recipe, training=training, how=how)


@contextmanager
def _of_problem(problem: str) -> Iterator[None]:
    """Say of what is wrong with a model's sites that they are options of the problem."""
    try:
        yield
    except ValueError as error:
        said = str(error)
        if not said.startswith(("target:", "observation:", "target ", "observation ")):
            raise
        raise ValueError(f"problem {problem}: its option {said}") from error


OLDER_NAMES = {"deep-adaptive": "dad"}
"""Names of methods as recipes had them once."""


def _for_problem(job: Job) -> torch.nn.Module:
    from boed.deep_adaptive import PolicyConfig, architecture_for, train_design_policy
    from boed.problems.names import problem_named

    recipe, name = job.recipe, job.recipe.problem
    assert name is not None
    method = OLDER_NAMES.get(str(recipe.name), str(recipe.name))
    check_known("name", method, POLICY_METHODS)
    problem, training = problem_named(name), job.training(PolicyTrainingConfig())
    config: PolicyConfig | None = None
    if method == "fixed" and recipe.architecture:
        raise ValueError(
            f"architecture is {recipe.architecture!r}, and a fixed policy is its designs alone, "
            "without a network; expected none"
        )
    if method != "fixed":
        with _of_problem(name):
            config = architecture_for(problem)
        if isinstance(recipe.architecture, dict):
            of_it = {"design_dim": config.design_dim, "lower": config.lower, "upper": config.upper}
            seen = {
                "outcome_dim": config.outcome_dim,
                "outcome_scale": config.outcome_scale,
                **recipe.architecture,
            }
            if config.logarithmic is not None:
                seen = {"logarithmic": config.logarithmic, **seen}
            if config.designs is not None:
                seen = {"designs": config.designs, **seen}
            recipe = replace(recipe, architecture=seen)
            config = replace(job, recipe=recipe).architecture(PolicyConfig, **of_it)
    recipe = recipe.trained(training, config)
    about: dict[str, Any] = {"recipe": recipe.table()}
    if job.command is not None:
        about["command"] = job.command
    job.begin(training)
    check_recipe(job.out, recipe)
    init = job.model("init")
    with _of_problem(name):
        trained = train_design_policy(
            problem,
            method,
            settings=training,
            architecture=config,
            init=init,
            out=job.out,
            provenance=about,
            on_step=job.on_step,
        )
    if not recipe_path(job.out).exists():
        recipe.write(recipe_path(job.out))
    return trained.network


_TRAININGS: dict[str, Callable[[Job], torch.nn.Module]] = {
    "completer": _completer,
    "vae": _vae,
    "classifier": _classifier,
    "screen": _screen,
    "policy": _policy,
}


def train_job(job: Job) -> torch.nn.Module:
    """Train what a job's recipe says, by its kind."""
    return _TRAININGS[job.recipe.kind](job)
