"""`boed sheet`: completions of one scene."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from boed.cli.options import Data, Seed, Size, named_after


def sheet(
    data: Data = "digits",
    size: Size = None,
    completer: Annotated[
        str | None, typer.Option(help="As for benchmark.", show_default="as for benchmark")
    ] = None,
    library: Annotated[
        str | None, typer.Option(help="As for benchmark; that of --data.", show_default=False)
    ] = None,
    split: Annotated[str, typer.Option(help="Split whose scene is completed.")] = "test",
    scene: Annotated[
        int, typer.Option(help="Which scene; -1 completes a sample of the completer.")
    ] = 0,
    patch: Annotated[float, typer.Option(help="Width of a square over that of the scene.")] = 0.35,
    seed: Seed = 0,
    out: Annotated[
        Path | None,
        typer.Option(help="Figure to write.", show_default="sheet-DATA-SCENE.png"),
    ] = None,
) -> None:
    """Draw completions of one scene for 0 to 5 looks, as in Fig. 8 of the AIPO paper."""
    from boed.data.readers.tables import refuse_table
    from boed.foundation.identity import claim_picture
    from boed.report.sheet import write_sheet
    from boed.zoo import completer_for
    from boed.zoo.context import context_for
    from boed.zoo.names import check_names

    refuse_table(data, "sheet")
    check_names(completers=[completer])
    asked = {"data": data, "size": size, "completer": completer, "split": split, "scene": scene}
    if library is not None:
        asked["library"] = library
    target = out or Path(f"{named_after('sheet', data)}-{scene if scene >= 0 else 'sampled'}.png")
    record = claim_picture(target, "sheet", {**asked, "patch": patch, "seed": seed})
    context = context_for(data, library=library, size=size, split=split)
    model = completer_for(context, completer)
    write_sheet(context.data, model, target, scene=scene, patch=patch, seed=seed, record=record)
    typer.echo(f"figure: {target}")
