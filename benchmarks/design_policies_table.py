"""The literature's table as Markdown, JSON and a figure, from the rows of `design_policies.py`."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from pages import fill

from boed.foundation.files import atomic, write_json
from boed.problems import LITERATURE, Mark, Task
from boed.report.figures import COLOURS

HEAD = [
    "policy",
    "sPCE",
    "sNMC",
    "ln(L + 1)",
    "EIG, from",
    "to",
    "roll-outs",
    "training",
    "published",
]
METHODS = {
    "random": "random",
    "fixed": "fixed",
    "ascent": "VPCE",
    "dad": "DAD",
    "idad": "iDAD",
    "rl": "RL",
    "vsoed": "vsOED",
}
"""What the papers call a method."""

Rows = dict[str, list[dict[str, Any]]]


def document(rows: Rows, *, docs: Path) -> None:
    """Write summary.json, curve.png and the table of README.md.

    Rows of other tasks and policies stay as they are.

    Args:
        rows: by task.
        docs: the page's folder.

    Raises:
        ValueError: the page has no place for the table.
    """
    summary = docs / "summary.json"
    before: Rows = json.loads(summary.read_text())["tasks"] if summary.exists() else {}
    merged = {name: _merged(rows.get(name, []), before.get(name, [])) for name in LITERATURE}
    fill(docs / "README.md", "table", sections(merged))
    write_json(summary, {"tasks": merged})
    curves = figure(merged)
    if curves is not None:
        with atomic(docs / "curve.png") as temporary:
            curves.savefig(temporary, dpi=110, format="png")


def _merged(
    rows: Sequence[dict[str, Any]], before: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The rows, and those of other policies from before."""
    names = {row["policy"] for row in rows}
    return [*rows, *(row for row in before if row["policy"] not in names)]


def sections(rows: Mapping[str, Sequence[dict[str, Any]]]) -> str:
    """A section for each task: its settings, and its policies beside the published numbers."""
    parts = []
    for name, task in LITERATURE.items():
        ours = rows.get(name, [])
        asked = f"`--problem {task.asked} --looks {task.looks}`"
        lines = [
            f"\n### {name}, T = {task.looks}\n",
            f"{task.source}. {task.settings} To train for it: {asked}.\n",
        ]
        if ours or task.marks:
            own = [_ours(row, task) for row in ours]
            lines += table(HEAD, [*own, *over_seeds(ours), *_theirs(ours, task)])
        else:
            lines.append("Not run yet, and no published number is known for these settings.")
        parts.append("\n".join(lines) + "\n")
    return "".join(parts) + "\n"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of Markdown."""
    return [
        f"| {' | '.join(head)} |",
        f"|{'---|' * len(head)}",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]


def published(mark: Mark) -> str:
    """A published number, where it stands, and whether it was read there."""
    upper = "" if mark.upper is None else f" / {mark.upper:.2f}"
    note = f" ({mark.note})" if mark.note else ""
    known = "confirmed" if mark.confirmed else "not confirmed"
    return f"{mark.lower:.2f}{upper}, {mark.source}{note}: {known}"


def _ours(row: Mapping[str, Any], task: Task) -> list[str]:
    marks = [published(mark) for mark in task.marks if mark.method == METHODS.get(row["method"])]
    return [
        row["policy"],
        *_bounds(row),
        f"{row['ceiling']:.2f}",
        *(_bounds(row["adapted"]) if "adapted" in row else ["–", "–"]),
        f"{row['roll_outs']:,}",
        _training(row["training"]),
        "; ".join(marks) or "–",
    ]


def _bounds(of: Mapping[str, float]) -> list[str]:
    """The lower and the upper one with their standard errors."""
    return [f"{of[name]:.2f} ± {of[f'{name}_error']:.2f}" for name in ("lower", "upper")]


def over_seeds(ours: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """A row for each method of which several trainings differ by their seed alone.

    The mean of their bounds, with its standard error over trainings.
    """
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in ours:
        told = (row["training"] or {}).get("settings")
        if told is not None and told.get("settings") is not None:
            fit = {key: value for key, value in told["settings"].items() if key != "seed"}
            alike = json.dumps([row["method"], told | {"settings": fit}], sort_keys=True)
            groups.setdefault(alike, []).append(row)
    lines = []
    for each in groups.values():
        own = {row["training"]["settings"]["settings"]["seed"]: row for row in each}
        seeds, each = sorted(own), list(own.values())
        if len(seeds) < 2:
            continue
        cells = []
        for bound in ("lower", "upper"):
            values = [row[bound] for row in each]
            error = statistics.stdev(values) / len(values) ** 0.5
            cells.append(f"{statistics.mean(values):.2f} ± {error:.2f}")
        name = f"*{each[0]['method']}, seeds {', '.join(map(str, seeds))}*"
        lines.append([name, *cells, *["–"] * (len(HEAD) - 3)])
    return lines


def _training(training: Mapping[str, Any] | None) -> str:
    """Updates, minutes and the machine, if that is known."""
    if training is None:
        return "–"
    updates = f"{training['updates']:,} updates, " if "updates" in training else ""
    where = training.get("machine")
    place = f" ({where['processor']})" if where else ""
    return f"{updates}{training['minutes']:.1f} min{place}"


def _theirs(ours: Sequence[Mapping[str, Any]], task: Task) -> list[list[str]]:
    """Methods that have no row here."""
    known = {METHODS.get(row["method"]) for row in ours}
    others = [mark for mark in task.marks if mark.method not in known]
    return [[mark.method, *["–"] * (len(HEAD) - 2), published(mark)] for mark in others]


def figure(rows: Mapping[str, Sequence[dict[str, Any]]]) -> Figure | None:
    """Gain on val while training, of every policy whose curve is known; None if there is none."""
    curves = [
        (f"{row['policy']}, T = {LITERATURE[name].looks}", row["training"])
        for name, each in rows.items()
        for row in each
        if row["training"] and row["training"].get("history")
    ]
    if not curves:
        return None
    drawn = Figure(figsize=(7, 4.8), layout="constrained")
    axis = drawn.subplots()
    for index, (label, training) in enumerate(curves):
        each = training["minutes"] / training["updates"]
        minutes = [point["step"] * each for point in training["history"]]
        gains = [point["gain"] for point in training["history"]]
        error = [1.96 * point["error"] for point in training["history"]]
        bound = all(point["of"] == "val_spce" for point in training["history"])
        style = "-" if bound else "--"
        colour = COLOURS[index % len(COLOURS)]
        axis.errorbar(
            minutes, gains, yerr=error, color=colour, ls=style, marker="o", ms=3, label=label
        )
    axis.set(xlabel="minutes of training", ylabel="gain on val, nats (dashed: no bound)")
    axis.grid(alpha=0.25)
    drawn.legend(loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    return drawn
