"""`boed train`: completers, classifiers and screens, and whatever a recipe says."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from boed.cli.commands import Command
from boed.cli.options import Data, Looks, Size, Weights, named_after, sensor_table
from boed.cli.recipe import recipe, trained
from boed.cli.training_options import training_options
from boed.foundation.options import OneOf

app = typer.Typer(help="Train a completer or a classifier.", no_args_is_help=True)
app.command(cls=Command)(recipe)


@app.command("completer", cls=Command)
@training_options
def train_completer(
    name: Annotated[
        str,
        typer.Argument(
            help="aipo, aipo-r, flow, diffusion, vaeac, pic, anp, ce, or vae: the unconditional "
            "VD-VAE."
        ),
        OneOf("boed.completion.training:TRAINED"),
    ] = "aipo",
    data: Data = "digits",
    size: Size = None,
    vae: Annotated[
        Path | None,
        typer.Option(help="Trained VD-VAE that aipo or aipo-r extends and leaves frozen."),
    ] = None,
    init: Annotated[
        Path | None,
        typer.Option(help="Trained completer to start from; AIPO's perhaps of another size."),
    ] = None,
    masks: Annotated[
        str | None,
        typer.Option(help="squares (all hidden but a few squares, the default) or holes."),
        OneOf("boed.completion.training:MASKS"),
    ] = None,
    sensor: Looks = None,
    architecture: Annotated[
        str,
        typer.Option(
            help="small, or the paper's for aipo, aipo-r and vae: cifar10, ffhq-256, chest-256."
        ),
        OneOf("boed.completion.training:ARCHITECTURES"),
    ] = "small",
    out: Weights = None,
    *,
    training: dict[str, Any],
) -> None:
    """Train a completer, or an unconditional VD-VAE.

    The same command goes on where it was interrupted, or stopped by --minutes. A finished
    checkpoint is not trained again; --init starts another one from its weights.
    """
    from boed.training import Recipe

    own: dict[str, Any] = {"name": name, "masks": masks, "sensor": sensor_table(sensor)}
    asked = Recipe(
        kind="vae" if name == "vae" else "completer",
        data=data,
        size=size,
        architecture=None if vae is not None else architecture,
        init=None if init is None else str(init),
        vae=None if vae is None else str(vae),
        **({} if name == "vae" else own),
    )
    trained(asked, out or _default(name, data), training)


@app.command("classifier", cls=Command)
@training_options
def train_classifier(
    data: Data = "digits",
    size: Size = None,
    kind: Annotated[
        str,
        typer.Option(help="small, or densenet121 as in the paper."),
        OneOf("boed.classifiers.densenet:KINDS"),
    ] = "small",
    patch: Annotated[
        float | None, typer.Option(help="Width of a look over that of the scene; 0.25.")
    ] = None,
    sensor: Looks = None,
    init: Annotated[
        Path | None,
        typer.Option(help="Trained classifier to start from, perhaps of another size."),
    ] = None,
    out: Weights = None,
    *,
    training: dict[str, Any],
) -> None:
    """Train and calibrate a classifier of partly seen scenes.

    The same command goes on where it was interrupted, or stopped by --minutes. A finished
    checkpoint is not trained again; --init starts another one from its weights.
    """
    from rich.console import Console
    from rich.table import Table

    from boed.training import Recipe

    asked = Recipe(
        kind="classifier",
        data=data,
        size=size,
        architecture=kind,
        patch=patch,
        sensor=sensor_table(sensor),
        init=None if init is None else str(init),
    )
    model: Any = trained(asked, out or _default("classifier", data), training)
    if model is None:
        return
    table = Table("looks", "AUROC", "accuracy", "NLL (nats)", "ECE", title=f"{data}, val")
    for looks, figures in model.provenance["scores"]["val"].items():
        table.add_row(looks, *(f"{value:.3f}" for value in figures.values()))
    Console().print(table)


@app.command("screen", cls=Command)
@training_options
def train_screen(
    data: Data = "digits",
    size: Size = None,
    classifier: Annotated[
        str | None,
        typer.Option(help="Checkpoint or shipped model to distil; the data's own if none."),
    ] = None,
    patch: Annotated[float, typer.Option(help="Width of a look over that of the scene.")] = 0.25,
    out: Weights = None,
    *,
    training: dict[str, Any],
) -> None:
    """Distil a classifier into a screen, for `--search screen`.

    The same command goes on where it was interrupted, or stopped by --minutes. A finished
    checkpoint is not trained again.
    """
    from boed.training import Recipe

    asked = Recipe(kind="screen", data=data, size=size, classifier=classifier, patch=patch)
    screen: Any = trained(asked, out or _default("screen", data), training)
    if screen is None:
        return
    figures = screen.provenance["scores"]["val"]
    typer.echo(
        f"KL from the classifier on val: {figures['kl']:.4f} nats "
        f"({figures['kl_unchanged']:.4f} if no look changed anything)"
    )


def _default(what: str, data: str) -> Path:
    """Where a checkpoint goes that nobody named."""
    return Path(f"{named_after(what, data)}.safetensors")
