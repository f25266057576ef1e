"""A whole run in one call: policies on scenes, saved, summarised, drawn and reported."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomli_w

from boed.acquisition import Budget
from boed.benchmark import benchmark
from boed.benchmark.engines import Engine
from boed.benchmark.engines import named as engine_named
from boed.benchmark.storage import finish
from boed.classifiers.evaluation.out_of_distribution import warn_if_unlike
from boed.data.readers.tables import refuse_table
from boed.foundation.arguments import checked
from boed.foundation.checks import check_fits
from boed.foundation.files import atomic
from boed.foundation.identity import RESULTS, SETTINGS, claim, identity
from boed.foundation.options import RunFolder, Shares
from boed.foundation.registry import nearest
from boed.sensors import PatchSensor
from boed.setup import Setup, versions
from boed.zoo import DEFAULT_SIZE, Context, named_classifiers, named_completers
from boed.zoo.models import network_for
from boed.zoo.names import check_names

if TYPE_CHECKING:
    import xarray as xr

    from boed.classifiers.evaluation.evaluate import Suite
    from boed.completion.evaluation.plan import Plan
    from boed.data.dataset import Dataset
    from boed.data.question import Asked


@checked
def run(
    setup: Setup,
    out: Path | str,
    *,
    scenes: int | None = None,
    seeds: Sequence[int] = (0,),
    engine: Engine | str = "local",
    budget: Budget | None = None,
    command: str | None = None,
    on_progress: Callable[[str, int], None] | None = None,
) -> xr.Dataset:
    """Run a set-up and write what came out to a folder.

    The folder then holds `results.nc`, `summary.json`, `examples.nc`, `report.html`, its tables as
    CSV in `tables/`, the settings as `run.toml`, and whose run it is as `run.json`. The same call
    on the same folder goes on where it was interrupted, and only writes the report anew where it
    was finished; with another set-up it is refused.

    Args:
        setup: what `boed.setup` put together.
        out: run folder.
        scenes: how many of the data set's scenes, a fixed random choice; all if not given.
        seeds: repetitions.
        engine: `local`, `processes` or `ray`, or one of `boed.benchmark.engines`.
        budget: of cost for each scene, and of time.
        command: what was typed, for the record.
        on_progress: called with a policy and the scene-looks just finished.

    Returns:
        The Results; see `boed.report.results`.

    Raises:
        ValueError: whatever `benchmark` refuses, such as a folder that holds another run.
        OSError: the folder cannot be written; what was finished is kept.
    """
    from boed.report import report_tables, write_report
    from boed.report.csv_tables import write_tables
    from boed.report.results import save
    from boed.report.statistics import write_summary
    from boed.report.worked_scenes import worked_scenes

    RunFolder().check("out", out)
    folder = Path(out)
    engine = engine_named(engine) if isinstance(engine, str) else engine
    started = datetime.now(UTC).isoformat(timespec="seconds")
    warn_if_unlike(setup.classifier, setup.data)
    results = benchmark(
        setup.data,
        setup.sensor,
        setup.classifier,
        policies=setup.policies,
        steps=setup.steps,
        seeds=seeds,
        scenes=scenes,
        out=folder,
        memory=setup.memory,
        primary=setup.primary,
        attributes={**setup.about, "baseline": setup.baseline},
        on_progress=on_progress,
        device=setup.device,
        budget=budget,
        engine=engine,
    )
    results.attrs.setdefault("started", started)
    if command is not None:
        results.attrs["command"] = command
    settings = {
        **setup.options,
        "scenes": len(setup.data) if scenes is None else scenes,
        "seed": min(seeds),
        "seeds": len(seeds) if _consecutive(seeds) else list(map(int, seeds)),
    }
    with atomic(folder / SETTINGS) as temporary:
        temporary.write_text(tomli_w.dumps(settings), encoding="utf-8")
    save(results, folder / RESULTS)
    summary = write_summary(results, folder / "summary.json")
    examples = worked_scenes(setup, seed=min(seeds), results=results)
    if examples is not None:
        save(examples, folder / "examples.nc")
    write_report(results, folder / "report.html", examples, summary=summary)
    write_tables(report_tables(results, summary), folder / "tables")
    finish(folder)
    return results


def _consecutive(seeds: Sequence[int]) -> bool:
    return list(seeds) == list(range(min(seeds), min(seeds) + len(seeds)))


def read_settings(path: Path | str, known: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a `run.toml`.

    Args:
        path: the file.
        known: settings that there are.

    Raises:
        ValueError: the file is missing or no TOML, or holds a setting that does not exist.
    """
    if not Path(path).exists():
        raise ValueError(f"settings is '{path}', which does not exist; expected a {SETTINGS}")
    try:
        settings = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise ValueError(f"settings {path} cannot be read: {error}") from error
    for key, value in settings.items():
        if key not in known:
            raise ValueError(
                f"settings {path}: there is no setting {key!r}: {nearest(key, known)}Settings: "
                f"{', '.join(known)}"
            )
        if isinstance(value, str) and value.startswith("a ") and value.endswith(" object"):
            raise ValueError(
                f"settings {path}: {key} was {value} of yours, which a file cannot hold; give a "
                "name, a path or package.module:Class"
            )
    return settings


