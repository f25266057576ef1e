"""`boed train`: completers, classifiers and screens."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from boed.cli.console import command, explained, training_bar
from boed.cli.options import Data, Seed, Size

Steps = Annotated[int | None, typer.Option(help="Updates; the preset's if not given.")]
Batch = Annotated[int | None, typer.Option(help="Images per update.")]
Rate = Annotated[float | None, typer.Option("--lr", help="Highest learning rate.")]
Minutes = Annotated[float, typer.Option(help="Stop, resumably, after so long; 0 is no limit.")]
Bf16 = Annotated[bool | None, typer.Option(help="bfloat16 autocast in the forward pass.")]
Weights = Annotated[Path, typer.Option(help="Checkpoint to write (.safetensors).")]
Device = Annotated[str, typer.Option(help="cpu or cuda.")]
Devices = Annotated[int, typer.Option(help="GPUs of this machine that train together.")]
Nodes = Annotated[int, typer.Option(help="Machines that train together; see docs/training.md.")]

app = typer.Typer(help="Train a completer or a classifier.", no_args_is_help=True)


@app.command("completer")
def train_completer(
    name: Annotated[
        str,
        typer.Argument(
            help="aipo, aipo-r, flow, diffusion, vaeac, pic, anp, ce, or vae: the unconditional "
            "VD-VAE."
        ),
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
        str, typer.Option(help="squares (all hidden but a few squares) or holes (the inverse).")
    ] = "squares",
    architecture: Annotated[
        str,
        typer.Option(
            help="small, or the paper's for aipo, aipo-r and vae: cifar10, ffhq-256, chest-256."
        ),
    ] = "small",
    out: Weights = Path("completer.safetensors"),
    steps: Steps = None,
    batch: Batch = None,
    lr: Rate = None,
    minutes: Minutes = 0.0,
    bf16: Bf16 = None,
    seed: Seed = 0,
    device: Device = "cpu",
    devices: Devices = 1,
    nodes: Nodes = 1,
) -> None:
    """Train a completer, or an unconditional VD-VAE. Resumes where it stopped."""
    with explained():
        from boed.completion import VDVAE, registry
        from boed.completion.training import preset, train_vae
        from boed.completion.training import train_completer as run

        images, val = _training_data(data, size)
        config, settings = preset(name, images, architecture)
        settings = _changed(settings, steps, batch, lr, minutes, bf16, seed, device, devices, nodes)
        begun = registry.LEARNED[name].load(init) if init is not None else None
        trained = VDVAE.load(vae) if vae is not None else None
        first = settings.ranks().first
        with training_bar(settings.steps, first) as on_step:
            if name == "vae":
                train_vae(
                    images,
                    val,
                    config,
                    settings=settings,
                    out=out,
                    on_step=on_step,
                    command=command(),
                )
            else:
                run(
                    name,
                    images,
                    val,
                    settings=settings,
                    out=out,
                    config=None if trained else config,
                    vae=trained,
                    init=begun,
                    masks=masks,
                    on_step=on_step,
                    command=command(),
                )
        if first:
            typer.echo(f"checkpoint: {out}")


@app.command("classifier")
def train_classifier(
    data: Data = "digits",
    size: Size = None,
    kind: Annotated[str, typer.Option(help="small, or densenet121 as in the paper.")] = "small",
    patch: Annotated[float, typer.Option(help="Width of a look over that of the scene.")] = 0.25,
    init: Annotated[
        Path | None,
        typer.Option(help="Trained classifier to start from, perhaps of another size."),
    ] = None,
    out: Weights = Path("classifier.safetensors"),
    steps: Steps = None,
    batch: Batch = None,
    lr: Rate = None,
    minutes: Minutes = 0.0,
    bf16: Bf16 = None,
    seed: Seed = 0,
    device: Device = "cpu",
    devices: Devices = 1,
    nodes: Nodes = 1,
) -> None:
    """Train and calibrate a classifier of partly seen scenes. Resumes where it stopped."""
    with explained():
        from dataclasses import replace

        from rich.console import Console
        from rich.table import Table

        from boed.classifiers.training import preset
        from boed.classifiers.training import train_classifier as run

        images, val = _training_data(data, size)
        config, settings = preset(images)
        config = replace(config, kind=kind)
        settings = _changed(settings, steps, batch, lr, minutes, bf16, seed, device, devices, nodes)
        first = settings.ranks().first
        with training_bar(settings.steps, first) as on_step:
            model = run(
                images,
                val,
                settings,
                out=out,
                config=config,
                fraction=patch,
                on_step=on_step,
                init=init,
                command=command(),
            )
        if not first:
            return
        table = Table("looks", "AUROC", "accuracy", "NLL (nats)", "ECE", title=f"{data}, val")
        for looks, figures in model.provenance["scores"]["val"].items():
            table.add_row(looks, *(f"{value:.3f}" for value in figures.values()))
        Console().print(table)
        typer.echo(f"checkpoint: {out}")


@app.command("screen")
def train_screen(
    data: Data = "digits",
    size: Size = None,
    classifier: Annotated[
        str | None, typer.Option(help="Path of the checkpoint to distil; the shipped one if none.")
    ] = None,
    patch: Annotated[float, typer.Option(help="Width of a look over that of the scene.")] = 0.25,
    out: Weights = Path("screen.safetensors"),
    steps: Steps = None,
    batch: Batch = None,
    lr: Rate = None,
    minutes: Minutes = 0.0,
    bf16: Bf16 = None,
    seed: Seed = 0,
    device: Device = "cpu",
    devices: Devices = 1,
    nodes: Nodes = 1,
) -> None:
    """Distil a classifier into a screen, for `--search screen`. Resumes where it stopped."""
    with explained():
        from boed.classifiers import DenseNetClassifier
        from boed.classifiers.distilling import SETTINGS
        from boed.classifiers.distilling import train_screen as run
        from boed.sensors import PatchSensor
        from boed.zoo import Context, classifier_for

        images, val = _training_data(data, size)
        teacher = classifier_for(Context(val, PatchSensor(val.size, patch)), classifier)
        assert isinstance(teacher, DenseNetClassifier)
        settings = _changed(SETTINGS, steps, batch, lr, minutes, bf16, seed, device, devices, nodes)
        first = settings.ranks().first
        with training_bar(settings.steps, first) as on_step:
            screen = run(
                teacher,
                images,
                val,
                out=out,
                settings=settings,
                patch=patch,
                on_step=on_step,
                command=command(),
            )
        if not first:
            return
        figures = screen.provenance["scores"]["val"]
        typer.echo(
            f"KL from the classifier on val: {figures['kl']:.4f} nats "
            f"({figures['kl_unchanged']:.4f} if no look changed anything)"
        )
        typer.echo(f"checkpoint: {out}")


def _training_data(data: str, size: int | None) -> tuple[Any, Any]:
    """Train and val images; of full MNIST, never those that `digits` keeps for val and test."""
    from boed.data.load import load
    from boed.data.readers.digits import bordered, without_shipped_test
    from boed.zoo import DEFAULT_SIZE

    size = size or DEFAULT_SIZE.get(data)
    if data == "mnist_28" and size in (28, 32):
        images = without_shipped_test(load(data, 28, "train"))
        return bordered(images) if size == 32 else images, load("digits", size, "val")
    return load(data, size, "train"), load(data, size, "val")


def _changed(
    settings: Any,
    steps: int | None,
    batch: int | None,
    lr: float | None,
    minutes: float,
    bf16: bool | None,
    seed: int,
    device: str = "cpu",
    devices: int = 1,
    nodes: int = 1,
) -> Any:
    from dataclasses import replace

    given = {"steps": steps, "batch": batch, "lr": lr, "bf16": bf16}
    stated: dict[str, Any] = {k: v for k, v in given.items() if v is not None}
    where = {"device": device, "devices": devices, "nodes": nodes}
    return replace(settings, minutes=minutes, seed=seed, **stated, **where)
