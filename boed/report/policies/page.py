"""One self-contained HTML file that shows whether a policy still wins under shift."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from boed.benchmark.shifted import RESULTS, of_condition
from boed.classifiers.evaluation.metrics import METRICS
from boed.foundation.files import atomic
from boed.report.csv_tables import as_csv, link, write_tables
from boed.report.headline import NAMES, counted
from boed.report.html import svg, template
from boed.report.page import what_was_run
from boed.report.policies.comparisons import (
    BETTER,
    UNSURE,
    WORSE,
    Comparison,
    comparisons,
    counts,
    summaries,
    verdicts,
)
from boed.report.policies.figures import differences_figure
from boed.report.statistics import Summary
from boed.report.tables import number, with_interval

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


class Row(NamedTuple):
    """A row of a table; cells are text and `better`, `worse` or nothing."""

    condition: str
    first: bool
    name: str
    cells: list[tuple[str, str]]


class Written(NamedTuple):
    """What a report says first, and its figure."""

    verdicts: list[str]
    figure: Figure


def write_policy_report(results: xr.Dataset, folder: Path) -> Written:
    """Write `report.html` and, in `tables/`, its tables as CSV, each atomically.

    Args:
        results: what `boed.benchmark.shifted.benchmark_shifted` returned.
        folder: of the run.

    Returns:
        A line of verdict for each rival, and the figure of the differences.

    Raises:
        ValueError: results that are not of their form.
        OSError: the folder cannot be written.
    """
    RESULTS.check(results)
    found = summaries(results)
    made = comparisons(results, found)
    page = render(results, found, made)
    with atomic(folder / "report.html") as temporary:
        temporary.write_text(page, encoding="utf-8")
    write_tables(tables(results, found, made), folder / "tables")
    one = next(iter(found.values()))
    return Written(verdicts(made, one), _figure(one, made))


def render(results: xr.Dataset, found: dict[str, Summary], made: list[Comparison]) -> str:
    """The report as HTML. Everything that comes from the data is escaped.

    Args:
        results: what `boed.benchmark.shifted.benchmark_shifted` returned.
        found: their summaries by condition.
        made: their comparisons.
    """
    one = next(iter(found.values()))
    metrics = _metrics(one)
    look, first = one["primary"]["looks"], one["primary"]["policy"]
    looks = [look, *(each for each in range(1, one["looks"] + 1) if each != look)]
    said = {each: counted(each, "look") for each in looks}
    csv = {name: link(text) for name, text in tables(results, found, made).items()}
    return template("policies.html.j2").render(
        data=one["data"],
        first=first,
        headline=verdicts(made, one),
        scenes=counted(one["scenes"], "scene"),
        seeds=counted(results.sizes["seed"], "seed"),
        clusters="patients" if "patient" in results else "scenes",
        headings=[NAMES[m] + (" (nats)" if m == "nll" else "") for m in metrics],
        counts=_counts(made, metrics, looks),
        verdicts=[BETTER, UNSURE, WORSE],
        differences=[(said[each], _differences(made, metrics, each)) for each in looks],
        policies=[(said[each], _policies(found, metrics, each)) for each in looks],
        figure=svg(_figure(one, made)),
        look=said[look],
        csv=csv,
        run=_what_was_run(results),
    )


def _figure(one: Summary, made: list[Comparison]) -> Figure:
    return differences_figure(
        made,
        first=one["primary"]["policy"],
        metrics=_metrics(one),
        look=one["primary"]["looks"],
    )


def _metrics(one: Summary) -> list[str]:
    """The metrics that there are."""
    return [m for m in METRICS if one["full_image"][m] is not None or m == "nll"]


def _counts(
    made: list[Comparison], metrics: list[str], looks: list[int]
) -> list[tuple[str, bool, str, list[str]]]:
    """Against whom, whether that is the first such row, after how many looks, and the counts."""
    return [
        (
            against,
            place == 0,
            counted(look, "look"),
            [
                " / ".join(map(str, counts(made, against=against, metric=m, look=look).values()))
                for m in metrics
            ],
        )
        for against in dict.fromkeys(each.against for each in made)
        for place, look in enumerate(sorted(looks))
    ]


def _differences(made: list[Comparison], metrics: list[str], look: int) -> list[Row]:
    cells: dict[tuple[str, str], dict[str, Comparison]] = {}
    for each in made:
        if each.look == look:
            cells.setdefault((each.condition, each.against), {})[each.metric] = each
    rows, before = [], None
    for (condition, against), row in cells.items():
        rival = next(iter(row.values())).rival
        name = against if rival == against else f"{against}: {rival}"
        shown = [
            (_signed(row[m]), row[m].verdict if row[m].verdict != UNSURE else "") for m in metrics
        ]
        rows.append(Row(condition, condition != before, name, shown))
        before = condition
    return rows


def _signed(each: Comparison) -> str:
    if each.mean is None:
        return number(None)
    return f"{each.mean:+.3f} [{number(each.low, True)}, {number(each.high, True)}]"


def _policies(found: dict[str, Summary], metrics: list[str], look: int) -> list[Row]:
    """What each policy reaches, and the classifier that sees the whole scene."""
    rows = []
    for condition, one in found.items():
        for place, (name, curve) in enumerate(one["policies"].items()):
            cells = [(with_interval(curve[m], look), "") for m in metrics]
            rows.append(Row(condition, place == 0, name, cells))
        whole = [(number(one["full_image"][m]), "") for m in metrics]
        rows.append(Row(condition, False, "whole scene", whole))
    return rows


def tables(
    results: xr.Dataset, found: dict[str, Summary], made: list[Comparison]
) -> dict[str, str]:
    """The tables of the report by name, as CSV."""
    curve = ("looks", "metric", "mean", "low", "high")
    keys = ("mean", "low", "high")
    metrics: list[tuple[Any, ...]] = []
    for condition, one in found.items():
        for name, curves in one["policies"].items():
            metrics += [
                (condition, name, look, metric, *(curves[metric][key][look] for key in keys))
                for metric in METRICS
                for look in range(one["looks"] + 1)
            ]
        whole = one["full_image"].items()
        metrics += [(condition, "whole scene", "", m, value, "", "") for m, value in whole]
    said = ("condition", "against", "rival", "look", "metric", "mean", "low", "high", "verdict")
    differences = [[getattr(each, name) for name in said] for each in made]
    return {
        "metrics": as_csv(("condition", "policy", *curve), metrics),
        "differences": as_csv(("condition", "against", "rival", *curve, "verdict"), differences),
        "run": as_csv(("what", "value"), _what_was_run(results)),
    }


def _what_was_run(results: xr.Dataset) -> list[tuple[str, str]]:
    conditions = list(map(str, results["condition"].values))
    clean = of_condition(results, conditions[0])
    return [("conditions", ", ".join(conditions)), *what_was_run(clean)]
