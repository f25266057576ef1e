"""A summary as a table for the terminal, and how its numbers are written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from boed.classifiers.evaluation.metrics import METRICS
from boed.report.statistics import Summary

if TYPE_CHECKING:
    from rich.table import Table


def table(summary: Summary) -> Table:
    """The summary as a terminal table: a row per policy and number of looks."""
    from rich.table import Table

    shown = Table(title=f"{summary['data']}, {summary['scenes']} scenes, 95 % intervals")
    shown.add_column("policy", no_wrap=True)
    shown.add_column("looks", justify="right")
    for metric in METRICS:
        shown.add_column({"nll": "NLL (nats)", "auroc": "AUROC"}.get(metric, metric))
    for name, curve in summary["policies"].items():
        for look in range(summary["looks"] + 1):
            cells = [with_interval(curve[metric], look) for metric in METRICS]
            shown.add_row(name if look == 0 else "", str(look), *cells)
        shown.add_section()
    shown.add_row("full image", "", *(number(summary["full_image"][metric]) for metric in METRICS))
    return shown


def number(value: float | None, signed: bool = False) -> str:
    """A metric to three decimals, a dash where there is none."""
    if value is None:
        return "–"
    return f"{value:+.3f}" if signed else f"{value:.3f}"


def with_interval(curve: dict[str, list[float | None]], look: int, signed: bool = False) -> str:
    """One entry of a curve with its interval."""
    mean, low, high = (number(curve[key][look], signed) for key in ("mean", "low", "high"))
    return mean if mean == "–" else f"{mean} [{low}, {high}]"
