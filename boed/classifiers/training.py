"""Training and calibrating a classifier on scenes of which nothing to everything was seen."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from boed.classifiers.augmentation import AUGMENTATIONS, usual_augmentation
from boed.classifiers.calibration import balancing, cross_entropy
from boed.classifiers.densenet_classifier import KIND, DenseNetClassifier
from boed.classifiers.evaluation.out_of_distribution import KEY, feature_record
from boed.classifiers.evaluation.scoring import (
    AT_ONCE,
    calibrate,
    classifier_figures,
    device_of,
    enough,
    score,
    val_shifted,
)
from boed.classifiers.networks.densenet import DenseNetConfig
from boed.classifiers.torchxrayvision.classifier import start_weights
from boed.classifiers.torchxrayvision.weights import KIND as PUBLISHED
from boed.classifiers.torchxrayvision.weights import SIZE
from boed.classifiers.trained import FREQUENCIES, PRIOR
from boed.data.dataset import Dataset
from boed.data.looking import Looking, Squares, most_looks, random_counts, repeats_of
from boed.foundation.checks import attribute, check_fits
from boed.foundation.files import load_weights, sha256
from boed.foundation.randomness import derive
from boed.training.checkpoints import check_layers, claim_trained, conclude, running_state
from boed.training.config import ClassifierTrainingConfig
from boed.training.loop import fit, provenance
from boed.training.recipes import Recipe
from boed.training.state import Progress

PRESETS: dict[int, tuple[DenseNetConfig, ClassifierTrainingConfig]] = {
    32: (
        DenseNetConfig(
            size=32, channels=1, outputs=10, stem=4, width=64, growth=(32,), layers=(4,)
        ),
        ClassifierTrainingConfig(
            steps=10000, batch=96, lr=2e-3, weight_decay=0.02, betas=(0.9, 0.99), every=1000
        ),
    ),
    64: (
        DenseNetConfig(
            size=64, channels=1, outputs=2, stem=4, growth=(16, 32, 32), layers=(2, 3, 3)
        ),
        ClassifierTrainingConfig(
            steps=6000, batch=64, lr=2e-3, weight_decay=0.05, betas=(0.9, 0.99), every=1000
        ),
    ),
}
"""Networks of the shipped classifiers and how they were trained, on one CPU core."""


def preset(train: Dataset, kind: str = "small") -> tuple[DenseNetConfig, ClassifierTrainingConfig]:
    """The preset for a data set's size, channels and labels.

    Args:
        train: the data set.
        kind: of network; a `resnet18` is narrow enough to train on two CPU cores, an `mlp` has
            two hidden layers.
    """
    config, training = PRESETS[32 if train.size <= 32 else 64]
    training = replace(training, augmentation=usual_augmentation(len(train)))
    stem = config.stem if train.size <= 64 else train.size // 16
    outputs = 2 * train.labels.shape[1] if train.multi_label else len(train.label_names)
    config = replace(config, size=train.size, channels=train.channels, outputs=outputs, kind=kind)
    if kind == "resnet18":
        return replace(config, stem=max(train.size // 32, 1), width=16), training
    if kind == "mlp":
        return replace(config, stem=1, width=512, growth=(), layers=(2,)), training
    return replace(config, stem=stem), training


def train_classifier(
    train: Dataset,
    val: Dataset,
    training: ClassifierTrainingConfig,
    *,
    out: Path | str,
    config: DenseNetConfig | None = None,
    fraction: float = 0.25,
    on_step: Callable[[int, float], None] | None = None,
    looking: Looking | None = None,
    init: Path | None = None,
    command: str | None = None,
    recipe: Recipe | None = None,
) -> DenseNetClassifier:
    """Train the AVP-CNN on random looks, calibrate it on `val`, and save it to `out`.

    Args:
        train, val: what to learn from, and what to calibrate on and watch.
        training: how long, how, and on which devices.
        out: checkpoint to write, with its recipe and its curve beside it, the best weights by val
            if they are not the last, and until the end the running state.
        config: the network; the preset for the data set if not given.
        fraction: side of a look over the width of the scene.
        on_step: called with step and loss.
        looking: random looks of another sensor than the patch, in place of `fraction`.
        init: checkpoint of a trained classifier to start from; it may be of another size.
        command: what was typed, for the record.
        recipe: what was asked for, for the record; made of the arguments if not given.

    Raises:
        ValueError: the network is not for images of this size, or not for these labels, the
            images are all of one class, `init` is another network, or `out` holds another
            training.
        Interrupted: Ctrl-C or SIGTERM came; what was trained is stored.
    """
    out = Path(out)
    train.check_question()
    training.check_batch(train)
    config = config or preset(train)[0]
    check_fits("the network", config, train, name=train.name)
    looking, val = looking or Squares(fraction), enough(val)
    if lacking := val.absent_answers():
        rest = "leaves them out" if len(lacking) < len(val.label_names) else "has no value"
        warnings.warn(
            f"{val.name} ({val.split}): none or all of its {len(val)} scenes are "
            f"{', '.join(lacking)}, so AUROC on it {rest}",
            stacklevel=2,
        )
    pixels = train.scenes().double()
    config = replace(config, mean=round(float(pixels.mean()), 6), std=round(float(pixels.std()), 6))
    torch.manual_seed(derive(training.seed, "weights"))
    model = DenseNetClassifier(config, train.label_names, train.multi_label)
    begun = None if init is None else start_from(model, init)
    about: dict[str, Any] = {"data": train.name, "sha256": train.sha256, "init": begun}
    how: dict[str, Any] = {"looking": repr(looking)}  # which may differ between processes
    if isinstance(looking, Squares):
        how = {"look_fraction": looking.fraction}
        about |= how
    about |= attribute(looking, "facts", {})
    recipe = (recipe or Recipe(kind="classifier", data=train.name)).trained(
        training,
        config,
        size=train.size,
        patch=looking.fraction if isinstance(looking, Squares) else None,
    )
    if claim_trained(out, recipe, about, steps=training.steps):
        return DenseNetClassifier.load(out)
    ranks = training.ranks()
    device = ranks.device
    model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    augmentation = AUGMENTATIONS[training.augmentation]
    weights = balancing(answer_frequencies(train)) if training.balanced else None
    shifted, most = val_shifted(val), most_looks(looking)
    which = torch.arange(training.share) // repeats_of(looking)  # each scene that often in a row

    def loss(step: int) -> Tensor:
        rows = torch.randint(len(train), (int(which[-1]) + 1,))
        scenes = augmentation(train.scenes(rows))[which].to(device)
        labels = train.labels[rows[which]].to(device)
        observation = looking(scenes, random_counts(len(scenes), most=most))
        log_probs = F.log_softmax(model.logits(observation), dim=-1)
        return _smoothed(log_probs, labels, training.smoothing, weights).mean()

    def validate(_: nn.Module) -> dict[str, float]:
        return classifier_figures(model, val, shifted, looking=looking)

    _, progress = fit(
        model,
        loss,
        training,
        state=running_state(out),
        validate=validate,
        merit=model.merit,
        on_step=on_step,
        about=about,
    )

    def finish(model: DenseNetClassifier, progress: Progress) -> dict[str, Any]:
        _settle_batch_norm(model, train, looking)
        header = {
            **provenance(train, training, progress),
            **how,
            **calibrated(model, train, val, looking=looking, balanced=training.balanced),
        }
        if begun is not None:
            header["init"] = begun
        if command is not None:
            header["command"] = command
        return header

    conclude(model, out, finish, training=training, recipe=recipe, about=about, progress=progress)
    return model.eval()


def calibrated(
    model: DenseNetClassifier,
    train: Dataset,
    val: Dataset,
    *,
    looking: Looking,
    balanced: bool,
) -> dict[str, Any]:
    """Calibrate a trained classifier on `val`; what its header says of that.

    Args:
        model: what is calibrated.
        train, val: scenes that it has learned from, and others.
        looking: what is seen of them.
        balanced: whether each answer counted as if it were as frequent as the others.

    Returns:
        How frequent answers are and were assumed to be, its scores, and the features by which
        scenes unlike the training data are known.
    """
    frequencies = prior = answer_frequencies(train)
    weights = None
    if balanced:
        weights, prior = balancing(frequencies), torch.full_like(prior, 1 / prior.shape[-1])
    calibrate(model, val, looking=looking, weights=weights)
    return {
        FREQUENCIES: frequencies.tolist(),
        PRIOR: prior.tolist(),
        "scored_on": f"{len(val)} scenes of {val.split}",
        "scores": {"val": score(model, val, looking=looking)},
        KEY: feature_record(model, train, val, looking=looking),
    }


def answer_frequencies(train: Dataset) -> Float[Tensor, "*L K"]:
    """How frequent each answer is, `[K]`, or `[L, 2]` for findings; none is 0."""
    if train.multi_label:
        positive = train.labels.double().mean(0)
        frequencies = torch.stack([1 - positive, positive], dim=-1)
    else:
        count = torch.bincount(train.labels, minlength=len(train.label_names))
        frequencies = count.double() / count.sum()
    least = 0.5 / len(train)
    frequencies = frequencies.clamp(min=least)
    return (frequencies / frequencies.sum(-1, keepdim=True)).float()


def _smoothed(
    log_probs: Float[Tensor, "B *L K"], labels: Tensor, smoothing: float, weights: Tensor | None
) -> Float[Tensor, " B"]:
    """Cross-entropy from labels of which a part goes to all answers alike."""
    weights = None if weights is None else weights.to(log_probs)
    loss = cross_entropy(log_probs, labels, weights)
    if not smoothing:
        return loss
    each = log_probs if weights is None else log_probs * weights
    return torch.lerp(loss, -each.flatten(1).mean(1), smoothing)


def start_from(model: DenseNetClassifier, path: Path | str) -> dict[str, Any]:
    """Give a model the weights of a checkpoint, perhaps of another size; not its calibration.

    Returns:
        Where those weights come from: data, steps, command, or of torchxrayvision's the name and
        address; width in pixels, and checksum.

    Raises:
        ValueError: the checkpoint's network or labels differ, or its norms are folded away.
    """
    tensors, header = load_weights(path, KIND, PUBLISHED)
    published = header["kind"] == PUBLISHED
    ours = {**asdict(model.config), "labels": model.label_names}
    theirs = {**header.get("config", {}), "labels": tuple(header.get("label_names", ()))}
    if published:  # its answers are found by name, where it has them
        theirs |= {name: ours[name] for name in ("outputs", "labels")}
    for name in ("kind", "channels", "outputs", "labels"):
        if theirs.get(name) != ours[name]:
            raise ValueError(
                f"init {header.get('weights', path)} has {name} {theirs.get(name)}, the model to "
                f"train {ours[name]}"
            )
    ours = model.network.state_dict()
    if published:
        tensors = start_weights(model, tensors, header)
    else:
        tensors = {k[8:]: v for k, v in tensors.items() if k.startswith("network.")}
    norms = [any(name.endswith("running_mean") for name in each) for each in (tensors, ours)]
    if norms == [False, True]:
        raise ValueError(
            f"init {path} has its norms folded into its convolutions and cannot be trained on; "
            "give the file that `boed train classifier` wrote"
        )
    check_layers(f"init {path}", tensors, ours)
    model.network.load_state_dict(tensors)
    if published:
        return {**{name: header[name] for name in ("weights", "url", "sha256")}, "size": SIZE}
    origin = {name: header.get(name) for name in ("data", "steps", "command")}
    return {**origin, "size": theirs.get("size"), "sha256": sha256(path)}


def _settle_batch_norm(model: nn.Module, train: Dataset, looking: Looking) -> None:
    """Recompute batch-norm statistics for the averaged weights, over 64 fixed batches."""
    batch = min(max(AT_ONCE // 4 // train.size**2, 8), 64)
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average
    generator = torch.Generator().manual_seed(0)
    device = device_of(model)
    model.train()
    with torch.no_grad():
        for _ in range(64):
            rows = torch.randint(len(train), (batch,), generator=generator)
            counts = random_counts(len(rows), generator, most=most_looks(looking))
            seen = looking(train.scenes(rows).to(device), counts, generator)
            model.logits(seen)  # type: ignore[operator]
    model.eval()
