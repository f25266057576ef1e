"""Policies under shift in one call: the same benchmark on clean and shifted scenes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from boed.benchmark.engines import Engine
from boed.benchmark.engines import named as engine_named
from boed.benchmark.identity import benchmark_identity, describe_classifier
from boed.benchmark.shifted import KIND, RESULTS, benchmark_shifted, check_rivals
from boed.benchmark.sweep import check_run
from boed.classifiers.evaluation.out_of_distribution import warn_if_unlike
from boed.data.readers.tables import refuse_table
from boed.data.shifts import MIDDLE
from boed.data.shifts import conditions as conditions_of
from boed.foundation import netcdf
from boed.foundation.arguments import checked
from boed.foundation.identity import RESULTS as RESULTS_FILE
from boed.foundation.identity import claim
from boed.foundation.options import SEED, RunFolder
from boed.setup import Setup

if TYPE_CHECKING:
    import xarray as xr


@checked
def evaluate_policies(
    setup: Setup,
    out: Path | str,
    *,
    shifts: Sequence[str] | None = None,
    strengths: Sequence[int] = (MIDDLE,),
    scenes: int | None = None,
    seeds: Sequence[int] = (0,),
    engine: Engine | str = "local",
    command: str | None = None,
    on_progress: Callable[[str, int], None] | None = None,
) -> tuple[xr.Dataset, list[str]]:
    """Run a set-up on clean scenes and under shifts, and write what came out to a folder.

    The folder then holds `results.nc`, `report.html`, its tables as CSV in `tables/`, and in
    `parts/` the run under each condition, of which `boed report` writes the page. The same call on
    the same folder goes on, and may add policies and conditions.

    Args:
        setup: what `boed.setup` put together; its first policy is compared with its baseline and
            with the strongest of its fixed scans.
        out: run folder.
        shifts: some of `boed.data.shifts.SHIFTS`; all if not given.
        strengths: of each, 1 to 3.
        scenes: how many of the data set's scenes, a fixed random choice; all if not given.
        seeds: repetitions.
        engine: `local`, `processes` or `ray`, or one of `boed.benchmark.engines`.
        command: what was typed, for the record.
        on_progress: called with a condition and the scene-looks just finished.

    Returns:
        The results, see `boed.benchmark.shifted.RESULTS`, and a line of verdict for each rival.

    Raises:
        ValueError: a shift or strength that there is not, no rival to compare the first policy
            with, or whatever `boed.benchmark` refuses.
        OSError: the folder cannot be written; what was finished is kept.
    """
    from boed.report.policies.page import write_policy_report

    conditions = conditions_of(strengths, shifts)
    RunFolder().check("out", out)
    refuse_table(setup.data.name, "an evaluation of policies under shift")
    if min(setup.data.shape) == 1:
        raise ValueError(f"data: {setup.data.name} has scenes of one row, expected images to shift")
    number = len(setup.data) if scenes is None else scenes
    for seed in seeds:
        SEED.check("one of seeds", seed)
    check_run(setup.data, number, setup.policies, seeds=seeds, steps=setup.steps)
    check_rivals(setup.policies, setup.baseline)
    engine = engine_named(engine) if isinstance(engine, str) else engine
    started = datetime.now(UTC).isoformat(timespec="seconds")
    warn_if_unlike(setup.classifier, setup.data)
    identity = benchmark_identity(
        setup.data, setup.sensor, setup.classifier, policies=setup.policies
    )
    settings = {"scenes": number, "steps": setup.steps, "seed_numbers": list(map(int, seeds))}
    settings |= {"primary": setup.primary}
    content = {
        **describe_classifier(setup.classifier),
        "identity": identity,
        "settings": settings,
    }
    claim(Path(out), KIND, content, grows=("policies",))
    if on_progress is not None:
        on_progress(conditions[0].name, 0)
    results = benchmark_shifted(
        setup,
        Path(out),
        conditions=conditions,
        scenes=number,
        seeds=seeds,
        engine=engine,
        on_progress=on_progress,
    )
    results.attrs.setdefault("started", started)
    if command is not None:
        results.attrs["command"] = command
    netcdf.save(results, Path(out) / RESULTS_FILE, RESULTS)
    return results, write_policy_report(results, Path(out)).verdicts
