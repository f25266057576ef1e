"""The command `boed`: parses, calls the library, prints. A file for each command."""

from __future__ import annotations

from typing import Annotated

import typer

from boed.cli.benchmark import benchmark
from boed.cli.commands import Command, Group
from boed.cli.data import app as data_app
from boed.cli.evaluate import app as evaluate_app
from boed.cli.live import live
from boed.cli.report import report
from boed.cli.scan import scan
from boed.cli.sheet import sheet
from boed.cli.survey import app as survey_app
from boed.cli.train import app as train_app

app = typer.Typer(
    cls=Group,
    help="Bayesian optimal experimental design in sequential sensing: where to look next.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"boed {version('boed')}")
        raise typer.Exit


@app.callback()
def boed(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Where to look next: Bayesian optimal experimental design in sequential sensing."""


for each in (benchmark, scan, live, sheet, report):
    app.command(cls=Command)(each)
app.add_typer(train_app, name="train")
app.add_typer(evaluate_app, name="evaluate")
app.add_typer(data_app, name="data")
app.add_typer(survey_app, name="survey")


def main() -> None:
    """Entry point of the command."""
    app()
