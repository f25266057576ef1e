"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[str, typer.Option(help="Name (see `boed data list`) or path of a data set.")]
Size = Annotated[int | None, typer.Option(help="Width in pixels to resize scenes to.")]
Seed = Annotated[int, typer.Option(help="Seed of everything random.")]
Device = Annotated[str, typer.Option(help="cpu or cuda.")]
Split = Annotated[str, typer.Option(help="train, val or test.")]
Weights = Annotated[
    Path, typer.Option(help="Checkpoint to write (.safetensors); its recipe lies beside it.")
]
Looks = Annotated[
    str | None,
    typer.Option(help="Random looks of this sensor in place of squares: NAME,option=value,..."),
]
