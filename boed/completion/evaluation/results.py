"""What the evaluation of completers found: checked, averaged, with intervals over seeds.

Results are the `xarray.Dataset` that `boed.completion.evaluation.evaluate` returns, over completer,
sampling seed, condition (how many squares were seen, "holes", or masks by name) and scene. Examples
are a second one with pictures.
"""

from __future__ import annotations

import json
import warnings
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from boed.completion.evaluation.evaluate import REALISM
from boed.completion.log_probability import Meaning
from boed.foundation.netcdf import Schema

_GROUP = {"completer", "seed", "group"}
_SCENE = {"completer", "seed", "condition", "scene"}
_TEST = {"completer", "seed", "condition"}
_USE = {"completer", "seed", "look"}
_FACT = {"completer"}
_NEEDED = {
    **dict.fromkeys(REALISM, _GROUP),
    **{f"{name}_floor": {"group"} for name in REALISM},
    **dict.fromkeys(("observed_error", "l1", "l1_best", "psnr", "psnr_best"), _SCENE),
    **dict.fromkeys(("ssim", "ssim_best", "feature_distance", "pixel_std"), _SCENE),
    **dict.fromkeys(("crps", "energy"), _SCENE),
    "interval_coverage": _SCENE | {"level"},
    "implied_level": {"level"},
    **dict.fromkeys(("sbc_p", "sbc_shift", "sbc_spread"), _TEST | {"statistic"}),
    "sbc_rank": _SCENE | {"statistic"},
    "tarp_p": _TEST,
    "tarp_bias": _TEST,
    "tarp_coverage": _TEST | {"fraction"},
    "fraction": {"fraction"},
    "seconds": {"completer", "seed"},
    "completions": {"completer", "seed"},
}
_OPTIONAL = {
    **dict.fromkeys(("inception_score", "label_nll", "label_correct"), _SCENE),
    **dict.fromkeys(("decibels", "decibels_best", "squared_error", "share_within"), _SCENE),
    **dict.fromkeys(("psnr_hidden", "ssim_hidden"), _SCENE),
    **dict.fromkeys(("relative_l1", "relative_l1_best"), _SCENE),
    **dict.fromkeys(("relative_l2", "relative_l2_best"), _SCENE),
    **dict.fromkeys(("label_ece", "label_ece_floor", "label_brier"), _TEST),
    **dict.fromkeys(("pair_distance", "pair_lpips"), _TEST),
    **dict.fromkeys(("lpips", "lpips_best", "lpips_between"), _SCENE),
    "bits_per_dim": {"completer", "condition"},
    **dict.fromkeys(("use_accuracy", "use_auroc", "use_nll"), _USE),
    **dict.fromkeys(("training_cpu_seconds", "training_steps", "parameters"), _FACT),
}
_DECIBELS = ("psnr", "decibels")
"""Beginnings of the names of what is infinite where a completion is the truth."""

_PICTURES: dict[str, tuple[str, ...]] = {
    "sheet_truth": (),
    "sheet_observed": ("look",),
    "sheet_mask": ("look",),
    "sheet_sample": ("completer", "look", "k"),
    "free_truth": ("f",),
    "free_mask": ("f",),
    "free_sample": ("completer", "f", "k"),
    "foreign_image": ("foreign",),
    "foreign_reconstruction": ("model", "foreign"),
}
"""Leading dimensions; those of the image follow."""


def _rules(results: xr.Dataset, called: str) -> None:
    for name in ("n", "scenes", "deep"):
        if not isinstance(results.attrs.get(name), int | np.integer):
            raise ValueError(
                f"{called}: attribute {name} is {results.attrs.get(name)!r}, "
                "expected a whole number"
            )
    for name in ("completer", "condition", "group"):
        _check_names(results, name)
    conditions, groups = (list(map(str, results[k].values)) for k in ("condition", "group"))
    if not set(conditions) < set(groups) or "all" not in groups:
        raise ValueError(f"{called}: group is {groups}, expected {[*conditions, 'all']}")
    if not squares(results):
        raise ValueError(f"{called}: condition is {conditions}, expected numbers of squares seen")
    for key, values in results.data_vars.items():
        infinite = values.dtype.kind == "f" and bool(np.isinf(values).any())
        if infinite and not str(key).startswith(_DECIBELS):
            raise ValueError(f"{called}: {key} holds infinite values, expected numbers or NaN")
    meanings(results, called)
    ranks, n = results["sbc_rank"], int(results.attrs["n"])
    if bool(((ranks < 0) | (ranks > n)).any()):
        raise ValueError(f"{called}: sbc_rank must be within 0 to n = {n}")


RESULTS = Schema("results", _NEEDED, optional=_OPTIONAL, rules=_rules)
"""What `boed.completion.evaluation.evaluate` returns."""


def _pictures(examples: xr.Dataset, called: str) -> None:
    parts = {name.split("_")[0] for name in _PICTURES if name in examples}
    if not parts:
        raise ValueError(f"{called} has none of {', '.join(_PICTURES)}")
    for name, leading in _PICTURES.items():
        if name.split("_")[0] not in parts:
            continue
        if name not in examples:
            raise ValueError(f"{called} has no variable {name!r}, but others of its kind")
        dims = tuple(map(str, examples[name].dims))
        expected = (*leading, *_image(name))
        if dims != expected:
            raise ValueError(f"{called}: {name} has dimensions {dims}, expected {expected}")
    for name in ("completer", "foreign", "model"):
        if name in examples.dims:
            _check_names(examples, name)


