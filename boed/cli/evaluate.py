"""`boed evaluate`: how good completers are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from boed.cli.console import command, counted, explained
from boed.cli.options import Data, Device, Seed, Size, Split

app = typer.Typer(help="Measure completers.", no_args_is_help=True)


@app.callback()
def evaluate() -> None:
    """Measure completers."""


@app.command("completer")
def completer(
    completers: Annotated[
        list[str],
        typer.Argument(help="aipo, retrieval, other names, or checkpoints ([NAME=]PATH)."),
    ],
    data: Data = "digits",
    size: Size = None,
    split: Split = "test",
    scenes: Annotated[int, typer.Option(help="Scenes for realism, one completion each.")] = 256,
    deep: Annotated[int, typer.Option(help="How many of them get N completions.")] = 64,
    completions: Annotated[int, typer.Option(help="Completions of each of those, N.")] = 10,
    seed: Seed = 0,
    seeds: Annotated[int, typer.Option(help="Sampling seeds: seed, seed + 1, ...")] = 3,
    classifier: Annotated[
        str | None, typer.Option(help="Name or checkpoint whose features describe scenes.")
    ] = None,
    inception: Annotated[
        Path | None, typer.Option(help="Your weights of the FID's Inception, to use instead.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Run folder.")] = Path("runs/completers"),
    device: Device = "cpu",
) -> None:
    """Compare completers: realism, fidelity, diversity, calibration and the answers they imply.

    Writes results.nc, examples.nc, report.html and table.md to the run folder. An interrupted
    run goes on when the same command is given again.
    """
    with explained():
        from boed.completion.evaluation.plan import Plan, completions_each
        from boed.run import evaluate_completers

        plan = Plan(scenes=scenes, deep=deep, n=completions, seeds=tuple(range(seed, seed + seeds)))
        with counted(completions_each(plan) * seeds, "completions") as advance:
            evaluate_completers(
                completers,
                out,
                data=data,
                size=size,
                split=split,
                plan=plan,
                classifier=classifier,
                inception=inception,
                device=device,
                command=command(),
                on_progress=advance,
            )
        typer.echo(f"report: {out / 'report.html'}")
