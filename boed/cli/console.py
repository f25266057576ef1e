"""What the commands share: errors as one line, progress, and the command for the record."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.progress import Progress

    from boed.training import TrainingConfig


@contextmanager
def explained() -> Iterator[None]:
    """Turn expected errors into one line on stderr, and Ctrl-C into a word on how to go on."""
    try:
        yield
    except (ValueError, OSError) as error:
        typer.secho(f"boed: {error}", fg="red", err=True)
        raise typer.Exit(2) from error
    except KeyboardInterrupt:
        typer.secho(
            "\nboed: interrupted; what was finished is kept, the same command goes on", err=True
        )
        raise typer.Exit(130) from None


def command() -> str:
    """The command as typed, for the record, without the path of the program."""
    return "boed " + " ".join(shlex.quote(argument) for argument in sys.argv[1:])


def progress_bar() -> Progress:
    """A progress bar with a rate and an estimate of the end."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )


@contextmanager
def counted(total: int, unit: str) -> Iterator[Callable[[str, int], None]]:
    """A bar for each name, made at its first progress; yields what is called with name and number.

    Args:
        total: of each bar.
        unit: of what is counted a second.
    """
    with progress_bar() as bar:
        tasks = {}

        def advance(name: str, number: int) -> None:
            if name not in tasks:
                tasks[name] = bar.add_task(name, total=total, rate="")
            bar.advance(tasks[name], number)
            speed = bar.tasks[tasks[name]].speed
            bar.update(tasks[name], rate=f"{speed:.1f} {unit}/s" if speed else "")

        yield advance


@contextmanager
def training_bar() -> Iterator[tuple[Callable[[TrainingConfig], None], Callable[..., None]]]:
    """A bar of steps for each training, shown by the first of the processes that train.

    Yields what is called before a training with how it is trained, and with each step and loss.
    """
    bar, tasks = progress_bar(), []

    def on_start(training: TrainingConfig) -> None:
        if training.ranks().first:
            bar.start()
            tasks.append(bar.add_task("training", total=training.steps, rate=""))

    def on_step(step: int, loss: float) -> None:
        task = tasks[-1]
        speed = bar.tasks[task].speed
        rate = f"{speed:.1f} steps/s" if speed else ""
        bar.update(task, completed=step, rate=f"loss {loss:.4f} {rate}")

    try:
        yield on_start, on_step
    finally:
        if tasks:
            bar.stop()
