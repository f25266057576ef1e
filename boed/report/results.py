"""Results of a benchmark: saved, checked, and summarised with paired bootstrap intervals.

Results are an `xarray.Dataset` with the dimensions policy, seed, scene, look (0 to T; 0 is nothing
seen), step (1 to T), axis and answer, and finding where several questions are asked at once.
Examples are a second one with worked scenes for the figures.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from boed.classifiers.metrics import HIGHER_IS_BETTER, METRICS
from boed.foundation.files import atomic, write_json

if TYPE_CHECKING:
    from rich.table import Table

Summary = dict[str, Any]
"""What `summary` returns and `summary.json` holds."""

_RESULTS = {
    "log_belief": {"policy", "seed", "scene", "look", "answer"},
    "label": {"scene"},
    "design": {"policy", "seed", "scene", "step", "axis"},
    "score": {"policy", "seed", "scene", "step"},
    "cost": {"policy", "seed", "scene", "step"},
    "looks": {"policy", "seed", "scene"},
    "candidates": {"candidate", "axis"},
    "candidate_mask": {"candidate", "y", "x"},
    "full_image_log_belief": {"scene", "answer"},
    "seconds": {"policy", "seed"},
}
_EXAMPLES = {
    "scene": {"example", "channel", "y", "x"},
    "values": {"example", "look", "channel", "y", "x"},
    "mask": {"example", "look", "y", "x"},
    "completions": {"example", "step", "completion", "channel", "y", "x"},
    "gain": {"example", "step", "completion", "candidate"},
    "eig": {"example", "step", "candidate"},
    "candidates": {"candidate", "axis"},
    "candidate_mask": {"candidate", "y", "x"},
    "design": {"example", "step", "axis"},
    "chosen": {"example", "step"},
    "log_belief": {"example", "look", "answer"},
}
_AT_ONCE = 2**17
"""Weights per piece of the bootstrap: small enough for the processor's cache."""


def validate(dataset: xr.Dataset, name: str = "results") -> None:
    """Refuse a data set that is neither Results nor examples; `name` is what the error calls it.

    Raises:
        ValueError: naming the variable that is missing, has other dimensions, or holds NaN or
            labels out of range.
    """
    examples = "example" in dataset.dims
    for variable, expected in (_EXAMPLES if examples else _RESULTS).items():
        if variable not in dataset:
            raise ValueError(
                f"{name} has no variable {variable!r}; "
                "is it from another program, or an older version?"
            )
        dims = set(map(str, dataset[variable].dims))
        if dims - {"finding"} != expected:
            raise ValueError(
                f"{name}: {variable} has dimensions {sorted(dims)}, expected {sorted(expected)}"
            )
    if dataset.sizes["look"] != dataset.sizes["step"] + 1:
        raise ValueError(
            f"{name} has {dataset.sizes['look']} looks and {dataset.sizes['step']} steps, "
            "expected one look more than steps: look 0 is before the first step"
        )
    if examples:
        return
    for variable in ("log_belief", "full_image_log_belief"):
        if bool(dataset[variable].isnull().any()):
            raise ValueError(f"{name}: {variable} holds NaN, expected log-probabilities")
    label, answers = dataset["label"], dataset.sizes["answer"]
    if label.size == 0 or int(label.min()) < 0 or int(label.max()) >= answers:
        raise ValueError(f"{name}: label must be within 0 to {answers - 1}, at least one scene")


def save(
    dataset: xr.Dataset, path: Path | str, check: Callable[[xr.Dataset], None] | None = None
) -> None:
    """Write Results or examples as netCDF-4 with checksums, whole or not at all.

    Args:
        dataset: what to write.
        path: file to write.
        check: what refuses a data set that is not of its form; `validate` if not given.

    Raises:
        ValueError: see `validate`.
        OSError: the folder cannot be written or the disk is full.
    """
    (check or validate)(dataset)
    encoding = {
        str(name): {"zlib": True, "complevel": 4, "fletcher32": True}
        for name, variable in dataset.data_vars.items()
        if variable.dtype.kind in "fiu" and variable.ndim
    }
    with atomic(path) as temporary:
        try:
            dataset.to_netcdf(temporary, engine="netcdf4", encoding=encoding)
        except RuntimeError as error:  # what HDF5 says of a full disk
            raise OSError(str(error)) from error


