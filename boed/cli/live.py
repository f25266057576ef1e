"""`boed live`: a session with an instrument, over a page, a folder or standard input and output."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from boed.cli.console import ends_with
from boed.cli.options import (
    Completions,
    Grid,
    LibraryName,
    ModelName,
    Patch,
    Prevalence,
    Seed,
    SensorName,
    Size,
    Until,
    named_after,
    with_patch_options,
)
from boed.foundation.options import Existing, Number, OutFolder, Switch, Text, Whole

if TYPE_CHECKING:
    from boed.live import LiveSession, Sessions
    from boed.live.messages import Answers

DEMO_BUDGET = 0.5
"""Cost of a demonstration, if nothing else is said: half of the scene, for patches."""

EXPERIMENT = ("problem", "policy", "out", "budget", "seed", "stdio")
"""Options of a session with a Pyro model; the others are for scenes."""

DEMO_GRID = 9
"""Candidate looks along each axis in a demonstration, if nothing else is said."""


def live(
    data: Annotated[
        str,
        typer.Option(
            help="Data set that the scene is taken for one of: what is asked, and the default "
            "models, library and size."
        ),
    ] = "digits",
    policy: Annotated[
        str,
        typer.Option(help="As for benchmark; for a --problem, one that was trained for it."),
    ] = "boed",
    problem: Annotated[
        str | None,
        typer.Option(
            help="A Pyro model in place of a scene, as for `boed train policy`; with --stdio."
        ),
        Text(),
    ] = None,
    completer: ModelName = None,
    classifier: ModelName = None,
    sensor: SensorName = None,
    library: LibraryName = None,
    size: Size = None,
    completions: Completions = 10,
    grid: Grid = None,
    patch: Patch = None,
    search: Annotated[
        str, typer.Option(help="As for benchmark; racing is exhaustive here, for a whole EIG map.")
    ] = "racing",
    prevalence: Prevalence = None,
    budget: Annotated[
        float | None,
        typer.Option(
            help="Cost of all looks together, in the sensor's unit.",
            show_default=f"none; {DEMO_BUDGET} with --demo",
        ),
        Number(above=0),
    ] = None,
    until: Until = None,
    seed: Seed = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the session's log; the same command goes on with it.",
            show_default="runs/live-DATA; none with --demo",
        ),
        OutFolder(),
    ] = None,
    demo: Annotated[
        bool,
        typer.Option("--demo", help="Simulate the instrument, on a scene of --data."),
        Switch(),
    ] = False,
    scene: Annotated[
        int,
        typer.Option(
            help="With --demo: row of the scene in the test split; the number of a generated one "
            "where the data set is not here."
        ),
        Whole(0),
    ] = 4,
    stdio: Annotated[
        bool,
        typer.Option("--stdio", help="JSON lines on standard input and output, no page."),
        Switch(),
    ] = False,
    folder: Annotated[
        Path | None,
        typer.Option(
            help="Folder to watch for readings, no page unless --page.", show_default=False
        ),
        OutFolder(),
    ] = None,
    page: Annotated[
        bool, typer.Option("--page", help="With --folder: the page as well."), Switch()
    ] = False,
    several: Annotated[
        bool,
        typer.Option(
            "--several",
            help="A session for each scene, begun in the page, by a line, or by a folder of its "
            "name in --folder; each has its log in a folder of --out.",
        ),
        Switch(),
    ] = False,
    prefetch: Annotated[
        bool,
        typer.Option(
            "--prefetch", help="Decide as soon as a reading is in, before anyone asks; same looks."
        ),
        Switch(),
    ] = False,
    dicom: Annotated[
        Path | None,
        typer.Option(
            help="Folder for looks and belief as DICOM, written when the command ends; research "
            "output. Needs the extra dicom.",
            show_default=False,
        ),
        OutFolder(),
    ] = None,
    dicom_image: Annotated[
        Path | None,
        typer.Option(
            help="With --dicom: the DICOM image that the instrument reads parts of.",
            show_default=False,
        ),
        Existing(),
    ] = None,
    host: Annotated[
        str,
        typer.Option(
            help="Of the page: name or address to bind to. One that others can reach asks for a "
            "token, which is part of the link."
        ),
        Text(),
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(help="Of the page; any free one if 0."), Whole(0, 65535)
    ] = 8321,
) -> None:
    """Say where an instrument looks next, and take its readings: in a page, a folder, or by lines.

    Needs no data set; with the one that --data names, its train split decides the first look.
    """
    if stdio and (folder is not None or page):
        raise ValueError("stdio is a way of its own; expected it without --folder and --page")
    if dicom_image is not None and (dicom is None or several):
        raise ValueError("dicom-image belongs to --dicom of one session")
    names = ("completer", "classifier", "sensor", "library", "size", "completions", "grid",
             "patch", "search", "prevalence")  # fmt: skip
    given = locals()
    if problem is not None:
        usual = {each.name: each.default for each in signature(live).parameters.values()}
        others = (each for each in usual if each not in EXPERIMENT)
        extra = next((each for each in others if given[each] != usual[each]), None)
        _experiment(problem, policy, out=out, budget=budget, seed=seed, stdio=stdio, extra=extra)
        return
    options = {each: given[each] for each in names if given[each] is not None}
    with_page = page or not (stdio or folder)
    if with_page:
        _check_extra("the page needs FastAPI and uvicorn", "live", "fastapi", "uvicorn")
    if dicom is not None:
        _check_extra("--dicom needs highdicom", "dicom", "highdicom")
    path = out or (None if demo else Path("runs") / named_after("live", data))
    if demo and sensor is None:
        options = {"grid": DEMO_GRID, **options}
    options = {
        **with_patch_options(options),
        "policy": policy,
        "budget": DEMO_BUDGET if demo and budget is None else budget,
        "until": until,
        "seed": seed,
        "prefetch": prefetch,
        "scene": scene if demo else None,
    }
    what = "the sessions are" if several else "the session is"
    kept = f"{what} in {path}, and the same command goes on" if path else "nothing is kept"
    make: Callable[..., LiveSession | Sessions] = _made_several if several else _made
    session = make(data, path=path, **options)
    with ends_with(kept), closing(session), _as_dicom(session, dicom, dicom_image):
        if stdio:
            _over_lines(session)
        elif folder is not None:
            _over_folder(session, folder, host=host, port=port if with_page else None)
        else:
            _with_page(session, host, port)


def _experiment(
    problem: str, policy: str, *, out: Path | None, stdio: bool, extra: str | None, **more: Any
) -> None:
    """Drive an experiment by lines."""
    if not stdio:
        raise ValueError("--problem is for --stdio: pages and folders are for scenes")
    if extra is not None:
        extra = extra.replace("_", "-")
        raise ValueError(f"--{extra} is for scenes, expected none with --problem")
    from boed.live import make_experiment

    called = problem.partition(",")[0].rpartition(":")[2]
    path = out or Path("runs") / named_after("live", called)
    live = make_experiment(problem, policy, path=path, **more)
    with ends_with(f"the session is in {path}, and the same command goes on"), closing(live):
        _over_lines(live)


def _made(data: str, **options: Any) -> LiveSession:
    from boed.live import make_live

    typer.echo("boed: reading data and models", err=True)
    return make_live(data, say=_say, **options)


def _say(news: str) -> None:
    typer.echo(f"boed: {news}", err=True)


def _check_extra(needs: str, extra: str, *modules: str) -> None:
    from importlib.util import find_spec

    if any(find_spec(module) is None for module in modules):
        raise ValueError(f"{needs}: pip install 'boed[{extra}]'")


@contextmanager
def _as_dicom(
    session: LiveSession | Sessions, folder: Path | None, image: Path | None = None
) -> Iterator[None]:
    """Write looks and belief at the end; at the beginning, too, so that what cannot be is told."""
    if folder is None:
        yield
        return
    from boed.adapters.dicom import write_dicom
    from boed.live import LiveSession

    def write() -> None:
        lives = {".": session} if isinstance(session, LiveSession) else session.lives
        for name, live in lives.items():
            write_dicom(live.session, folder / name, answers=live.answers, image=image)

    write()
    try:
        yield
    finally:
        write()


def _made_several(data: str, *, path: Path | None, **options: Any) -> Sessions:
    from boed.live import Sessions, live_maker
    from boed.live.sessions import logged

    logged(path)  # what is no place for logs is told before any work
    typer.echo("boed: reading data and models", err=True)
    return Sessions(live_maker(data, say=_say, **options), path)


def _over_lines(session: Answers) -> None:
    from boed.live import answer_lines

    typer.echo('boed: ready for lines such as {"action": "next"}', err=True)
    answer_lines(session, sys.stdin.buffer, sys.stdout)


def _over_folder(
    session: LiveSession | Sessions, folder: Path, *, host: str, port: int | None
) -> None:
    from boed.live import Folder, Folders, LiveSession

    end = threading.Event()
    if isinstance(session, LiveSession):
        where, watched = folder / "next.json", Folder(session, folder)
        watch = partial(watched.watch, end, on=port is not None)
    else:
        where, watch = folder / "NAME" / "next.json", partial(Folders(session, folder).watch, end)
    typer.echo(f"boed: watching {folder}; the next look is in {where}", err=True)
    if port is None:
        watch()
        if isinstance(session, LiveSession):
            ended = session.session.stopped or session.session.reason
            typer.echo(f"boed: finished: {ended}", err=True)
        return
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        _with_page(session, host, port)
    finally:
        end.set()
        watcher.join()


def _with_page(session: LiveSession | Sessions, host: str, port: int) -> None:
    from boed.live.server import serve

    serve(
        session,
        host=host,
        port=port,
        on_ready=lambda link: typer.echo(f"boed: open {link} (Ctrl-C ends)", err=True),
    )
