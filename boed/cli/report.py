"""`boed report`: write the report of a finished run again, whatever kind of run it is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    run: Annotated[Path, typer.Argument(help="Run folder of `boed benchmark` or `boed evaluate`.")],
    figures: Annotated[
        Path | None, typer.Option(help="Also write the figures as PNG to this folder.")
    ] = None,
) -> None:
    """Write the report of a finished run again."""
    from boed.report.again import report_again

    report_again(run, figures)
    typer.echo(f"report: {run / 'report.html'}")
