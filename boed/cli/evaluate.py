"""`boed evaluate`: how good completers and classifiers are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from boed.cli.commands import Command
from boed.cli.console import command, counted, ends_with_finished
from boed.cli.evaluate_classifier import evaluate_classifier
from boed.cli.options import (
    RUN_FOLDER,
    Data,
    Device,
    Seed,
    Size,
    Split,
    named_after,
    repetitions,
)
from boed.foundation.options import Spelled, Whole

app = typer.Typer(help="Measure completers and classifiers.", no_args_is_help=True)
app.command("classifier", cls=Command)(evaluate_classifier)


@app.command("completer", cls=Command)
def completer(
    completers: Annotated[
        list[str],
        typer.Argument(help="aipo, retrieval, other names, or checkpoints ([NAME=]PATH)."),
    ],
    data: Data = "digits",
    size: Size = None,
    split: Split = "test",
    scenes: Annotated[
        int, typer.Option(help="Scenes for realism, one completion each; at least 8."), Whole(8)
    ] = 256,
    deep: Annotated[
        int | None,
        typer.Option(
            help="How many of them get N completions; at least 8.",
            show_default="64, or all of fewer scenes",
        ),
        Whole(8),
    ] = None,
    completions: Annotated[
        int, typer.Option(help="Completions of each of those, N."), Whole(2)
    ] = 10,
    masks: Annotated[
        str | None,
        typer.Option(
            help="Masks to measure with besides numbers of squares and holes, such as "
            "blobs,top:14; see docs/completers.md."
        ),
        Spelled("boed.data.masks:read_masks"),
    ] = None,
    seed: Seed = 0,
    seeds: Annotated[int, typer.Option(help="Sampling seeds: seed, seed + 1, ...")] = 3,
    classifier: Annotated[
        str | None,
        typer.Option(
            help="Name or checkpoint whose features describe scenes, or torchxrayvision:NAME.",
            show_default="what is shipped for the data",
        ),
    ] = None,
    judge: Annotated[
        str | None,
        typer.Option(
            help="Name or checkpoint that answers, for the inception score and label posterior.",
            show_default="as --classifier",
        ),
    ] = None,
    inception: Annotated[
        Path | None, typer.Option(help="Your weights of the FID's Inception, to use instead.")
    ] = None,
    lpips: Annotated[
        Path | None,
        typer.Option(help="Your weights of an LPIPS backbone: torchvision's alexnet or vgg16."),
    ] = None,
    diversity_scenes: Annotated[
        int, typer.Option(help="Observations for diversity from many pairs."), Whole(1)
    ] = 10,
    diversity_completions: Annotated[
        int,
        typer.Option(
            help="Completions of each of them; 317 make the paper's 50,000 pairs, 0 none."
        ),
        Whole(0),
    ] = 0,
    out: Annotated[
        Path | None,
        typer.Option(help="Run folder.", show_default="runs/completers-DATA"),
        RUN_FOLDER,
    ] = None,
    device: Device = "cpu",
) -> None:
    """Compare completers: realism, fidelity, diversity, calibration and the answers they imply.

    Writes results.nc, examples.nc, report.html and table.md to the run folder. An interrupted
    run goes on when the same command is given again.
    """
    from boed.completion.evaluation.plan import Plan, completions_each
    from boed.data.masks import read_masks
    from boed.run import evaluate_completers

    folder = out or Path("runs") / named_after("completers", data)
    plan = Plan(
        scenes=scenes,
        deep=deep or 0,
        n=completions,
        seeds=tuple(repetitions(seed, seeds)),
        masks=() if masks is None else read_masks(masks),
        diversity_scenes=diversity_scenes,
        diversity_completions=diversity_completions,
    )
    with (
        ends_with_finished(folder),
        counted(completions_each(plan) * seeds, "completions") as advance,
    ):
        evaluate_completers(
            completers,
            folder,
            data=data,
            size=size,
            split=split,
            plan=plan,
            classifier=classifier,
            judge=judge,
            inception=inception,
            lpips=lpips,
            device=device,
            command=command(),
            on_progress=advance,
        )
    typer.echo(f"report: {folder / 'report.html'}")
