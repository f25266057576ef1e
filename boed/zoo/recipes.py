"""Running recipes: whatever can be trained, from the TOML file that says how."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import torch

from boed.classifiers.distilling import TRAINING as SCREEN_TRAINING
from boed.classifiers.distilling import train_screen
from boed.classifiers.ensembling import combine
from boed.classifiers.looking import Squares
from boed.classifiers.networks.densenet import DenseNetConfig
from boed.classifiers.training import preset as classifier_preset
from boed.classifiers.training import train_classifier
from boed.completion.registry import LEARNED
from boed.completion.sources import check_learns_from
from boed.completion.training import preset as completer_preset
from boed.completion.training import train_completer, train_vae
from boed.completion.vae.vdvae import VDVAE, VDVAEConfig
from boed.data.dataset import Dataset
from boed.data.incomplete import Incomplete
from boed.data.readers.tables import refuse_table
from boed.data.training_split import incomplete_splits, training_splits
from boed.foundation.files import load_weights
from boed.foundation.options import Device, OutFile
from boed.foundation.registry import check_known, names_object, unknown
from boed.foundation.shipped import shipped_folder, shipped_names
from boed.policies.learned import PolicyLooks, load_network
from boed.policies.learned.training import usual_training
from boed.sensors import PatchSensor
from boed.sensors.random_looks import RandomLooks
from boed.sensors.registry import sensor_named
from boed.sensors.sensor import returns_readings
from boed.training.checkpoints import check_recipe, running_state
from boed.training.config import (
    LOOK_TRAININGS,
    POLICY_METHODS,
    ClassifierTrainingConfig,
    PolicyTrainingConfig,
    TrainingConfig,
)
from boed.training.recipes import Recipe, recipe_path
from boed.zoo.defaults import DEFAULT_SIZE
from boed.zoo.fitted import Context
from boed.zoo.learned import chosen_for, train_network_for
from boed.zoo.models import CLASSIFIERS, network_for, weights

C = TypeVar("C")
T = TypeVar("T", bound=TrainingConfig)
OnStep = Callable[[int, float], None]


class TimeOver(Exception):
    """The minutes of a training were over before there was anything to return."""


FROM = ("init", "vae", "classifier", "policy")
"""Keys of a recipe that name another model, which comes first."""


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
    job = _Job(
        recipe=read,
        folder=folder,
        out=Path(out),
        on_start=on_start,
        on_step=on_step,
        command=command,
        models=models or {},
    )
    for key in FROM:
        job.path(key)  # what does not exist is said before any work
    return _TRAIN[read.kind](job)


def looks_of(recipe: Recipe, data: Dataset) -> RandomLooks | None:
    """Random looks of a recipe's sensor at scenes such as those of `data`, if it names one."""
    if recipe.sensor is None:
        return None
    channels, height, width = data.images.shape[1:]
    return RandomLooks(sensor_named(recipe.sensor, data), (channels, height, width))


