"""`boed train classifier`: a classifier of partly seen scenes."""

from __future__ import annotations

from math import isnan
from typing import Annotated, Any

import typer

from boed.cli.console import plain_console
from boed.cli.options import Data, Looks, Size, Weights, sensor_table
from boed.cli.recipe import default_checkpoint, trained
from boed.cli.training_options import training_options
from boed.foundation.options import OneOf, Whole
from boed.training.config import ClassifierTrainingConfig


@training_options(ClassifierTrainingConfig)
def train_classifier(
    data: Data = "digits",
    size: Size = None,
    kind: Annotated[
        str,
        typer.Option(
            help="small, densenet121 as in the paper, resnet18, narrow, as a judge, or mlp, for "
            "single pixels."
        ),
        OneOf("boed.classifiers.networks.densenet:KINDS"),
    ] = "small",
    patch: Annotated[
        float | None, typer.Option(help="Width of a look over that of the scene; 0.25.")
    ] = None,
    sensor: Looks = None,
    policy: Annotated[
        str | None,
        typer.Option(
            help="Trained policy, by name or path, by whose looks half of the scenes are seen; the "
            "others by random ones of its sensor."
        ),
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(
            help="Trained classifier to start from, by name or path, perhaps of another size; or "
            "torchxrayvision:NAME, for densenet121."
        ),
    ] = None,
    members: Annotated[
        int | None,
        typer.Option(help="Train so many, with seeds of their own, and make an ensemble of them."),
        Whole(2, 100),
    ] = None,
    out: Weights = None,
    *,
    training: dict[str, Any],
) -> None:
    """Train and calibrate a classifier of partly seen scenes.

    The same command goes on where it was interrupted, or stopped by --minutes. A finished
    checkpoint is not trained again; --init starts another one from its weights.
    """
    from rich.table import Table

    from boed.report.tables import number
    from boed.training import Recipe

    asked = Recipe(
        kind="classifier",
        data=data,
        size=size,
        architecture=kind,
        patch=patch,
        sensor=sensor_table(sensor),
        policy=policy,
        init=init,
        members=members,
    )
    model: Any = trained(asked, out or default_checkpoint("classifier", data), training)
    if model is None:
        return
    table = Table("looks", "AUROC", "accuracy", "NLL (nats)", "ECE", title=f"{data}, val")
    for looks, figures in model.provenance["scores"]["val"].items():
        cells = (number(None if isnan(value) else value) for value in figures.values())
        table.add_row(looks, *cells)
    plain_console().print(table)
