"""Pictures of classifiers under shift: a map of what each costs, and how reliable beliefs are."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from boed.classifiers.evaluation.evaluate import WHOLE
from boed.classifiers.evaluation.metrics import ece, reliability
from boed.data.shifts import CLEAN, SHIFTS
from boed.report.figures import COLOURS, FEW, MARKERS, _tidy

if TYPE_CHECKING:
    import xarray as xr

WIDEST = 9.0
"""Inches that maps side by side may take."""

STRENGTH = {1: "weak", 2: "middle", 3: "strong"}
"""What the strengths are called."""


def in_words(look: str) -> str:
    """A number of looks.

    >>> [in_words(look) for look in ("1", "3", "whole")]
    ['1 look', '3 looks', 'whole scene']
    """
    if look == WHOLE:
        return "whole scene"
    return f"{look} look" if look == "1" else f"{look} looks"


def nll_figure(statistics: xr.Dataset, classifiers: list[str]) -> Figure:
    """NLL by shift and, in columns, number of looks and strength: a map for each classifier.

    Colours end at the worst shift: scenes of another data set may be far worse.

    Args:
        statistics: what `boed.report.classifiers.statistics` returns.
        classifiers: names of them.
    """
    shifts = list(dict.fromkeys(map(str, statistics["shift"].values)))
    strengths = sorted({int(each) for each in statistics["strength"].values} - {0})
    looks = [str(each) for each in statistics["look"].values]
    width = max(0.52 * len(looks) * len(strengths), 2.6)
    columns = min(max(int(WIDEST / width), 1), len(classifiers))
    rows = math.ceil(len(classifiers) / columns)
    figure = Figure(
        figsize=(width * columns + 2.2, (0.29 * len(shifts) + 1.1) * rows), layout="constrained"
    )
    axes = figure.subplots(rows, columns, squeeze=False, sharey=True)
    maps = [_by_shift(statistics.sel(name=name), shifts, strengths) for name in classifiers]
    own = [row for row, each in enumerate(shifts) if each in (CLEAN, *SHIFTS)]
    known = np.concatenate([each[own].ravel() for each in maps])
    norm = PowerNorm(0.5, vmin=0, vmax=float(known[np.isfinite(known)].max(initial=1e-3)))
    shown = None
    for axis, name, values in zip(axes.flat, classifiers, maps, strict=False):
        shown = axis.imshow(values, cmap="YlOrRd", norm=norm, aspect="auto")
        _numbers(axis, values, norm)
        axis.set_title(name, fontsize=10.5)
        axis.set_yticks(range(len(shifts)), shifts, fontsize=8.5)
        _columns(axis, looks, strengths)
        for row in range(1, len(shifts)):
            if row == 1 or row not in own:
                axis.axhline(row - 0.5, color="white", lw=2.5)
    for axis in axes.flat[len(classifiers) :]:
        axis.set_visible(False)
    assert shown is not None
    bar = figure.colorbar(shown, ax=axes, shrink=0.8, pad=0.01, extend="max")
    bar.set_label("negative log-likelihood (nats)", fontsize=9)
    return figure


def _by_shift(one: xr.Dataset, shifts: list[str], strengths: list[int]) -> NDArray[np.float64]:
    """NLL `[shift, look x strength]`; what has no strength stands under each."""
    nll = one["mean"].sel(metric="nll").transpose("condition", "look").values
    place = {
        (str(shift), int(strength)): row
        for row, (shift, strength) in enumerate(
            zip(one["shift"].values, one["strength"].values, strict=True)
        )
    }
    rows = [
        [nll[place.get((shift, k), place.get((shift, 0), 0))] for k in strengths]
        for shift in shifts
    ]
    return np.array(rows).transpose(0, 2, 1).reshape(len(shifts), -1)


def _numbers(axis: Axes, values: NDArray[np.float64], norm: PowerNorm) -> None:
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            colour = "white" if float(norm(value)) > 0.65 else "black"
            text = f"{value:.2f}" if value < 10 else f"{value:.0f}"
            axis.text(column, row, text, ha="center", va="center", fontsize=7.5, color=colour)


def _columns(axis: Axes, looks: list[str], strengths: list[int]) -> None:
    number = len(strengths)
    labels = [STRENGTH[k] for _ in looks for k in strengths]
    if number == 1:
        labels = [in_words(look) for look in looks]
    axis.set_xticks(range(len(labels)), labels, fontsize=7.5 if number > 1 else 8.5)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    for k in range(1, len(looks)):
        axis.axvline(k * number - 0.5, color="white", lw=2.5)
    if number > 1:
        above = axis.secondary_xaxis("top")
        places = [(k + 0.5) * number - 0.5 for k in range(len(looks))]
        above.set_xticks(places, [in_words(look) for look in looks], fontsize=8.5)
        above.tick_params(length=0)
        above.spines[:].set_visible(False)
        if number == 3:
            axis.tick_params(axis="x", rotation=35)


def reliability_figure(results: xr.Dataset) -> Figure:
    """How often the likeliest answer is right against its confidence, clean and under shift.

    A row for each classifier, a column for each number of looks. All shifts of a strength are
    pooled; bins with few answers are left out.
    """
    names, looks = results["classifier"].values, results["look"].values
    strengths = results["strength"].values
    figure = Figure(figsize=(3.2 * len(looks), 2.9 * len(names) + 0.3), layout="constrained")
    axes = figure.subplots(len(names), len(looks), squeeze=False, sharex=True, sharey=True)
    question = [each for each in ("finding",) if each in results["log_belief"].dims]
    beliefs = results["log_belief"].transpose(
        "classifier", "look", "condition", "scene", *question, "answer"
    )
    label = results["label"].transpose("scene", *question).values
    for (row, column), axis in np.ndenumerate(axes):
        axis.plot([0, 1], [0, 1], color="#999999", lw=1, ls=":")
        for strength in np.unique(strengths):
            chosen = beliefs.values[row, column][strengths == strength]
            labels = np.concatenate([label] * len(chosen))
            told = f"{STRENGTH[int(strength)]} shifts" if strength else CLEAN
            _reliability(axis, chosen.reshape(-1, *chosen.shape[2:]), labels, int(strength), told)
        axis.set_title(f"{names[row]}, {in_words(str(looks[column]))}", fontsize=9.5)
        axis.legend(fontsize=7.5, framealpha=0.8, edgecolor="none", loc="lower right")
        _tidy(axis)
    figure.supxlabel("confidence in the likeliest answer", fontsize=10)
    figure.supylabel("how often it is right", fontsize=10)
    return figure


def _reliability(axis: Axes, beliefs: NDArray, labels: NDArray, index: int, told: str) -> None:
    confidence, right, count = reliability(beliefs, labels)
    enough = count >= max(FEW, 0.01 * count.sum())
    axis.plot(
        confidence[enough],
        right[enough],
        marker=MARKERS[index],
        color=COLOURS[index],
        ms=4,
        lw=1.4,
        label=f"{told}, ECE {float(ece(beliefs, labels)):.3f}",
    )
