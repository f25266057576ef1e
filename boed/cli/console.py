"""What the commands share: errors as one line, progress, and the command for the record."""

from __future__ import annotations

import re
import shlex
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from boed.foundation.interruption import Interrupted

if TYPE_CHECKING:
    from rich.progress import Progress

    from boed.training import TrainingConfig


@contextmanager
def explained(options: Mapping[str, str]) -> Iterator[None]:
    """Turn expected errors into one line on stderr, and interruption into a word on what is stored.

    Warnings are one line each, too.

    Args:
        options: how the library's arguments are typed, by their names; see `as_typed`.
    """
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_: warn(as_typed(str(message), options))
            yield
    except (ValueError, OSError) as error:
        say(as_typed(str(error), options))
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


def warn(message: str) -> None:
    """Say on stderr what should be known before results are believed."""
    typer.secho(f"boed: {' '.join(message.split())}", fg="yellow", err=True)


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


def as_typed(message: str, options: Mapping[str, str]) -> str:
    """A message of the library in the words of the command line.

    The library names an argument at the beginning, and in backticks where it gives advice, perhaps
    with a value as Python has it.

    >>> options = {name: f"--{name}" for name in ("steps", "size", "search")}
    >>> as_typed("steps is 0; give `size`, or `search='racing'`", options)
    '--steps is 0; give --size, or --search racing'

    Args:
        message: of an error or a warning; each of its lines may begin with an argument.
        options: how arguments are typed, by their names: `--option`, `--set option`, or the bare
            name of an argument without an option.
    """

    def advised(found: re.Match[str]) -> str:
        name, value = found[1], found[2]
        typed = options.get(name)
        if typed is None:
            return found[0]
        if value is None:
            return typed
        if not typed.startswith("-"):
            return shlex.quote(value)
        return f"{typed}{'=' if ' ' in typed else ' '}{shlex.quote(value)}"

    def refused(found: re.Match[str]) -> str:
        typed = options.get(found[1], "")
        return typed if typed.startswith("-") else found[0]

    message = re.sub(r"^(?:training: )?(\w+)( set)?\b", refused, message, flags=re.MULTILINE)
    return re.sub(r"`(\w+)(?:='([^'`]*)')?`", advised, message)
