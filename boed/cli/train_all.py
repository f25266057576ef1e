"""`boed train all`: every shipped model again, from its recipe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from boed.cli.console import command, ends_with, plain_console, training_bar
from boed.cli.options import Device
from boed.cli.recipe import parsed
from boed.foundation.options import Number, OutFolder, Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from boed.zoo.kit import Verdict

Only = Annotated[
    list[str] | None,
    typer.Option(help="Name of a shipped model; repeatable; all if not given."),
    Text(),
]
Run = Annotated[Path, typer.Option(help="Folder with a folder for each model."), OutFolder()]


def train_all(
    only: Only = None,
    minutes: Annotated[
        float | None,
        typer.Option(help="Time in all; steps are set to what it holds. No limit if not given."),
        Number(above=0),
    ] = None,
    change: Annotated[
        list[str] | None,
        typer.Option("--set", help="Another value for all, such as batch=256; repeatable."),
    ] = None,
    device: Device = "cpu",
    out: Run = Path("trained"),
    parts: Annotated[
        Path | None,
        typer.Option(help="Folder to write the results to, in at most 8 parts of 16 MiB."),
        OutFolder(),
    ] = None,
) -> None:
    """Train every shipped model again, or some of them, in order of need.

    The same command goes on where it was interrupted, or stopped by --minutes. Nothing that is
    shipped changes; `boed train install` puts in place what has become better.
    """
    from boed.zoo.kit import judge, plan, train_all, write_parts

    with training_bar() as (on_start, on_step), _kept(out):
        members = train_all(
            only or (),
            out=out,
            minutes=minutes,
            device=device,
            changes=parsed(change or ()),
            command=command(),
            on_member=lambda name: typer.echo(f"training {name}"),
            on_start=on_start,
            on_step=on_step,
        )
    with _kept(out):
        if parts is not None:
            for path in write_parts(plan(only or (), out), out, parts):
                typer.echo(f"part: {path}")
        show([judge(each, out, device=device) for each in members])


def _kept(out: Path):  # type: ignore[no-untyped-def]
    return ends_with(f"what {out} holds is kept, and the same command goes on")


def show(verdicts: Sequence[Verdict]) -> None:
    """Print what came of each training."""
    from rich.table import Table

    table = Table(title="val figures, lower is better")
    for heading in ("model", "steps", "images", "images/s", "shipped", "new", "chosen"):
        table.add_column(heading, overflow="fold")
    for each in verdicts:
        figures = ("" if value is None else f"{value:.4g}" for value in (each.shipped, each.new))
        rate = "" if each.rate != each.rate else f"{each.rate:,.0f}"
        steps = f"{each.steps:,} of {each.of:,}"
        chosen = "yes" if each.chosen else "no"
        table.add_row(each.name, steps, f"{each.images:,}", rate, *figures, f"{chosen}: {each.why}")
    plain_console().print(table)
