"""What the headline runs came to, as docs/headline.md tells it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
from pages import fill

WORSE = -0.01
"""A policy is not worse than a fixed scan if the lower end of the interval is above this."""

TABLES = ("primary", "metrics", "paired", "gains")
"""That are read."""

TOLD = ("auroc", "accuracy", "nll")
HEADERS = {"auroc": "AUROC", "accuracy": "accuracy", "nll": "NLL (nats)"}


def document(names: Iterable[str], docs: Path, *, fixed: tuple[str, ...]) -> None:
    """Tell in docs/headline.md of all runs that are finished.

    Args:
        names: of the runs, in the order of the page.
        docs: folder in which each finished run has one of its own, `figures` of headline.py.
        fixed: the policies that are fixed scans.
    """
    finished = [name for name in names if (docs / name / "summary.json").exists()]
    told = "\n\n".join(section(name, docs / name, fixed=fixed) for name in finished)
    fill(docs.with_suffix(".md"), "results", told or "None yet.")


def section(name: str, folder: Path, *, fixed: tuple[str, ...]) -> str:
    """A run: its curves, the primary outcome with its verdict, all policies, and EIG told."""
    summary = json.loads((folder / "summary.json").read_text())
    tables = {each: pd.read_csv(folder / f"{each}.csv") for each in TABLES}
    hours, primary = summary["seconds"] / 3600, summary["primary"]
    parts = [
        f"### {name}",
        f"{summary['data']}, {summary['scenes']} test scenes, {hours:.1f} core hours of deciding. "
        f"Whole image: {_whole(summary['full_image'])}.",
        f"![Curves of {name}](headline/{name}/curves.png)",
        _outcome(tables, primary, fixed=fixed),
        _policies(tables["metrics"]),
        _gains(tables["gains"]),
    ]
    return "\n\n".join(parts)


def _whole(figures: dict[str, float]) -> str:
    return ", ".join(f"{HEADERS[each]} {figures[each]:.3f}" for each in TOLD if each in figures)


def _outcome(
    tables: dict[str, pd.DataFrame], primary: dict[str, Any], *, fixed: tuple[str, ...]
) -> str:
    """The primary outcome against each rival, with what it means, and against the others."""
    metric, looks, judged = str(primary["metric"]), primary["looks"], primary["policy"]
    lines = [
        f"| {HEADERS[metric]} after {looks} looks | difference | interval holds |",
        "|---|---|---|",
    ]
    rivals = {str(row.difference): row for row in tables["primary"].itertuples()}
    lines += [
        f"| {name} | {_between(row)} | for all rivals together |" for name, row in rivals.items()
    ]
    paired = tables["paired"]
    rows = paired[(paired["metric"] == metric) & (paired["looks"] == looks)]
    lines += [
        f"| {row.difference} | {_between(row)} | alone |"
        for row in rows.itertuples()
        if str(row.difference).startswith(f"{judged} - ") and row.difference not in rivals
    ]
    scans = [rivals[f"{judged} - {each}"] for each in fixed if f"{judged} - {each}" in rivals]
    strongest = min(scans, key=lambda row: row.mean)
    against = [
        ("`random`", rivals[f"{judged} - random"]),
        (
            f"the stronger fixed scan (`{str(strongest.difference).removeprefix(f'{judged} - ')}`)",
            strongest,
        ),
    ]
    verdicts = [f"{_verdict(row)} {what}" for what, row in against]
    confirmed = all(row.low > 0 for _, row in against)
    told = "Confirmed" if confirmed else "Not confirmed"
    return "\n".join(lines) + f"\n\n**{told}**: `{judged}` is {' and '.join(verdicts)}."


def _verdict(row: Any) -> str:
    if row.low > 0:
        return "better than"
    if row.high < 0:
        return "worse than"
    return "not worse than" if row.low > WORSE else "not told apart from"


def _between(row: Any) -> str:
    return f"{row.mean:+.3f} [{row.low:+.3f}, {row.high:+.3f}]"


def _policies(metrics: pd.DataFrame) -> str:
    """Every policy after each look."""
    metrics = metrics[metrics["looks"] > 0]  # the whole image has none
    looks = sorted(set(metrics["looks"]))
    title = " / ".join(f"{look:.0f}" for look in looks)
    shown = [each for each in TOLD if each in set(metrics["metric"])]
    lines = [
        "| policy | " + " | ".join(f"{HEADERS[each]} after {title}" for each in shown) + " |",
        "|---|" + "---|" * len(shown),
    ]
    for policy, rows in metrics.groupby("policy", sort=False):
        cells = []
        for each in shown:
            values = rows[rows["metric"] == each].set_index("looks")["mean"]
            cells.append(" / ".join(f"{values[look]:.3f}" for look in looks))
        lines.append(f"| {policy} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _gains(gains: pd.DataFrame) -> str:
    """What was expected of each look, and what it gained."""
    lines = [
        "| policy | look | EIG expected | gained (nats) | slope | correlation |",
        "|---|---|---|---|---|---|",
    ]
    for row in gains.itertuples():
        ends = [
            "–" if pd.isna(mean) else f"{mean:.2f} [{low:.2f}, {high:.2f}]"
            for mean, low, high in (
                (row.slope, row.slope_low, row.slope_high),
                (row.correlation, row.correlation_low, row.correlation_high),
            )
        ]
        gained = f"{row.mean_gain:.3f} [{row.gain_low:.3f}, {row.gain_high:.3f}]"
        lines.append(
            f"| {row.policy} | {row.look} | {row.mean_eig:.3f} | {gained} | {' | '.join(ends)} |"
        )
    return "\n".join(lines)
