"""`boed train policy`: a network that says where to look, in one pass."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from boed.cli.options import Size, Weights, sensor_table
from boed.cli.recipe import default_checkpoint, trained
from boed.cli.training_options import options_of, training_options
from boed.foundation.options import OneOf, Text
from boed.training.config import LOOK_TRAININGS, POLICY_METHODS, PolicyTrainingConfig

SAID = ("val_spce", "val_spce_se", "val_gain", "val_gain_se", "val_bound", "val_cost")
"""Figures of the last validation that are said at the end."""

if TYPE_CHECKING:
    from boed.training import Recipe


@training_options(*LOOK_TRAININGS.values(), PolicyTrainingConfig)
def train_policy(
    name: Annotated[
        str,
        typer.Argument(
            help="value expects the gain of every look, nonmyopic that of the looks after it, too; "
            "greedy is a selector trained with a predictor of the label. For a --problem: dad, "
            "idad (no likelihood), rl (no gradient), vsoed (with a posterior), or fixed designs."
        ),
        OneOf((*LOOK_TRAININGS, *POLICY_METHODS)),
    ] = "value",
    data: Annotated[
        str | None,
        typer.Option(help="Name or path of a data set; digits if not given."),
    ] = None,
    problem: Annotated[
        str | None,
        typer.Option(
            help="A Pyro model in place of data: NAME,option=value,... such as location_finding, "
            "or module:model,dimensions=1,lower=0,upper=1 of your own; space=NAME is a DesignSpace "
            "beside it."
        ),
        Text(),
    ] = None,
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
    init: Annotated[
        str | None,
        typer.Option(
            help="Trained policy to start from, by name or path: one of another classifier, of "
            "other looks or of another name; for a --problem one of the same network."
        ),
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

    kinds = {**LOOK_TRAININGS, **dict.fromkeys(POLICY_METHODS, PolicyTrainingConfig)}
    for option in training:
        takers = [each for each, kind in kinds.items() if option in options_of(kind)]
        if name not in takers:
            raise ValueError(
                f"--{option.replace('_', '-')} is for the policy {' or '.join(takers)}, expected "
                f"none for {name}"
            )
    if name in POLICY_METHODS:
        of_data = {"data": data, "size": size, "sensor": sensor}
        of_data |= {"classifier": classifier, "completer": completer}
        for option, given in of_data.items():
            if given is not None:
                raise ValueError(
                    f"--{option} is for the policy {' or '.join(LOOK_TRAININGS)}, expected none "
                    f"for {name}, which is for a --problem"
                )
        asked = Recipe(kind="policy", name=name, problem=problem or "location_finding", init=init)
        _for_problem(asked, out, training)
        return
    if problem is not None:
        raise ValueError(
            f"--problem is for the policy {' or '.join(POLICY_METHODS)}, expected none for {name}"
        )
    data = data or "digits"
    asked = Recipe(
        kind="policy",
        name=name,
        data=data,
        size=size,
        sensor=sensor_table(sensor),
        classifier=classifier,
        completer=completer,
        init=init,
    )
    out = out or default_checkpoint(name, data)
    model: Any = trained(asked, out, training)
    if model is None:
        return
    if training.get("joint"):
        from boed.policies.learned.joint import classifier_path

        typer.echo(f"the classifier that it is for lies in {classifier_path(out)}")
    table = Table("figure", "", title=f"{data}, val")
    for figure, value in model.provenance["scores"]["val"].items():
        table.add_row(figure.removeprefix("val_"), number(value))
    plain_console().print(table)


def _for_problem(asked: Recipe, out: Path | None, training: dict[str, Any]) -> None:
    """Train a policy for a Pyro model, and say what it reached."""
    name, problem = str(asked.name), str(asked.problem)
    called = problem.partition(",")[0].rpartition(":")[2]
    model: Any = trained(asked, out or default_checkpoint(name, called), training)
    if model is not None:
        reached = model.provenance["history"][-1]
        figures = (f"{figure} {value:.3f}" for figure, value in reached.items() if figure in SAID)
        typer.echo(f"{problem}: {', '.join(figures)}")
