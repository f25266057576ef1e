"""Calibrating and scoring classifiers by number of looks."""

from __future__ import annotations

from statistics import fmean

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from boed.classifiers.calibration import best_temperature
from boed.classifiers.classifier import Classifier
from boed.classifiers.evaluation.metrics import accuracy, auroc, ece, nll
from boed.classifiers.trained import TrainedClassifier
from boed.data.dataset import Dataset
from boed.data.looking import Looking, Squares, seen, some_counts
from boed.data.shifts import MIDDLE, SHIFTS

ENOUGH = 2**22
"""Pixels of validation scenes that calibration and scores are taken on; larger sets are cut to a
fixed random choice, or large scenes would take hours on a CPU."""

AT_ONCE = 2**20
"""Pixels per pass of the network where no gradients are needed."""


def enough(val: Dataset) -> Dataset:
    """At most `ENOUGH` pixels of a data set."""
    number = max(ENOUGH // val.size**2, 64)
    if len(val) <= number:
        return val
    return val.subset(torch.randperm(len(val), generator=torch.Generator().manual_seed(0))[:number])


def device_of(classifier: Classifier | nn.Module) -> torch.device:
    """Where a classifier wants its observations: the CPU if it is not a module."""
    parameter = next(classifier.parameters(), None) if isinstance(classifier, nn.Module) else None
    return torch.device("cpu") if parameter is None else parameter.device


def calibrate(
    model: TrainedClassifier,
    val: Dataset,
    *,
    looking: Looking | None = None,
    weights: Float[Tensor, "*L K"] | None = None,
) -> None:
    """Set the temperature for each number of random looks to what `val` likes best.

    One temperature per number of looks and one for the whole scene, placed at the mean fraction
    that so many looks show; four draws of looks per scene.

    Args:
        model: what is calibrated.
        val: scenes that it was not trained on.
        looking: random looks; `Squares()` if not given.
        weights: how much each answer counts, once if not given.

    Raises:
        ValueError: any number of looks shows the same fraction.
    """
    model.eval()
    looking, device = looking or Squares(), device_of(model)
    best = {}  # counts that show the same, such as all looks and the whole scene, are one knot
    labels = val.labels.repeat(4, *([1] * (val.labels.ndim - 1)))
    scenes, piece = val.scenes().repeat(4, 1, 1, 1), max(AT_ONCE // val.size**2, 1)
    for count in (*some_counts(looking), None):
        observation = seen(scenes, count, looking=looking, seed=1)
        with torch.no_grad():
            logits = [
                model.logits(observation[slice(start, start + piece)].to(device)).cpu()
                for start in range(0, len(scenes), piece)
            ]
        fraction = float(observation.fraction_seen.mean())
        best[fraction] = best_temperature(torch.cat(logits), labels, weights)
    if len(best) < 2:
        raise ValueError(
            f"looking: any number of looks shows the fraction {next(iter(best)):.3g}; "
            "expected 0 for none and 1 for everything"
        )
    knots = sorted(best)
    model.knots = torch.tensor(knots, device=device)
    model.temperatures = torch.tensor([best[knot] for knot in knots], device=device)


def score(
    classifier: Classifier,
    dataset: Dataset,
    counts: tuple[int, ...] | None = None,
    *,
    looking: Looking | None = None,
) -> dict[str, dict[str, float]]:
    """AUROC, accuracy, NLL and ECE by number of random looks, and `all` for the whole scene."""
    labels = dataset.labels.numpy()
    looking = looking or Squares()
    counts = some_counts(looking) if counts is None else counts
    found = beliefs_after(classifier, dataset.scenes(), (*counts, None), looking=looking)
    return {
        "all" if count is None else str(count): figures(log_probs, labels)
        for count, log_probs in found.items()
    }


def figures(log_probs: NDArray[np.float64], labels: NDArray[np.int64]) -> dict[str, float]:
    """AUROC, accuracy, NLL in nats and ECE of beliefs."""
    return {
        "auroc": float(auroc(log_probs, labels)),
        "accuracy": float(accuracy(log_probs, labels)),
        "nll": float(nll(log_probs, labels)),
        "ece": float(ece(log_probs, labels)),
    }


def val_shifted(val: Dataset) -> Float[Tensor, "B C H W"]:
    """Val scenes at middle strength of all shifts: the first of the first kind, and so on."""
    scenes, kinds = val.scenes(), list(SHIFTS.values())
    shifted = torch.empty_like(scenes)
    for k, shift in enumerate(kinds):
        shifted[k :: len(kinds)] = shift(scenes[k :: len(kinds)], MIDDLE)
    return shifted


def classifier_figures(
    model: TrainedClassifier,
    val: Dataset,
    shifted: Float[Tensor, "B C H W"],
    *,
    looking: Looking,
) -> dict[str, float]:
    """What a classifier is chosen by: NLL in nats on val scenes, shifted and as they are.

    Each is the mean after 1 and 3 random looks and of whole scenes; after more, if they are small.
    """
    return {
        model.merit: _mean_nll(model, shifted, val, looking),
        "val_nll": _mean_nll(model, val.scenes(), val, looking),
    }


def _mean_nll(model: Classifier, scenes: Tensor, val: Dataset, looking: Looking) -> float:
    labels, counts = val.labels.numpy(), some_counts(looking)
    found = beliefs_after(model, scenes, (counts[1], counts[3], None), looking=looking)
    return fmean(float(nll(log_probs, labels)) for log_probs in found.values())


def beliefs_after(
    classifier: Classifier,
    scenes: Float[Tensor, "B C H W"],
    counts: tuple[int | None, ...],
    *,
    looking: Looking,
    seed: int = 0,
) -> dict[int | None, NDArray[np.float64]]:
    """Log-probabilities `[B, *L, K]` after so many random looks; None stands for whole scenes."""
    device = device_of(classifier)
    piece = max(AT_ONCE // scenes.shape[-1] ** 2, 1)
    found = {}
    for count in counts:
        observation = seen(scenes, count, looking=looking, seed=seed)
        parts = [
            classifier.log_probs(observation[slice(start, start + piece)].to(device))
            for start in range(0, len(scenes), piece)
        ]
        found[count] = torch.cat(parts).double().cpu().numpy()
    return found