@checked
def evaluate_completers(
    completers: Sequence[str],
    out: Path | str,
    *,
    data: str | Path = "digits",
    size: int | None = None,
    split: str = "test",
    plan: Plan | None = None,
    classifier: str | None = None,
    judge: str | None = None,
    inception: Path | None = None,
    lpips: Path | None = None,
    device: str = "cpu",
    command: str | None = None,
    on_progress: Callable[[str, int], None] | None = None,
) -> xr.Dataset:
    """Measure completers and write what came out to a folder, as `run` does.

    Args:
        completers: names or checkpoints as `boed.zoo.completer_for` takes them, or NAME=PATH.
        out: run folder; it then holds `results.nc`, `examples.nc`, `table.md`, `report.html`.
        data, size, split: scenes to complete; the train split is what retrieval retrieves from.
        plan: what is measured on how many scenes.
        classifier: name or checkpoint of the classifier whose features describe scenes; the shipped
            one if not given.
        judge: name or checkpoint of the classifier that answers the question about completions,
            for the inception score and the label posterior; `classifier` if not given.
        inception: weights of the FID's Inception, whose features then describe scenes.
        lpips: weights of a backbone of LPIPS, which is then measured, too.
        device: where the models run.
        command: what was typed, for the record.
        on_progress: called with a completer and the completions just drawn; first with 0.

    Returns:
        The figures; see `boed.completion.evaluation.evaluate`.

    Raises:
        ValueError: whatever of this is not as expected.
        OSError: the folder cannot be written; what was finished is kept.
    """
    from boed.classifiers.networks.extractor import ClassifierExtractor
    from boed.completion.evaluation import results as completer_results
    from boed.completion.evaluation.compare import compare
    from boed.completion.evaluation.inception import InceptionExtractor
    from boed.completion.evaluation.perceptual import LPIPS
    from boed.completion.evaluation.plan import Extractor, Plan, check_scenes
    from boed.data.load import load
    from boed.foundation import netcdf
    from boed.report.completers.page import write_completer_report
    from boed.report.completers.table import markdown

    RunFolder().check("out", out)
    refuse_table(data, "an evaluation of completers")
    named = [each.rpartition("=")[2] for each in completers]
    check_names(network=classifier, judge=judge, completers=named)
    folder, plan = Path(out), plan or Plan()
    started = datetime.now(UTC).isoformat(timespec="seconds")
    size = size or DEFAULT_SIZE.get(str(data))
    test, library = load(data, size, split), load(data, size, "train")
    context = Context(test, PatchSensor(test.size), library=library, source=str(data))
    models = named_completers(completers, context)
    describes = network_for(context, classifier)
    answers = describes if judge is None else network_for(context, judge, argument="judge")
    for model in (describes, answers, *models.values()):
        if hasattr(model, "to"):
            model.to(device)
    extractor: Extractor = ClassifierExtractor(
        describes, Path(classifier or "shipped").stem, answers
    )
    if inception is not None:
        extractor = InceptionExtractor(inception, extractor)
    perceptual = None if lpips is None else LPIPS(lpips)
    check_scenes(plan, test, library)
    warn_if_unlike(describes, test)
    settings = {name: value for name, value in asdict(plan).items() if value != ()}
    claim(
        folder,
        "evaluation of completers",
        {
            "identity": {
                "data": identity(test),
                "library": identity(library),
                "features": identity(extractor),
                **({} if perceptual is None else {"lpips": identity(perceptual)}),
                "completers": {name: identity(model) for name, model in models.items()},
            },
            "settings": {"plan": settings, "data": test.name, "split": test.split},
        },
        grows=("completers",),
    )
    if on_progress is not None:
        on_progress(next(iter(models)), 0)  # the measures of the scenes alone take a while
    results, pictures = compare(
        models,
        test,
        library,
        extractor=extractor,
        plan=plan,
        perceptual=perceptual,
        folder=folder,
        advance=on_progress,
    )
    results.attrs |= {"started": started, "versions": json.dumps(versions())}
    if judge is not None:
        results.attrs["judge"] = Path(judge).stem
    if command is not None:
        results.attrs["command"] = command
    netcdf.save(results, folder / RESULTS, completer_results.RESULTS)
    netcdf.save(pictures, folder / "examples.nc", completer_results.EXAMPLES)
    write_completer_report(results, folder / "report.html", pictures)
    with atomic(folder / "table.md") as temporary:
        temporary.write_text(markdown(results), encoding="utf-8")
    return results


