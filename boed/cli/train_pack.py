"""`boed train pack`: data for a machine that has none."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from boed.cli.train_all import Only
from boed.foundation.options import COUNT, Number, OutFolder


def train_pack(
    folder: Annotated[
        Path, typer.Argument(help="Folder to write to, for BOED_DATA to name there."), OutFolder()
    ],
    only: Only = None,
    images: Annotated[
        int | None, typer.Option(help="Train images, at most; what fits if not given."), COUNT
    ] = None,
    megabytes: Annotated[
        float | None,
        typer.Option(help="MiB of the file, at most; what code and models leave of 64."),
        Number(above=0),
    ] = None,
) -> None:
    """Write the images that models learn from as a compressed file, as many as fit.

    The models have to learn from the same data: pack one data set at a time.
    """
    from boed.zoo.kit import pack

    written = pack(folder, only or (), images=images, megabytes=megabytes)
    train, val = (f"{some:,} of {all_:,}" for some, all_ in (written.train, written.val))
    typer.echo(
        f"{written.path}: {train} train and {val} val images of {written.size} pixels, "
        f"{written.megabytes:.1f} MiB"
    )
