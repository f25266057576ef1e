"""Calibration by number and place of looks, and how many scenes are unlike the training data."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from boed.classifiers.evaluation.evaluate import WHOLE
from boed.classifiers.evaluation.metrics import ece, nll
from boed.data.shifts import CLEAN, MIDDLE
from boed.report.statistics import Bounded, resampled, with_bounds

if TYPE_CHECKING:
    import xarray as xr

THIRDS = ("near the centre", "between", "far from it")
"""What the thirds of scenes are called, by how far from the centre their looks lie."""


class Place(NamedTuple):
    """Beliefs of one classifier after some looks that lie in one third.

    Attributes:
        classifier, look, third: which.
        scenes: `clean`, or all shifts of a strength, such as `all shifts 2`.
        nll, ece: with 95 % bootstrap intervals.
    """

    classifier: str
    scenes: str
    look: str
    third: str
    nll: Bounded
    ece: Bounded


def by_place(results: xr.Dataset, *, resamples: int = 500, seed: int = 0) -> list[Place]:
    """Beliefs on thirds of the scenes by how far from the centre the looks lie.

    Shifts are those of middle strength, or of the nearest to it, and pooled. Of numbers of looks
    that all show the same place, such as whole scenes and none, there is nothing.

    Args:
        results: what `boed.classifiers.evaluation.evaluate` returned.
        resamples: of the bootstrap over scenes, or patients where those are known.
        seed: of the resamples.
    """
    if "off_centre" not in results:
        return []
    question = [each for each in ("finding",) if each in results["log_belief"].dims]
    beliefs = results["log_belief"].transpose(
        "classifier", "condition", "look", "scene", *question, "answer"
    )
    label = results["label"].transpose("scene", *question).values.astype(np.int64)
    strength = results["strength"].values
    middle = min(strength[strength > 0], key=lambda each: abs(each - MIDDLE))
    pools = {CLEAN: strength == 0, f"all shifts {middle}": strength == middle}
    weights = np.concatenate(list(resampled(results, resamples, seed)))
    found = []
    for k, look in enumerate(map(str, results["look"].values)):
        far = results["off_centre"].transpose("look", "scene").values[k]
        if look == WHOLE or not np.isfinite(far).all() or np.ptp(far) < 1e-6:
            continue
        third = np.searchsorted(np.quantile(far, (1 / 3, 2 / 3)), far)
        for name, of_classifier in zip(results["classifier"].values, beliefs.values, strict=True):
            for scenes, pool in pools.items():
                for n in np.unique(third):  # one may be empty where many places are the same
                    numbers = _pooled(of_classifier[pool, k], label, third == n, weights)
                    found.append(Place(str(name), scenes, look, THIRDS[n], *numbers))
    return found


def _pooled(
    beliefs: NDArray, label: NDArray, inside: NDArray[np.bool_], weights: NDArray
) -> tuple[Bounded, Bounded]:
    """NLL and ECE of some scenes under several conditions at once."""
    times = len(beliefs)
    flat = beliefs[:, inside].reshape(-1, *beliefs.shape[2:]).astype(np.float64)
    labels = np.concatenate([label[inside]] * times)
    counts = np.concatenate([weights[:, inside]] * times, axis=1)
    counts = counts[counts.sum(1) > 0]
    nll_, ece_ = (
        with_bounds(float(score(flat, labels)), score(flat, labels, counts)) for score in (nll, ece)
    )
    return nll_, ece_


def unlike(results: xr.Dataset) -> list[tuple[str, str, list[float]]]:
    """By condition and classifier the share of scenes unlike its training data, by look.

    Nothing of classifiers that do not know it, and NaN where nothing was seen.

    Args:
        results: what `boed.classifiers.evaluation.evaluate` returned.
    """
    if "distance" not in results:
        return []
    far = results["distance"].transpose("condition", "classifier", "look", "scene")
    known = far.notnull().sum("scene")
    share = ((far > 1).sum("scene") / known.where(known > 0)).values
    return [
        (str(condition), str(name), share[c, k].tolist())
        for c, condition in enumerate(results["condition"].values)
        for k, name in enumerate(results["classifier"].values)
        if np.isfinite(share[c, k]).any()
    ]
