"""Training a network that says where to look, on the looks that it takes itself, resumably."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from boed.classifiers.augmentation import AUGMENTATIONS, usual_augmentation
from boed.classifiers.calibration import cross_entropy
from boed.classifiers.classifier import Classifier, check_answers, check_is_classifier
from boed.completion.completer import Completer
from boed.data.dataset import Dataset
from boed.eig.completions.beliefs import log_beliefs
from boed.foundation.fingerprint import fingerprint
from boed.foundation.identity import DIGITS
from boed.foundation.randomness import derive
from boed.foundation.registry import check_known
from boed.policies.learned.backbones import ValueConfig
from boed.policies.learned.beginning import NETWORKS, begun, some_rows, start_from
from boed.policies.learned.greedy import RelaxedChoice
from boed.policies.learned.joint import Joint, classifier_path
from boed.policies.learned.lessons import Gains, Returns, first_gains
from boed.policies.learned.looks import CandidateLooks
from boed.policies.learned.network import LookNet, ValueNet, classifier_name
from boed.policies.learned.situations import TARGETS, Completed, Target, roll_out
from boed.sensors.random_looks import RandomLooks
from boed.sensors.registry import is_table
from boed.sensors.sensor import Sensor, costs
from boed.training.checkpoints import best_path, claim_trained, conclude, running_state
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
    out: Path | str,
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
            if they are not the last, and until the end the running state; with `joint` also the
            classifier, at `boed.policies.learned.joint.classifier_path`.
        training: how long and how; `usual_training` if not given.
        config: the network; see `begun` if not given.
        completer: whose EIG map is distilled, for `target` "map".
        init: checkpoint of a policy to start from, which may have been trained for another
            classifier, other looks or other scenes, or by another name of `NETWORKS`.
        on_step: called with step and loss.
        command: that the checkpoint's header says it was made by.
        recipe: what was asked for, for the record. If not given it names the classes of sensor and
            classifier, by which alone nothing can be trained again.

    Raises:
        ValueError: an unknown name, settings of another policy, no completer for a map or one for
            another target, a sensor without candidates or whose candidates depend on what has been
            seen, a classifier of another question, that cannot be known again, or that cannot learn
            where it is to, `init` is another network, or `out` holds another training.
        Interrupted: Ctrl-C or SIGTERM came; what was trained is stored.
    """
    out = Path(out)
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
    _check_parts(train, sensor, classifier, looks)
    target = _target(training, completer)
    torch.manual_seed(derive(training.seed, "weights"))
    network = begun(train, sensor, classifier, looks=looks, config=config, kind=kind).to(device)
    model: LookNet | Joint = network
    if isinstance(training, ValueTrainingConfig) and training.joint:
        others = RandomLooks(sensor, looks.shape)
        model = Joint(network, classifier, others, train=train).to(device)
        classifier = model.classifier
    judged: dict[str, Any] = {"sensor": sensor, "classifier": classifier, "training": training}
    lesson = _lesson(model, target, looks=looks, **judged)
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
    recipe = recipe or _told(name, train, sensor, classifier)
    recipe = recipe.trained(training, size=None if is_table(train) else train.size)
    beside = [classifier_path(each) for each in (out, best_path(out)) if isinstance(model, Joint)]
    if claim_trained(out, recipe, about, steps=training.steps, beside=beside):
        return kind.load(out)
    augment = AUGMENTATIONS[training.augmentation]

    def loss(step: int) -> Tensor:
        rows = torch.randint(len(train), (training.share,))
        scenes, labels = augment(train.scenes(rows)).to(device), train.labels[rows].to(device)
        return lesson(network, scenes, labels, step)

    watched = watched_of(val, training)
    if isinstance(network, ValueNet) and isinstance(lesson, Gains):
        network.first = first_gains(lesson, watched)

    def validate(_: nn.Module) -> dict[str, float]:
        return val_figures(network, watched, looks, **judged)

    _, progress = fit(
        model,
        loss,
        training,
        state=running_state(out),
        validate=validate,
        merit=network.merit,
        on_step=on_step,
        about=about,
    )

    def finish(model: LookNet | Joint, progress: Progress) -> dict[str, Any]:
        if isinstance(model, Joint):
            model.calibrate(val, looks=training.looks)
            network, by = model.network, {**judged, "classifier": model.classifier}
            if network.first is not None:
                assert isinstance(lesson, Gains)
                network.first = first_gains(replace(lesson, classifier=model.classifier), watched)
        else:
            network, by = model, judged
        figures, scale = val_figures(network, watched, looks, **by), {}
        if isinstance(network, ValueNet):
            known = network.known(training.looks)
            learned = figures["val_expected"] - known
            scale["scale"] = network.corrected(learned, figures["val_gained"] - known)
            figures["val_expected"] = known + scale["scale"] * learned
        return {
            **provenance(train, training, progress),
            "command": command,
            **scale,
            "scored_on": f"{len(watched)} scenes of {watched.split}",
            "scores": {"val": figures},
        }

    conclude(model, out, finish, training=training, recipe=recipe, about=about, progress=progress)
    return kind.load(out)


