"""A run from a file of settings and from options: what holds, and what is printed of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from boed.cli.console import command, counted, ends_with_finished, plain_console
from boed.cli.options import RUN_FOLDER, named_after, repetitions, with_patch_options
from boed.foundation.options import Kind

DEFAULTS: dict[str, Any] = {
    "data": "digits",
    "scenes": 128,
    "steps": 3,
    "completions": 10,
    "seed": 0,
    "seeds": 1,
    "split": "test",
    "memory": 512,
    "device": "cpu",
    "search": "racing",
    "precision": "fp32",
    "engine": "local",
}
"""What holds where neither a file of settings nor an option says otherwise."""


def run_typed(settings: Path | None, typed: dict[str, Any], kinds: Mapping[str, Kind]) -> None:
    """Run what a file of settings and options say together."""

    from boed.benchmark.engines import named
    from boed.report.headline import headline, infinite
    from boed.report.statistics import summary
    from boed.report.tables import table
    from boed.run import run
    from boed.setup import setup

    options = with_patch_options({**DEFAULTS, **_read(settings, kinds), **typed})
    fallback = Path("runs") / named_after("benchmark", options["data"])
    if settings is not None and settings.is_dir():  # that run goes on
        fallback = settings
    out, scenes = Path(options.pop("out", None) or fallback), options.pop("scenes")
    RUN_FOLDER.check("out", out)
    seeds = repetitions(options.pop("seed"), options.pop("seeds"))
    try:
        engine = named(options.pop("engine"), options.pop("workers", None))
    except ImportError as error:  # the extra that it names is wanted
        raise ValueError(str(error)) from error
    console = plain_console()
    with console.status("reading data and models"):
        made = setup(**{"policies": None, **options})
    number = len(made.data) if scenes == 0 else scenes
    names, data = ", ".join(made.policies), f"{made.data.name} ({made.data.split})"
    console.print(f"{data}: {number} scenes, {made.steps} looks, {names}", soft_wrap=True)
    with (
        ends_with_finished(out),
        counted(number * made.steps * len(seeds), "looks") as advance,
    ):
        how: dict[str, Any] = {"engine": engine, "command": command(), "on_progress": advance}
        advance(next(iter(made.policies)), 0)
        results = run(made, out, scenes=number, seeds=seeds, **how)
    found = summary(results)
    console.print(table(found))
    console.print(headline(found), highlight=False)
    if (told := infinite(found)) is not None:
        console.print(told, highlight=False)
    console.print(f"report: {out / 'report.html'}", soft_wrap=True)


def _read(settings: Path | None, kinds: Mapping[str, Kind]) -> dict[str, Any]:
    """What a file of settings says, each value of the kind of its option."""
    if settings is None:
        return {}
    from boed.foundation.identity import SETTINGS
    from boed.run import read_settings

    file = settings / SETTINGS if settings.is_dir() else settings
    kinds = {k: v for k, v in kinds.items() if k not in ("settings", "out")}
    read = read_settings(file, kinds)
    for name, value in read.items():
        kinds[name].check(f"settings {file}: {name}", value)
    return read
