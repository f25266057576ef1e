"""`boed train`: completers, classifiers, policies, screens, what a recipe says, all at once."""

from __future__ import annotations

import typer

from boed.cli.commands import Command
from boed.cli.recipe import recipe
from boed.cli.train_all import train_all
from boed.cli.train_classifier import train_classifier
from boed.cli.train_completer import train_completer
from boed.cli.train_install import train_install
from boed.cli.train_pack import train_pack
from boed.cli.train_policy import train_policy
from boed.cli.train_screen import train_screen

app = typer.Typer(help="Train a completer, a classifier or a policy.", no_args_is_help=True)
app.command(cls=Command)(recipe)
app.command("completer", cls=Command)(train_completer)
app.command("classifier", cls=Command)(train_classifier)
app.command("policy", cls=Command)(train_policy)
app.command("screen", cls=Command)(train_screen)
app.command("all", cls=Command)(train_all)
app.command("pack", cls=Command)(train_pack)
app.command("install", cls=Command)(train_install)
