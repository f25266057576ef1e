"""The tables and curves of benchmarks/both_schools.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from both_schools_parts import PARTS, Part
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from boed.setup import Setup


def report(
    name: str, made: Setup, rows: Mapping[str, Mapping[str, Any]], *, spent: Mapping[str, int]
) -> str:
    """The table of a part, in Markdown; `spent` are CPU seconds by what was trained."""
    part = PARTS[name]
    judge = f", trained in {spent['classifier']:,} CPU seconds" if "classifier" in spent else ""
    if part.joint:
        judge += " and along with `value`"
    pictures = any("psnr" in row for row in rows.values())
    picture = ("PSNR of the picture, dB | ", "---:|") if pictures else ("", "")
    lines = [
        f"**{name}**: {made.data.name} ({made.data.split}), {part.steps} looks, judged by "
        f"{type(made.classifier).__name__}{judge}.",
        "",
        f"| policy | scenes | NLL, nats | NLL less that of `boed` | {_heads(part)} | accuracy less "
        f"that of `boed` | {picture[0]}cost | passes a decision | ms a decision "
        "| training, CPU s |",
        f"|---|---:|---:|---:|---:|---:|{picture[1]}---:|---:|---:|---:|",
    ]
    for policy, row in sorted(rows.items(), key=lambda each: each[1]["nll"][0]):
        spent = row.get("training", {}).get("cpu_seconds")
        apart = ["–"] * 2
        if policy != "boed":
            apart = [_bounded(row[f"{each}_minus_boed"]) for each in ("nll", "accuracy")]
        lines.append(
            f"| `{policy}` | {row['scenes']:,} | {_bounded(row['nll'])} | {apart[0]} "
            f"| {_accuracies(part, row)} | {apart[1]} |{_decibels(row)} {row['cost']:.3g} "
            f"| {row['passes']:,.0f} | {1000 * row['seconds']:.3g} "
            f"| {'–' if spent is None else f'{spent:,}'} |"
        )
    if part.informed_steps is not None:
        lines += [
            "",
            f"Policies that complete scenes took {part.informed_steps} looks: NLL is after those, "
            "and what is less theirs is after as many.",
        ]
    return "\n".join(lines)


def _decibels(row: Mapping[str, Any]) -> str:
    return " {:.2f} ({:.2f} to {:.2f}) |".format(*row["psnr"]) if "psnr" in row else ""


def _heads(part: Part) -> str:
    if not part.marks:
        return "accuracy"
    return f"accuracy after {' / '.join(map(str, part.marks))}"


def _accuracies(part: Part, row: Mapping[str, Any]) -> str:
    if not part.marks:
        return _bounded(row["accuracy"])
    known = row["accuracy_by_look"]
    shown = [f"{known[each]:.3f}" if each < len(known) else "–" for each in part.marks]
    low, high = row["accuracy"][1:]
    return f"{' / '.join(shown)} (last {low:.3f} to {high:.3f})"


def _bounded(values: Sequence[float]) -> str:
    return "{:.3f} ({:.3f} to {:.3f})".format(*values)


LEAST = 1e-3
"""Of errors and losses that are drawn, on their logarithmic axes."""


def curves(rows: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Error and NLL by the number of looks, of every policy; none is drawn below `LEAST`."""
    figure = Figure(figsize=(8.4, 3.2), layout="constrained")
    axes = figure.subplots(1, 2)
    for index, (policy, row) in enumerate(rows.items()):
        style = {"color": f"C{index % 10}", "linestyle": ("-", "--", ":")[index // 10 % 3]}
        errors = [1 - each for each in row["accuracy_by_look"]]
        for axis, values in zip(axes, (errors, row["nll_by_look"]), strict=True):
            shown = [max(each, LEAST) for each in values]
            axis.plot(range(len(shown)), shown, label=policy, linewidth=1.2, **style)
    axes[0].set(xlabel="looks", ylabel="share of wrong answers", yscale="log")
    axes[1].set(xlabel="looks", ylabel="NLL, nats", yscale="log")
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_formatter(NullFormatter())
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center", fontsize=7)
    return figure
