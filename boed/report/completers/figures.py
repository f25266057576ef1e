"""Pictures of how completers did: curves, ranks, coverage, and sheets of completions.

Every function returns a `matplotlib.figure.Figure` and touches no global state. A completer has
the same colour, marker and line in all of them.
"""

from __future__ import annotations

import math
import textwrap
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from boed.completion.evaluation.results import by_condition, over_seeds, sbc_rejected, squares
from boed.report.figures import COLOURS, LABELS, MARKERS, UNSEEN, _bare, _show, _tidy, _tint

if TYPE_CHECKING:
    import xarray as xr

MORE_COLOURS = (*COLOURS, "#882255", "#44AA99", "#6A3D9A", "#999933")
"""The palette of `boed.report.figures`; then, of Tol's muted one, colours that are drawn dashed."""

MORE_MARKERS = (*MARKERS, "<", ">", "h", "d")


class Panel(NamedTuple):
    """A variable of the results in a figure of curves."""

    name: str
    title: str
    level: float | None = None


PANELS = (
    Panel("frechet", "Fréchet distance (lower is better)"),
    Panel("inception_score", "inception score (higher is better)"),
    Panel("feature_distance", "feature distance (higher is more diverse)"),
    Panel("crps", "CRPS (lower is better)"),
    Panel("interval_coverage", "hidden pixels inside {level:.0%} intervals", 0.8),
)
"""What Fig. 3 of the AIPO paper shows, and calibration."""


def curves_figure(results: xr.Dataset, stacked: bool = False) -> Figure:
    """Metrics against the number of squares seen, with 95 % intervals over seeds: Fig. 3.

    Apart from the curve are all numbers of squares together and the holes. Dashed is what real
    images have against real images, or a calibrated sampler.

    Args:
        stacked: the panels below one another, for narrow pages.
    """
    shown = [panel for panel in PANELS if panel.name in results]
    number = results.sizes["completer"]
    columns = 1 if stacked else 3
    rows = math.ceil((len(shown) + 1) / columns)
    if stacked:
        heights = [3.2] * len(shown) + [0.5 + 0.23 * math.ceil((number + 1) / 2)]
    else:
        heights = [3.2] * rows
    figure = Figure(figsize=(4.1 * columns, sum(heights)), layout="constrained")
    axes = figure.subplots(
        rows, columns, squeeze=False, gridspec_kw={"height_ratios": heights}
    ).ravel()
    for axis, panel in zip(axes, shown, strict=False):
        _curves(axis, results, panel)
    handles, labels = axes[0].get_legend_handles_labels()
    legend = axes[len(shown)]
    across = 2 if stacked or number > 9 else 1
    legend.legend(handles, labels, loc="center", ncols=across, frameon=False, fontsize=10)
    for axis in axes[len(shown) :]:
        axis.set_axis_off()
    return figure


def _curves(axis: Axes, results: xr.Dataset, panel: Panel) -> None:
    """One panel: a line per completer over the squares, points for the other groups."""
    level = None if panel.level is None else _nearest(results["level"].values, panel.level)
    values = by_condition(results, panel.name, level)
    along = "group" if "group" in values.dims else "condition"
    counts = squares(results)
    others = [str(g) for g in values[along].values if str(g) not in counts]
    mean, half, _ = over_seeds(values.sel({along: counts + others}).transpose("completer", ...))
    seen = np.array(counts, dtype=int)
    apart = seen.max() + 1.2 + 1.1 * np.arange(len(others))
    width = min(0.07, 0.7 / results.sizes["completer"])
    for index, name in enumerate(map(str, results["completer"].values)):
        style: dict[str, Any] = _style(index)
        y, error = mean.values[index], half.values[index]
        low, high = (y + sign * np.nan_to_num(error) for sign in (-1, 1))
        n = len(counts)
        axis.fill_between(seen, low[:n], high[:n], color=style["color"], alpha=0.13, lw=0)
        axis.plot(seen, y[:n], **style, ms=4.5, lw=1.6, label=_text(name))
        offset = (index - (results.sizes["completer"] - 1) / 2) * width
        style["ls"] = "none"
        spread = np.nan_to_num(error[n:])
        axis.errorbar(apart + offset, y[n:], spread, **style, ms=4.5, elinewidth=1)
    _reference(axis, results, panel, level, seen, apart, counts + others)
    axis.axvline(seen.max() + 0.6, color="#999999", lw=0.8, ls=":")
    axis.set_xticks([*seen, *apart], [*counts, *map(_text, others)], fontsize=9)
    if len(others) > 2:  # names of masks, which are too long side by side
        for label in axis.get_xticklabels()[n:]:
            label.set(rotation=40, ha="right", rotation_mode="anchor")
    axis.set_xlabel("squares seen", fontsize=9)
    axis.set_title(panel.title.format(level=level), fontsize=10.5)
    positive = mean.values[np.isfinite(mean.values)]
    if panel.name == "frechet" and len(positive) and 0 < 30 * positive.min() < positive.max():
        axis.set_yscale("log")
    _tidy(axis)


