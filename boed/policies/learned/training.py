"""Training a network that says where to look, on the looks that it takes itself, resumably."""

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
from boed.foundation.files import load_weights, sha256
from boed.foundation.fingerprint import fingerprint
from boed.foundation.identity import DIGITS
from boed.foundation.randomness import derive
from boed.foundation.registry import check_known
from boed.policies.learned.greedy import GreedyNet, RelaxedChoice
from boed.policies.learned.lessons import Gains, Returns
from boed.policies.learned.looks import CandidateLooks
from boed.policies.learned.network import (
    LookNet,
    NonmyopicNet,
    PictureNet,
    SetNet,
    ValueConfig,
    ValueNet,
    classifier_name,
)
from boed.policies.learned.situations import (
    CompletedMap,
    Target,
    roll_out,
    true_label,
    whole_belief,
)
from boed.sensors.random_looks import RandomLooks
from boed.sensors.registry import is_table
from boed.sensors.sensor import Sensor, costs
from boed.training.checkpoints import check_layers, claim_trained, conclude, running_state
from boed.training.config import (
    LOOK_TRAININGS,
    GreedyTrainingConfig,
    LookTrainingConfig,
    NonmyopicTrainingConfig,
    ValueTrainingConfig,
)
from boed.training.loop import fit, provenance
from boed.training.recipes import Recipe
from boed.training.state import Progress

NETWORKS: dict[str, type[LookNet]] = {
    each.name: each for each in (ValueNet, GreedyNet, NonmyopicNet)
}
"""By the name of the policy."""


def load_network(path: Path | str) -> LookNet:
    """A trained network of any of the kinds, by its checkpoint.

    Raises:
        ValueError: the file is missing, damaged, or holds something else.
    """
    kinds = {each.kind(): each for each in NETWORKS.values()}
    _, header = load_weights(path, *kinds)
    return kinds[header["kind"]].load(path)


_USUAL: dict[str, Any] = {
    "lr": 1e-3, "betas": (0.9, 0.99), "ema": 0.995, "clip": 1.0, "every": 250,
}  # fmt: skip

TRAININGS: dict[str, LookTrainingConfig] = {
    "value": ValueTrainingConfig(steps=3000, batch=24, **_USUAL),
    "greedy": GreedyTrainingConfig(steps=3000, batch=64, **_USUAL),
    "nonmyopic": NonmyopicTrainingConfig(steps=6000, batch=24, **_USUAL),
}
"""For one CPU core: of those that value looks, most of the time goes into the classifier's beliefs
after the looks judged. What is learned of later looks has to arrive before that of earlier ones."""


def usual_training(name: str, train: Dataset) -> LookTrainingConfig:
    """How to train a policy on a data set: few pictures are augmented, as for classifiers."""
    augmentation = "none" if is_table(train) else usual_augmentation(len(train))
    return replace(TRAININGS[name], augmentation=augmentation)


