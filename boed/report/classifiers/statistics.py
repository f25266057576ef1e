"""Metrics of classifiers by condition and number of looks, with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from boed.classifiers.evaluation.evaluate import RESULTS
from boed.classifiers.evaluation.metrics import HIGHER_IS_BETTER, METRICS, ece
from boed.foundation.checks import at_least
from boed.report.statistics import pairs, resampled

MEASURED = {**METRICS, "ece": ece}
"""What is measured of each condition."""

_CONDITION = ("condition", "shift", "strength")

BETTER_HIGHER = {**HIGHER_IS_BETTER, "ece": False}

ALL = "all shifts"
"""What the mean over the shifts of a strength is called, before the strength."""


def statistics(results: xr.Dataset, *, resamples: int = 2000, seed: int = 0) -> xr.Dataset:
    """Metrics and their paired differences with 95 % percentile bootstrap intervals.

    Scenes are resampled, or patients with all their scenes where those are known. All classifiers
    and conditions see the same resamples; scenes of another data set have their own.

    Args:
        results: what `boed.classifiers.evaluation.evaluate` returned.
        resamples: of the bootstrap.
        seed: of the resamples.

    Returns:
        `mean`, `low`, `high` over (name, metric, condition, look), NaN where there is no value.
        Names are the classifiers', then `a - b` for each pair. To the conditions of the results
        come the mean over all shifts of a strength, `all shifts 2`, and the other data set's name.
        Of each condition there is its `shift` and `strength`, 0 where there is none.

    Raises:
        ValueError: results of another form, or fewer than one resample.
    """
    at_least(1, resamples=resamples)
    RESULTS.check(results)
    point, drawn = _measured(results, resamples, seed)
    strengths = results["strength"].values
    levels = [int(each) for each in np.unique(strengths[strengths > 0])]
    for values in (point, drawn):
        for metric, known in values.items():
            means = [known[..., strengths == k, :].mean(-2, keepdims=True) for k in levels]
            values[metric] = np.concatenate([known, *means], axis=-2)
    conditions = [
        *zip(*(results[each].values.tolist() for each in _CONDITION), strict=True),
        *((f"{ALL} {k}", ALL, k) for k in levels),
    ]
    if "also_log_belief" in results:
        other = str(results.attrs["also"])
        conditions.append((other, other, 0))
        others = _measured(_of_the_other(results), resamples, seed)
        for values, more in zip((point, drawn), others, strict=True):
            for metric in MEASURED:
                values[metric] = np.concatenate([values[metric], more[metric]], axis=-2)
    names = [str(each) for each in results["classifier"].values]
    return _with_intervals(point, drawn, names, conditions, list(results["look"].values))


def _of_the_other(results: xr.Dataset) -> xr.Dataset:
    """The beliefs about the other data set as the one condition of results."""
    variables = [str(name) for name in results.data_vars if str(name).startswith("also_")]
    other = results[variables].drop_vars(["condition", "shift", "strength"], errors="ignore")
    names = [*variables, *map(str, other.dims)]
    other = other.rename({n: n.removeprefix("also_") for n in names if n.startswith("also_")})
    other["log_belief"] = other["log_belief"].expand_dims("condition")
    return other


Values = dict[str, NDArray[np.float64]]


def _measured(results: xr.Dataset, resamples: int, seed: int) -> tuple[Values, Values]:
    """Each metric `[classifier, condition, look]`, and of each resample `[R, ...]`."""
    pieces = [_scores(results, weights) for weights in resampled(results, resamples, seed)]
    drawn = {metric: np.concatenate([piece[metric] for piece in pieces]) for metric in MEASURED}
    return _scores(results, None), drawn


def _scores(results: xr.Dataset, weights: NDArray[Any] | None) -> Values:
    question = [each for each in ("scene", "finding") if each in results["log_belief"].dims]
    beliefs = results["log_belief"].transpose(
        "classifier", "condition", "look", *question, "answer"
    )
    labels = results["label"].transpose(*question).values.astype(np.int64)
    resamples = () if weights is None else weights.shape[:-1]
    found = {metric: np.empty((*resamples, *beliefs.shape[:3])) for metric in MEASURED}
    with np.errstate(invalid="ignore"):  # an infinite NLL that a resample leaves out
        for index in np.ndindex(*beliefs.shape[:3]):
            one = beliefs.values[index].astype(np.float64)
            for metric, score in MEASURED.items():
                found[metric][(..., *index)] = score(one, labels, weights)
    return found


def _with_intervals(
    point: Mapping[str, NDArray[Any]],
    drawn: Mapping[str, NDArray[Any]],
    names: list[str],
    conditions: list[tuple[str, str, int]],
    looks: list[str],
) -> xr.Dataset:
    compared = [*((name, None) for name in names), *pairs(names)]
    found = []
    for a, b in compared:
        mean, many = (
            np.stack([_one(values[metric], names, a, b) for metric in MEASURED], axis=-3)
            for values in (point, drawn)
        )
        known = np.isfinite(mean) & np.isfinite(many).any(0)
        with np.errstate(invalid="ignore"):
            bounds = np.nanpercentile(np.where(known, many, 0.0), [2.5, 97.5], axis=0)
        found.append(np.where(known, np.stack([mean, *bounds]), np.nan))
    dims = ("name", "metric", "condition", "look")
    values = np.stack(found, axis=1)
    coordinates: dict[str, Any] = {
        "name": [a if b is None else f"{a} - {b}" for a, b in compared],
        "metric": list(MEASURED),
        "look": looks,
    }
    for place, each in enumerate(_CONDITION):
        coordinates[each] = ("condition", [condition[place] for condition in conditions])
    variables = zip(("mean", "low", "high"), values, strict=True)
    return xr.Dataset({name: (dims, each) for name, each in variables}, coordinates)


def _one(values: NDArray[Any], names: list[str], a: str, b: str | None) -> NDArray[Any]:
    """Of one classifier, or the difference of two, `[*R, condition, look]`."""
    first = values[..., names.index(a), :, :]
    if b is None:
        return first
    with np.errstate(invalid="ignore"):  # two infinite NLLs
        return first - values[..., names.index(b), :, :]
