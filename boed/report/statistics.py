"""Statistics of a benchmark: metrics with bootstrap intervals, and paired differences."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from boed.classifiers.evaluation.metrics import HIGHER_IS_BETTER, METRICS
from boed.foundation.checks import at_least
from boed.foundation.files import write_json
from boed.foundation.registry import check_known
from boed.report.results import structured, validate
from boed.report.rivals import primary_of, rivals
from boed.report.simultaneous import simultaneous

Summary = dict[str, Any]
"""What `summary` returns and `summary.json` holds."""

Bounded = tuple[float, float, float]
"""A figure with the bounds of its 95 % interval; NaN where it does not exist."""

_AT_ONCE = 2**17
"""Weights per piece of the bootstrap: small enough for the processor's cache."""


def curves(results: xr.Dataset, metric: str) -> xr.DataArray:
    """One metric against the number of looks, `[policy, look]`, averaged over seeds.

    Raises:
        ValueError: an unknown metric.
    """
    check_known("metric", metric, METRICS)
    values = _scores(results, None, [metric])[metric]
    return xr.DataArray(
        values,
        dims=("policy", "look"),
        coords={"policy": results["policy"], "look": results["look"]},
        name=metric,
    )


def summary(results: xr.Dataset, resamples: int = 2000, seed: int = 0) -> Summary:
    """Metrics after 0, 1, ... T looks with 95 % percentile bootstrap intervals.

    Scenes are resampled, or patients with all their scenes where `patient` is known. Every policy
    and seed sees the same resamples, and seeds are averaged inside each, so that paired
    differences keep what policies share (Efron and Tibshirani 1993, ch. 13). The intervals hold
    one by one; those of `primary`, and what `together` says, hold for all comparisons at once.

    Returns:
        What `summary.json` holds: data, scenes, looks (T), baseline, policies, looks_taken and
        cost (means over scenes and seeds), cost_after (the same after each look), paired, together
        (whether a difference is certain among all that are compared), primary, ruled_out,
        full_image, seconds, versions. Lists have T + 1 entries, the first before any look. Values
        that do not exist, such as the AUROC of one class, are None; so is an NLL that is infinite,
        of which ruled_out says why: of how many scenes the truth had probability 0, for any seed.
        See `pairs` for what is compared.

    Raises:
        ValueError: fewer than 1 resample, or no Results.
    """
    at_least(1, resamples=resamples)
    validate(results)
    point = _scores(results, None)
    pieces = [_scores(results, weights) for weights in resampled(results, resamples, seed)]
    drawn = {metric: np.concatenate([piece[metric] for piece in pieces]) for metric in METRICS}
    names = [str(name) for name in results["policy"].values]
    baseline = structured(results.attrs.get("baseline")) or None
    row = {name: number for number, name in enumerate(names)}

    def metrics_of(a: str, b: str | None = None) -> dict[str, dict[str, list[float | None]]]:
        found = {}
        for metric in METRICS:
            mean, many = point[metric][row[a]], drawn[metric][:, row[a]]
            if b is not None:
                with np.errstate(invalid="ignore"):  # two infinite NLLs
                    mean, many = mean - point[metric][row[b]], many - drawn[metric][:, row[b]]
            found[metric] = _interval(mean, many)
        return found

    return {
        "data": str(results.attrs.get("data", "unknown")),
        "scenes": results.sizes["scene"],
        "looks": results.sizes["step"],
        "baseline": baseline,
        "policies": {name: metrics_of(name) for name in names},
        "looks_taken": _per_policy(results["looks"].mean(("seed", "scene"))),
        "cost": _per_policy(results["cost"].sum("step").mean(("seed", "scene"))),
        "cost_after": _cost_after(results),
        "paired": {f"{a} - {b}": metrics_of(a, b) for a, b in pairs(names, baseline)},
        "together": _together(point, drawn, names, baseline),
        "primary": _primary(results, point, drawn, names),
        "ruled_out": _ruled_out(results),
        "full_image": _whole(results),
        "seconds": float(results.attrs.get("seconds", results["seconds"].sum())),
        "versions": structured(results.attrs.get("versions", "{}")),
    }


def _whole(results: xr.Dataset) -> dict[str, float | None]:
    """Metrics of the classifier that sees whole scenes; None where nobody saw them."""
    if "full_image_log_belief" not in results:
        return dict.fromkeys(METRICS)
    whole, labels = _arrays(results, "full_image_log_belief")
    return {metric: _plain([float(score(whole, labels))])[0] for metric, score in METRICS.items()}