def load(path: Path | str, check: Callable[[xr.Dataset], None] | None = None) -> xr.Dataset:
    """Read what `save` wrote, into memory; `check` as there.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, cut short, or holds something else.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"results {path} does not exist; `boed benchmark` writes it")
    try:
        dataset = xr.load_dataset(path, engine="netcdf4")
    except (OSError, RuntimeError, ValueError, KeyError, AttributeError) as error:
        raise ValueError(f"results {path} is damaged or not netCDF: {error}") from error
    if check is None:
        validate(dataset, f"results {path}")
    else:
        check(dataset)
    return dataset


def curves(results: xr.Dataset, metric: str) -> xr.DataArray:
    """One metric against the number of looks, `[policy, look]`, averaged over seeds.

    Raises:
        ValueError: an unknown metric.
    """
    if metric not in METRICS:
        raise ValueError(f"metric is {metric!r}, expected one of {', '.join(METRICS)}")
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
    one by one; they are not adjusted for how many there are.

    Returns:
        What `summary.json` holds: data, scenes, looks (T), policies, looks_taken and cost (means
        over scenes and seeds), paired, full_image, seconds, versions. Lists have T + 1 entries,
        the first before any look. Values that do not exist,
        such as the AUROC of one class, are None. See `pairs` for what is compared.

    Raises:
        ValueError: fewer than 1 resample, or no Results.
    """
    if resamples < 1:
        raise ValueError(f"resamples is {resamples}, expected at least 1")
    validate(results)
    point = _scores(results, None)
    pieces = [_scores(results, weights) for weights in _weights(results, resamples, seed)]
    drawn = {metric: np.concatenate([piece[metric] for piece in pieces]) for metric in METRICS}
    names = [str(name) for name in results["policy"].values]
    row = {name: number for number, name in enumerate(names)}

    def described(a: str, b: str | None = None) -> dict[str, dict[str, list[float | None]]]:
        found = {}
        for metric in METRICS:
            mean, many = point[metric][row[a]], drawn[metric][:, row[a]]
            if b is not None:
                with np.errstate(invalid="ignore"):  # two infinite NLLs
                    mean, many = mean - point[metric][row[b]], many - drawn[metric][:, row[b]]
            found[metric] = _interval(mean, many)
        return found

    whole, labels = _arrays(results, "full_image_log_belief")
    return {
        "data": str(results.attrs.get("data", "unknown")),
        "scenes": results.sizes["scene"],
        "looks": results.sizes["step"],
        "policies": {name: described(name) for name in names},
        "looks_taken": _per_policy(results["looks"].mean(("seed", "scene"))),
        "cost": _per_policy(results["cost"].sum("step").mean(("seed", "scene"))),
        "paired": {f"{a} - {b}": described(a, b) for a, b in pairs(names)},
        "full_image": {
            metric: _plain([float(score(whole, labels))])[0] for metric, score in METRICS.items()
        },
        "seconds": float(results.attrs.get("seconds", results["seconds"].sum())),
        "versions": structured(results.attrs.get("versions", "{}")),
    }


def _per_policy(values: xr.DataArray) -> dict[str, float]:
    return {str(name): float(values.sel(policy=name)) for name in values["policy"].values}


def pairs(names: list[str]) -> list[tuple[str, str]]:
    """Which policies are compared: the ones that answer a question of the benchmark.

    Every policy with `random`, and every policy whose name starts with `boed` with every other;
    each pair once. Scans and references are not compared with one another.
    """
    against_random = [(a, "random") for a in names if a != "random" and "random" in names]
    ours = sorted((n for n in names if n != "random"), key=lambda n: not n.startswith("boed"))
    return against_random + [(a, b) for a, b in combinations(ours, 2) if a.startswith("boed")]


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


def table(summary: Summary) -> Table:
    """The summary as a terminal table: a row per policy and number of looks."""
    from rich.table import Table

    shown = Table(title=f"{summary['data']}, {summary['scenes']} scenes, 95 % intervals")
    shown.add_column("policy", no_wrap=True)
    shown.add_column("looks", justify="right")
    for metric in METRICS:
        shown.add_column({"nll": "NLL (nats)", "auroc": "AUROC"}.get(metric, metric))
    for name, curve in summary["policies"].items():
        for look in range(summary["looks"] + 1):
            cells = [with_interval(curve[metric], look) for metric in METRICS]
            shown.add_row(name if look == 0 else "", str(look), *cells)
        shown.add_section()
    shown.add_row("full image", "", *(number(summary["full_image"][metric]) for metric in METRICS))
    return shown


def number(value: float | None, signed: bool = False) -> str:
    """A metric to three decimals, a dash where there is none."""
    if value is None:
        return "–"
    return f"{value:+.3f}" if signed else f"{value:.3f}"


def with_interval(curve: dict[str, list[float | None]], look: int, signed: bool = False) -> str:
    """One entry of a curve with its interval."""
    mean, low, high = (number(curve[key][look], signed) for key in ("mean", "low", "high"))
    return mean if mean == "–" else f"{mean} [{low}, {high}]"


def structured(text: Any) -> Any:
    """An attribute that holds JSON as what it holds; any other as it is."""
    if not isinstance(text, str):
        return text
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


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


def _weights(results: xr.Dataset, resamples: int, seed: int) -> Iterator[NDArray[np.float32]]:
    """How often each scene counts in each resample, `[R, N]`, piece by piece."""
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


def _plain(values: Any) -> list[float | None]:
    """Floats for JSON: None where there is no finite value."""
    return [float(value) if np.isfinite(value) else None for value in values]
