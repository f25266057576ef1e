"""Training and calibrating a classifier on scenes of which nothing to everything was seen."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from boed.classifiers.classifier import Classifier, DenseNetClassifier, cross_entropy
from boed.classifiers.densenet import DenseNetConfig
from boed.classifiers.metrics import accuracy, auroc, ece, nll
from boed.classifiers.out_of_distribution import KEY, feature_record
from boed.data.dataset import Dataset
from boed.data.masks import squares
from boed.data.observation import Observation
from boed.foundation.checks import check_fits
from boed.foundation.files import load_weights, sha256
from boed.foundation.randomness import derive
from boed.training.checkpoints import claim_trained, conclude, running_state
from boed.training.config import TrainingConfig
from boed.training.loop import fit, provenance
from boed.training.recipes import Recipe
from boed.training.state import Progress

PRESETS: dict[int, tuple[DenseNetConfig, TrainingConfig]] = {
    32: (
        DenseNetConfig(
            size=32, channels=1, outputs=10, stem=4, width=64, growth=(32,), layers=(4,)
        ),
        TrainingConfig(
            steps=10000, batch=96, lr=2e-3, weight_decay=0.02, betas=(0.9, 0.99), every=1000
        ),
    ),
    64: (
        DenseNetConfig(
            size=64, channels=1, outputs=2, stem=4, growth=(16, 32, 32), layers=(2, 3, 3)
        ),
        TrainingConfig(
            steps=6000, batch=64, lr=2e-3, weight_decay=0.05, betas=(0.9, 0.99), every=1000
        ),
    ),
}
"""Networks of the shipped classifiers and how they were trained, on one CPU core."""

LOOKS = (0, 1, 2, 3, 4, 6, 8)
"""Numbers of looks at which calibration and scores are taken, besides the whole scene."""

ENOUGH = 2**22
"""Pixels of validation scenes that calibration and scores are taken on; larger sets are cut to a
fixed random choice, or large scenes would take hours on a CPU."""

AT_ONCE = 2**20
"""Pixels per pass of the network where no gradients are needed."""

EVERYTHING = -1
"""The number of looks that stands for the whole scene."""


class Looking(Protocol):
    """How scenes are seen in training: random looks of the sensor that the classifier is for."""

    def __call__(
        self,
        scenes: Float[Tensor, "B C H W"],
        counts: Int64[Tensor, " B"],
        generator: torch.Generator | None = None,
    ) -> Observation:
        """Each scene after `counts` random looks, all of it where that is `EVERYTHING`.

        On the scenes' device; the counts, and what random numbers are drawn on, are on the CPU.
        Without a generator the random numbers come from torch's global one.
        """
        ...


@dataclass(frozen=True)
class Squares:
    """Looks at random squares that lie within the scene, as those of a patch sensor.

    Attributes:
        fraction: side of a square over the width of the scene.
    """

    fraction: float = 0.25

    def __call__(
        self,
        scenes: Float[Tensor, "B C H W"],
        counts: Int64[Tensor, " B"],
        generator: torch.Generator | None = None,
    ) -> Observation:
        mask = squares(
            len(scenes),
            scenes.shape[-1],
            self.fraction,
            counts=counts,
            overhang=False,
            generator=generator,
        )
        mask[counts == EVERYTHING] = 1.0
        return Observation.of(scenes, mask.to(scenes.device))


def random_counts(batch: int, generator: torch.Generator | None = None) -> Int64[Tensor, " B"]:
    """Numbers of looks to train with: 0 to 7, and everything, each as often."""
    kind = torch.randint(0, 9, (batch,), generator=generator)
    return torch.where(kind == 8, EVERYTHING, kind)


def preset(train: Dataset, kind: str = "small") -> tuple[DenseNetConfig, TrainingConfig]:
    """The preset for a data set's size, channels and labels.

    Args:
        train: the data set.
        kind: of network; a `resnet18` is narrow enough to train on two CPU cores.
    """
    config, training = PRESETS[32 if train.size <= 32 else 64]
    stem = config.stem if train.size <= 64 else train.size // 16
    outputs = 2 * train.labels.shape[1] if train.multi_label else len(train.label_names)
    config = replace(config, size=train.size, channels=train.channels, outputs=outputs, kind=kind)
    if kind == "resnet18":
        return replace(config, stem=max(train.size // 32, 1), width=16), training
    return replace(config, stem=stem), training


def augmented(scenes: Float[Tensor, "B C H W"], strength: float = 1.0) -> Tensor:
    """Small random rotations (5 degrees), scalings and shifts (6 %), brightness and contrast.

    The random numbers are drawn on the CPU, so that they are the same on every device.
    """
    batch = len(scenes)
    angle = (torch.rand(batch) * 2 - 1) * 0.09 * strength
    scale = 1 + (torch.rand(batch, 2) * 2 - 1) * 0.06 * strength
    shift = (torch.rand(batch, 2) * 2 - 1) * 0.12 * strength
    matrix = torch.zeros(batch, 2, 3)
    matrix[:, 0, 0], matrix[:, 0, 1] = angle.cos() * scale[:, 0], -angle.sin()
    matrix[:, 1, 0], matrix[:, 1, 1] = angle.sin(), angle.cos() * scale[:, 1]
    matrix[:, :, 2] = shift
    grid = F.affine_grid(matrix.to(scenes.device), list(scenes.shape), align_corners=False)
    moved = F.grid_sample(scenes, grid, padding_mode="border", align_corners=False)
    contrast = 1 + (torch.rand(batch, 1, 1, 1) * 2 - 1) * 0.1 * strength
    brightness = (torch.rand(batch, 1, 1, 1) * 2 - 1) * 0.05 * strength
    return (moved * contrast.to(scenes.device) + brightness.to(scenes.device)).clamp(0, 1)


def train_classifier(
    train: Dataset,
    val: Dataset,
    training: TrainingConfig,
    *,
    out: Path,
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
    train.check_question()
    training.check_batch(train)
    config = config or preset(train)[0]
    check_fits("the network", config, train, name=train.name)
    looking, val = looking or Squares(fraction), _enough(val)
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

    strength = min(1.0, 5000 / len(train))  # large sets need less

    def loss(step: int) -> Tensor:
        rows = torch.randint(len(train), (training.share,))
        scenes = augmented(train.scenes(rows).to(device), strength)
        observation = looking(scenes, random_counts(len(scenes)))
        log_probs = F.log_softmax(model.logits(observation), dim=-1)
        return cross_entropy(log_probs, train.labels[rows].to(device)).mean()

    def validate(_: nn.Module) -> dict[str, float]:
        return val_nll(model, val, looking)

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
        calibrate(model, val, looking=looking)
        header = {
            **provenance(train, training, progress),
            **how,
            "scored_on": f"{len(val)} scenes of {val.split}",
            "scores": {"val": score(model, val, looking=looking)},
            KEY: feature_record(model, train, val),
        }
        if begun is not None:
            header["init"] = begun
        if command is not None:
            header["command"] = command
        return header

    conclude(model, out, finish, training=training, recipe=recipe, about=about, progress=progress)
    return model.eval()


def val_nll(model: DenseNetClassifier, val: Dataset, looking: Looking) -> dict[str, float]:
    """NLL in nats after 1 and 3 random looks and of whole scenes, and the mean of them."""
    scores = score(model, _enough(val), (1, 3), looking=looking)
    nlls = {f"val_nll_{name}": figures["nll"] for name, figures in scores.items()}
    return {model.merit: fmean(nlls.values()), **nlls}


def start_from(model: DenseNetClassifier, path: Path | str) -> dict[str, Any]:
    """Give a model the weights of a checkpoint, perhaps of another size; not its calibration.

    Returns:
        Where those weights come from: data, steps, command, width in pixels, and checksum.

    Raises:
        ValueError: the checkpoint's network or labels differ, or its norms are folded away.
    """
    tensors, header = load_weights(path, "densenet classifier")
    theirs = {**header.get("config", {}), "labels": tuple(header.get("label_names", ()))}
    ours = {**asdict(model.config), "labels": model.label_names}
    for name in ("kind", "channels", "outputs", "labels"):
        if theirs.get(name) != ours[name]:
            raise ValueError(
                f"init {path} has {name} {theirs.get(name)}, the model to train {ours[name]}"
            )
    ours = model.network.state_dict()
    tensors = {k[8:]: v for k, v in tensors.items() if k.startswith("network.")}
    if not any(name.endswith("running_mean") for name in tensors):
        raise ValueError(
            f"init {path} has its norms folded into its convolutions and cannot be trained on; "
            "give the file that training wrote"
        )
    for name in sorted(ours.keys() | tensors.keys()):
        shapes = [tuple(each[name].shape) if name in each else None for each in (tensors, ours)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"init {path} has other layers than the model to train: {name} is {shapes[0]}, "
                f"expected {shapes[1]}"
            )
    model.network.load_state_dict(tensors)
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
            counts = random_counts(len(rows), generator)
            seen = looking(train.scenes(rows).to(device), counts, generator)
            model.logits(seen)  # type: ignore[operator]
    model.eval()


def _enough(val: Dataset) -> Dataset:
    """At most `ENOUGH` pixels of a data set."""
    number = max(ENOUGH // val.size**2, 64)
    if len(val) <= number:
        return val
    return val.subset(torch.randperm(len(val), generator=torch.Generator().manual_seed(0))[:number])


def device_of(classifier: Classifier | nn.Module) -> torch.device:
    """Where a classifier wants its observations: the CPU if it is not a module."""
    parameter = next(classifier.parameters(), None) if isinstance(classifier, nn.Module) else None
    return torch.device("cpu") if parameter is None else parameter.device


def _seen(scenes: Tensor, count: int | None, looking: Looking, seed: int) -> Observation:
    """All scenes after so many random looks; everything seen if `count` is None."""
    counts = torch.full((len(scenes),), EVERYTHING if count is None else count)
    purpose = derive(seed, "squares", EVERYTHING if count is None else count)
    return looking(scenes, counts, torch.Generator().manual_seed(purpose))


def calibrate(
    model: DenseNetClassifier,
    val: Dataset,
    fraction: float = 0.25,
    *,
    looking: Looking | None = None,
) -> None:
    """Set the temperature for each number of random looks to what `val` likes best.

    One temperature per number of looks and one for the whole scene, placed at the mean fraction
    that so many looks show; four draws of looks per scene.

    Args:
        model: what is calibrated.
        val: scenes that it was not trained on.
        fraction: side of a look over the width of the scene.
        looking: random looks of another sensor than the patch, in place of `fraction`.

    Raises:
        ValueError: any number of looks shows the same fraction.
    """
    model.eval()
    looking, device = looking or Squares(fraction), device_of(model)
    best = {}  # counts that show the same, such as all looks and the whole scene, are one knot
    labels = val.labels.repeat(4, *([1] * (val.labels.ndim - 1)))
    scenes, piece = val.scenes().repeat(4, 1, 1, 1), max(AT_ONCE // val.size**2, 1)
    for count in (*LOOKS, None):
        observation = _seen(scenes, count, looking, seed=1)
        with torch.no_grad():
            logits = [
                model.logits(observation[slice(start, start + piece)].to(device)).cpu()
                for start in range(0, len(scenes), piece)
            ]
        fraction = float(observation.fraction_seen.mean())
        best[fraction] = best_temperature(torch.cat(logits), labels)
    if len(best) < 2:
        raise ValueError(
            f"looking: any number of looks shows the fraction {next(iter(best)):.3g}; "
            "expected 0 for none and 1 for everything"
        )
    knots = sorted(best)
    model.knots = torch.tensor(knots, device=device)
    model.temperatures = torch.tensor([best[knot] for knot in knots], device=device)


def best_temperature(logits: Tensor, labels: Tensor) -> float:
    """Temperature that minimises the negative log-likelihood (Guo et al. 2017)."""
    from scipy.optimize import minimize_scalar

    def objective(log_temperature: float) -> float:
        scaled = F.log_softmax(logits / float(np.exp(log_temperature)), dim=-1)
        return float(cross_entropy(scaled, labels).mean())

    return float(np.exp(minimize_scalar(objective, bounds=(-1, 2.5), method="bounded").x))


def score(
    classifier: Classifier,
    dataset: Dataset,
    counts: tuple[int, ...] = LOOKS,
    *,
    fraction: float = 0.25,
    seed: int = 0,
    looking: Looking | None = None,
) -> dict[str, dict[str, float]]:
    """AUROC, accuracy, NLL and ECE by number of random looks, and `all` for the whole scene."""
    looking, device = looking or Squares(fraction), device_of(classifier)
    labels, scenes = dataset.labels.numpy(), dataset.scenes()
    piece = max(AT_ONCE // dataset.size**2, 1)
    table: dict[str, dict[str, Any]] = {}
    for count in (*counts, None):
        observation = _seen(scenes, count, looking, seed)
        parts = [
            classifier.log_probs(observation[slice(start, start + piece)].to(device))
            for start in range(0, len(dataset), piece)
        ]
        log_probs = torch.cat(parts).double().cpu().numpy()
        table["all" if count is None else str(count)] = {
            "auroc": float(auroc(log_probs, labels)),
            "accuracy": float(accuracy(log_probs, labels)),
            "nll": float(nll(log_probs, labels)),
            "ece": ece(log_probs, labels),
        }
    return table
