"""`boed train recipe`: what is shipped, or a recipe of one's own, trained again."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from boed.cli.console import command, explained, training_bar

if TYPE_CHECKING:
    import torch

    from boed.training import Recipe, TrainingConfig


def recipe(
    name: Annotated[
        str,
        typer.Argument(help="Name of a shipped model, or path of a recipe.toml or a checkpoint."),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="Checkpoint to write (.safetensors); NAME.safetensors if not given."),
    ] = None,
    change: Annotated[
        list[str] | None,
        typer.Option("--set", help="Another value, such as steps=10 or device=cuda; repeatable."),
    ] = None,
) -> None:
    """Train what a recipe says. Resumes where it stopped."""
    with explained():
        target = out or Path(f"{_stem(name)}.safetensors")
        if trained(name, target, parsed(change or ())) is not None:
            typer.echo(f"checkpoint: {target}")


def trained(asked: str | Recipe, out: Path, changes: Mapping[str, Any]) -> torch.nn.Module | None:
    """What a recipe trains; None on all processes that train together but the first."""
    from boed.zoo import train_recipe

    first = []
    with training_bar() as (on_start, on_step):

        def begin(training: TrainingConfig) -> None:
            first.append(training.ranks().first)
            on_start(training)

        model = train_recipe(
            asked, out, changes=changes, on_start=begin, on_step=on_step, command=command()
        )
    return model if first[-1] else None


def parsed(changes: Iterable[str]) -> dict[str, Any]:
    """Changes `key=value` with values as TOML has them; what is none is text.

    Raises:
        ValueError: there is no `=`.
    """
    values: dict[str, Any] = {}
    for each in changes:
        key, equals, text = each.partition("=")
        if not equals:
            raise ValueError(f"--set is {each!r}, expected key=value")
        try:
            values[key.strip()] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            values[key.strip()] = text.strip()
    return values


def _stem(name: str) -> str:
    """What the checkpoint is called after."""
    path = Path(name)
    if path.is_dir():
        return path.resolve().name
    if path.name in ("recipe.toml", "weights.safetensors"):
        return path.resolve().parent.name
    return path.stem if path.suffix in (".toml", ".safetensors") else path.name
