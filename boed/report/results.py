"""The Results of a benchmark, and its worked scenes, as files: what they hold.

Results are an `xarray.Dataset` with the dimensions policy, seed, scene, look (0 to T; 0 is nothing
seen), step (1 to T), axis and answer, and finding where several questions are asked at once.
Examples are a second one with worked scenes for the figures.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import xarray as xr

from boed.foundation import netcdf
from boed.foundation.netcdf import Schema

INSTRUMENT = "sessions"
"""The policy of Results that are of sessions with an instrument, whatever decided there."""


def _looks_and_steps(dataset: xr.Dataset, name: str) -> None:
    if dataset.sizes["look"] != dataset.sizes["step"] + 1:
        raise ValueError(
            f"{name} has {dataset.sizes['look']} looks and {dataset.sizes['step']} steps, "
            "expected one look more than steps: look 0 is before the first step"
        )


def _beliefs_and_labels(dataset: xr.Dataset, name: str) -> None:
    _looks_and_steps(dataset, name)
    for variable in ("log_belief", "full_image_log_belief"):
        if variable in dataset and bool(dataset[variable].isnull().any()):
            raise ValueError(f"{name}: {variable} holds NaN, expected log-probabilities")
    label, answers = dataset["label"], dataset.sizes["answer"]
    if label.size == 0 or int(label.min()) < 0 or int(label.max()) >= answers:
        raise ValueError(f"{name}: label must be within 0 to {answers - 1}, at least one scene")


RESULTS = Schema(
    "results",
    {
        "log_belief": {"policy", "seed", "scene", "look", "answer"},
        "label": {"scene"},
        "design": {"policy", "seed", "scene", "step", "axis"},
        "score": {"policy", "seed", "scene", "step"},
        "cost": {"policy", "seed", "scene", "step"},
        "looks": {"policy", "seed", "scene"},
        "candidates": {"candidate", "axis"},
        "candidate_mask": {"candidate", "y", "x"},
        "seconds": {"policy", "seed"},
    },
    optional={
        "full_image_log_belief": {"scene", "answer"},
        "thumbnail": {"scene", "channel", "v", "u"},
        "effective": {"policy", "seed", "scene", "step"},
        "winners_curse": {"policy", "seed", "scene", "step"},
        "distance": {"policy", "seed", "scene", "look"},
    },
    further=("finding",),
    rules=_beliefs_and_labels,
)
"""What `boed.benchmark` returns."""

EXAMPLES = Schema(
    "examples",
    {
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
    },
    further=("finding",),
    rules=_looks_and_steps,
)
"""Worked scenes for the panels."""


def _schema(dataset: xr.Dataset) -> Schema:
    return EXAMPLES if "example" in dataset.dims else RESULTS


def validate(dataset: xr.Dataset, name: str = "results") -> None:
    """Refuse a data set that is neither Results nor examples; `name` is what the error calls it.

    Raises:
        ValueError: naming the variable that is missing, has other dimensions, or holds NaN or
            labels out of range.
    """
    _schema(dataset).check(dataset, name)


def save(dataset: xr.Dataset, path: Path | str) -> None:
    """Write Results or examples; see `boed.foundation.netcdf.save`."""
    netcdf.save(dataset, path, _schema(dataset))


def load(path: Path | str) -> xr.Dataset:
    """Read Results that `save` wrote; see `boed.foundation.netcdf.load`."""
    return netcdf.load(path, RESULTS)


def structured(text: Any) -> Any:
    """An attribute that holds JSON as what it holds; any other as it is."""
    if not isinstance(text, str):
        return text
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        return text