def train_look_policy(
    name: str,
    train: Dataset,
    val: Dataset,
    *,
    sensor: Sensor,
    classifier: Classifier,
    out: Path,
    training: LookTrainingConfig | None = None,
    config: ValueConfig | None = None,
    completer: Completer | None = None,
    init: Path | None = None,
    on_step: Callable[[int, float], None] | None = None,
    command: str | None = None,
    recipe: Recipe | None = None,
) -> LookNet:
    """Train a network to say where to look, and save it to `out`.

    `value` and `nonmyopic` look T times at each scene of a batch, where the network says or, less
    and less often, anywhere; at each of these moments the gains of the look taken and of random
    others are what is regressed (`Gains`, `Returns`). The expectation of the gain given the
    observation is the EIG, and the looks taken are among those judged, so that what is chosen
    because it was valued too highly is corrected. `greedy` is trained with a predictor of the
    label (`RelaxedChoice`).

    Args:
        name: one of `NETWORKS`.
        train, val: what to learn from, and what to watch.
        sensor: whose candidates are always the same.
        classifier: whose gains are expected, asked `candidates` + 1 times at each moment; of
            `greedy` the one by which val judges, and with which a predictor of pictures begins.
        out: checkpoint to write, with its recipe and its curve beside it, the best weights by val
            if they are not the last, and until the end the running state.
        training: how long and how; `usual_training` if not given.
        config: the network; see `begun` if not given.
        completer: whose EIG map is distilled, for `target` "map".
        init: checkpoint of a policy to start from, which may have been trained for another
            classifier, other looks or other scenes, or by another name of `NETWORKS`.
        on_step: called with step and loss.
        command: that the checkpoint's header says it was made by.
        recipe: what was asked for, for the record; made of the arguments if not given.

    Raises:
        ValueError: an unknown name, settings of another policy, no completer for a map or one for
            another target, a sensor without candidates, `init` is another network, or `out` holds
            another training.
        Interrupted: Ctrl-C or SIGTERM came; what was trained is stored.
    """
    check_known("policy", name, NETWORKS)
    kind = NETWORKS[name]
    train.check_question()
    training = training or usual_training(name, train)
    if type(training) is not LOOK_TRAININGS[name]:
        raise ValueError(
            f"training is a {type(training).__name__}, expected a {LOOK_TRAININGS[name].__name__} "
            f"for the policy {name}"
        )
    check_is_classifier(classifier)
    device = training.ranks().device
    channels, height, width = train.images.shape[1:]
    looks = CandidateLooks.of(sensor, (channels, height, width), device)
    if isinstance(classifier, nn.Module):
        classifier.eval().to(device)
    lesson = _lesson(training, completer, looks=looks, sensor=sensor, classifier=classifier)
    torch.manual_seed(derive(training.seed, "weights"))
    network = begun(train, sensor, classifier, looks=looks, config=config, kind=kind).to(device)
    if isinstance(training, NonmyopicTrainingConfig) and training.price > 0:
        network.costs = looks.costs(sensor)
    about: dict[str, Any] = {"data": train.name, "sha256": train.sha256, "looks": looks.name}
    about["classifier"] = network.classifier
    if network.costs is not None:
        about["costs"] = network.costs
    if completer is not None:
        about["completer"] = f"{type(completer).__name__} {fingerprint(completer)[:DIGITS]}"
    if init is not None:
        about["init"] = start_from(network, init)
    recipe = recipe or Recipe(kind="policy", name=name, data=train.name)
    recipe = recipe.trained(training, size=None if is_table(train) else train.size)
    if claim_trained(out, recipe, about, steps=training.steps):
        return kind.load(out)
    augment = AUGMENTATIONS[training.augmentation]
    judged: dict[str, Any] = {"sensor": sensor, "classifier": classifier, "training": training}

    def loss(step: int) -> Tensor:
        rows = torch.randint(len(train), (training.share,))
        scenes, labels = augment(train.scenes(rows)).to(device), train.labels[rows].to(device)
        return lesson(network, scenes, labels, step)

    watched = watched_of(val, training)

    def validate(_: nn.Module) -> dict[str, float]:
        return val_figures(network, watched, looks, **judged)

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

    def finish(network: LookNet, progress: Progress) -> dict[str, Any]:
        figures, scale = val_figures(network, watched, looks, **judged), {}
        if isinstance(network, ValueNet):
            scale["scale"] = network.corrected(figures["val_expected"], figures["val_gained"])
            figures["val_expected"] *= scale["scale"]
        return {
            **provenance(train, training, progress),
            "command": command,
            **scale,
            "scored_on": f"{len(watched)} scenes of {watched.split}",
            "scores": {"val": figures},
        }

    conclude(network, out, finish, training=training, recipe=recipe, about=about, progress=progress)
    return kind.load(out)


def begun(
    train: Dataset,
    sensor: Sensor,
    classifier: Classifier,
    *,
    looks: CandidateLooks,
    config: ValueConfig | None = None,
    kind: type[LookNet] = ValueNet,
) -> LookNet:
    """An untrained network, which says that no look gains anything.

    Of pictures it begins with the encoder of the classifier, if that is a small network; for
    anything else it knows the mean and spread of what can be read.

    Args:
        train: what it will learn from.
        sensor, classifier: what it is for.
        looks: of the sensor.
        config: the network; that for the data and the classifier if not given.
        kind: of the network.
    """
    own, config = _small_network(classifier), config or _config(train, classifier, looks)
    if kind is GreedyNet:
        names = len(train.label_names)
        config = replace(config, answers=(names, 2) if train.multi_label else (names,))
    network = kind(config, looks=looks.name, classifier=classifier_name(classifier))
    head, predictor = network.network, getattr(network, "predictor", None)
    if isinstance(head, PictureNet):
        if own is not None and config.encoder == own[1]:
            head.encoder.load_state_dict(own[0].features.state_dict())
            if predictor is not None:
                predictor.network.load_state_dict(own[0].state_dict())
        return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]
    assert isinstance(head, SetNet)
    scenes = train.scenes(_some(train, 512))
    everything = torch.full((len(scenes),), EVERYTHING)
    seen = RandomLooks(sensor, looks.shape)(scenes, everything, torch.Generator().manual_seed(0))
    numbers, _, _ = looks.read(seen.to(looks.designs.device))
    spread = numbers.std(0)
    for each in (head, predictor):
        if each is not None:
            each.mean.copy_(numbers.mean(0))
            each.std.copy_(spread.where(spread > 1e-6, 1.0))
    return network


