"""Training and calibrating a classifier on scenes of which nothing to everything was seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from classifiers.classifier import Classifier, DenseNetClassifier, cross_entropy
from classifiers.densenet import DenseNetConfig
from classifiers.metrics import accuracy, auroc, ece, nll
from data.dataset import Dataset
from data.fitting import Fit, fit, provenance
from data.masks import squares
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
"""Numbers of looks at which calibration and scores are taken, besides the whole scene."""

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
            len(scenes), scenes.shape[-1], self.fraction, counts, overhang=False,
            generator=generator,
        )  # fmt: skip
        mask[counts == EVERYTHING] = 1.0
        return Observation.of(scenes, mask)


def random_counts(batch: int, generator: torch.Generator | None = None) -> Int64[Tensor, " B"]:
    """Numbers of looks to train with: 0 to 7, and everything, each as often."""
    kind = torch.randint(0, 9, (batch,), generator=generator)
    return torch.where(kind == 8, EVERYTHING, kind)


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
    looking: Looking | None = None,
) -> DenseNetClassifier:
    """Train the AVP-CNN on random looks, calibrate it on `val`, and save it to `out`.

    Args:
        train, val: what to learn from, and what to calibrate on and watch.
        settings: how long and how.
        out: checkpoint to write; the running state lies beside it until the end.
        config: the network; the preset for the data set if not given.
        fraction: side of a look over the width of the scene.
        on_step: told the step and loss.
        looking: random looks of another sensor than the patch, in place of `fraction`.

    Raises:
        ValueError: the network is not for images of this size, or not for these labels.
    """
    config = config or preset(train)[0]
    if config.size != train.size or config.channels != train.channels:
        raise ValueError(
            f"{train.name} has {train.channels} channels of {train.size} pixels; "
            f"the network is for {config.channels} of {config.size}"
        )
    looking = looking or Squares(fraction)
    pixels = train.scenes().double()
    config = replace(config, mean=round(float(pixels.mean()), 6), std=round(float(pixels.std()), 6))
    torch.manual_seed(derive(settings.seed, "weights"))
    model = DenseNetClassifier(config, train.label_names, train.multi_label)
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    strength = min(1.0, 5000 / len(train))  # large sets need less

    def loss(step: int) -> Tensor:
        rows = torch.randint(len(train), (settings.batch,))
        scenes = augmented(train.scenes(rows), strength)
        observation = looking(scenes, random_counts(len(scenes)))
        log_probs = F.log_softmax(model.logits(observation), dim=-1)
        return cross_entropy(log_probs, train.labels[rows]).mean()

    def validate(_: nn.Module) -> dict[str, float]:
        scores = score(model, val, (1, 3), looking=looking)
        return {f"val_nll_{name}": figures["nll"] for name, figures in scores.items()}

    state = out.with_suffix(".training.safetensors")
    _, progress = fit(model, loss, settings, state, validate, on_step)
    _settle_batch_norm(model, train, looking)
    calibrate(model, val, looking=looking)
    how: dict[str, Any] = {"looking": repr(looking)}
    if isinstance(looking, Squares):
        how = {"look_fraction": looking.fraction}
    header = {
        **provenance(train, settings, progress),
        **how,
        "scores": {"val": score(model, val, looking=looking)},
    }
    model.save(out, header)
    if progress.step >= settings.steps:
        state.unlink(missing_ok=True)
    model.provenance = header
    return model.eval()


def _settle_batch_norm(model: nn.Module, train: Dataset, looking: Looking) -> None:
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
            counts = random_counts(len(rows), generator)
            model.logits(looking(train.scenes(rows), counts, generator))  # type: ignore[operator]
    model.eval()


def _seen(scenes: Tensor, count: int | None, looking: Looking, seed: int) -> Observation:
    """All scenes after so many random looks; everything seen if `count` is None."""
    counts = torch.full((len(scenes),), EVERYTHING if count is None else count)
    purpose = derive(seed, "squares", EVERYTHING if count is None else count)
    return looking(scenes, counts, torch.Generator().manual_seed(purpose))


def calibrate(
    model: DenseNetClassifier,
    val: Dataset,
    fraction: float = 0.25,
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
    looking = looking or Squares(fraction)
    found = {}  # counts that show the same, such as all looks and the whole scene, are one knot
    labels = val.labels.repeat(4, *([1] * (val.labels.ndim - 1)))
    scenes = val.scenes().repeat(4, 1, 1, 1)
    for count in (*LOOKS, None):
        observation = _seen(scenes, count, looking, seed=1)
        with torch.no_grad():
            logits = [
                model.logits(observation[slice(start, start + 256)])
                for start in range(0, len(scenes), 256)
            ]
        fraction = float(observation.fraction_seen.mean())
        found[fraction] = best_temperature(torch.cat(logits), labels)
    if len(found) < 2:
        raise ValueError(
            f"looking: any number of looks shows the fraction {next(iter(found)):.3g}; "
            "expected 0 for none and 1 for everything"
        )
    knots = sorted(found)
    model.knots = torch.tensor(knots)
    model.temperatures = torch.tensor([found[knot] for knot in knots])


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
    fraction: float = 0.25,
    seed: int = 0,
    looking: Looking | None = None,
) -> dict[str, dict[str, float]]:
    """AUROC, accuracy, NLL and ECE by number of random looks, and `all` for the whole scene."""
    looking = looking or Squares(fraction)
    labels, scenes = dataset.labels.numpy(), dataset.scenes()
    table: dict[str, dict[str, Any]] = {}
    for count in (*counts, None):
        observation = _seen(scenes, count, looking, seed)
        parts = [
            classifier.log_probs(observation[slice(start, start + 256)])
            for start in range(0, len(dataset), 256)
        ]
        log_probs = torch.cat(parts).double().cpu().numpy()
        table["all" if count is None else str(count)] = {
            "auroc": float(auroc(log_probs, labels)),
            "accuracy": float(accuracy(log_probs, labels)),
            "nll": float(nll(log_probs, labels)),
            "ece": ece(log_probs, labels),
        }
    return table
