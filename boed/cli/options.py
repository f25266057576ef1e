"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

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


def with_patch_options(typed: dict[str, Any], read: Any) -> dict[str, Any]:
    """What was typed, with --patch and --grid as options of the patch sensor."""
    from boed.sensors.registry import sensor_options

    options = {key: typed.pop(key) for key in ("patch", "grid") if key in typed}
    if not options:
        return typed
    name, own = sensor_options(typed.get("sensor") or read or "patch")
    if name != "patch":
        raise ValueError(f"--{next(iter(options))} is for the patch sensor; the sensor is {name}")
    return {**typed, "sensor": {"name": name, **own, **options}}


def sensor_table(text: str | None) -> dict[str, Any] | None:
    """A sensor and its options as a recipe holds them."""
    if text is None:
        return None
    from boed.sensors.registry import sensor_options

    name, options = sensor_options(text)
    return {"name": name, **options}
