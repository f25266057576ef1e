"""What the commands share: errors as one line, progress, and the command for the record."""

from __future__ import annotations

import re
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from boed.foundation.interruption import Interrupted

if TYPE_CHECKING:
    from rich.progress import Progress

    from boed.training import TrainingConfig


@contextmanager
def explained(options: dict[str, str] | None = None) -> Iterator[None]:
    """Turn expected errors into one line on stderr, and interruption into a word on what is stored.

    Args:
        options: how the options that errors may begin with are typed, by the library's names.
    """
    try:
        yield
    except (ValueError, OSError) as error:
        say(_as_typed(str(error), options or {}))
        raise typer.Exit(2) from error
    except KeyboardInterrupt as error:
        number = error.signal if isinstance(error, Interrupted) else signal.SIGINT
        say(str(error) or "interrupted; nothing was written")
        raise typer.Exit(128 + number) from None


@contextmanager
def ends_with(kept: str) -> Iterator[None]:
    """Say of an interruption what is kept."""
    try:
        yield
    except KeyboardInterrupt as error:
        number = error.signal if isinstance(error, Interrupted) else signal.SIGINT
        raise Interrupted(number, f"interrupted; {kept}") from error


def say(message: str) -> None:
    """Say on stderr what is wrong."""
    typer.secho(f"boed: {message}", fg="red", err=True)


def command() -> str:
    """The command as typed, for the record, without the path of the program."""
    return "boed " + " ".join(shlex.quote(argument) for argument in sys.argv[1:])


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """A progress bar with a rate and an estimate of the end, gone when something goes wrong.

    It is drawn from its first task on, in a terminal only.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        disable=not Console().is_terminal,
    )
    try:
        yield bar
    except BaseException:
        bar.live.transient = True
        raise
    finally:
        if bar.tasks:
            bar.stop()


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
                bar.start()
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
    with progress_bar() as bar:
        tasks = []

        def on_start(training: TrainingConfig) -> None:
            if training.ranks().first:
                bar.start()
                tasks.append(bar.add_task("training", total=training.steps, rate=""))

        def on_step(step: int, loss: float) -> None:
            task = tasks[-1]
            speed = bar.tasks[task].speed
            rate = f"{speed:.1f} steps/s" if speed else ""
            bar.update(task, completed=step, rate=f"loss {loss:.4f} {rate}")

        yield on_start, on_step


def _as_typed(message: str, options: dict[str, str]) -> str:
    """An error of the library, `steps is 0, ...`, with the option as it is typed."""
    first = re.match(r"(\w+)( set)?\b", message)
    if first is None or first[1] not in options:
        return message
    return options[first[1]] + message[first.end() :]