def _told(name: str, train: Dataset, sensor: Sensor, classifier: Classifier) -> Recipe:
    """What a training from Python is of, as far as a recipe can say it."""
    return Recipe(
        kind="policy",
        name=name,
        data=train.name,
        sensor={"name": type(sensor).__name__},
        classifier=type(classifier).__name__,
    )


@torch.no_grad()
def _check_parts(
    train: Dataset, sensor: Sensor, classifier: Classifier, looks: CandidateLooks
) -> None:
    """Refuse, before any training, parts that a trained network could not be used with.

    Raises:
        ValueError: see `train_look_policy`.
    """
    if len(looks) < 2:
        raise ValueError(
            f"sensor: {type(sensor).__name__} offers one look; expected several, among which a "
            "policy can choose"
        )
    names = [classifier_name(classifier)]
    scene, generator = train.scenes(slice(0, 1)), torch.Generator().manual_seed(0)
    one_look = RandomLooks(sensor, looks.shape)(
        scene.to(looks.designs.device), torch.ones(1, dtype=torch.long), generator
    )
    looks.check_same(sensor, one_look)
    check_answers(log_beliefs(one_look, classifier).shape[1:], train, classifier)
    names.append(classifier_name(classifier))
    again = CandidateLooks.of(sensor, looks.shape, looks.designs.device)
    for part, told in (("classifier", names), ("sensor", [looks.name, again.name])):
        if told[0] != told[1]:
            raise ValueError(
                f"{part}: it is {told[0]} at first and {told[1]} then, so that no network can be "
                f"known to be for it; give its class a method __fingerprint__ that returns what "
                "its answers depend on"
            )


def watched_of(val: Dataset, training: LookTrainingConfig) -> Dataset:
    """The scenes of val that a training looks at, always the same."""
    return val.subset(some_rows(val, training.watched)) if len(val) > training.watched else val


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
    model: LookNet | Joint,
    target: Target | None,
    *,
    looks: CandidateLooks,
    sensor: Sensor,
    classifier: Classifier,
    training: LookTrainingConfig,
) -> Lesson:
    """What is taught as the settings say."""
    shared: dict[str, Any] = {"looks": looks, "sensor": sensor, "training": training}
    if target is None:
        return RelaxedChoice(**shared)
    kind = Returns if isinstance(training, NonmyopicTrainingConfig) else Gains
    along = model.loss if isinstance(model, Joint) else None
    return kind(target=target, classifier=classifier, along=along, **shared)


def _target(training: LookTrainingConfig, completer: Completer | None) -> Target | None:
    """What a look gains; None for a policy to which that is nothing.

    Raises:
        ValueError: a completer where nothing is learned from completions, or a map without one.
    """
    if not isinstance(training, ValueTrainingConfig):
        if completer is not None:
            raise ValueError(
                f"completer is {type(completer).__name__}; expected none for a policy that learns "
                "from true scenes alone"
            )
        return None
    if (training.target == "map") != (completer is not None):
        raise ValueError(
            f"target is {training.target!r}, completer is "
            f"{'not given' if completer is None else type(completer).__name__}; expected a "
            "completer for the target 'map', and none for the others"
        )
    if completer is not None:
        return Target(Completed(completer))
    return TARGETS[training.target]
