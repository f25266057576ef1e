"""`boed scan`: where to look at one image."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from boed.cli.console import explained
from boed.cli.options import Seed


def scan(
    image: Annotated[Path, typer.Argument(help="PNG, JPEG or DICOM.")],
    model: Annotated[
        str, typer.Option(help="Shipped models: kermany-64 (chest x-rays) or digits-32.")
    ] = "kermany-64",
    steps: Annotated[int, typer.Option(help="Number of looks.")] = 3,
    completions: Annotated[int, typer.Option(help="Completions for each decision, N.")] = 10,
    grid: Annotated[int, typer.Option(help="Candidate looks along each axis.")] = 17,
    patch: Annotated[float, typer.Option(help="Width of a look over that of the scene.")] = 0.25,
    completer: Annotated[Path | None, typer.Option(help="Your own AIPO checkpoint.")] = None,
    classifier: Annotated[Path | None, typer.Option(help="Your own checkpoint.")] = None,
    invert: Annotated[bool, typer.Option(help="Exchange black and white first.")] = False,
    seed: Seed = 0,
    out: Annotated[Path, typer.Option(help="Figure to write.")] = Path("scan.png"),
) -> None:
    """Where to look at one image, step by step, as a figure. Needs no data set."""
    with explained():
        from rich.console import Console
        from rich.table import Table

        from boed.report.scan import scan_image

        looks = scan_image(
            image,
            out,
            model=model,
            steps=steps,
            completions=completions,
            grid=grid,
            patch=patch,
            completer=completer,
            classifier=classifier,
            invert=invert,
            seed=seed,
        )
        table = Table("look", "row", "column", "EIG (nats)", "belief")
        for number, look in enumerate(looks):
            where = [str(each) for each in look.where] or ["", ""]
            score = "" if look.eig is None else f"{look.eig:.4f}"
            table.add_row(str(number), *where, score, f"{look.answer} {look.probability:.2f}")
        console = Console()
        console.print(table)
        console.print(f"figure: {out}", soft_wrap=True)
