"""`boed survey`: ask people which completion is the more plausible, and count their answers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from boed.cli.commands import Command
from boed.cli.console import plain_console
from boed.cli.options import Data, Seed, Size, Split, named_after
from boed.foundation.options import COUNT, Existing, OutFile, Spelled, Whole

app = typer.Typer(help="Ask people which completion looks right.", no_args_is_help=True)


@app.command("make", cls=Command)
def survey_make(
    completer: Annotated[
        str, typer.Argument(help="Name or checkpoint of a completer with a likelihood.")
    ] = "pc-cnn",
    data: Data = "digits",
    size: Size = None,
    split: Split = "test",
    masks: Annotated[
        str,
        typer.Option(help="What is seen, as for `boed train completer`."),
        Spelled("boed.data.masks:named"),
    ] = "blobs",
    scenes: Annotated[int, typer.Option(help="Scenes that are completed."), COUNT] = 100,
    completions: Annotated[int, typer.Option(help="Completions of each, N."), Whole(2)] = 8,
    pairs: Annotated[
        int, typer.Option(help="Scenes that are asked about: where likelihoods differ most."), COUNT
    ] = 15,
    seed: Seed = 0,
    out: Annotated[
        Path | None,
        typer.Option(help="Page to write.", show_default="survey-DATA.html"),
        OutFile(endings=(".html",)),
    ] = None,
) -> None:
    """Write a page that asks which of two completions is the more plausible.

    They are the most and the least likely of N by the completer, in random order. The page needs
    no server, keeps its answers over a reload, and saves them as a CSV file for `survey read`.
    """
    from boed.report.survey.making import make_survey

    target = out or Path(f"{named_after('survey', data)}.html")
    name = make_survey(
        completer,
        target,
        data=data,
        size=size,
        split=split,
        masks=masks,
        scenes=scenes,
        completions=completions,
        pairs=pairs,
        seed=seed,
    )
    typer.echo(f"survey {name}: {target}")


@app.command("read", cls=Command)
def survey_read(
    answers: Annotated[
        list[Path], typer.Argument(help="CSV files that the page saved."), Existing()
    ],
) -> None:
    """Count the answers: how often the likelier completion was chosen, with Wilson intervals."""
    from rich.table import Table

    from boed.report.survey.answers import read_answers

    found = read_answers(answers)
    console = plain_console()
    table = Table(
        title=f"survey {found.survey}: visitors {found.visitors}, questions {found.questions}, "
        f"answers {found.answers}"
    )
    for heading in ("answer", "count", "share", "95 % (Wilson)"):
        table.add_column(heading, justify="left" if heading == "answer" else "right")
    for each in found.shares:
        interval = f"{each.low:.1%} to {each.high:.1%}"
        table.add_row(each.answer, str(each.count), f"{each.share:.1%}", interval)
    console.print(table)
