"""`boed evaluate classifier`: what classifiers believe of clean and of shifted scenes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from boed.cli.console import command, counted, ends_with_finished
from boed.cli.options import RUN_FOLDER, Data, Device, Seed, Size, Split, Strengths, named_after
from boed.foundation.options import Text, Whole, Wholes, read_wholes


def evaluate_classifier(
    classifiers: Annotated[
        list[str],
        typer.Argument(help="Names of shipped classifiers, or checkpoints ([NAME=]PATH)."),
        Text(),
    ],
    data: Data = "digits",
    size: Size = None,
    split: Split = "val",
    scenes: Annotated[int, typer.Option(help="Scenes, a fixed random choice."), Whole(1)] = 256,
    looks: Annotated[
        str,
        typer.Option(help="Numbers of random looks, besides whole scenes."),
        Wholes(0),
    ] = "1,3",
    strengths: Strengths = "2",
    also: Annotated[
        str | None,
        typer.Option(
            help="Another data set that the question can be asked of, its labels mapped by name."
        ),
        Text(),
    ] = None,
    prevalence: Annotated[
        str | None,
        typer.Option(
            help="Of the answers, that all of them assume, as pneumonia=0.1.",
            show_default="what each was trained for",
        ),
    ] = None,
    seed: Seed = 0,
    out: Annotated[
        Path | None,
        typer.Option(help="Run folder.", show_default="runs/classifiers-DATA"),
        RUN_FOLDER,
    ] = None,
    device: Device = "cpu",
) -> None:
    """Compare classifiers on scenes as they are and under ten kinds of shift.

    Writes results.nc, report.html and its tables to the run folder: AUROC, accuracy, NLL and ECE
    by number of looks with intervals, and paired differences. An interrupted run goes on when the
    same command is given again.
    """
    from boed.classifiers.evaluation.evaluate import Suite
    from boed.run import evaluate_classifiers

    suite = Suite(
        scenes=scenes,
        looks=read_wholes("looks", looks),
        strengths=read_wholes("strengths", strengths),
        seed=seed,
    )
    folder = out or Path("runs") / named_after("classifiers", data)
    number = len(suite.conditions) + (also is not None) + 1  # regions hidden
    with ends_with_finished(folder), counted(number, "conditions") as advance:
        evaluate_classifiers(
            classifiers,
            folder,
            data=data,
            size=size,
            split=split,
            suite=suite,
            also=also,
            prevalence=prevalence,
            device=device,
            command=command(),
            on_progress=advance,
        )
    typer.echo(f"report: {folder / 'report.html'}")
