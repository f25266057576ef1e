"""`boed evaluate policy`: whether a policy still wins where scenes are shifted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from boed.cli.console import command, counted, ends_with_finished, plain_console
from boed.cli.options import (
    RUN_FOLDER,
    Data,
    Device,
    Seed,
    Size,
    Split,
    Strengths,
    named_after,
    repetitions,
    with_patch_options,
)
from boed.foundation.options import read_wholes, split_names

AS_FOR = typer.Option(help="As for benchmark.", show_default=False)


def evaluate_policy(
    data: Data = "digits",
    policies: Annotated[
        str,
        typer.Option(
            help="Comma-separated; the first is compared with the baseline and with the strongest "
            "of the fixed scans centre_out, fixed and in_order."
        ),
    ] = "boed,fixed,centre_out,random",
    shifts: Annotated[
        str | None,
        typer.Option(help="Comma-separated kinds of shift.", show_default="all ten"),
    ] = None,
    strengths: Strengths = "2",
    size: Size = None,
    library: Annotated[str | None, AS_FOR] = None,
    sensor: Annotated[str | None, AS_FOR] = None,
    patch: Annotated[float | None, AS_FOR] = None,
    grid: Annotated[int | None, AS_FOR] = None,
    baseline: Annotated[str | None, AS_FOR] = None,
    primary: Annotated[str | None, AS_FOR] = None,
    completer: Annotated[str | None, AS_FOR] = None,
    classifier: Annotated[str | None, AS_FOR] = None,
    scenes: Annotated[int, typer.Option(help="Number of scenes, 0 for all.")] = 128,
    steps: Annotated[int, typer.Option(help="Looks at each scene.")] = 3,
    completions: Annotated[int, typer.Option(help="Completions for each decision, N.")] = 10,
    seed: Seed = 0,
    seeds: Annotated[int, typer.Option(help="Repetitions: seed, seed + 1, ...")] = 1,
    split: Split = "test",
    search: Annotated[str, typer.Option(help="As for benchmark.")] = "racing",
    precision: Annotated[str, typer.Option(help="As for benchmark.")] = "fp32",
    prevalence: Annotated[str | None, AS_FOR] = None,
    memory: Annotated[int, typer.Option(help="Bound on images held at once, MiB.")] = 512,
    engine: Annotated[str, typer.Option(help="local, processes, or ray.")] = "local",
    workers: Annotated[int | None, AS_FOR] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Run folder.", show_default="runs/policies-DATA"),
        RUN_FOLDER,
    ] = None,
    device: Device = "cpu",
) -> None:
    """Run the same benchmark on scenes as they are and under ten kinds of shift.

    Writes results.nc, report.html and its tables to the run folder: AUROC, accuracy and NLL of each
    policy by number of looks, and paired differences of the first one. An interrupted run goes on
    when the same command is given again.
    """
    given = locals()
    from boed.benchmark.engines import named
    from boed.data.shifts import conditions
    from boed.setup import setup
    from boed.under_shift import evaluate_policies

    own = ("shifts", "strengths", "scenes", "seed", "seeds", "engine", "workers", "out")
    typed: dict[str, Any] = {k: v for k, v in given.items() if k not in own and v is not None}
    kinds = None if shifts is None else split_names(shifts)
    under = conditions(read_wholes("strengths", strengths), kinds)
    folder = out or Path("runs") / named_after("policies", data)
    repeated = repetitions(seed, seeds)
    try:
        where = named(engine, workers)
    except ImportError as error:  # the extra that it names is wanted
        raise ValueError(str(error)) from error
    console = plain_console()
    with console.status("reading data and models"):
        made = setup(**with_patch_options(typed))
    number = len(made.data) if scenes == 0 else scenes
    names, about = ", ".join(made.policies), f"{made.data.name} ({made.data.split})"
    console.print(
        f"{about}: {number} scenes, {made.steps} looks, {len(under)} conditions, {names}",
        soft_wrap=True,
    )
    total = number * made.steps * len(repeated) * len(made.policies)
    with ends_with_finished(folder), counted(total, "looks") as advance:
        _, verdicts = evaluate_policies(
            made,
            folder,
            shifts=kinds,
            strengths=read_wholes("strengths", strengths),
            scenes=number,
            seeds=repeated,
            engine=where,
            command=command(),
            on_progress=advance,
        )
    for line in verdicts:
        console.print(line, highlight=False, soft_wrap=True)
    console.print(f"report: {folder / 'report.html'}", soft_wrap=True)
