"""Training a value network on the looks that it takes itself, resumably."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from boed.classifiers.augmentation import AUGMENTATIONS, usual_augmentation
from boed.classifiers.calibration import cross_entropy
from boed.classifiers.classifier import Classifier, check_is_classifier
from boed.classifiers.looking import EVERYTHING
from boed.classifiers.networks.densenet import DenseNetConfig, SmallDenseNet
from boed.classifiers.trained import TrainedClassifier
from boed.classifiers.training import preset
from boed.completion.completer import Completer
from boed.data.dataset import Dataset
from boed.eig.completions.beliefs import log_beliefs
from boed.foundation.fingerprint import fingerprint
from boed.foundation.identity import DIGITS
from boed.foundation.randomness import derive
from boed.policies.learned.looks import CandidateLooks
from boed.policies.learned.network import PictureNet, SetNet, ValueConfig, ValueNet, classifier_name
from boed.policies.learned.situations import (
    CompletedMap,
    Target,
    gains_of,
    roll_out,
    situations,
    true_label,
    whole_belief,
)
from boed.sensors.random_looks import RandomLooks
from boed.sensors.registry import is_table
from boed.sensors.sensor import Sensor
from boed.training.checkpoints import claim_trained, conclude, running_state
from boed.training.config import ValueTrainingConfig
from boed.training.loop import fit, provenance
from boed.training.recipes import Recipe
from boed.training.state import Progress

TRAINING = ValueTrainingConfig(
    steps=3000, batch=24, lr=1e-3, betas=(0.9, 0.99), ema=0.995, clip=1.0, every=250
)
"""For one CPU core: most of the time goes into the classifier's beliefs after the looks judged."""


def usual_training(train: Dataset) -> ValueTrainingConfig:
    """How to train on a data set: few pictures are augmented, as for classifiers."""
    augmentation = "none" if is_table(train) else usual_augmentation(len(train))
    return replace(TRAINING, augmentation=augmentation)


