"""`boed report`: write the report of a finished run or of a session again, of whatever kind."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    run: Annotated[
        Path,
        typer.Argument(
            help="Run folder of `boed benchmark` or `boed evaluate`, the log of a session, as of "
            "`boed live`, or a folder of such logs, of which it tells together."
        ),
    ],
    figures: Annotated[
        Path | None, typer.Option(help="Also write the figures as PNG to this folder.")
    ] = None,
) -> None:
    """Write the report of a finished run again, or that of a session or of many."""
    from boed.data.readers.sessions import holds_sessions
    from boed.foundation.events import EVENTS
    from boed.foundation.identity import RECORD

    if (run / EVENTS).is_file():
        from boed.session.report import report_log

        report_log(run, figures)
    elif (run / RECORD).is_file():
        from boed.report.again import report_again

        report_again(run, figures)
    elif holds_sessions(run):
        from boed.session.gathered import report_sessions

        report_sessions(run, figures)
    else:
        raise ValueError(
            f"run is '{run}', which has neither {RECORD} nor {EVENTS}; expected the folder of a "
            "run of `boed benchmark` or `boed evaluate`, the log of a session, as of `boed live`, "
            "or a folder of such logs"
        )
    typer.echo(f"report: {run / 'report.html'}")
