"""`boed data`: list and fetch data sets."""

from __future__ import annotations

from typing import Annotated

import typer

from boed.cli.commands import Command
from boed.cli.console import plain_console
from boed.foundation.registry import check_known, one_of

app = typer.Typer(help="List and fetch data sets.", no_args_is_help=True)


@app.command("list", cls=Command)
def data_list() -> None:
    """What can be loaded by name, and what is there already. Piped: columns between tabs."""
    from rich.table import Table

    from boed.data.load import catalogue

    rows = [
        (each.name, each.what, "/".join(map(str, each.sizes)), each.available, each.how)
        for each in catalogue()
    ]
    console = plain_console()
    if not console.is_terminal:
        for name, what, sizes, here, how in rows:
            typer.echo("\t".join((name, what, sizes, "yes" if here else "no", how)))
        return
    table = Table()
    table.add_column("name", no_wrap=True)
    for heading in ("what", "pixels", "here", "how to get it"):
        table.add_column(heading)
    for name, what, sizes, here, how in rows:
        table.add_row(name, what, sizes, "yes" if here else "", how)
    console.print(table)


@app.command("fetch", cls=Command)
def data_fetch(
    name: Annotated[
        str,
        typer.Argument(help="pneumoniamnist, chestmnist or cifar10."),
    ],
    size: Annotated[
        int | None, typer.Option(help="MedMNIST's: 28, 64, 128 or 224 pixels; 64 if not given.")
    ] = None,
) -> None:
    """Download a data set, resuming what was begun, and check it."""
    from boed.data.readers import cifar10, medmnist

    _check_fetched(name)
    if name == "cifar10" and size not in (None, 32):
        raise ValueError(f"size is {size}; cifar10 has images of 32 pixels only")
    path = (
        cifar10.fetch() if name == "cifar10" else medmnist.fetch(name, 64 if size is None else size)
    )
    typer.echo(f"{name}: {path}")


def _check_fetched(name: str) -> None:
    """Refuse what is not downloaded; of a set that comes another way it is said how.

    Raises:
        ValueError: an unknown name (the nearest is suggested), or such a set.
    """
    from boed.data.load import FETCHED, catalogue

    for each in catalogue():
        if each.name == name and name not in FETCHED:
            raise ValueError(
                f"name is {name!r}, which is not downloaded: {each.how}; expected {one_of(FETCHED)}"
            )
    check_known("name", name, FETCHED)
