"""`boed benchmark`: policies on the same scenes, from a file of settings, from options, or both."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from boed.cli.options import RUN_FOLDER, Until, kinds_of
from boed.cli.run_settings import DEFAULTS, run_typed


def _option(help_text: str, name: str = "", shown: str = "") -> Any:
    """An option that is not given unless it is typed, so that a file of settings may say it.

    Its default is that of `name`, or is said in words by `shown`.
    """
    default = DEFAULTS.get(name, shown)
    words = ",".join(default) if isinstance(default, list) else str(default)
    return typer.Option(help=help_text, show_default=words or False)


def benchmark(
    settings: Annotated[
        Path | None,
        typer.Argument(
            help="A run.toml, as every run writes, or the folder of a run, which then goes on; "
            "options override it."
        ),
    ] = None,
    data: Annotated[
        str | None, _option("Name (see `boed data list`) or path of a data set.", "data")
    ] = None,
    size: Annotated[int | None, _option("Width in pixels to resize scenes to.")] = None,
    library: Annotated[
        str | None, _option("Data set whose train split is retrieved from; that of --data.")
    ] = None,
    sensor: Annotated[
        str | None,
        _option(
            "patch, pixels, lines, kspace, ... with options as in patch,grid=9; or your own as "
            "package.module:Class. Features for tables, else patch."
        ),
    ] = None,
    patch: Annotated[
        float | None, _option("Of the patch sensor: width of a look over that of the scene.")
    ] = None,
    grid: Annotated[
        int | None, _option("Of the patch sensor: candidate looks along each axis.")
    ] = None,
    policies: Annotated[
        str | None,
        _option(
            "Comma-separated; the first is what the run is about.",
            shown="boed,max_variance,centre_out,random,oracle, and value where one is shipped",
        ),
    ] = None,
    baseline: Annotated[
        str | None, _option("Which policy the others are compared with; random.")
    ] = None,
    primary: Annotated[
        str | None,
        _option("Metric and look that the run is judged by, as auroc@2; the data set's own."),
    ] = None,
    completer: Annotated[
        str | None,
        _option(
            "retrieval, gaussian, aipo, flow, a shipped model's name, a checkpoint, or your own as "
            "package.module:Class.",
            shown="the best that is shipped for the data, else retrieval; gaussian for readings",
        ),
    ] = None,
    reweight: Annotated[
        str | None,
        _option(
            "clarity keeps completions as clear to the classifier as real scenes, agreement those "
            "whose answers are as likely as is believed; or a completer with a likelihood by which "
            "they are weighted; name or path."
        ),
    ] = None,
    classifier: Annotated[
        str | None,
        _option(
            "trees, gaussian, a shipped model's name, a checkpoint, torchxrayvision:NAME, or your "
            "own as package.module:Class.",
            shown="what is shipped for the data and sensor; trees for tables",
        ),
    ] = None,
    scenes: Annotated[int | None, _option("Number of scenes, 0 for all.", "scenes")] = None,
    steps: Annotated[int | None, _option("Looks at each scene.", "steps")] = None,
    completions: Annotated[
        int | None, _option("Completions for each decision, N.", "completions")
    ] = None,
    seed: Annotated[int | None, _option("Seed of everything random.", "seed")] = None,
    seeds: Annotated[int | None, _option("Repetitions: seed, seed + 1, ...", "seeds")] = None,
    split: Annotated[str | None, _option("train, val or test.", "split")] = None,
    out: Annotated[
        Path | None,
        _option("Run folder.", shown="runs/benchmark-DATA, or the folder that is given"),
        RUN_FOLDER,
    ] = None,
    memory: Annotated[int | None, _option("Bound on images held at once, MiB.", "memory")] = None,
    device: Annotated[str | None, _option("cpu or cuda.", "device")] = None,
    search: Annotated[
        str | None,
        _option(
            "racing (the exhaustive choice from fewer evaluations) or exhaustive; or fewer still, "
            "which may miss the best look: coarse, screen, or a screen's name or path.",
            "search",
        ),
    ] = None,
    precision: Annotated[
        str | None,
        _option(
            "Of the classifier: fp32; bf16, which rounds; or auto, the faster one.", "precision"
        ),
    ] = None,
    prevalence: Annotated[
        str | None,
        _option(
            "Of the answers where the scenes come from, as pneumonia=0.1; else that of the data.",
            "prevalence",
        ),
    ] = None,
    until: Until = None,
    engine: Annotated[
        str | None,
        _option("local, processes, or ray (the cluster at RAY_ADDRESS, if that is set).", "engine"),
    ] = None,
    workers: Annotated[
        int | None, _option("Of processes and ray; one for each CPU core if not given.")
    ] = None,
) -> None:
    """Run policies on the same scenes and report how soon the answer is right.

    Writes results.nc, report.html with its tables, summary.json and run.toml to the run folder. An
    interrupted run goes on when the same command is given again.
    """
    typed = {k: v for k, v in locals().items() if k != "settings" and v is not None}
    run_typed(settings, typed, kinds_of(benchmark))