def _reference(
    axis: Axes,
    results: xr.Dataset,
    panel: Panel,
    level: float | None,
    seen: NDArray,
    apart: NDArray,
    groups: list[str],
) -> None:
    style: dict[str, Any] = {"color": "black", "ls": "--", "lw": 1.2}
    if level is not None:
        axis.axhline(float(results["implied_level"].sel(level=level)), **style)
    elif f"{panel.name}_floor" in results:
        floor = results[f"{panel.name}_floor"].sel(group=groups).values
        axis.plot(seen, floor[: len(seen)], **style, label="real against real, calibrated")
        for place, value in zip(apart, floor[len(seen) :], strict=True):
            axis.plot([place - 0.4, place + 0.4], [value, value], **style)


def ranks_figure(results: xr.Dataset, columns: int = 4) -> Figure:
    """Simulation-based calibration: how often the truth has each rank among n completions.

    Pooled over seeds, statistics and numbers of squares; 1 is uniform. The grey band holds 95 % of
    what as many independent ranks as there are scenes give, the widest that it can be since ranks
    of one scene depend on each other.
    """
    from scipy.stats import binom

    n = int(results.attrs["n"])
    ranks = results["sbc_rank"].sel(condition=squares(results)).transpose("completer", ...)
    rejected = sbc_rejected(results).mean("seed").values
    bins = np.array_split(np.arange(n + 1), min(n + 1, 11))
    edges = np.array([each[0] for each in bins] + [n + 1]) / (n + 1)
    share = np.diff(edges)
    scenes = results.sizes["scene"]
    low, high = (binom.ppf(q, scenes, share) / (scenes * share) for q in (0.025, 0.975))
    figure, axes = _multiples(results, columns, 2.0)
    for index, axis in enumerate(axes):
        drawn = ranks.values[index].ravel()
        drawn = (drawn[~np.isnan(drawn)] + 0.5) / (n + 1)
        counts = np.histogram(drawn, edges)[0]
        heights = counts / np.maximum(len(drawn), 1) / share
        axis.fill_between(
            edges, [*low, low[-1]], [*high, high[-1]], step="post", color="#bbbbbb", alpha=0.5, lw=0
        )
        axis.bar(
            edges[:-1], heights, share * 0.92, align="edge", color=_style(index)["color"], alpha=0.8
        )
        axis.axhline(1, color="black", lw=1, ls="--")
        if not math.isnan(rejected[index]):
            _corner(axis, f"{rejected[index]:.0%} rejected")
        axis.set_xticks([0, 0.5, 1], ["0", "", str(n)])
        axis.set_ylim(0, max(2.0, 1.25 * float(heights.max())))
        _tidy(axis)
    figure.supxlabel("rank of the truth", fontsize=9)
    figure.supylabel("times uniform", fontsize=9)
    return figure


