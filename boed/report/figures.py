"""Pictures of results: curves, panels of single scenes, where it looked, calibration.

Every function returns a `matplotlib.figure.Figure` and touches no global state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import PowerNorm, TwoSlopeNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from boed.classifiers.evaluation.metrics import ece, reliability
from boed.report.beliefs import belief_in_words, truth_in_words
from boed.report.statistics import exists, summary

if TYPE_CHECKING:
    import xarray as xr

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#5F5F5F", "#8C510A")
"""Okabe and Ito's palette, which colour-blind readers can tell apart, a little extended."""

MARKERS = "osD^vPX*"
UNSEEN = "#33415c"
FEW = 10
"""Answers in a bin of confidence, at least, for how often they are right to say anything."""

LABELS = {"auroc": "AUROC", "accuracy": "accuracy", "nll": "negative log-likelihood (nats)"}


def curves_figure(
    results: xr.Dataset | dict[str, Any],
    metrics: tuple[str, ...] = ("accuracy", "auroc", "nll"),
    stacked: bool = False,
    *,
    against: Literal["looks", "cost"] = "looks",
) -> Figure:
    """Metrics against the number of looks with 95 % intervals: Fig. 5 of the AIPO paper.

    The dashed line is the classifier that sees the whole scene.

    Args:
        results: Results, or their `summary`.
        metrics: which, one panel each; those that exist nowhere are left out.
        stacked: the panels below one another, for narrow pages, not side by side.
        against: number of looks, or the mean cost of a scene after so many.
    """
    found = results if isinstance(results, dict) else summary(results)
    present = [m for m in metrics if exists(found, m)] or list(metrics[:1])
    rows, columns = (len(present), 1) if stacked else (1, len(present))
    legend = 0.7 if columns > 1 else 0.3 + 0.12 * len(found["policies"])
    figure = Figure(figsize=(4.1 * columns, 3.2 * rows + legend), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    looks = np.arange(found["looks"] + 1)
    for axis, metric in zip(axes, present, strict=True):
        for index, (name, curve) in enumerate(found["policies"].items()):
            colour = COLOURS[index % len(COLOURS)]
            mean, low, high = (
                np.array(curve[metric][key], dtype=float) for key in ("mean", "low", "high")
            )
            along = looks if against == "looks" else found["cost_after"][name]
            if against == "looks":  # side by side, so that intervals can be told apart
                number = len(found["policies"])
                along = along + min(0.06, 0.3 / number) * (index - (number - 1) / 2)
            axis.vlines(along, low, high, color=colour, lw=1.6, alpha=0.6)
            marker = MARKERS[index % len(MARKERS)]
            axis.plot(along, mean, color=colour, marker=marker, ms=5, lw=1.5, label=name)
        whole = found["full_image"][metric]
        if whole is not None:
            axis.axhline(whole, color="black", ls="--", lw=1.2, label="whole scene")
        axis.set_xlabel("number of looks" if against == "looks" else "mean cost of a scene")
        axis.set_title(LABELS[metric], fontsize=11)
        if against == "looks":
            axis.set_xticks(looks)
        _tidy(axis)
    handles, labels = axes[0].get_legend_handles_labels()
    across = min(len(labels), 2 if columns == 1 else 3 * columns)
    figure.legend(handles, labels, loc="outside lower center", ncols=across, frameon=False)
    return figure


def panel_figure(examples: xr.Dataset, index: int = 0) -> Figure:
    """What a policy saw, imagined and chose at each look of one scene: Fig. 6 of the paper.

    A row per look: what had been seen; completions with their information gain over them (blue:
    the answer becomes clearer, red: less clear); the EIG map; the mean completion with the chosen
    look; what was seen afterwards, and the belief; the whole scene with the look. What a policy
    does not have is left out.
    """
    one = examples.isel(example=index)
    steps, number = one.sizes["step"], min(one.sizes["completion"], 5)
    gains, maps = one["gain"].values[:, :number], one["eig"].values
    names = ["seen", *["completions"] * number]
    names += ["EIG"] if np.isfinite(maps).any() else []
    names += ["mean"] if number else []
    names += ["next", "scene"]
    tall = 1.25 * _tall(one["scene"].values) + 0.2
    figure = Figure(figsize=(1.25 * len(names) + 0.9, tall * steps + 0.6), layout="constrained")
    axes = figure.subplots(steps, len(names), squeeze=False)
    masks, whole = one["candidate_mask"].values, one["scene"].values
    place = {name: names.index(name) for name in dict.fromkeys(names)}
    for step in range(steps):
        row = axes[step]
        chosen = int(one["chosen"].values[step])
        look = masks[chosen] if chosen >= 0 else np.zeros_like(masks[0])
        _show_seen(row[0], one, step)
        row[0].set_ylabel(f"look {step + 1}", fontsize=10)
        if number:
            _completions(figure, row, one, gains=gains[step], step=step)
            _show(row[place["mean"]], one["completions"].values[step].mean(0))
            outline(row[place["mean"]], look)
        if "EIG" in place:
            _eig_map(figure, row[place["EIG"]], maps[step], masks=masks)
        _show_seen(row[place["next"]], one, step + 1)
        outline(row[place["next"]], look)
        row[place["next"]].set_xlabel(_belief(one, step + 1), fontsize=8)
        _show(row[place["scene"]], whole)
        outline(row[place["scene"]], look)
    titles = {"EIG": "EIG (nats)", "mean": "mean, next look", "next": "seen next"}
    titles |= {"scene": "whole scene"}
    for name, column in place.items():
        if name == "completions":
            column += (number - 1) // 2
            titles[name] = "completions, gain over them" if np.isfinite(gains).any() else name
        axes[0, column].set_title(titles.get(name, name), fontsize=10)
    if "label" in one:
        findings, answers = _names(one)
        told = truth_in_words(one["label"].values, answers, findings=findings)
        what = "the findings that are there" if findings else "the true answer"
        figure.suptitle(f"{what}: {told}", fontsize=10, x=0.01, ha="left")
    return figure


def _completions(
    figure: Figure, row: NDArray, one: xr.Dataset, *, gains: NDArray, step: int
) -> None:
    """Completions from the second column on, with what the looks would gain over them."""
    masks = one["candidate_mask"].values
    known = np.isfinite(gains).any()
    reach = max(float(np.nanpercentile(np.abs(gains), 99)), 1e-6) if known else 1.0
    norm = TwoSlopeNorm(0, -reach, reach)  # its own, since gains shrink look by look
    for k in range(len(gains)):
        _show(row[k + 1], one["completions"].values[step, k])
        if known:
            gain = _on_scene(gains[k], masks)
            overlay = row[k + 1].imshow(
                gain, cmap="RdBu", norm=norm, alpha=0.55, aspect=_aspect(gain)
            )
    if known:
        bar = figure.colorbar(overlay, ax=row[-1], shrink=0.9, aspect=14, extend="both")
        bar.set_label("gain (nats)", fontsize=8)
        bar.ax.tick_params(labelsize=7)


def _eig_map(figure: Figure, axis: Axes, scores: NDArray, *, masks: NDArray) -> None:
    """The scores of all candidates, with their scale below: its ends are the least and the most."""
    image = _on_scene(scores, masks)
    shown = axis.imshow(image, cmap="viridis", aspect=_aspect(image))
    _bare(axis)
    if not np.isfinite(scores).any():
        return
    low, high = float(np.nanmin(scores)), float(np.nanmax(scores))
    shown.set_clim(low, high)
    bar = figure.colorbar(
        shown, cax=axis.inset_axes((0, -0.12, 1, 0.07)), orientation="horizontal", ticks=[low, high]
    )
    ends = [f"{round(end, 2) + 0.0:.2f}" for end in (low, high)]  # no -0.00
    bar.ax.set_xticklabels(ends, fontsize=7)
    least, most = bar.ax.get_xticklabels()
    least.set_horizontalalignment("left")
    most.set_horizontalalignment("right")


def scene_figure(scene: NDArray, title: str) -> Figure:
    """A scene `[C, H, W]` on its own."""
    figure = Figure(figsize=(2.5, 2.8), layout="constrained")
    axis = figure.subplots()
    _show(axis, scene)
    axis.set_title(title, fontsize=10)
    return figure


def completions_figure(
    values: NDArray, masks: NDArray, samples: NDArray, *, truth: NDArray
) -> Figure:
    """A sheet of completions of one scene for more and more looks: Fig. 8 of the paper.

    Args:
        values, masks: what was seen in each row, `[R, C, H, W]` and `[R, 1, H, W]`.
        samples: completions, `[R, N, C, H, W]`.
        truth: the scene, `[C, H, W]`.
    """
    rows, number = samples.shape[:2]
    figure = Figure(figsize=(1.2 * (number + 2), 1.25 * rows + 0.3), layout="constrained")
    axes = figure.subplots(rows, number + 2, squeeze=False)
    for r in range(rows):
        _show(axes[r, 0], values[r])
        _tint(axes[r, 0], masks[r, 0])
        axes[r, 0].set_ylabel(str(r), fontsize=10, rotation=0, labelpad=10, va="center")
        for k in range(number):
            _show(axes[r, k + 1], samples[r, k])
        _show(axes[r, -1], truth)
    axes[0, 0].set_title("seen", fontsize=10)
    axes[0, 1 + (number - 1) // 2].set_title("completions", fontsize=10)
    axes[0, -1].set_title("scene", fontsize=10)
    figure.supylabel("number of looks", fontsize=10)
    return figure


def looks_figure(results: xr.Dataset) -> Figure:
    """How often each policy had each pixel in view: a column per policy, a row per look.

    Of sensors that see no pixels, how often it took what their masks stand for. The colour grows
    with the square root, so that scattered looks can be told apart beside a policy that always
    looks at one place. Looks that are no candidates are left out.
    """
    policies, steps = results["policy"].values, results.sizes["step"]
    seen = in_view(results)
    tall = 1.5 * _tall(seen)
    wide = max(1.5 * len(policies), 2.4) + 1.1
    figure = Figure(figsize=(wide, tall * steps + 0.7), layout="constrained")
    axes = figure.subplots(steps, len(policies), squeeze=False)
    norm = PowerNorm(0.5, 0, 1)
    shown = None
    for p, name in enumerate(policies):
        for step in range(steps):
            view = seen[p, step]
            shown = axes[step, p].imshow(view, cmap="magma", norm=norm, aspect=_aspect(view))
            _bare(axes[step, p])
            axes[step, 0].set_ylabel(f"look {step + 1}", fontsize=10)
        axes[0, p].set_title(str(name), fontsize=9)
    if shown is not None:
        bar = figure.colorbar(shown, ax=axes, ticks=[0, 0.01, 0.05, 0.2, 0.5, 1], aspect=30)
        bar.ax.set_yticklabels(["0", "1 %", "5 %", "20 %", "50 %", "100 %"], fontsize=8)
        bar.set_label("runs with it in view", fontsize=9)
    return figure


def in_view(results: xr.Dataset) -> NDArray[np.float64]:
    """In which part of the runs each pixel was in view of each look, `[policy, step, y, x]`.

    Looks that are no candidates are left out.
    """
    masks = results["candidate_mask"].values.astype(float)
    number = {tuple(row): index for index, row in enumerate(results["candidates"].values.tolist())}
    design = results["design"].transpose("policy", "step", "seed", "scene", "axis").values
    seen = np.empty((*design.shape[:2], *masks.shape[1:]))
    for place in np.ndindex(*design.shape[:2]):
        looks = design[place].reshape(-1, design.shape[-1])
        counts = np.zeros(len(masks))
        places, times = np.unique(looks[~np.isnan(looks).any(1)], axis=0, return_counts=True)
        for each, count in zip(places.tolist(), times, strict=True):
            if tuple(each) in number:
                counts[number[tuple(each)]] += count
        seen[place] = np.tensordot(counts / len(looks), masks, 1)
    return seen


def calibration_figure(results: xr.Dataset, columns: int = 3) -> Figure:
    """Reliability of the belief by number of looks, for each policy, with its ECE."""
    policies = results["policy"].values
    columns = min(len(policies), columns)
    rows = -(-len(policies) // columns)
    figure = Figure(figsize=(3.3 * columns, 3.1 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    question = [d for d in ("finding",) if d in results["log_belief"].dims]
    beliefs = results["log_belief"].transpose(
        "policy", "look", "seed", "scene", *question, "answer"
    )
    label = results["label"].transpose("scene", *question).values
    seeds = results.sizes["seed"]
    labels = np.concatenate([label] * seeds)
    for name, axis in enumerate(axes.flat[: len(policies)]):
        axis.plot([0, 1], [0, 1], color="#999999", lw=1, ls=":")
        drawn = False
        for look in range(1, results.sizes["look"]):
            belief = beliefs.values[name, look].reshape(-1, *beliefs.shape[4:])
            confidence, right, count = reliability(belief, labels)
            least = max(FEW, 0.01 * count.sum())
            enough = count >= least
            drawn = drawn or bool(enough.any())
            error = ece(belief, labels)
            axis.plot(
                confidence[enough],
                right[enough],
                marker=MARKERS[look % len(MARKERS)],
                color=COLOURS[look % len(COLOURS)],
                ms=4,
                lw=1.4,
                label=f"{look} look{'s' if look > 1 else ''}, ECE {error:.3f}",
            )
        if not drawn:
            told = f"not drawn: no bin has\n{least:.0f} of the {count.sum()} answers"
            axis.text(0.03, 0.97, told, transform=axis.transAxes, va="top", fontsize=8)
        axis.set_title(str(policies[name]), fontsize=10)
        axis.legend(fontsize=7.5, framealpha=0.8, edgecolor="none", loc="lower right")
        _tidy(axis)
    for axis in axes.flat[len(policies) :]:
        axis.set_visible(False)
    figure.supxlabel("confidence in the likeliest answer", fontsize=10)
    figure.supylabel("how often it is right", fontsize=10)
    return figure


def _tidy(axis: Axes) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(alpha=0.25, lw=0.6)


def _bare(axis: Axes) -> None:
    axis.set_xticks([])
    axis.set_yticks([])


def _show(axis: Axes, image: NDArray) -> None:
    """A `[C, H, W]` image, grey or colour."""
    pixels = np.moveaxis(np.asarray(image, dtype=float), 0, -1).clip(0, 1)
    shown = pixels if pixels.shape[-1] == 3 else pixels[..., 0]
    axis.imshow(shown, cmap="gray", vmin=0, vmax=1, aspect=_aspect(image))
    _bare(axis)


def _tint(axis: Axes, mask: NDArray) -> None:
    """Colour what was not seen, so that it is not taken for black."""
    red, green, blue = (int(UNSEEN[i : i + 2], 16) / 255 for i in (1, 3, 5))
    veil = np.zeros((*mask.shape, 4))
    veil[..., :3], veil[..., 3] = (red, green, blue), mask < 0.5
    axis.imshow(veil, aspect=_aspect(mask))


def _show_seen(axis: Axes, one: xr.Dataset, look: int) -> None:
    _show(axis, one["values"].values[look])
    _tint(axis, one["mask"].values[look])


def outline(axis: Axes, mask: NDArray) -> None:
    """The border of what a look shows."""
    inside = np.pad(mask > 0.5, 1)
    rows, columns = (inside[1:] != inside[:-1]).nonzero()
    across = [[(c - 1.5, r - 0.5), (c - 0.5, r - 0.5)] for r, c in zip(rows, columns, strict=True)]
    rows, columns = (inside[:, 1:] != inside[:, :-1]).nonzero()
    down = [[(c - 0.5, r - 1.5), (c - 0.5, r - 0.5)] for r, c in zip(rows, columns, strict=True)]
    axis.add_collection(
        LineCollection(across + down, colors="#ff9f1c", lw=1.8, capstyle="projecting")
    )


def _on_scene(values: NDArray, masks: NDArray) -> NDArray:
    """Values of candidate looks as an image: each pixel has that of the look centred nearest."""
    height, width = masks.shape[1:]
    covers = masks > 0
    area = np.maximum(covers.sum((1, 2)), 1)
    distance = np.zeros(covers.shape)
    for pixel in (np.arange(height)[:, None], np.arange(width)):
        centre = (covers * pixel).sum((1, 2)) / area
        distance += (pixel - centre[:, None, None]) ** 2
    distance[~covers] = np.inf
    return np.where(covers.any(0), values[distance.argmin(0)], np.nan)


def _aspect(image: NDArray) -> Literal["equal", "auto"]:
    """Square pixels, unless the scene is a strip such as a table's row."""
    height, width = image.shape[-2:]
    return "equal" if max(height, width) < 8 * min(height, width) else "auto"


def _tall(image: NDArray) -> float:
    """Height over width of a picture's place; a strip such as a table's row gets some more."""
    height, width = image.shape[-2:]
    return min(max(height / width, 0.35), 1.0)


def _belief(one: xr.Dataset, look: int) -> str:
    """The likeliest answer after a look; of several findings, those that hold or the last."""
    findings, answers = _names(one)
    truth = one["label"].values if "label" in one and findings else None
    belief = one["log_belief"].values[look]
    return belief_in_words(belief, answers, findings=findings, truth=truth)


def _names(one: xr.Dataset) -> tuple[list[str], list[str]]:
    """Of the findings, none where one question is asked, and of the answers."""
    belief = one["log_belief"]
    answers = [str(each) for each in belief["answer"].values]
    if "finding" not in belief.dims:
        return [], answers
    return [str(each) for each in belief["finding"].values], answers
