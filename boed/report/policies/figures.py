"""A picture of policies under shift: the differences to each rival, condition by condition."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from boed.classifiers.evaluation.metrics import HIGHER_IS_BETTER
from boed.report.figures import COLOURS, LABELS, MARKERS, _tidy
from boed.report.policies.comparisons import Comparison

APART = 0.28
"""Between the intervals of two rivals, in rows."""


def differences_figure(
    made: list[Comparison], *, first: str, metrics: list[str], look: int
) -> Figure:
    """The first policy less each rival with 95 % intervals: a column a metric, a row a condition.

    Args:
        made: all comparisons.
        first: the policy that is compared.
        metrics: which, those that exist.
        look: number of looks.
    """
    conditions = list(dict.fromkeys(each.condition for each in made))
    rivals = list(dict.fromkeys(each.against for each in made))
    height = 0.32 * len(conditions) + 1.2
    figure = Figure(figsize=(3.1 * len(metrics) + 1.2, height), layout="constrained")
    axes = figure.subplots(1, len(metrics), squeeze=False, sharey=True)[0]
    for axis, metric in zip(axes, metrics, strict=True):
        axis.axvline(0, color="#999999", lw=1, ls=":")
        for k, against in enumerate(rivals):
            chosen = [
                each
                for each in made
                if (each.against, each.metric, each.look) == (against, metric, look)
            ]
            rows = np.array([conditions.index(each.condition) for each in chosen], dtype=float)
            rows += APART * (k - (len(rivals) - 1) / 2)
            low, mean, high = (
                np.array([getattr(each, key) for each in chosen], dtype=float)
                for key in ("low", "mean", "high")
            )
            colour, marker = COLOURS[k], MARKERS[k]
            axis.hlines(rows, low, high, color=colour, lw=1.6, alpha=0.7)
            axis.plot(mean, rows, marker, color=colour, ms=5, label=f"{first} - {against}")
        better = "right" if HIGHER_IS_BETTER[metric] else "left"
        axis.set_title(f"{LABELS[metric]}\nbetter to the {better}", fontsize=9.5)
        axis.set_yticks(range(len(conditions)), conditions, fontsize=9)
        _tidy(axis)
    axes[0].invert_yaxis()
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    return figure
