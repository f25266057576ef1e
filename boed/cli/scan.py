"""`boed scan`: where to look at one image."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from boed.cli.console import counted, plain_console
from boed.cli.options import (
    Completions,
    Device,
    Grid,
    LibraryName,
    ModelName,
    Patch,
    Prevalence,
    Seed,
    SensorName,
    Size,
    Until,
    named_after,
    with_patch_options,
)
from boed.foundation.options import Whole

if TYPE_CHECKING:
    from boed.report.scan import Scan


def scan(
    image: Annotated[Path, typer.Argument(help="PNG, JPEG or DICOM.")],
    data: Annotated[
        str,
        typer.Option(
            help="Data set that the image is taken for one of: what is asked, and the default "
            "models, library and size."
        ),
    ] = "kermany_pneumonia_128",
    policy: Annotated[str, typer.Option(help="As for benchmark.")] = "boed",
    completer: ModelName = None,
    classifier: ModelName = None,
    sensor: SensorName = None,
    library: LibraryName = None,
    size: Size = None,
    steps: Annotated[int, typer.Option(help="Number of looks.")] = 3,
    completions: Completions = 10,
    grid: Grid = None,
    patch: Patch = None,
    search: Annotated[str, typer.Option(help="As for benchmark.")] = "racing",
    prevalence: Prevalence = None,
    until: Until = None,
    invert: Annotated[bool, typer.Option(help="Exchange black and white first.")] = False,
    seed: Seed = 0,
    scene: Annotated[
        int,
        typer.Option(help="Row of the image in its data set, for a benchmark's numbers."),
        Whole(0),
    ] = 0,
    device: Device = "cpu",
    out: Annotated[
        Path | None,
        typer.Option(help="Figure to write: PNG, PDF or SVG.", show_default="scan-IMAGE.png"),
    ] = None,
) -> None:
    """Where to look at one image, step by step, as a figure: the benchmark's policy on it.

    Needs no data set; with the one that --data names, its train split decides the first look.
    """

    from boed.foundation.files import sha256
    from boed.foundation.identity import DIGITS, claim_picture
    from boed.report.scan import scan as scan_scene
    from boed.report.scan import scan_setup

    names = ("completer", "classifier", "sensor", "library", "size", "steps", "completions",
             "grid", "patch", "search", "prevalence", "until", "device")  # fmt: skip
    given = locals()
    typed: dict[str, Any] = {each: given[each] for each in names if given[each] is not None}
    options = with_patch_options(typed)
    target = out or Path(f"{named_after('scan', image)}.png")
    asked = {"data": data, "policy": policy, **options, "invert": invert}
    numbers = {"seed": seed, "scene": scene, "image": sha256(image)[:DIGITS]}
    record = claim_picture(target, "scan", {**asked, **numbers})
    typer.echo(f"boed: looking at {image}", err=True)
    with plain_console().status("reading data and models"):
        made = scan_setup(image, data, policy=policy, invert=invert, **options)
    with counted(made.steps, "looks") as advance:
        advance(policy, 0)
        found = scan_scene(made, seed=seed, scene=scene, on_look=lambda: advance(policy, 1))
    found.draw(target, record)
    show(found, policy)
    for warning in found.warnings:
        warnings.warn(warning, stacklevel=1)
    plain_console().print(f"figure: {target}", soft_wrap=True)


def show(found: Scan, policy: str) -> None:
    """Print the looks as a table."""
    from rich.table import Table

    from boed.policies.names import INFORMED, LEARNED, named_policy

    width = max(len(look.where) for look in found.looks)
    axes = ("row", "column") if width == 2 else [f"design {i}" for i in range(width)]
    name, path = named_policy(policy)
    learned = name in LEARNED or path is not None
    informed = learned or INFORMED.get(name, (None, "variance"))[1] != "variance"
    table = Table("look", *axes, "EIG (nats)" if informed else "score", "belief")
    for number, look in enumerate(found.looks):
        where = [f"{each:g}" for each in look.where] or [""] * width
        table.add_row(
            str(number), *where, "" if look.eig is None else f"{look.eig:.4f}", look.belief
        )
    plain_console().print(table)