def _image(name: str) -> tuple[str, ...]:
    return ("row", "column") if name.endswith("mask") else ("channel", "row", "column")


EXAMPLES = Schema(
    "examples",
    {},
    optional={name: {*leading, *_image(name)} for name, leading in _PICTURES.items()},
    rules=_pictures,
)
"""Pictures of completions; each of sheet, free and foreign may be missing."""


def _check_names(dataset: xr.Dataset, name: str) -> None:
    values = list(map(str, dataset[name].values)) if name in dataset.coords else []
    if not values or len(set(values)) < len(values):
        raise ValueError(f"coordinate {name} is {values}, expected names that differ")


def squares(results: xr.Dataset) -> list[str]:
    """The conditions that are a number of observed squares, fewest first."""
    names = [str(name) for name in results["condition"].values if str(name).isdigit()]
    return sorted(names, key=int)


def meanings(results: xr.Dataset, called: str = "results") -> dict[str, Meaning]:
    """What the log-probability of each completer is that has one; nothing where it is not said.

    Raises:
        ValueError: the attribute that says it is damaged.
    """
    text = results.attrs.get("log_probs", "{}")
    try:
        return {name: Meaning(**said) for name, said in json.loads(text).items()}
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"{called}: attribute log_probs is {text!r}, expected log_prob_is, levels and counts "
            "by completer as JSON"
        ) from error


def deterministic(results: xr.Dataset) -> set[str]:
    """Completers whose n completions of a scene are all the same, by their `pixel_std`."""
    widest = results["pixel_std"].max([d for d in results["pixel_std"].dims if d != "completer"])
    return {str(name) for name in results["completer"].values[widest.values < 1e-6]}


def by_condition(results: xr.Dataset, name: str, level: float | None = None) -> xr.DataArray:
    """A figure for each completer, seed and condition (or group), averaged over scenes.

    Args:
        level: which, of the coverage of intervals.
    """
    values = results[name]
    if level is not None:
        values = values.sel(level=level)
    if "scene" not in values.dims:
        return values
    if name.startswith("psnr"):
        return _decibel(mean_known(10 ** (-values / 10), "scene"))
    return mean_known(values, "scene")


def over_squares(values: xr.DataArray) -> xr.DataArray:
    """Average over the numbers of observed squares, without the holes.

    Conditions in which no completer has a value are left out; a completer that lacks one which
    another has is NaN, since the two averages would not compare.
    """
    counted = [str(c) for c in values["condition"].values if str(c).isdigit()]
    values = values.sel(condition=counted)
    known = values.notnull().any([d for d in values.dims if d != "condition"])
    return values.sel(condition=known.values).pipe(mean_known, "condition", skipna=False)


class Interval(NamedTuple):
    """Means over seeds, half the width of their 95 % interval, and of how many seeds."""

    mean: xr.DataArray
    half: xr.DataArray
    seeds: xr.DataArray


def over_seeds(values: xr.DataArray) -> Interval:
    """Mean over seeds with half the width of its Student t interval, t_0.975,k-1 s / sqrt(k).

    The interval is NaN with fewer than two seeds that have a value, or without seeds at all.
    """
    from scipy.stats import t

    if "seed" not in values.dims:
        return Interval(values, xr.full_like(values, np.nan, float), values.notnull().astype(int))
    seeds = values.notnull().sum("seed")
    with np.errstate(invalid="ignore"):
        deviation = (mean_known((values - mean_known(values, "seed")) ** 2, "seed") * seeds) ** 0.5
        some = seeds.where(seeds > 1)
        half = t.ppf(0.975, some - 1) * deviation / ((some - 1) * some) ** 0.5
    return Interval(mean_known(values, "seed"), half, seeds)


def holm(p: NDArray[Any], level: float = 0.05) -> NDArray[np.bool_]:
    """Which of several tests reject with a family-wise error of `level` (Holm 1979).

    NaN is no test.
    """
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known])]
    passed = p[order] > level / np.arange(len(order), 0, -1)
    rejected = np.zeros(len(p), bool)
    rejected[order[: int(passed.argmax()) if passed.any() else len(order)]] = True
    return rejected


def sbc_rejected(results: xr.Dataset) -> xr.DataArray:
    """Share of the tests of ranks that reject, `[completer, seed]`.

    The tests of all statistics and numbers of squares are one family, corrected by `holm`.
    """
    p = results["sbc_p"].sel(condition=squares(results))
    p = p.transpose("completer", "seed", ...)
    flat = p.values.reshape(*p.shape[:2], -1).astype(float)
    share = np.full(flat.shape[:2], np.nan)
    for index in np.ndindex(*share.shape):
        tests = int((~np.isnan(flat[index])).sum())
        if tests:
            share[index] = holm(flat[index]).sum() / tests
    return p.isel(condition=0, statistic=0, drop=True).copy(data=share)


def mean_known(values: xr.DataArray, dim: str, skipna: bool = True) -> xr.DataArray:
    """Mean of the values that are not NaN; NaN where there are none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return values.mean(dim, skipna=skipna)


def _decibel(squared: xr.DataArray) -> xr.DataArray:
    with np.errstate(divide="ignore"):
        return squared.copy(data=-10 * np.log10(squared.values))
