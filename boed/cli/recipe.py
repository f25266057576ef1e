"""`boed train recipe`: what is shipped, or a recipe of one's own, trained again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from boed.cli.console import command, ends_with, training_bar
from boed.cli.options import CHECKPOINT, named_after
from boed.foundation.spelling import toml_value

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
        CHECKPOINT,
    ] = None,
    change: Annotated[
        list[str] | None,
        typer.Option("--set", help="Another value, such as steps=10 or device=cuda; repeatable."),
    ] = None,
) -> None:
    """Train what a recipe says.

    The same command goes on where it was interrupted, or stopped by minutes. A finished checkpoint
    is not trained again.
    """
    trained(name, out or Path(f"{_stem(name)}.safetensors"), parsed(change or ()))


def trained(asked: str | Recipe, out: Path, changes: Mapping[str, Any]) -> torch.nn.Module | None:
    """What a recipe trains, said where it lies; None on all processes but the first.

    Raises:
        Interrupted: by Ctrl-C or SIGTERM; saying what is stored.
    """
    from boed.training.checkpoints import running_state
    from boed.zoo import TimeOver, train_recipe

    first, steps = [], 0
    with training_bar() as (on_start, draw):

        def begin(training: TrainingConfig) -> None:
            first.append(training.ranks().first)
            on_start(training)

        def on_step(step: int, loss: float) -> None:
            nonlocal steps
            steps += 1
            draw(step, loss)

        try:
            model = train_recipe(
                asked, out, changes=changes, on_start=begin, on_step=on_step, command=command()
            )
        except TimeOver as error:
            typer.echo(f"boed: {error}", err=True)
            return None
        except KeyboardInterrupt as error:
            if str(error):  # it says what is stored
                raise
            stored = [running_state(out), *out.parent.glob(f"{out.stem}.member-*.safetensors")]
            kept = ", ".join(str(each) for each in stored if each.exists())
            said = f"what {kept} holds is kept" if kept else "nothing is stored yet"
            with ends_with(f"{said}, and the same command goes on"):
                raise
    if not first[-1]:
        return None
    done = "" if steps else " (was finished before: nothing to do)"
    typer.echo(f"checkpoint: {out}{done}")
    return model


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
        values[key.strip()] = toml_value(text.strip())
    return values


def _stem(name: str) -> str:
    """What the checkpoint is called after."""
    path = Path(name)
    if path.is_dir():
        return path.resolve().name
    if path.name in ("recipe.toml", "weights.safetensors"):
        return path.resolve().parent.name
    return path.stem if path.suffix in (".toml", ".safetensors") else path.name


def default_checkpoint(what: str, data: str) -> Path:
    """Where a checkpoint goes that nobody named."""
    return Path(f"{named_after(what, data)}.safetensors")
