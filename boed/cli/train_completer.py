"""`boed train completer`: a completer of partly seen scenes, or an unconditional VD-VAE."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from boed.cli.options import Data, Looks, Size, Weights, sensor_table
from boed.cli.recipe import default_checkpoint, trained
from boed.cli.training_options import training_options
from boed.foundation.options import OneOf, Spelled


@training_options()
def train_completer(
    name: Annotated[
        str,
        typer.Argument(
            help="aipo, aipo-r, flow, flow-distilled (from a flow, --init), diffusion, vaeac, pic, "
            "unsup, misgan, np, anp, ce, l2-cnn, dcgan, wgan, gan-latent, pc-cnn, "
            "pixelcnn-c, pixelcnn-zone, row-lstm, diagonal-bilstm, flattened-row-lstm, or vae: the "
            "unconditional VD-VAE."
        ),
        OneOf("boed.completion.training:TRAINED"),
    ] = "aipo",
    data: Data = "digits",
    size: Size = None,
    vae: Annotated[
        str | None,
        typer.Option(
            help="Trained VD-VAE, by name or path, that aipo or aipo-r extends and leaves frozen."
        ),
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(
            help="Trained completer to start from, by name or path; AIPO's perhaps of another size."
        ),
    ] = None,
    masks: Annotated[
        str | None,
        typer.Option(
            show_default="squares",
            help="Masks to train on: squares (all hidden but a few squares), holes, blobs, top:14 "
            "and others with their arguments; see docs/completers.md.",
        ),
        Spelled("boed.data.masks:named"),
    ] = None,
    learns_from: Annotated[
        str | None,
        typer.Option(
            "--from",
            show_default="scenes",
            help="observations: no more reaches training than what was seen of each scene under "
            "one fixed mask, that of the data or one of --masks (flow, vaeac, unsup, misgan).",
        ),
        OneOf("boed.training.recipes:SOURCES"),
    ] = None,
    sensor: Looks = None,
    architecture: Annotated[
        str | None,
        typer.Option(
            show_default="small",
            help="small; the paper's for aipo, aipo-r and vae: cifar10, ffhq-256, chest-256; "
            "digits, four times as fast as small, for unsup and misgan; binary, of two levels, for "
            "those that draw pixel by pixel; as published: mnist for pc-cnn, row-lstm and "
            "diagonal-bilstm, cifar for the latter two, celeba for pc-cnn.",
        ),
        OneOf("boed.completion.training:ARCHITECTURES"),
    ] = None,
    out: Weights = None,
    *,
    training: dict[str, Any],
) -> None:
    """Train a completer, or an unconditional VD-VAE.

    The same command goes on where it was interrupted, or stopped by --minutes. A finished
    checkpoint is not trained again; --init starts another one from its weights.
    """
    from boed.training import Recipe

    if vae is not None and architecture is not None:
        raise ValueError(f"architecture is {architecture!r}, but `vae` brings its own: give one")
    asked = Recipe(
        kind="vae" if name == "vae" else "completer",
        data=data,
        size=size,
        name=None if name == "vae" else name,
        learns_from=learns_from,
        masks=masks,
        sensor=sensor_table(sensor),
        architecture=architecture or ("small" if vae is None else None),
        init=init,
        vae=vae,
    )
    trained(asked, out or default_checkpoint(name, data), training)
