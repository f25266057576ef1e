"""`boed sheet`: completions of one scene."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from boed.cli.console import explained
from boed.cli.options import Data, Seed, Size


def sheet(
    data: Data = "digits",
    size: Size = None,
    completer: Annotated[str | None, typer.Option(help="As for benchmark.")] = None,
    split: Annotated[str, typer.Option(help="Split whose scene is completed.")] = "test",
    scene: Annotated[
        int, typer.Option(help="Which scene; -1 completes a sample of the completer.")
    ] = 0,
    patch: Annotated[float, typer.Option(help="Width of a square over that of the scene.")] = 0.35,
    seed: Seed = 0,
    out: Annotated[Path, typer.Option(help="Figure to write.")] = Path("sheet.png"),
) -> None:
    """Draw completions of one scene for 0 to 5 looks, as in Fig. 8 of the AIPO paper."""
    with explained():
        from boed.report.figures import check_figure_path
        from boed.report.sheet import check_sheet, write_sheet
        from boed.setup import setup

        check_figure_path("out", out)
        check_sheet(scene=scene, patch=patch)
        made = setup(data, size=size, split=split, completer=completer, policies=["boed"])
        assert made.completer is not None
        write_sheet(made.data, made.completer, out, scene=scene, patch=patch, seed=seed)
        typer.echo(f"figure: {out}")
