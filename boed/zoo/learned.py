"""Policies of trained networks: by name or path, and trained as a recipe says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from boed.classifiers.classifier import Classifier
from boed.data.training_split import training_splits
from boed.foundation.files import load_weights
from boed.foundation.shipped import shipped
from boed.policies.learned import CandidateLooks, Value, ValueNet, train_value
from boed.policies.learned.network import KIND, classifier_name
from boed.sensors.registry import check_sensor_name, default_sensor, sensor_named
from boed.training.config import ValueTrainingConfig
from boed.training.recipes import Recipe
from boed.zoo.defaults import DEFAULT_SIZE
from boed.zoo.fitted import Context, Missing
from boed.zoo.models import classifier_for, completer_for, shipped_of, weights


def value_for(
    context: Context, where: str | None, classifier: Classifier, *, memory: int, device: str
) -> Value:
    """The policy of a trained network, by name or path, or of the one shipped for these looks.

    Raises:
        Missing: none is shipped.
        ValueError: it was trained for another sensor, grid, size or classifier.
    """
    looks = CandidateLooks.of(context.sensor, context.shape)
    path = (
        shipped_value(context, looks, classifier)
        if where is None
        else weights("policies", where, "policies")
    )
    network = ValueNet.load(path).to(device)
    network.check_looks(looks)
    return Value(network, classifier, memory=memory)


def shipped_value(context: Context, looks: CandidateLooks, classifier: Classifier) -> Path:
    """The shipped value network for these looks and this classifier.

    Raises:
        Missing: there is none; saying what the shipped ones are for, and how to train one.
    """
    ours = (looks.name, classifier_name(classifier))
    theirs = {}
    for name in shipped_of("policies"):
        _, header = load_weights(shipped(name))
        if header["kind"] == KIND:
            theirs[name] = (header["looks"], header["classifier"])
    for name, of in theirs.items():
        if of == ours:
            return shipped(name)
    said = "; ".join(f"{name} is for {' and '.join(of)}" for name, of in theirs.items())
    raise Missing(
        f"no value policy is shipped for {' and '.join(ours)}: train one with `boed train policy "
        f"value {context.options} --sensor ... --out value.safetensors` and give it as "
        f"`policies='value.safetensors'`. Shipped: {said or 'none'}"
    )


def chosen_for(recipe: Recipe, classifier: str | None) -> tuple[Context, Classifier]:
    """Data, sensor and classifier that a value policy's recipe names: what it chooses for.

    Args:
        recipe: of the policy.
        classifier: name or path of what stands for that of the recipe.
    """
    assert recipe.data is not None
    if recipe.sensor is not None:
        check_sensor_name(recipe.sensor)
    train, val = training_splits(recipe.data, recipe.size or DEFAULT_SIZE.get(recipe.data))
    sensor = sensor_named(recipe.sensor or default_sensor(train), train)
    context = Context(val, sensor, library=train, val=val, source=recipe.data)
    return context, classifier_for(context, classifier)


def train_value_for(
    context: Context,
    classifier: Classifier,
    *,
    recipe: Recipe,
    training: ValueTrainingConfig,
    how: Mapping[str, Any],
) -> ValueNet:
    """Train a value network as a recipe says.

    Args:
        context, classifier: what it is for, as `chosen_for` gives them.
        recipe: what was asked for.
        training: how long and how.
        how: what all trainings are called with: `out`, `on_step` and `command`.
    """
    train, val = context.library, context.val
    assert train is not None
    assert val is not None
    if recipe.sensor is None:
        recipe = replace(recipe, sensor={"name": default_sensor(train)})
    drawn = training.target == "map" or recipe.completer is not None
    return train_value(
        train,
        val,
        sensor=context.sensor,
        classifier=classifier,
        training=training,
        completer=completer_for(context, recipe.completer) if drawn else None,
        **{**how, "recipe": recipe},
    )
