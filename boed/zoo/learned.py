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
from boed.policies.learned import (
    NETWORKS,
    ONE_PASS,
    CandidateLooks,
    LookNet,
    OnePass,
    load_network,
)
from boed.policies.learned import train_look_policy as train_network
from boed.policies.learned.network import classifier_name
from boed.sensors.registry import check_sensor_name, default_sensor, sensor_named
from boed.training.config import LookTrainingConfig, ValueTrainingConfig
from boed.training.recipes import Recipe
from boed.zoo.defaults import DEFAULT_SIZE
from boed.zoo.fitted import Context, Missing
from boed.zoo.models import classifier_for, completer_for
from boed.zoo.names import shipped_of, weights


def one_pass_for(
    context: Context,
    classifier: Classifier,
    *,
    name: str,
    where: str | None,
    memory: int,
    device: str,
) -> OnePass:
    """The policy of a trained network, by name or path, or of the one shipped for these looks.

    Args:
        context, classifier: what it is for.
        name: what it is called: if that is one of `NETWORKS`, it has to be such a network; of
            `boed_value` the one that proposes.
        where: its name or path; None for the shipped one.
        memory: bound on the images held at once, MiB.
        device: where it runs.

    Raises:
        Missing: none is shipped.
        ValueError: it is of another kind, or was trained for another sensor, grid, size or
            classifier.
    """
    looks = CandidateLooks.of(context.sensor, context.shape)
    path = (
        shipped_network(context, classifier, policy=name.removeprefix("boed_"), looks=looks)
        if where is None
        else weights("policies", where, "policies")
    )
    network = load_network(path).to(device)
    expected = "value" if name == "boed_value" else name  # its map proposes looks
    if expected in NETWORKS and network.name != expected:
        raise ValueError(
            f"policies: {name}={where}: that is a {network.kind()}, expected a {expected} policy; "
            "give it another name"
        )
    network.check_looks(looks)
    network.check_costs(context.sensor, looks)
    return ONE_PASS[network.name](network, classifier, memory=memory)


def is_shipped(context: Context, classifier: Classifier, policy: str) -> bool:
    """Whether a network of a policy is shipped for these looks and this classifier."""
    try:
        looks = CandidateLooks.of(context.sensor, context.shape)
        shipped_network(context, classifier, policy=policy, looks=looks)
    except ValueError:  # none is, or there is no list of looks that one could be for
        return False
    return True


def shipped_network(
    context: Context, classifier: Classifier, *, policy: str, looks: CandidateLooks
) -> Path:
    """The shipped network of a policy for these looks and this classifier.

    Raises:
        Missing: there is none; saying what the shipped ones are for, and how to train one.
    """
    ours = (looks.name, classifier_name(classifier))
    theirs = {}
    for name in shipped_of("policies"):
        _, header = load_weights(shipped(name))
        if header["kind"] == NETWORKS[policy].kind():
            theirs[name] = (header["looks"], header["classifier"])
    for name, of in theirs.items():
        if of == ours:
            return shipped(name)
    said = "; ".join(f"{name} is for {' and '.join(of)}" for name, of in theirs.items())
    raise Missing(
        f"no {policy} policy is shipped for {' and '.join(ours)}: train one with `boed train "
        f"policy {policy} {context.options} --sensor ... --out {policy}.safetensors` and give it "
        f"as `policies='{policy}.safetensors'`. Shipped: {said or 'none'}"
    )


def chosen_for(recipe: Recipe, classifier: str | None) -> tuple[Context, Classifier]:
    """Data, sensor and classifier that a policy's recipe names: what it chooses for.

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


def train_network_for(
    context: Context,
    classifier: Classifier,
    *,
    recipe: Recipe,
    training: LookTrainingConfig,
    how: Mapping[str, Any],
) -> LookNet:
    """Train a network as a recipe says.

    Args:
        context, classifier: what it is for, as `chosen_for` gives them.
        recipe: what was asked for.
        training: how long and how.
        how: what trainings are called with: `out`, `on_step`, `command`, `init`.
    """
    train, val = context.library, context.val
    assert train is not None
    assert val is not None
    if recipe.sensor is None:
        recipe = replace(recipe, sensor={"name": default_sensor(train)})
    by_map = isinstance(training, ValueTrainingConfig) and training.target == "map"
    drawn = by_map or recipe.completer is not None
    assert recipe.name is not None
    return train_network(
        recipe.name,
        train,
        val,
        sensor=context.sensor,
        classifier=classifier,
        training=training,
        completer=completer_for(context, recipe.completer) if drawn else None,
        **{**how, "recipe": recipe},
    )
