"""`boed train install`: what `boed train all` made better takes the place of what is shipped."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from boed.cli.options import Device
from boed.cli.train_all import Only, Run, show
from boed.foundation.options import Existing


def train_install(
    only: Only = None,
    device: Device = "cpu",
    out: Run = Path("trained"),
    parts: Annotated[
        Path | None,
        typer.Option(help="Folder with parts of another machine, put together in --out first."),
        Existing(folder=True),
    ] = None,
) -> None:
    """Put what `boed train all` trained in the place of what is shipped, where it is better.

    Better is what has ended and has the better val figure, computed now for both. Weights, recipes
    and cards are written into the models' folders.
    """
    from boed.zoo.kit import install, join_parts, judge, plan

    if parts is not None:
        join_parts(parts, out)
    members = [each for each in plan(only or (), out) if each.out.exists()]
    if not members:
        raise ValueError(f"out: {out} holds no trained models; run `boed train all --out {out}`")
    verdicts = [judge(each, out, device=device) for each in members]
    show(verdicts)
    for name in install(members, verdicts):
        typer.echo(f"installed: {name}")