def exists(summary: Summary, metric: str) -> bool:
    """Whether a metric exists on these scenes, or is infinite, as NLL may be."""
    curves = summary["policies"].values()
    some = any(value is not None for curve in curves for value in curve[metric]["mean"])
    return some or summary["full_image"][metric] is not None


def _ruled_out(results: xr.Dataset) -> dict[str, list[int]]:
    """How many scenes' truths, or one of their findings', have probability 0 after each look."""
    beliefs, labels = _arrays(results, "log_belief")
    truth = np.broadcast_to(labels[..., None], (*beliefs.shape[:-1], 1))
    picked = np.take_along_axis(beliefs, truth, axis=-1)[..., 0]
    picked = picked.reshape(*picked.shape[:4], -1).min(-1)  # [policy, seed, look, scene]
    counts = np.isneginf(picked).any(1).sum(-1)
    names = map(str, results["policy"].values)
    return dict(zip(names, counts.tolist(), strict=True))


def _cost_after(results: xr.Dataset) -> dict[str, list[float]]:
    """Mean cost of a scene after 0, 1, ... T looks."""
    total = results["cost"].mean(("seed", "scene")).cumsum("step").transpose("policy", "step")
    names = map(str, results["policy"].values)
    return {name: [0.0, *map(float, row)] for name, row in zip(names, total.values, strict=True)}


def _difference(values: NDArray[Any], names: list[str], a: str, b: str) -> NDArray[np.float64]:
    """Of two policies, `[*R, look]`."""
    with np.errstate(invalid="ignore"):  # two infinite NLLs
        return values[..., names.index(a), :] - values[..., names.index(b), :]


def _together(
    point: dict[str, NDArray[Any]],
    drawn: dict[str, NDArray[Any]],
    names: list[str],
    baseline: str | None,
) -> dict[str, dict[str, list[bool]]]:
    """Which differences after a look exclude zero among all pairs, metrics and looks at once."""
    compared = [(pair, metric) for pair in pairs(names, baseline) for metric in METRICS]
    if not compared:
        return {}

    def all_of(values: dict[str, NDArray[Any]]) -> NDArray[np.float64]:
        parts = [_difference(values[metric], names, *pair)[..., 1:] for pair, metric in compared]
        return np.concatenate(parts, axis=-1)

    low, high = simultaneous(all_of(point), all_of(drawn))
    certain = ((low > 0) | (high < 0)).reshape(len(compared), -1)
    found: dict[str, dict[str, list[bool]]] = {}
    for ((a, b), metric), row in zip(compared, certain, strict=True):
        found.setdefault(f"{a} - {b}", {})[metric] = [False, *map(bool, row)]
    return found


def _primary(
    results: xr.Dataset,
    point: dict[str, NDArray[Any]],
    drawn: dict[str, NDArray[Any]],
    names: list[str],
) -> dict[str, Any]:
    """The primary outcome: the first policy against its rivals, all of them at once.

    The strongest is picked among the rivals by what came out, so the intervals hold for all.
    """
    primary, stated = primary_of(results)
    others, metric, look = rivals(results), primary.metric, primary.looks
    found: dict[str, Any] = {
        "metric": metric, "looks": look, "stated": stated, "policy": names[0],
        "strongest": None, "differences": {},
    }  # fmt: skip
    values = {name: float(point[metric][names.index(name), look]) for name in names}
    others = [name for name in others if np.isfinite(values[name])]
    if not others or not np.isfinite(values[names[0]]):
        return found
    sign = 1 if HIGHER_IS_BETTER[metric] else -1
    found["strongest"] = max(others, key=lambda name: sign * values[name])
    mean = np.array([values[names[0]] - values[name] for name in others])
    many = [_difference(drawn[metric], names, names[0], name)[:, look] for name in others]
    low, high = simultaneous(mean, np.stack(many, axis=1))
    for name, *interval in zip(others, _plain(mean), _plain(low), _plain(high), strict=True):
        found["differences"][name] = dict(zip(("mean", "low", "high"), interval, strict=True))
    return found


def _per_policy(values: xr.DataArray) -> dict[str, float]:
    return {str(name): float(values.sel(policy=name)) for name in values["policy"].values}


def pairs(names: list[str], baseline: str | None = None) -> list[tuple[str, str]]:
    """All pairs of policies, each once and in their order; those with the baseline come first.

    Args:
        names: of the policies, in order.
        baseline: the one that the others are compared with; it is the second of its pairs.
    """
    others = [name for name in names if name != baseline]
    first = [(name, baseline) for name in others] if baseline in names else []
    return [*first, *combinations(others, 2)]  # type: ignore[list-item]


