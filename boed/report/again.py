"""The report of a finished run written again, whatever kind of run it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from boed.benchmark import shifted as policy_results
from boed.classifiers.evaluation import evaluate as classifier_results
from boed.completion.evaluation import results as completer_results
from boed.foundation import netcdf
from boed.foundation.files import atomic
from boed.foundation.identity import RESULTS, claim_picture, read_record
from boed.report import results as benchmark_results
from boed.report.classifiers import figures as classifier_figures
from boed.report.classifiers.page import write_classifier_report
from boed.report.completers import figures as completer_figures
from boed.report.completers.page import write_completer_report
from boed.report.completers.table import markdown
from boed.report.csv_tables import write_tables
from boed.report.figures import curves_figure, panel_figure
from boed.report.page import report_tables, write_report
from boed.report.policies.page import write_policy_report
from boed.report.statistics import write_summary

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


def report_again(run: Path, figures: Path | None = None) -> None:
    """Write `report.html`, and what is computed for it, from the results in a run's folder.

    Args:
        run: folder of a benchmark, or of an evaluation of completers, classifiers or policies.
        figures: folder for the figures as PNG; none are written if not given.

    Raises:
        ValueError: the folder is of no run, the results are damaged, or a picture that is not
            boed's lies where a figure would.
    """
    kind = read_record(run).get("kind")
    if not (run / RESULTS).exists():
        raise ValueError(
            f"run is '{run}', which was not finished (it has no {RESULTS}); the command that "
            "began it goes on with it"
        )
    if kind == "benchmark":
        results = benchmark_results.load(run / RESULTS)
        examples = _examples(run, benchmark_results.EXAMPLES)
        write_benchmark(run, results, examples, figures=figures)
    elif kind == classifier_results.KIND:
        _classifiers(run, figures)
    elif kind == policy_results.KIND:
        _policies(run, figures)
    else:
        _completers(run, figures)


def write_benchmark(
    run: Path,
    results: xr.Dataset,
    examples: xr.Dataset | None = None,
    *,
    figures: Path | None = None,
) -> None:
    """Write `report.html`, `summary.json` and tables of a benchmark's Results.

    Args:
        run: folder.
        results: of the run.
        examples: worked scenes.
        figures: folder for the figures as PNG; none are written if not given.
    """
    records = _claimed(figures, "curves", "panel")
    summary = write_summary(results, run / "summary.json")
    write_report(results, run / "report.html", examples, summary=summary)
    write_tables(report_tables(results, summary), run / "tables")
    drawn = {"curves": lambda: curves_figure(summary)}
    if examples is not None:
        drawn["panel"] = lambda: panel_figure(examples, 0)
    if figures is not None:
        for name, draw in drawn.items():
            _draw(draw(), figures / f"{name}.png", records[name])


def _completers(run: Path, figures: Path | None) -> None:
    records = _claimed(figures, "sheet")
    results = netcdf.load(run / RESULTS, completer_results.RESULTS)
    pictures = _examples(run, completer_results.EXAMPLES)
    write_completer_report(results, run / "report.html", pictures)
    with atomic(run / "table.md") as temporary:
        temporary.write_text(markdown(results), encoding="utf-8")
    if figures is not None and pictures is not None and "sheet_sample" in pictures:
        sheet = completer_figures.sheet_figure(pictures)
        _draw(sheet, figures / "sheet.png", records["sheet"])


def _classifiers(run: Path, figures: Path | None) -> None:
    records = _claimed(figures, "reliability")
    results = netcdf.load(run / RESULTS, classifier_results.RESULTS)
    write_classifier_report(results, run)
    if figures is not None:
        drawn = classifier_figures.reliability_figure(results)
        _draw(drawn, figures / "reliability.png", records["reliability"])


def _policies(run: Path, figures: Path | None) -> None:
    records = _claimed(figures, "differences")
    results = netcdf.load(run / RESULTS, policy_results.RESULTS)
    written = write_policy_report(results, run)
    if figures is not None:
        _draw(written.figure, figures / "differences.png", records["differences"])


def _claimed(figures: Path | None, *names: str) -> dict[str, dict[str, str]]:
    """What each figure is to say of itself; one that is there and is not ours is refused."""
    if figures is None:
        return {}
    return {
        name: claim_picture(figures / f"{name}.png", f"figure {name}", {}, name="figures")
        for name in names
    }


def _examples(run: Path, schema: netcdf.Schema) -> xr.Dataset | None:
    path = run / "examples.nc"
    return netcdf.load(path, schema) if path.exists() else None


def _draw(figure: Figure, path: Path, record: dict[str, str]) -> None:
    with atomic(path) as temporary:
        figure.savefig(temporary, dpi=130, metadata=record)