def start_from(network: LookNet, path: Path) -> dict[str, Any]:
    """Give a network the weights of a checkpoint; not its calibration.

    Returns:
        Where those weights come from: data, steps, command, policy, looks and checksum.

    Raises:
        ValueError: the checkpoint is of no such policy, or of a network of other layers.
    """
    theirs = load_network(path)
    ours, all_of_it = network.state_dict(), theirs.name == network.name
    given = {
        name: weight
        for name, weight in theirs.state_dict().items()
        if name != "scale" and (all_of_it or name.startswith("network."))
    }
    for each in ("weight", "bias"):  # the values as they were corrected
        given[f"network.values.output.{each}"] *= getattr(theirs, "scale", 1.0)
    if isinstance(theirs.network, PictureNet) and isinstance(network.network, PictureNet):
        given |= theirs.network.places_of(network.network.fine)
    expected = [name for name in ours if name in given or (all_of_it and name != "scale")]
    check_layers(f"init {path}", given, {name: ours[name] for name in expected})
    network.load_state_dict(given, strict=False)
    origin = {name: theirs.provenance.get(name) for name in ("data", "steps", "command")}
    return {**origin, "policy": theirs.name, "looks": theirs.looks, "sha256": sha256(path)}


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


def watched_of(val: Dataset, training: LookTrainingConfig) -> Dataset:
    """The scenes of val that a training looks at, always the same."""
    return val.subset(_some(val, training.watched)) if len(val) > training.watched else val


@torch.no_grad()
def val_figures(
    network: LookNet,
    val: Dataset,
    looks: CandidateLooks,
    *,
    sensor: Sensor,
    classifier: Classifier,
    training: LookTrainingConfig,
) -> dict[str, float]:
    """What comes of looking where the network says.

    Returns:
        `val_nll`: the classifier's log loss in nats, the mean over scenes and after 1 to T looks;
        `val_nll@t` after t looks; `val_accuracy@T` where there is one question; `val_end`, the
        loss after all looks and their price, if they have one; and of a network that expects gains
        those of the looks taken in nats, as `val_expected` by the network and as `val_gained`.
    """
    steps = training.looks
    price = training.price if isinstance(training, NonmyopicTrainingConfig) else 0.0
    losses, expected, right, spent = [], [], [], []
    for rows in torch.arange(len(val)).split(256):
        scenes = val.scenes(rows).to(looks.designs.device)
        labels = val.labels[rows].to(scenes.device)
        seeds = [derive("val", int(row)) for row in rows]
        rolled = roll_out(network, scenes, looks, sensor=sensor, steps=steps, seeds=seeds)
        beliefs = [log_beliefs(seen, classifier) for seen in rolled.before]
        each = [cross_entropy(belief, labels).clamp(max=100) for belief in beliefs]
        losses.append(torch.stack(each, dim=1))  # [b, T + 1]
        expected.append(rolled.expected.T)
        taken = zip(rolled.chosen, rolled.before[:-1], strict=True)
        cost = [costs(sensor, looks.designs[chosen], before=before) for chosen, before in taken]
        spent.append(torch.stack(cost).to(scenes.device).sum(0))
        right.append((beliefs[-1].argmax(-1) == labels).float().flatten())
    loss, findings = torch.cat(losses).mean(0), val.labels.shape[1] if val.multi_label else 1
    figures = {
        "val_nll": float(loss[1:].mean()),
        **{f"val_nll@{t}": float(loss[t]) for t in range(1, steps + 1)},
        f"val_accuracy@{steps}": float(torch.cat(right).mean()),
        "val_end": float(findings * loss[-1] + price * torch.cat(spent).mean()),
    }
    if network.expects:
        figures["val_expected"] = float(torch.cat(expected).mean())
        figures["val_gained"] = float(findings * (loss[0] - loss[-1]) / steps)
    return figures


Lesson = Callable[[Any, Tensor, Tensor, int], Tensor]
"""Network, scenes, labels and step to a loss."""


def _lesson(
    training: LookTrainingConfig,
    completer: Completer | None,
    *,
    looks: CandidateLooks,
    sensor: Sensor,
    classifier: Classifier,
) -> Lesson:
    """What is taught as the settings say.

    Raises:
        ValueError: a completer where nothing is learned from completions, or a map without one.
    """
    shared: dict[str, Any] = {"looks": looks, "sensor": sensor, "training": training}
    if not isinstance(training, ValueTrainingConfig):
        if completer is not None:
            raise ValueError(
                f"completer is {type(completer).__name__}; expected none for a policy that learns "
                "from true scenes alone"
            )
        return RelaxedChoice(**shared)
    kind = Returns if isinstance(training, NonmyopicTrainingConfig) else Gains
    return kind(target=_target(training, completer), classifier=classifier, **shared)


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