def train_value(
    train: Dataset,
    val: Dataset,
    *,
    sensor: Sensor,
    classifier: Classifier,
    out: Path,
    training: ValueTrainingConfig | None = None,
    config: ValueConfig | None = None,
    completer: Completer | None = None,
    on_step: Callable[[int, float], None] | None = None,
    command: str | None = None,
    recipe: Recipe | None = None,
) -> ValueNet:
    """Train a network to expect what each look gains, and save it to `out`.

    Each update looks T times at each scene of a batch, where the network says or, less and less
    often, anywhere; at each of these moments the gains of the look taken and of random others are
    what is regressed (as DIME does: Gadgil et al. 2024, Algorithm 1). The expectation of the gain
    given the observation is the EIG, and the looks taken are among those judged, so that what is
    chosen because it was valued too highly is corrected.

    Args:
        train, val: what to learn from, and what to watch.
        sensor: whose candidates are always the same.
        classifier: whose gains are expected; asked `candidates` + 1 times at each moment.
        out: checkpoint to write, with its recipe and its curve beside it, the best weights by val
            if they are not the last, and until the end the running state.
        training: how long and how; `usual_training` if not given.
        config: the network; see `begun` if not given.
        completer: whose EIG map is distilled, for `target` "map".
        on_step: called with step and loss.
        command: that the checkpoint's header says it was made by.
        recipe: what was asked for, for the record; made of the arguments if not given.

    Raises:
        ValueError: no completer for a map or one for another target, a sensor without candidates,
            or `out` holds another training.
        Interrupted: Ctrl-C or SIGTERM came; what was trained is stored.
    """
    train.check_question()
    training = training or usual_training(train)
    check_is_classifier(classifier)
    target = _target(training, completer)
    device = training.ranks().device
    channels, height, width = train.images.shape[1:]
    looks = CandidateLooks.of(sensor, (channels, height, width), device)
    if isinstance(classifier, nn.Module):
        classifier.eval().to(device)
    torch.manual_seed(derive(training.seed, "weights"))
    network = begun(train, sensor, classifier, looks=looks, config=config).to(device)
    about = {"data": train.name, "sha256": train.sha256, "looks": looks.name}
    about["classifier"] = network.classifier
    if completer is not None:
        about["completer"] = f"{type(completer).__name__} {fingerprint(completer)[:DIGITS]}"
    recipe = recipe or Recipe(kind="policy", name="value", data=train.name)
    recipe = recipe.trained(training, size=None if is_table(train) else train.size)
    if claim_trained(out, recipe, about, steps=training.steps):
        return ValueNet.load(out)
    augment = AUGMENTATIONS[training.augmentation]
    acting: dict[str, Any] = {"sensor": sensor, "steps": training.looks}

    def loss(step: int) -> Tensor:
        rows = torch.randint(len(train), (training.share,))
        scenes, labels = augment(train.scenes(rows)).to(device), train.labels[rows].to(device)
        seeds = torch.randint(2**31, (len(rows),)).tolist()
        explore = training.exploration(step)
        rolled = roll_out(network, scenes, looks, **acting, explore=explore, seeds=seeds)
        asked = situations(rolled, looks, candidates=training.candidates, most=training.moments)
        completions = target(asked, scenes, labels)
        gains = gains_of(asked, completions, sensor=sensor, classifier=classifier)
        expected = network(asked.observation, looks)
        return (expected - gains)[asked.judged].square().mean()

    watched = watched_of(val, training)

    def validate(_: nn.Module) -> dict[str, float]:
        return val_figures(network, watched, looks, classifier=classifier, **acting)

    _, progress = fit(
        network,
        loss,
        training,
        state=running_state(out),
        validate=validate,
        merit=network.merit,
        on_step=on_step,
        about=about,
    )

    def finish(network: ValueNet, progress: Progress) -> dict[str, Any]:
        figures = val_figures(network, watched, looks, classifier=classifier, **acting)
        scale = network.corrected(figures["val_expected"], figures["val_gained"])
        figures["val_expected"] *= scale
        return {
            **provenance(train, training, progress),
            "command": command,
            "scale": scale,
            "scored_on": f"{len(watched)} scenes of {watched.split}",
            "scores": {"val": figures},
        }

    conclude(network, out, finish, training=training, recipe=recipe, about=about, progress=progress)
    return ValueNet.load(out)


def begun(
    train: Dataset,
    sensor: Sensor,
    classifier: Classifier,
    *,
    looks: CandidateLooks,
    config: ValueConfig | None = None,
) -> ValueNet:
    """An untrained network, which says that no look gains anything.

    Of pictures it begins with the encoder of the classifier, if that is a small network; for
    anything else it knows the mean and spread of what can be read.

    Args:
        train: what it will learn from.
        sensor, classifier: what it is for.
        looks: of the sensor.
        config: the network; that for the data and the classifier if not given.
    """
    own, config = _small_network(classifier), config or _config(train, classifier, looks)
    network = ValueNet(config, looks=looks.name, classifier=classifier_name(classifier))
    head = network.network
    if isinstance(head, PictureNet):
        if own is not None and config.encoder == own[1]:
            head.encoder.load_state_dict(own[0].features.state_dict())
        return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]
    assert isinstance(head, SetNet)
    scenes = train.scenes(_some(train, 512))
    everything = torch.full((len(scenes),), EVERYTHING)
    seen = RandomLooks(sensor, looks.shape)(scenes, everything, torch.Generator().manual_seed(0))
    numbers, _, _ = looks.read(seen.to(looks.designs.device))
    spread = numbers.std(0)
    head.mean.copy_(numbers.mean(0))
    head.std.copy_(spread.where(spread > 1e-6, 1.0))
    return network


