"""Which part of a scene a classifier's belief comes from: maps, and the border's share."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from boed.classifiers.evaluation.evaluate import WHOLE
from boed.classifiers.evaluation.occlusion import BORDER, EDGE, INSIDE, NOTHING, regions
from boed.data.shifts import CLEAN
from boed.report.figures import _bare
from boed.report.statistics import Bounded, resampled, with_bounds

if TYPE_CHECKING:
    import xarray as xr


class Border(NamedTuple):
    """How much the border does to beliefs.

    Attributes:
        share: of what seeing whole scenes does to the belief, the part that is the border's.
        nll: how much the NLL rises, in nats, when the border is hidden.
    """

    share: Bounded
    nll: Bounded


class Occlusion(NamedTuple):
    """What hiding regions does to one classifier.

    Attributes:
        belief: Kullback-Leibler divergence of the belief without a cell from that about the whole
            scene, in nats, mean over scenes, `[row, column]`.
        nll: how much the NLL rises, in nats, likewise.
        border: of the border.
    """

    belief: NDArray[np.float64]
    nll: NDArray[np.float64]
    border: Border


def occlusion(results: xr.Dataset, *, resamples: int = 2000, seed: int = 0) -> dict[str, Occlusion]:
    """What hiding regions does, by classifier; nothing of results without such beliefs.

    With D(S) the divergence of the belief when S is seen from that about the whole scene, the share
    of the border is what it brings on average over the two orders in which border and inside may
    be seen, (D(inside) + D(nothing) - D(border)) / (2 D(nothing)): a Shapley value, which adds up
    to 1 with that of the inside. Divergences are means over scenes (and findings), and intervals
    are 95 % bootstrap intervals over scenes, or patients where those are known.

    Args:
        results: what `boed.classifiers.evaluation.evaluate` returned.
        resamples: of the bootstrap.
        seed: of the resamples.
    """
    if "occluded_log_belief" not in results:
        return {}
    question = [each for each in ("finding",) if each in results["log_belief"].dims]
    order = ("occluded_scene", *question, "answer")
    hidden = results["occluded_log_belief"].transpose("classifier", "region", *order)
    number = hidden.sizes["occluded_scene"]
    whole = results["log_belief"].sel(condition=CLEAN, look=WHOLE).isel(scene=slice(number))
    whole = whole.transpose("classifier", "scene", *question, "answer")
    label = results["label"].transpose("scene", *question).values[:number]
    names = [str(each) for each in results["region"].values]
    few = results.drop_vars("occluded_log_belief").isel(scene=slice(number))
    weights = np.concatenate(list(resampled(few, resamples, seed)))
    found = {}
    for k, name in enumerate(results["classifier"].values):
        about = whole.values[k].astype(np.float64)
        away, rise = _changes(hidden.values[k].astype(np.float64), about, label)
        cells = [row for row, each in enumerate(names) if each.startswith("without")]
        side = max(int(names[row].split()[1]) for row in cells) + 1
        belief, nll = (each[cells].mean(1).reshape(side, -1) for each in (away, rise))
        found[str(name)] = Occlusion(belief, nll, _border(names, away, rise, weights))
    return found


def _changes(
    hidden: NDArray[np.float64], whole: NDArray[np.float64], label: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Divergence from the belief about the whole scene, and rise of the NLL, `[region, B]`."""
    chance = np.exp(whole)
    with np.errstate(invalid="ignore"):  # what is impossible in both
        ratio = np.where(chance > 0, whole - hidden, 0.0)
        away = (chance * ratio).sum(-1)
    of_truth = [
        np.take_along_axis(each, np.broadcast_to(label[..., None], (*each.shape[:-1], 1)), -1)
        for each in (whole[None], hidden)
    ]
    rise = (of_truth[0] - of_truth[1])[..., 0]
    flat = (len(hidden), len(whole), -1)
    return away.reshape(flat).mean(-1), rise.reshape(flat).mean(-1)


def _border(
    names: list[str], away: NDArray[np.float64], rise: NDArray[np.float64], weights: NDArray
) -> Border:
    inside, edge, nothing = (away[names.index(each)] for each in (INSIDE, EDGE, NOTHING))

    def share(counts: NDArray) -> NDArray[np.float64]:
        parts = counts @ np.stack([inside + nothing - edge, 2 * nothing], 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(parts[..., 0] / parts[..., 1])

    hidden = rise[names.index(INSIDE)]
    costs = (weights @ hidden) / weights.sum(-1)
    ones = np.ones(len(hidden))
    return Border(
        with_bounds(float(share(ones)), share(weights)), with_bounds(float(hidden.mean()), costs)
    )


def in_words(name: str, border: Border, size: int) -> str:
    """The border's share of one classifier's belief, in a sentence."""
    share, low, high = border.share
    pixels = 1 - float(regions(size, size)[INSIDE].mean())
    if not np.isfinite(share):
        return f"{name}: whole scenes do not change its belief, so no part of it is the border's."
    rise, least, most = border.nll
    return (
        f"{name}: {share:.0%} [{low:.0%}, {high:.0%}] of the belief comes from the border, the "
        f"outer {BORDER:.0%} on each side, which is {pixels:.0%} of the pixels; hiding it changes "
        f"the NLL by {rise:+.3f} [{least:+.3f}, {most:+.3f}] nats."
    )


def occlusion_figure(found: dict[str, Occlusion]) -> Figure:
    """Two maps a classifier: what hiding each cell does to the belief, and to the NLL."""
    figure = Figure(figsize=(6.4, 2.7 * len(found)), layout="constrained")
    axes = figure.subplots(len(found), 2, squeeze=False)
    most = max(float(np.nanmax(each.belief)) for each in found.values())
    reach = max(float(np.nanmax(np.abs(each.nll))) for each in found.values())
    scales = {"vmin": 0, "vmax": max(most, 1e-9)}, {"vmin": -reach - 1e-9, "vmax": reach + 1e-9}
    looks = ("viridis", "RdBu_r")
    titles = ("change of the belief (nats)", "rise of the NLL (nats)")
    for row, (name, each) in zip(axes, found.items(), strict=True):
        for k, (axis, values) in enumerate(zip(row, (each.belief, each.nll), strict=True)):
            shown = axis.imshow(values, cmap=looks[k], **scales[k])
            _bare(axis)
            axis.set_title(titles[k], fontsize=9.5)
            figure.colorbar(shown, ax=axis, shrink=0.85).ax.tick_params(labelsize=7.5)
        row[0].set_ylabel(name, fontsize=9)
    return figure