@checked
def evaluate_classifiers(
    classifiers: Sequence[str],
    out: Path | str,
    *,
    data: str | Path = "digits",
    size: int | None = None,
    split: str = "val",
    suite: Suite | None = None,
    also: str | Path | None = None,
    prevalence: str | float | Mapping[str, float] | None = None,
    device: str = "cpu",
    command: str | None = None,
    on_progress: Callable[[str, int], None] | None = None,
) -> xr.Dataset:
    """Measure classifiers on clean and shifted scenes, and write what came out to a folder.

    Args:
        classifiers: names of shipped ones, checkpoints, or NAME=PATH.
        out: run folder; it then holds `results.nc`, `report.html` and its tables as CSV in
            `tables/`. The same call on the same folder goes on, and may add classifiers.
        data, size, split: scenes to judge.
        suite: which shifts, how many scenes and looks.
        also: another data set, of the same split and size, that the question can be asked of; its
            labels are mapped by name (`boed.data.question`).
        prevalence: of the answers, as for `boed.setup`, that all classifiers assume: one that was
            trained on balanced answers and one that was not compare by NLL only under the same.
        device: where the classifiers run.
        command: what was typed, for the record.
        on_progress: called with a classifier and the conditions just finished; first with 0.

    Returns:
        The beliefs; see `boed.classifiers.evaluation.evaluate`.

    Raises:
        ValueError: whatever of this is not as expected.
        OSError: the folder cannot be written; what was finished is kept.
    """
    from boed.classifiers.evaluation.evaluate import KIND, Suite, evaluate
    from boed.classifiers.evaluation.evaluate import RESULTS as BELIEFS
    from boed.data.load import load
    from boed.foundation import netcdf
    from boed.report.classifiers.page import write_classifier_report

    RunFolder().check("out", out)
    refuse_table(data, "an evaluation of classifiers")
    if also is not None:
        refuse_table(also, "an evaluation of classifiers", argument="also")
    shares = None if prevalence is None else Shares().of("prevalence", prevalence)
    check_names(networks=[each.rpartition("=")[2] for each in classifiers])
    folder, suite = Path(out), suite or Suite()
    started = datetime.now(UTC).isoformat(timespec="seconds")
    every = load(data, size or DEFAULT_SIZE.get(str(data)), split)
    every.check_question()
    used = every.subset(suite.rows(every))
    others = None if also is None else _asked_of(also, every)
    models = named_classifiers(classifiers, Context(used, PatchSensor(used.size), source=str(data)))
    identities = {name: identity(model) for name, model in models.items()}
    for model in models.values():
        if hasattr(model, "to"):
            model.to(device)
        model.set_prevalence(shares)
        warn_if_unlike(model, used)
    assumed = None if shares is None else next(iter(models.values())).prevalence
    claim(
        folder,
        KIND,
        {
            "identity": {
                "data": identity(used),
                "also": None if others is None else identity(others),
                "classifiers": identities,
            },
            "settings": {
                **{"suite": asdict(suite), "data": used.name, "split": used.split},
                "prevalence": assumed,
            },
        },
        grows=("classifiers",),
    )
    if on_progress is not None:
        on_progress(next(iter(models)), 0)
    results = evaluate(models, used, suite, also=others, folder=folder, advance=on_progress)
    results.attrs |= {"started": started, "versions": json.dumps(versions())}
    if assumed is not None:
        results.attrs["prevalence"] = json.dumps(assumed)
    if command is not None:
        results.attrs["command"] = command
    netcdf.save(results, folder / RESULTS, BELIEFS)
    write_classifier_report(results, folder)
    return results


def _asked_of(also: str | Path, data: Dataset) -> Asked:
    """The question of a data set, asked of another one of the same split and size.

    Raises:
        ValueError: it cannot be read, has other channels, or other labels.
    """
    from boed.data.load import load
    from boed.data.question import asked_of

    try:
        other = load(also, data.size, data.split)
        check_fits("data", data, other, name=other.name)
    except ValueError as error:
        raise ValueError(f"also: {error}") from error
    return asked_of(other, data)
