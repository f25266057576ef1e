"""The same benchmark on scenes as they are and under shifts: its runs, and their joint results."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from boed.benchmark.engines import Engine
from boed.benchmark.storage import finish
from boed.benchmark.sweep import benchmark, scene_rows
from boed.data.shifts import Condition
from boed.foundation.identity import PARTS
from boed.foundation.identity import RESULTS as RESULTS_FILE
from boed.foundation.netcdf import Schema
from boed.policies import CentreOut, FixedDesign, Policy
from boed.report import results as one_run
from boed.setup import Setup

if TYPE_CHECKING:
    import xarray as xr

KIND = "evaluation of policies"
"""What the record of a run's folder calls it."""

SCANS = "scans"
"""The attribute of results that names the policies that are fixed scans."""


def varies(variable: object, dims: Collection[Hashable]) -> bool:
    """Whether a variable of one run's Results differs between conditions."""
    return "policy" in dims or variable == "full_image_log_belief"


def scans(policies: Mapping[str, Policy]) -> list[str]:
    """Which policies look at the same places whatever they see: those of the package."""
    return [name for name, each in policies.items() if isinstance(each, CentreOut | FixedDesign)]


def check_rivals(policies: Mapping[str, Policy], baseline: str | None) -> None:
    """Refuse policies of which there is none to compare the first with.

    Raises:
        ValueError: there is neither a baseline nor a fixed scan besides the first policy.
    """
    first, *others = policies
    if baseline not in others and not set(scans(policies)) & set(others):
        raise ValueError(
            f"policies is {', '.join(policies)}, expected a baseline or a fixed scan to compare "
            f"{first} with, such as random, centre_out or fixed"
        )


def benchmark_shifted(
    setup: Setup,
    folder: Path,
    *,
    conditions: Sequence[Condition],
    scenes: int,
    seeds: Sequence[int],
    engine: Engine,
    on_progress: Callable[[str, int], None] | None = None,
) -> xr.Dataset:
    """Run the benchmark under each condition: the same scenes, policies and random numbers.

    Each run lies in a folder of its own, as `boed benchmark` writes it, and goes on where it was
    interrupted. Models and policies are those of the clean scenes.

    Args:
        setup: what is run.
        folder: of all of it.
        conditions: which the scenes are shown under.
        scenes: how many, a fixed random choice.
        seeds: repetitions; scenes are shifted by the first alone.
        engine: where the blocks of scenes are done.
        on_progress: called with a condition and the scene-looks just finished.

    Returns:
        What `RESULTS` says.

    Raises:
        ValueError: whatever `benchmark` refuses.
        OSError: the folder cannot be written; what was finished is kept.
    """
    rows = scene_rows(len(setup.data), scenes)
    found = {}
    for condition in conditions:

        def told(policy: str, number: int, name: str = condition.name) -> None:
            if on_progress is not None:
                on_progress(name, number)

        part = folder / PARTS / condition.name.replace(" ", "-")
        results = benchmark(
            condition.of(setup.data, rows, seed=seeds[0]),
            setup.sensor,
            setup.classifier,
            policies=setup.policies,
            steps=setup.steps,
            seeds=seeds,
            scenes=scenes,
            out=part,
            memory=setup.memory,
            primary=setup.primary,
            attributes={
                **setup.about,
                "baseline": setup.baseline,
                "condition": condition.name,
                SCANS: scans(setup.policies),
            },
            on_progress=told,
            device=setup.device,
            engine=engine,
        )
        one_run.save(results, part / RESULTS_FILE)
        finish(part)
        found[condition] = results
    return joined(found)


def joined(found: Mapping[Condition, xr.Dataset]) -> xr.Dataset:
    """The results of a benchmark under each condition as one data set."""
    import xarray as xr

    parts = list(found.values())
    varied = [name for name, each in parts[0].data_vars.items() if varies(name, each.dims)]
    exactly: Any = {"coords": "minimal", "compat": "override", "join": "exact"}
    along = xr.concat([each[varied] for each in parts], dim="condition", data_vars="all", **exactly)
    results = parts[0].drop_vars([*varied, "thumbnail"], errors="ignore").merge(along)
    seconds = sum(float(each.attrs.get("seconds", 0)) for each in parts)
    results.attrs = {**parts[0].attrs, "seconds": seconds}
    results.attrs.pop("condition", None)
    return results.assign_coords(
        condition=[each.name for each in found],
        shift=("condition", [each.shift for each in found]),
        strength=("condition", np.array([each.strength for each in found])),
    )


def of_condition(results: xr.Dataset, name: str) -> xr.Dataset:
    """The Results of the benchmark under one condition; see `boed.report.results`."""
    return results.sel(condition=name).drop_vars(["condition", "shift", "strength"])


def _rules(results: xr.Dataset, name: str) -> None:
    for each in ("condition", "shift", "strength", "policy"):
        if each not in results.coords:
            raise ValueError(f"{name} has no coordinate {each!r}; is it from another program?")
    one_run.validate(of_condition(results, str(results["condition"].values[0])), name)
    if bool(results["log_belief"].isnull().any()):
        raise ValueError(f"{name}: log_belief holds NaN, expected log-probabilities")


def _with_conditions(variables: Mapping[str, Collection[str]]) -> dict[str, Collection[str]]:
    """Dimensions of variables of one run's Results, of several conditions."""
    return {
        name: {*dims, "condition"} if varies(name, dims) else dims
        for name, dims in variables.items()
    }


RESULTS = Schema(
    "results",
    _with_conditions(one_run.RESULTS.needed),
    optional=_with_conditions(one_run.RESULTS.optional),
    further=("finding",),
    rules=_rules,
)
"""What `benchmark_shifted` returns."""
