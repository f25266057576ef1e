"""`boed train policy`: a network that says where to look, in one pass."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from boed.cli.options import Data, Size, Weights, sensor_table
from boed.cli.recipe import default_checkpoint, trained
from boed.cli.training_options import options_of, training_options
from boed.foundation.options import OneOf
from boed.training.config import LOOK_TRAININGS


@training_options(*LOOK_TRAININGS.values())
def train_policy(
    name: Annotated[
        str,
        typer.Argument(
            help="value expects the gain of every look, nonmyopic that of the looks after it, too; "
            "greedy is a selector trained with a predictor of the label."
        ),
        OneOf(tuple(LOOK_TRAININGS)),
    ] = "value",
    data: Data = "digits",
    size: Size = None,
    sensor: Annotated[
        str | None,
        typer.Option(
            help="That it chooses for: NAME,option=value,... as for benchmark; features for "
            "tables, else patch."
        ),
    ] = None,
    classifier: Annotated[
        str | None,
        typer.Option(help="Whose gains it expects, as for benchmark; the data's own if none."),
    ] = None,
    completer: Annotated[
        str | None,
        typer.Option(help="Whose EIG map it learns, with --target map; the data's own if none."),
    ] = None,
    out: Weights = None,
    *,
    training: dict[str, Any],
) -> None:
    """Train a policy that chooses by one pass of a network, on its own looks.

    The same command goes on where it was interrupted, or stopped by --minutes. A finished
    checkpoint is not trained again.
    """
    from rich.table import Table

    from boed.cli.console import plain_console
    from boed.report.tables import number
    from boed.training import Recipe

    for option in training:
        takers = [each for each, kind in LOOK_TRAININGS.items() if option in options_of(kind)]
        if name not in takers:
            raise ValueError(
                f"--{option} is for the policy {' or '.join(takers)}, expected none for {name}"
            )
    asked = Recipe(
        kind="policy",
        name=name,
        data=data,
        size=size,
        sensor=sensor_table(sensor),
        classifier=classifier,
        completer=completer,
    )
    model: Any = trained(asked, out or default_checkpoint(name, data), training)
    if model is None:
        return
    table = Table("figure", "", title=f"{data}, val")
    for figure, value in model.provenance["scores"]["val"].items():
        table.add_row(figure.removeprefix("val_"), number(value))
    plain_console().print(table)
