"""Training and calibrating a classifier on scenes of which nothing to everything was seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from classifiers.classifier import Classifier, DenseNetClassifier, cross_entropy
from classifiers.densenet import DenseNetConfig
from classifiers.metrics import accuracy, auroc, ece, nll
from data.dataset import Dataset
from data.fitting import Fit, fit, provenance
from data.masks import looks, squares
from data.observation import Observation
from data.randomness import derive

PRESETS: dict[int, tuple[DenseNetConfig, Fit]] = {
    32: (
        DenseNetConfig(
            size=32, channels=1, outputs=10, stem=4, width=64, growth=(32,), layers=(4,)
        ),
        Fit(steps=10000, batch=96, lr=2e-3, weight_decay=0.02, betas=(0.9, 0.99), every=1000),
    ),
    64: (
        DenseNetConfig(
            size=64, channels=1, outputs=2, stem=4, growth=(16, 32, 32), layers=(2, 3, 3)
        ),
        Fit(steps=6000, batch=64, lr=2e-3, weight_decay=0.05, betas=(0.9, 0.99), every=1000),
    ),
}
"""Networks and settings of the shipped classifiers, trained on one CPU core."""

LOOKS = (0, 1, 2, 3, 4, 6, 8)
"""Numbers of squares at which calibration and scores are taken, besides the whole scene."""


def preset(train: Dataset) -> tuple[DenseNetConfig, Fit]:
    """The preset for a data set's size, channels and labels."""
    config, settings = PRESETS[32 if train.size <= 32 else 64]
    stem = config.stem if train.size <= 64 else train.size // 16
    outputs = 2 * train.labels.shape[1] if train.multi_label else len(train.label_names)
    return (
        replace(config, size=train.size, channels=train.channels, outputs=outputs, stem=stem),
        settings,
    )


def augmented(scenes: Float[Tensor, "B C H W"], strength: float = 1.0) -> Tensor:
    """Small random rotations (5 degrees), scalings and shifts (6 %), brightness and contrast."""
    batch = len(scenes)
    angle = (torch.rand(batch) * 2 - 1) * 0.09 * strength
    scale = 1 + (torch.rand(batch, 2) * 2 - 1) * 0.06 * strength
    shift = (torch.rand(batch, 2) * 2 - 1) * 0.12 * strength
    matrix = torch.zeros(batch, 2, 3)
    matrix[:, 0, 0], matrix[:, 0, 1] = angle.cos() * scale[:, 0], -angle.sin()
    matrix[:, 1, 0], matrix[:, 1, 1] = angle.sin(), angle.cos() * scale[:, 1]
    matrix[:, :, 2] = shift
    grid = F.affine_grid(matrix, list(scenes.shape), align_corners=False)
    moved = F.grid_sample(scenes, grid, padding_mode="border", align_corners=False)
    contrast = 1 + (torch.rand(batch, 1, 1, 1) * 2 - 1) * 0.1 * strength
    brightness = (torch.rand(batch, 1, 1, 1) * 2 - 1) * 0.05 * strength
    return (moved * contrast + brightness).clamp(0, 1)