@dataclass(frozen=True, kw_only=True)
class _Job:
    """One training: the recipe, where it stands, and what was asked for beside it."""

    recipe: Recipe
    folder: Path
    out: Path
    on_start: Callable[[TrainingConfig], None] | None
    on_step: OnStep | None
    command: str | None
    models: Mapping[str, Path]

    def data(self) -> tuple[Dataset, Dataset]:
        """Train and val images."""
        assert self.recipe.data is not None
        refuse_table(self.recipe.data, f"a {self.recipe.kind}")
        return training_splits(
            self.recipe.data, self.recipe.size or DEFAULT_SIZE.get(self.recipe.data)
        )

    def observations(self) -> tuple[Incomplete, Incomplete]:
        """No more of train and val images than what was seen of each."""
        recipe = self.recipe
        assert recipe.data is not None
        refuse_table(recipe.data, f"a {recipe.kind}")
        size = recipe.size or DEFAULT_SIZE.get(recipe.data)
        return incomplete_splits(recipe.data, size, masks=recipe.masks, seed=recipe.seed)

    @property
    def preset(self) -> str | None:
        """Name of the preset; None where the recipe has an architecture of its own."""
        shape = self.recipe.architecture
        return None if isinstance(shape, dict) else shape or "small"

    def training(self, preset: T | None = None, kind: type[T] = TrainingConfig) -> T:  # type: ignore[assignment]
        """How to train, a `kind`."""
        training = self.recipe.config(preset or kind(steps=1))
        if preset is None and "steps" not in self.recipe.training:
            raise ValueError("training has no steps, which a recipe without a preset needs")
        return training

    def begin(self, training: TrainingConfig) -> dict[str, Any]:
        """Say that the training begins; returns what all trainings are called with."""
        if self.on_start is not None:
            self.on_start(training)
        return {
            "out": self.out,
            "on_step": self.on_step,
            "command": self.command,
            "recipe": self.recipe,
        }

    def architecture(self, kind: type[C], **of_the_data: Any) -> C:
        """The configuration that the recipe holds, a `kind`."""
        table = self.recipe.architecture
        assert isinstance(table, dict)
        known = [each.name for each in fields(kind) if each.name not in of_the_data]  # type: ignore[arg-type]
        for key in table:
            check_known("architecture", key, known)
        needed = [
            f.name
            for f in fields(kind)  # type: ignore[arg-type]
            if f.default is MISSING and f.default_factory is MISSING
        ]
        lacking = [name for name in needed if name in known and name not in table]
        if lacking:
            raise ValueError(
                f"architecture has no {', '.join(lacking)}; expected all of an architecture, as "
                "stands in the recipe beside a trained model"
            )
        held = {k: tuple(v) if isinstance(v, list) else v for k, v in table.items()}
        try:
            return kind(**of_the_data, **held)
        except (TypeError, ValueError) as error:
            raise ValueError(f"architecture: {error}") from error

    def looking(self, train: Dataset, *, pixels: bool = False) -> RandomLooks | PolicyLooks | None:
        """Random looks of the recipe's sensor, if it names one, or also those of its policy."""
        looks = looks_of(self.recipe, train)
        if looks is None:
            return None
        sensor = looks.sensor
        readings = returns_readings(sensor, looks.shape)  # a bad sensor shows here
        if pixels and readings:
            raise ValueError(
                f"sensor: {type(sensor).__name__} returns readings; completers learn from pixels"
            )
        policy = self.model("policy")
        return looks if policy is None else PolicyLooks(load_network(policy), looks)

    def path(self, key: str) -> Path | None:
        """The recipe or checkpoint that a key names, also from the recipe's folder; None if none.

        Raises:
            ValueError: see `boed.zoo.models.weights`.
        """
        named = getattr(self.recipe, key)
        policy = key == "policy" or self.recipe.kind == "policy"
        if named is None or (policy and key == "classifier" and _is_made(named)):
            return None
        if named in self.models:
            return self.models[named]
        beside = self.folder / named
        judges = key == "classifier" or (self.recipe.kind == "classifier" and key != "policy")
        where = str(beside) if beside.exists() else named
        kind = "classifiers" if judges else "policies" if policy else "completion"
        return weights(key, where, kind)

    def model(self, key: str) -> Path | None:
        """The checkpoint that a key names; a recipe is trained first, unless it has been.

        It is trained as it says itself, but on the same devices.
        """
        path = self.path(key)
        if path is None:
            return None
        if path.suffix != ".toml":
            return path
        first = self.out.with_name(f"{self.out.stem}-{key}.safetensors")
        if not first.exists() or running_state(first).exists():
            recipe = Recipe.read(path)
            where = ("device", "devices", "nodes", "minutes")
            shared = {k: v for k, v in self.recipe.training.items() if k in where}
            inner = replace(recipe, training={**recipe.training, **shared})
            _TRAIN[inner.kind](replace(self, recipe=inner, folder=path.parent, out=first))
        return first


def _completer(job: _Job) -> torch.nn.Module:
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


def _vae(job: _Job) -> torch.nn.Module:
    train, val = job.data()
    if job.preset is not None:
        config, how = completer_preset("vae", train, job.preset)
        training = job.training(how)
    else:
        config = job.architecture(VDVAEConfig, size=train.size, channels=train.channels)
        training = job.training()
    return train_vae(train, val, config, training=training, **job.begin(training))


def _classifier(job: _Job) -> torch.nn.Module:
    policy = job.model("policy")
    if policy is not None and job.recipe.sensor is None:  # its looks are the policy's
        of_it = Recipe.of(load_weights(policy)[1]["recipe"])
        job = replace(job, recipe=replace(job.recipe, sensor=of_it.sensor))
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


def member_path(out: Path, number: int) -> Path:
    """Where a member of an ensemble lies that is written to `out`."""
    return out.with_name(f"{out.stem}.member-{number}.safetensors")


def member_recipe(recipe: Recipe, number: int) -> Recipe:
    """How a member of an ensemble is trained by itself."""
    return replace(recipe, members=None, seed=recipe.seed + number)


def _ensemble(job: _Job, members: int) -> torch.nn.Module:
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


def _screen(job: _Job) -> torch.nn.Module:
    recipe, (train, val) = job.recipe, job.data()
    patch, training = recipe.patch or 0.25, job.training(SCREEN_TRAINING)
    checkpoint = job.model("classifier")
    context = Context(val, PatchSensor(val.size, patch), source=recipe.data)
    teacher = network_for(context, None if checkpoint is None else str(checkpoint))
    return train_screen(teacher, train, val, training=training, patch=patch, **job.begin(training))


def _policy(job: _Job) -> torch.nn.Module:
    return _one_pass(job) if job.recipe.problem is None else _for_problem(job)


def _is_made(classifier: str) -> bool:
    """Whether a classifier's name is of one that is fitted, or of the user's own class."""
    return classifier in CLASSIFIERS or names_object(classifier)


def _one_pass(job: _Job) -> torch.nn.Module:
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


def _for_problem(job: _Job) -> torch.nn.Module:
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


OLDER_NAMES = {"deep-adaptive": "dad"}
"""Names of methods as recipes had them once."""


_TRAIN: dict[str, Callable[[_Job], torch.nn.Module]] = {
    "completer": _completer,
    "vae": _vae,
    "classifier": _classifier,
    "screen": _screen,
    "policy": _policy,
}
