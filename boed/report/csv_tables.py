"""The tables of a report as CSV: one row a number, so that any program reads them."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from boed.foundation.files import atomic
from boed.report.gains import Gains
from boed.report.statistics import Summary

Curves = Mapping[str, Mapping[str, Mapping[str, Sequence[float | None]]]]


def as_csv(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Rows under a header, numbers in full and nothing where there is none."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([["" if each is None else each for each in row] for row in rows])
    return text.getvalue()


def benchmark_tables(
    summary: Summary,
    *,
    gains: Iterable[Gains],
    unlike: Mapping[str, Sequence[float]],
    timing: Iterable[Sequence[Any]],
    run: Iterable[Sequence[str]],
) -> dict[str, str]:
    """Every table of a benchmark's report by name, as CSV.

    Args:
        summary: of the run.
        gains: EIG against what was gained.
        unlike: shares of scenes unlike the training data after 1, 2, ... looks, by policy.
        timing: rows of policy, seconds per run, seconds per look.
        run: rows of what was run.
    """
    curve = ("looks", "metric", "mean", "low", "high")
    primary = summary["primary"]
    differences = [
        (f"{primary['policy']} - {rival}", primary["looks"], primary["metric"], *bounds.values())
        for rival, bounds in primary["differences"].items()
    ]
    paired = [
        (*row, "" if row[1] == 0 else summary["together"][row[0]][row[2]][row[1]])
        for row in _long(summary["paired"])
    ]
    whole = [("whole scene", "", metric, v, "", "") for metric, v in summary["full_image"].items()]
    costs = [
        (name, look, cost)
        for name, curve in summary["cost_after"].items()
        for look, cost in enumerate(curve)
    ]
    return {
        "primary": as_csv(("difference", *curve), differences),
        "metrics": as_csv(("policy", *curve), [*_long(summary["policies"]), *whole]),
        "paired": as_csv(("difference", *curve, "certain_together"), paired),
        "costs": as_csv(("policy", "looks", "mean_cost"), costs),
        "gains": as_csv(_GAINS, [_flat(each) for each in gains]),
        "timing": as_csv(("policy", "seconds_per_run", "seconds_per_look"), timing),
        "run": as_csv(("what", "value"), run),
        **({"unlike": _unlike(unlike)} if unlike else {}),
    }


def _unlike(unlike: Mapping[str, Sequence[float]]) -> str:
    rows = [(name, k + 1, each) for name, row in unlike.items() for k, each in enumerate(row)]
    return as_csv(("policy", "look", "share"), rows)


_GAINS = (
    *("policy", "look", "mean_eig", "mean_gain", "gain_low", "gain_high"),
    *("slope", "slope_low", "slope_high", "correlation", "correlation_low", "correlation_high"),
    *("winners_curse", "effective_sample_size"),
)


def _flat(each: Gains) -> tuple[Any, ...]:
    figures = [each.expected, *each.gained, *each.slope, *each.correlation]
    figures += [each.curse, each.effective]
    return (each.policy, each.look, *(None if value != value else value for value in figures))


def write_tables(tables: Mapping[str, str], folder: Path) -> None:
    """Write each table to a file of its name.

    Raises:
        OSError: the folder cannot be written.
    """
    for name, text in tables.items():
        with atomic(folder / f"{name}.csv") as temporary:
            temporary.write_text(text, encoding="utf-8")


def link(text: str) -> str:
    """A table as a data URI, to be saved from the page."""
    return f"data:text/csv;base64,{base64.b64encode(text.encode()).decode()}"


def _long(curves: Curves) -> list[tuple[Any, ...]]:
    return [
        (name, look, metric, *(curve[key][look] for key in ("mean", "low", "high")))
        for name, metrics in curves.items()
        for metric, curve in metrics.items()
        for look in range(len(curve["mean"]))
    ]
