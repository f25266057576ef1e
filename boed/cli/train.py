"""`boed train`: completers, classifiers and screens, and whatever a recipe says."""

from __future__ import annotations

import typer

from boed.cli.commands import Command
from boed.cli.recipe import recipe
from boed.cli.train_classifier import train_classifier
from boed.cli.train_completer import train_completer
from boed.cli.train_screen import train_screen

app = typer.Typer(help="Train a completer or a classifier.", no_args_is_help=True)
app.command(cls=Command)(recipe)
app.command("completer", cls=Command)(train_completer)
app.command("classifier", cls=Command)(train_classifier)
app.command("screen", cls=Command)(train_screen)