def tarp_figure(results: xr.Dataset, columns: int = 4) -> Figure:
    """Coverage of random regions against their credibility (TARP), one line per squares seen.

    On the diagonal if calibrated; below it at high credibility, completions are too narrow.
    """
    counts = squares(results)
    coverage = results["tarp_coverage"].sel(condition=counts).mean("seed")
    coverage = coverage.transpose("completer", "condition", "fraction")
    level = results["fraction"].values
    figure, axes = _multiples(results, columns, 2.3)
    for index, axis in enumerate(axes):
        axis.plot([0, 1], [0, 1], color="black", lw=1, ls="--")
        for number, count in enumerate(counts):
            alpha = 1 - 0.7 * number / max(len(counts) - 1, 1)
            line = coverage.values[index, number]
            axis.plot(level, line, color=_style(index)["color"], alpha=alpha, lw=1.6, label=count)
        axis.set_xticks([0, 0.5, 1])
        axis.set_yticks([0, 0.5, 1])
        axis.set_xlim(0, 1)
        axis.set_ylim(0, 1)
        _tidy(axis)
    axes[0].legend(title="squares", fontsize=7, title_fontsize=7, framealpha=0.7, edgecolor="none")
    figure.supxlabel("credibility of the region", fontsize=9)
    figure.supylabel("truths inside", fontsize=9)
    return figure


def use_figure(results: xr.Dataset) -> Figure:
    """Accuracy, AUROC and NLL of decisions against looks, one line per completer."""
    titles = {f"use_{name}": LABELS[name] for name in ("accuracy", "auroc", "nll")}
    shown = {name: title for name, title in titles.items() if name in results}
    figure = Figure(figsize=(4.1 * len(shown), 3.6), layout="constrained")
    axes = figure.subplots(1, len(shown), squeeze=False).ravel()
    looks = results["look"].values
    for axis, (name, title) in zip(axes, shown.items(), strict=True):
        mean, half, _ = over_seeds(results[name].transpose("completer", "seed", "look"))
        for index, completer in enumerate(map(str, results["completer"].values)):
            style = _style(index)
            y, error = mean.values[index], np.nan_to_num(half.values[index])
            axis.fill_between(looks, y - error, y + error, color=style["color"], alpha=0.13, lw=0)
            axis.plot(looks, y, **style, ms=4.5, lw=1.6, label=_text(completer))
        axis.set_title(title, fontsize=11)
        axis.set_xlabel("number of looks")
        axis.set_xticks(looks)
        _tidy(axis)
    handles, labels = axes[0].get_legend_handles_labels()
    across = min(len(labels), 2 * len(shown))
    figure.legend(handles, labels, loc="outside lower center", ncols=across, frameon=False)
    return figure


def sheet_figure(examples: xr.Dataset) -> Figure:
    """Completions of one scene after 0 to 5 looks, a column per completer."""
    seen, mask = examples["sheet_observed"].values, examples["sheet_mask"].values
    looks = [str(int(look)) for look in examples["look"].values]
    truth = np.broadcast_to(examples["sheet_truth"].values, seen.shape)
    return _sheet(examples, "sheet_sample", seen, mask, truth, looks, "number of looks")


def free_figure(examples: xr.Dataset) -> Figure:
    """Completions under masks of any form, a column per completer; masks may have names."""
    truth, mask = examples["free_truth"].values, examples["free_mask"].values
    seen = truth * mask[:, None]
    names = map(str, examples["f"].values) if "f" in examples.coords else [""] * len(seen)
    labels = [textwrap.fill(name, 9) for name in names]
    return _sheet(examples, "free_sample", seen, mask, truth, labels, "")