def train_classifier(
    train: Dataset,
    val: Dataset,
    settings: Fit,
    out: Path,
    config: DenseNetConfig | None = None,
    fraction: float = 0.25,
    on_step: Callable[[int, float], None] | None = None,
) -> DenseNetClassifier:
    """Train the AVP-CNN on random looks, calibrate it on `val`, and save it to `out`.

    Args:
        train, val: what to learn from, and what to calibrate on and watch.
        settings: how long and how.
        out: checkpoint to write; the running state lies beside it until the end.
        config: the network; the preset for the data set if not given.
        fraction: side of a look over the width of the scene.
        on_step: told the step and loss.

    Raises:
        ValueError: the network is not for images of this size, or not for these labels.
    """
    config = config or preset(train)[0]
    if config.size != train.size or config.channels != train.channels:
        raise ValueError(
            f"{train.name} has {train.channels} channels of {train.size} pixels; "
            f"the network is for {config.channels} of {config.size}"
        )
    pixels = train.images.double() / 255
    config = replace(config, mean=round(float(pixels.mean()), 6), std=round(float(pixels.std()), 6))
    torch.manual_seed(derive(settings.seed, "weights"))
    model = DenseNetClassifier(config, train.label_names, train.multi_label)
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    strength = min(1.0, 5000 / len(train))  # large sets need less

    def loss(step: int) -> Tensor:
        rows = torch.randint(len(train), (settings.batch,))
        scenes = augmented(train.scenes(rows), strength)
        observation = Observation.of(scenes, looks(len(scenes), train.size, fraction))
        log_probs = F.log_softmax(model.logits(observation), dim=-1)
        return cross_entropy(log_probs, train.labels[rows]).mean()

    def validate(_: nn.Module) -> dict[str, float]:
        scores = score(model, val, (1, 3), fraction)
        return {f"val_nll_{name}": figures["nll"] for name, figures in scores.items()}

    state = out.with_suffix(".training.safetensors")
    _, progress = fit(model, loss, settings, state, validate, on_step)
    _settle_batch_norm(model, train, fraction)
    calibrate(model, val, fraction)
    header = {
        **provenance(train, settings, progress),
        "look_fraction": fraction,
        "scores": {"val": score(model, val, fraction=fraction)},
    }
    model.save(out, header)
    if progress.step >= settings.steps:
        state.unlink(missing_ok=True)
    model.provenance = header
    return model.eval()


def _settle_batch_norm(model: nn.Module, train: Dataset, fraction: float) -> None:
    """Recompute batch-norm statistics for the averaged weights, over 64 fixed batches."""
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average
    generator = torch.Generator().manual_seed(0)
    model.train()
    with torch.no_grad():
        for _ in range(64):
            rows = torch.randint(len(train), (64,), generator=generator)
            mask = looks(len(rows), train.size, fraction, generator)
            model.logits(Observation.of(train.scenes(rows), mask))  # type: ignore[operator]
    model.eval()


def masks_for(
    count: int | None, scenes: int, size: int, fraction: float, seed: int
) -> Float[Tensor, "B 1 H W"]:
    """`count` random squares on each scene; everything seen if `count` is None."""
    if count is None:
        return torch.ones(scenes, 1, size, size)
    counts = torch.full((scenes,), count)
    generator = torch.Generator().manual_seed(derive(seed, "squares", count))
    return squares(scenes, size, fraction, counts, overhang=False, generator=generator)


def calibrate(model: DenseNetClassifier, val: Dataset, fraction: float = 0.25) -> None:
    """Set the temperature for each number of random looks to what `val` likes best.

    One temperature per number of looks and one for the whole scene, placed at the mean fraction
    of pixels that so many looks show; four draws of looks per scene.
    """
    model.eval()
    knots, temperatures = [], []
    labels = val.labels.repeat(4, *([1] * (val.labels.ndim - 1)))
    for count in (*LOOKS, None):
        masks = masks_for(count, 4 * len(val), val.size, fraction, seed=1)
        logits = []
        with torch.no_grad():
            for start in range(0, 4 * len(val), 256):
                rows = torch.arange(start, min(start + 256, 4 * len(val)))
                observation = Observation.of(val.scenes(rows % len(val)), masks[rows])
                logits.append(model.logits(observation))
        knots.append(float(masks.mean()))
        temperatures.append(_best_temperature(torch.cat(logits), labels))
    model.knots, model.temperatures = torch.tensor(knots), torch.tensor(temperatures)


def _best_temperature(logits: Tensor, labels: Tensor) -> float:
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
    fraction: float = 0.25,
    seed: int = 0,
) -> dict[str, dict[str, float]]:
    """AUROC, accuracy, NLL and ECE by number of random looks, and `all` for the whole scene."""
    labels = dataset.labels.numpy()
    table: dict[str, dict[str, Any]] = {}
    for count in (*counts, None):
        masks = masks_for(count, len(dataset), dataset.size, fraction, seed)
        parts = []
        for start in range(0, len(dataset), 256):
            rows = slice(start, start + 256)
            parts.append(classifier.log_probs(Observation.of(dataset.scenes(rows), masks[rows])))
        log_probs = torch.cat(parts).double().cpu().numpy()
        table["all" if count is None else str(count)] = {
            "auroc": float(auroc(log_probs, labels)),
            "accuracy": float(accuracy(log_probs, labels)),
            "nll": float(nll(log_probs, labels)),
            "ece": ece(log_probs, labels),
        }
    return table
