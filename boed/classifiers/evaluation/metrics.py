"""How good beliefs are: AUROC, accuracy, negative log-likelihood, calibration error.

Each takes `log_probs [N, *L, K]` and `labels [N, *L]` as numpy arrays, and optional
`weights [*R, N]`: how often each scene counts, which is how a bootstrap resamples all scenes in
one call. The result has the shape `[*R]`. Labels of another shape and NaN beliefs are a
`ValueError`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from boed.foundation.registry import Registry

Array = NDArray[np.float64]


def _check(log_probs: NDArray, labels: NDArray) -> None:
    if labels.shape != log_probs.shape[:-1]:
        raise ValueError(
            f"labels must be {log_probs.shape[:-1]} to go with log_probs {log_probs.shape}, "
            f"got {labels.shape}"
        )
    if np.isnan(log_probs).any():
        raise ValueError(f"log_probs has {int(np.isnan(log_probs).sum())} NaN entries")


def _averaged(values: NDArray, weights: Array | None) -> Array:
    if weights is None:
        return np.asarray(values.mean())
    return (weights * values).sum(-1) / weights.sum(-1)


def accuracy(log_probs: NDArray, labels: NDArray, weights: Array | None = None) -> Array:
    """Fraction of answers that are right; averaged over findings."""
    _check(log_probs, labels)
    right = (log_probs.argmax(-1) == labels).astype(float)
    return _averaged(right.reshape(len(right), -1).mean(1), weights)


def nll(log_probs: NDArray, labels: NDArray, weights: Array | None = None) -> Array:
    """Negative log-likelihood of the true answers in nats; averaged over findings."""
    _check(log_probs, labels)
    picked = np.take_along_axis(log_probs, labels[..., None], axis=-1)[..., 0]
    return _averaged(-picked.reshape(len(picked), -1).mean(1), weights)


def auroc(log_probs: NDArray, labels: NDArray, weights: Array | None = None) -> Array:
    """Area under the ROC curve.

    Two classes: of the second against the first. More: the mean over classes, one against the
    rest. Findings: the mean over findings. Classes without both kinds of scene are left out;
    NaN when none is left.
    """
    _check(log_probs, labels)
    if log_probs.ndim == 3:
        scores = log_probs[..., 1] - log_probs[..., 0]
        positives = labels == 1
    elif log_probs.shape[-1] == 2:
        scores = (log_probs[:, 1] - log_probs[:, 0])[:, None]
        positives = (labels == 1)[:, None]
    else:
        scores, positives = log_probs, labels[:, None] == np.arange(log_probs.shape[-1])
    ones = np.ones(len(labels)) if weights is None else weights
    columns = [_auroc(scores[:, k], positives[:, k], ones) for k in range(scores.shape[1])]
    stacked = np.stack(columns)
    present = ~np.isnan(stacked)
    count = present.sum(0)
    total = np.where(present, stacked, 0.0).sum(0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _auroc(scores: NDArray, positive: NDArray, weights: Array) -> Array:
    """Weighted Mann-Whitney statistic, ties counted half; vectorised over leading weights."""
    order = np.argsort(scores, kind="stable")
    weights, positive, scores = weights[..., order], positive[order], scores[order]
    starts = np.flatnonzero(np.r_[True, scores[1:] != scores[:-1]])  # runs of equal scores
    up = np.add.reduceat(weights * positive, starts, axis=-1)
    down = np.add.reduceat(weights * ~positive, starts, axis=-1)
    below = np.cumsum(down, axis=-1) - down
    total = up.sum(-1) * down.sum(-1)
    wins = (up * (below + down / 2)).sum(-1)
    return np.where(total > 0, wins / np.where(total > 0, total, 1), np.nan)


METRICS: Registry[Callable[..., Array]] = Registry(
    "metric", {"auroc": auroc, "accuracy": accuracy, "nll": nll}
)
"""The metrics of reports, by name."""

HIGHER_IS_BETTER = {"auroc": True, "accuracy": True, "nll": False}


def reliability(
    log_probs: NDArray, labels: NDArray, bins: int = 10
) -> tuple[NDArray, NDArray, NDArray]:
    """Mean confidence, accuracy and count of the answers in equal bins of confidence."""
    confidence, right, which = (each.ravel() for each in _binned(log_probs, labels, bins))
    count = np.bincount(which, minlength=bins)
    safe = np.maximum(count, 1)
    mean_confidence = np.bincount(which, confidence, bins) / safe
    return mean_confidence, np.bincount(which, right, bins) / safe, count


def ece(
    log_probs: NDArray, labels: NDArray, weights: Array | None = None, *, bins: int = 10
) -> Array:
    """Expected calibration error: mean distance of confidence and accuracy over the bins."""
    confidence, right, which = _binned(log_probs, labels, bins)
    excess = [np.where(which == k, confidence - right, 0.0).sum(1) for k in range(bins)]
    ones = np.ones(len(labels)) if weights is None else weights
    return np.abs(ones @ np.stack(excess, axis=1)).sum(-1) / (ones.sum(-1) * which.shape[1])


def _binned(
    log_probs: NDArray, labels: NDArray, bins: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.int64]]:
    """Confidence of each answer, whether it is right, and its bin, all `[N, findings]`."""
    _check(log_probs, labels)
    confidence = np.exp(log_probs.max(-1)).reshape(len(labels), -1)
    right = (log_probs.argmax(-1) == labels).reshape(len(labels), -1)
    return confidence, right, np.minimum((confidence * bins).astype(int), bins - 1)
