"""What the commands share: errors as one line, progress, and the command for the record."""

from __future__ import annotations

import logging
import math
import re
import shlex
import signal
import sys
import time
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from boed.foundation.interruption import Interrupted

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, Task, TaskID

    from boed.training import TrainingConfig


@contextmanager
def explained(options: Mapping[str, str], unasked: Collection[str] = frozenset()) -> Iterator[None]:
    """Turn expected errors into one line on stderr, and interruption into a word on what is stored.

    Warnings are one line each, too.

    Args:
        options, unasked: how the library's arguments are typed, and those that were not; see
            `as_typed`.
    """
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_: warn(
                as_typed(str(message), options, unasked)
            )
            yield
    except (ValueError, OSError) as error:
        say(as_typed(str(error), options, unasked))
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


@contextmanager
def ends_with_finished(folder: Path) -> Iterator[None]:
    """Say of an interruption whether something of the run in a folder is kept."""
    try:
        yield
    except KeyboardInterrupt:
        from boed.foundation.identity import is_bare

        kept = f"what was finished is kept in {folder}, and the same command goes on"
        with ends_with("nothing was finished yet" if is_bare(folder) else kept):
            raise


def say(message: str) -> None:
    """Say on stderr what is wrong."""
    typer.secho(f"boed: {message}", fg="red", err=True)


def warn(message: str) -> None:
    """Say on stderr what should be known before results are believed."""
    typer.secho(f"boed: {' '.join(message.split())}", fg="yellow", err=True)


def command() -> str:
    """The command as typed, for the record, without the path of the program."""
    return "boed " + " ".join(shlex.quote(argument) for argument in sys.argv[1:])


def plain_console() -> Console:
    """What is printed to, as it is: names of a user's own are no markup and no emoji."""
    from rich.console import Console

    return Console(markup=False, emoji=False)


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """A progress bar with a rate and an estimate of the end, gone when something goes wrong.

    It is drawn from its first task on, in a terminal only.
    """
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = plain_console()
    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        speed_estimate_period=300,
        console=console,
        disable=not console.is_terminal,
    )
    try:
        yield bar
    except BaseException:
        bar.live.transient = True
        raise
    finally:
        if bar.tasks:
            bar.stop()


SECONDS_A_LINE = 60
"""How often work tells where it is, where no bar is drawn."""


@contextmanager
def counted(total: int, unit: str) -> Iterator[Callable[[str, int], None]]:
    """A bar for each name, made at its first progress; yields what is called with name and number.

    Without a terminal there are lines in their place, at the first progress, which may be 0, at the
    end and once a minute.

    Args:
        total: of each bar.
        unit: of what is counted a second.
    """
    with progress_bar() as bar:
        tasks: dict[str, TaskID] = {}
        said: dict[str, float] = {}

        def advance(name: str, number: int) -> None:
            if name not in tasks:
                bar.start()
                tasks[name] = bar.add_task(name, total=total, rate="")
            bar.advance(tasks[name], number)
            task = bar.tasks[tasks[name]]
            rate = f"{task.speed:.1f} {unit}/s" if task.speed else ""
            bar.update(task.id, rate=rate)
            late = time.monotonic() - said.get(name, -math.inf) >= SECONDS_A_LINE
            if bar.disable and (late or task.finished):
                said[name] = time.monotonic()
                words = [f"{name}: {task.completed:,.0f} of {total:,} {unit}", rate, _left(task)]
                _line(bar, ", ".join(filter(None, words)))

        yield advance


@contextmanager
def training_bar() -> Iterator[tuple[Callable[[TrainingConfig], None], Callable[..., None]]]:
    """A bar of steps for each training, shown by the first of the processes that train.

    Without a terminal there are lines in its place, at the first step, at each validation, at the
    end and once a minute. The figures of each validation are a line in either.

    Yields what is called before a training with how it is trained, and with each step and loss.
    """
    with progress_bar() as bar, _logged(bar):
        trainings: list[TrainingConfig] = []
        said = -math.inf

        def on_start(training: TrainingConfig) -> None:
            if training.ranks().first:
                bar.start()
                bar.add_task("training", total=training.steps, rate="")
                trainings.append(training)

        def on_step(step: int, loss: float) -> None:
            nonlocal said
            task, training = bar.tasks[-1], trainings[-1]
            bar.update(task.id, completed=step)
            rate = f"loss {loss:.4f}"
            if task.speed:
                rate += f", {task.speed * training.batch:,.0f} {training.unit}/s"
            bar.update(task.id, rate=rate)
            late = time.monotonic() - said >= SECONDS_A_LINE
            if bar.disable and (late or step % training.every == 0 or step == training.steps):
                said = time.monotonic()
                words = [f"step {step:,} of {training.steps:,}: {rate}", _left(task)]
                _line(bar, ", ".join(filter(None, words)))

        yield on_start, on_step


@contextmanager
def _logged(bar: Progress) -> Iterator[None]:
    """Print what trainings log."""
    handler, logger = logging.Handler(), logging.getLogger("boed.training")
    handler.emit = lambda record: _line(bar, record.getMessage())  # type: ignore[method-assign]
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def _left(task: Task) -> str:
    """The time that is left, where it can be told."""
    left = task.time_remaining
    return "" if left is None else f"{timedelta(seconds=left)} left"


def _line(bar: Progress, text: str) -> None:
    """Print a line, at once, above the bar if one is drawn."""
    bar.console.print(text, soft_wrap=True, highlight=False)


def as_typed(
    message: str, options: Mapping[str, str], unasked: Collection[str] = frozenset()
) -> str:
    """A message of the library in the words of the command line.

    The library names an argument at the beginning, and in backticks where it gives advice, perhaps
    with a value as Python has it.

    >>> options = {name: f"--{name}" for name in ("steps", "size", "search")}
    >>> as_typed("steps is 0; give `size=16`, or `search='racing'`", options)
    '--steps is 0; give --size 16, or --search racing'

    Args:
        message: of an error or a warning; each of its lines may begin with an argument.
        options: how arguments are typed, by their names: `--option`, `--set option`, or the bare
            name of an argument without an option.
        unasked: names of arguments that were not typed, but stand in a file: what is refused is
            told as it stands there.
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
        typed = "" if found[1] in unasked else options.get(found[1], "")
        return typed if typed.startswith("-") else found[0]

    message = re.sub(r"^(?:training: )?(\w+)( set)?\b", refused, message, flags=re.MULTILINE)
    return re.sub(r"`(\w+)(?:='?([^'`]*)'?)?`", advised, message)