def _sheet(
    examples: xr.Dataset,
    name: str,
    seen: NDArray,
    mask: NDArray,
    truth: NDArray,
    labels: list[str],
    beside: str,
) -> Figure:
    """Rows of observations: what was seen, each completer's first completions, the truth."""
    samples = examples[name].values
    completers = list(map(str, examples["completer"].values))
    each = min(samples.shape[2], 2)  # completions, below one another
    rows = len(seen)
    height, width = seen.shape[-2:]
    tall = min(max(height / width, 0.3), 2)
    longest = max(len(line) for label in labels for line in (label.splitlines() or [""]))
    left, above, edge = 0.45 if beside else 0.05 + 0.1 * longest, 0.4, 0.05  # inches
    size = (left + len(completers) + 2 + edge, above + tall * each * rows + edge)
    figure = Figure(figsize=size)
    margins = {
        "left": left / size[0],
        "right": 1 - edge / size[0],
        "top": 1 - above / size[1],
        "bottom": edge / size[1],
    }
    space = {"wspace": 0.04, "hspace": 0.04}
    axes = figure.subplots(
        rows * each, len(completers) + 2, squeeze=False, gridspec_kw=margins | space
    )
    for axis in axes.flat:
        axis.set_axis_off()
    for row in range(rows):
        first = axes[row * each]
        _picture(first[0], seen[row])
        _tint(first[0], mask[row])
        text = {"fontsize": 10 if beside else 9, "rotation": 0, "va": "center"}
        side: Any = {"labelpad": 10} if beside else {"labelpad": 4, "ha": "right"}
        first[0].set_ylabel(labels[row], **text, **side)
        _picture(first[-1], truth[row])
        for column in range(len(completers)):
            for k in range(each):
                _picture(axes[row * each + k, column + 1], samples[column, row, k])
    for axis, title in zip(axes[0], ["seen", *completers, "scene"], strict=True):
        axis.set_title(_text(title, 14), fontsize=8)
    if beside:
        figure.supylabel(beside, fontsize=9, x=0.02 / size[0], ha="left")
    return figure


def foreign_figure(examples: xr.Dataset) -> Figure:
    """Images unlike the training data, reconstructed by encoder and decoder: Fig. 7.

    Below each reconstruction is its peak signal-to-noise ratio in dB.
    """
    images, made = examples["foreign_image"].values, examples["foreign_reconstruction"].values
    models = list(map(str, examples["model"].values))
    names = list(map(str, examples["foreign"].values))
    rows, columns = len(models) + 1, len(names)
    figure = Figure(figsize=(1.3 * columns + 1.2, 1.5 * rows + 0.4), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for column, name in enumerate(names):
        axes[0, column].set_title(_text(name, 18), fontsize=9)
        for row, image in enumerate([images[column], *made[:, column]]):
            _picture(axes[row, column], image)
            if row:
                squared = float(np.square(image - images[column]).mean())
                told = -10 * math.log10(max(squared, 1e-12))
                axes[row, column].set_xlabel(f"{told:.1f} dB", fontsize=8)
    for axis, label in zip(axes[:, 0], ["image", *models], strict=True):
        axis.set_ylabel(_text(label, 14), fontsize=9, rotation=0, ha="right", va="center")
    return figure


def _picture(axis: Axes, image: NDArray) -> None:
    axis.set_axis_on()
    axis.set_facecolor(UNSEEN)
    _show(axis, image)
    _bare(axis)


def _multiples(results: xr.Dataset, columns: int, height: float) -> tuple[Figure, list[Axes]]:
    """A small panel for each completer, named."""
    names = list(map(str, results["completer"].values))
    columns = min(len(names), columns)
    rows = math.ceil(len(names) / columns)
    figure = Figure(
        figsize=(max(2.5 * columns, 3) + 0.3, height * rows + 0.3), layout="constrained"
    )
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis, name in zip(axes, names, strict=False):
        axis.set_title(_text(name), fontsize=9.5)
        axis.tick_params(labelsize=8)
    for axis in axes[len(names) :]:
        axis.set_axis_off()
    return figure, list(axes[: len(names)])


def _corner(axis: Axes, text: str) -> None:
    axis.text(
        0.5,
        0.97,
        text,
        transform=axis.transAxes,
        ha="center",
        va="top",
        fontsize=7.5,
        bbox={"facecolor": "white", "alpha": 0.8, "lw": 0, "pad": 1},
    )


def _style(index: int) -> dict[str, Any]:
    """Colour, marker and line of a completer; those after the eighth are dashed."""
    return {
        "color": MORE_COLOURS[index % len(MORE_COLOURS)],
        "marker": MORE_MARKERS[index % len(MORE_MARKERS)],
        "ls": "-" if index < len(COLOURS) else (0, (4, 1.5)),
    }


def _nearest(levels: NDArray, level: float) -> float:
    return float(levels[np.abs(levels - level).argmin()])


def _text(name: str, width: int = 40) -> str:
    """A name as it is, broken into lines, not read as mathematics."""
    return "\n".join(textwrap.wrap(name, width)[:3] or [""]).replace("$", r"\$")
