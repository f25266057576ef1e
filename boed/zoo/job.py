"""One training of a recipe: its data, its settings, and the models that it needs first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import torch

from boed.data.dataset import Dataset
from boed.data.incomplete import Incomplete
from boed.data.readers.tables import refuse_table
from boed.data.training_split import incomplete_splits, training_splits
from boed.foundation.registry import check_known, names_object
from boed.policies.learned import PolicyLooks, load_network
from boed.sensors.random_looks import RandomLooks
from boed.sensors.registry import sensor_named
from boed.sensors.sensor import returns_readings
from boed.training.checkpoints import running_state
from boed.training.config import TrainingConfig
from boed.training.recipes import Recipe
from boed.zoo.defaults import DEFAULT_SIZE
from boed.zoo.names import CLASSIFIERS, weights

C = TypeVar("C")
T = TypeVar("T", bound=TrainingConfig)
OnStep = Callable[[int, float], None]

FROM = ("init", "vae", "classifier", "policy")
"""Keys of a recipe that name another model, which comes first."""


def looks_of(recipe: Recipe, data: Dataset) -> RandomLooks | None:
    """Random looks of a recipe's sensor at scenes such as those of `data`, if it names one."""
    if recipe.sensor is None:
        return None
    channels, height, width = data.images.shape[1:]
    return RandomLooks(sensor_named(recipe.sensor, data), (channels, height, width))


def is_made(classifier: str) -> bool:
    """Whether a classifier's name is of one that is fitted, or of the user's own class."""
    return classifier in CLASSIFIERS or names_object(classifier)


@dataclass(frozen=True, kw_only=True)
class Job:
    """One training: the recipe, where it stands, and what was asked for beside it.

    Attributes:
        recipe: what is trained.
        folder: from which it names other files.
        out: checkpoint to write.
        on_start, on_step, command, models: see `boed.zoo.recipes.train_recipe`.
        train: trains a job, also one of a model that this one needs first.
    """

    recipe: Recipe
    folder: Path
    out: Path
    on_start: Callable[[TrainingConfig], None] | None
    on_step: OnStep | None
    command: str | None
    models: Mapping[str, Path]
    train: Callable[[Job], torch.nn.Module]

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
            ValueError: see `boed.zoo.names.weights`.
        """
        named = getattr(self.recipe, key)
        policy = key == "policy" or self.recipe.kind == "policy"
        if named is None or (policy and key == "classifier" and is_made(named)):
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
            self.train(replace(self, recipe=inner, folder=path.parent, out=first))
        return first