def _config(train: Dataset, classifier: Classifier, looks: CandidateLooks) -> ValueConfig:
    """A network of pictures where the scenes are such, as fine as the looks lie."""
    own = _small_network(classifier)
    if looks.picture and train.shape[0] == train.shape[1]:
        encoder = preset(train)[0] if own is None else own[1]
        if own is None:
            pixels = train.scenes().double()
            encoder = replace(encoder, mean=float(pixels.mean()), std=float(pixels.std()))
        cells, blocks = train.size // encoder.stem, len(encoder.layers)
        if train.size % encoder.stem == 0 and cells >= 2 ** (blocks - 1):
            return ValueConfig(encoder=encoder, fine=_fineness(looks, encoder))
    return ValueConfig(
        numbers=looks.numbers,
        readings=looks.shown.shape[1],
        entries=looks.designs.shape[1],
        width=128,
    )


def _fineness(looks: CandidateLooks, encoder: DenseNetConfig) -> int:
    """The least division of the encoder's cells by which all looks differ; its stem if none is."""
    cells = encoder.size // encoder.stem
    for fine in range(1, encoder.stem):
        if encoder.stem % fine == 0:
            over = looks.over_cells(cells * fine, cells * fine)
            if len(over.mul(1e4).round().unique(dim=0)) == len(looks):
                return fine
    return encoder.stem


def _small_network(classifier: Classifier) -> tuple[SmallDenseNet, DenseNetConfig] | None:
    """The folded network of a classifier whose encoder a value network can begin with."""
    if not isinstance(classifier, TrainedClassifier):
        return None
    network = classifier.lead.network
    if not isinstance(network, SmallDenseNet):
        return None
    folded = copy.deepcopy(network)
    folded.fold()
    return folded, classifier.config


def watched_of(val: Dataset, training: ValueTrainingConfig) -> Dataset:
    """The scenes of val that a training looks at, always the same."""
    return val.subset(_some(val, training.watched)) if len(val) > training.watched else val


@torch.no_grad()
def val_figures(
    network: ValueNet,
    val: Dataset,
    looks: CandidateLooks,
    *,
    sensor: Sensor,
    classifier: Classifier,
    steps: int,
) -> dict[str, float]:
    """What comes of looking where the network says.

    Returns:
        `val_nll`: the classifier's log loss in nats, the mean over scenes and after 1 to T looks;
        `val_nll@t` after t looks; `val_accuracy@T` where there is one question; and the gain of
        the looks taken in nats, as `val_expected` by the network and as `val_gained`.
    """
    losses, expected, right = [], [], []
    for rows in torch.arange(len(val)).split(256):
        scenes = val.scenes(rows).to(looks.designs.device)
        labels = val.labels[rows].to(scenes.device)
        seeds = [derive("val", int(row)) for row in rows]
        rolled = roll_out(network, scenes, looks, sensor=sensor, steps=steps, seeds=seeds)
        beliefs = [log_beliefs(seen, classifier) for seen in rolled.before]
        each = [cross_entropy(belief, labels).clamp(max=100) for belief in beliefs]
        losses.append(torch.stack(each, dim=1))  # [b, T + 1]
        expected.append(rolled.expected.T)
        right.append((beliefs[-1].argmax(-1) == labels).float().flatten())
    loss, findings = torch.cat(losses).mean(0), val.labels.shape[1] if val.multi_label else 1
    return {
        "val_nll": float(loss[1:].mean()),
        **{f"val_nll@{t}": float(loss[t]) for t in range(1, steps + 1)},
        f"val_accuracy@{steps}": float(torch.cat(right).mean()),
        "val_expected": float(torch.cat(expected).mean()),
        "val_gained": float(findings * (loss[0] - loss[-1]) / steps),
    }


def _target(training: ValueTrainingConfig, completer: Completer | None) -> Target:
    """What a look gains.

    Raises:
        ValueError: a map without a completer, or a completer without a map.
    """
    if (training.target == "map") != (completer is not None):
        raise ValueError(
            f"target is {training.target!r}, completer is "
            f"{'not given' if completer is None else type(completer).__name__}; expected a "
            "completer for the target 'map', and none for the others"
        )
    if completer is not None:
        return CompletedMap(completer)
    return true_label if training.target == "label" else whole_belief


def _some(data: Dataset, number: int) -> Tensor:
    """Rows of a data set, always the same."""
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(derive("some")))
    return order[:number]