def write_summary(results: xr.Dataset, path: Path | str) -> Summary:
    """Write `summary(results)` as JSON, atomically, and return it."""
    content = summary(results)
    write_json(path, content)
    return content


def first_better(summary: Summary, a: str, b: str) -> list[tuple[str, int]]:
    """Where `a` is better than `b`: (metric, look) whose paired interval excludes zero.

    Raises:
        ValueError: the summary does not compare the two.
    """
    sign = 1
    paired = summary["paired"].get(f"{a} - {b}")
    if paired is None:
        sign, paired = -1, summary["paired"].get(f"{b} - {a}")
    if paired is None:
        known = ", ".join(summary["paired"]) or "none"
        raise ValueError(f"{a} and {b} are not compared; the summary has {known}")
    found = []
    for metric, curve in paired.items():
        up = sign if HIGHER_IS_BETTER[metric] else -sign
        worst = curve["low"] if up > 0 else curve["high"]
        found += [
            (metric, look)
            for look, bound in enumerate(worst)
            if bound is not None and up * bound > 0
        ]
    return found


def _arrays(results: xr.Dataset, variable: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Beliefs with scene, finding and answer last, and the labels `[N, (L)]`."""
    question = [name for name in ("scene", "finding", "answer") if name in results[variable].dims]
    beliefs = results[variable].transpose(..., *question)
    if "look" in beliefs.dims:
        beliefs = beliefs.transpose("policy", "seed", "look", *question)
    label = results["label"].transpose(*question[:-1])
    return beliefs.values, label.values.astype(np.int64)


def _scores(
    results: xr.Dataset, weights: NDArray[Any] | None, metrics: list[str] | None = None
) -> dict[str, NDArray[np.float64]]:
    """Each metric as `[*R, policy, look]`, averaged over seeds, for scene weights `[*R, N]`."""
    beliefs, labels = _arrays(results, "log_belief")
    names = metrics or list(METRICS)
    shape = beliefs.shape[:3]
    resamples = () if weights is None else weights.shape[:-1]
    found = {metric: np.empty((*resamples, *shape)) for metric in names}
    known: dict[bytes, dict[str, NDArray[Any]]] = {}  # look 0 and sure policies repeat themselves
    for index in np.ndindex(*shape):
        one = beliefs[index]
        key = one.tobytes()
        if key not in known:
            with np.errstate(invalid="ignore"):  # an infinite NLL that a resample leaves out
                known[key] = {metric: METRICS[metric](one, labels, weights) for metric in names}
        for metric in names:
            found[metric][(..., *index)] = known[key][metric]
    return {metric: values.mean(-2) for metric, values in found.items()}


def resampled(results: xr.Dataset, resamples: int, seed: int) -> Iterator[NDArray[np.float32]]:
    """How often each scene counts in each resample, `[R, N]`, piece by piece.

    Args:
        results: with the dimension scene, and `patient` where it is known, which is then resampled.
        resamples: R.
        seed: of the resamples.
    """
    number = results.sizes["scene"]
    clusters = np.arange(number)
    if "patient" in results:
        clusters = np.unique(results["patient"].values.astype(str), return_inverse=True)[1]
    groups = int(clusters.max()) + 1
    rng = np.random.default_rng(seed)
    piece = max(_AT_ONCE // number, 1)
    for start in range(0, resamples, piece):
        rows = min(piece, resamples - start)
        counts = rng.multinomial(groups, np.full(groups, 1 / groups), size=rows)
        yield counts[:, clusters].astype(np.float32)


def _interval(mean: NDArray[Any], many: NDArray[Any]) -> dict[str, list[float | None]]:
    with warnings.catch_warnings(), np.errstate(invalid="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)  # a metric that no resample has
        low, high = np.nanpercentile(many, [2.5, 97.5], axis=0)
    return {"mean": _plain(mean), "low": _plain(low), "high": _plain(high)}


def with_bounds(value: float, many: NDArray[np.float64]) -> Bounded:
    """A figure with its 95 % percentile interval.

    Args:
        value: of all scenes.
        many: of each resample; those that are not finite are left out.
    """
    known = many[np.isfinite(many)]
    if not np.isfinite(value) or not len(known):
        return float(value), np.nan, np.nan
    low, high = np.percentile(known, [2.5, 97.5])
    return float(value), float(low), float(high)


def _plain(values: Any) -> list[float | None]:
    """Floats for JSON: None where there is no finite value."""
    return [float(value) if np.isfinite(value) else None for value in values]
