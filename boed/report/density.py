"""Where each policy looks, as a density over the mean of the scenes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from boed.classifiers.evaluation.occlusion import INSIDE, regions
from boed.report.figures import _bare, in_view

if TYPE_CHECKING:
    import xarray as xr

COLUMNS = 5
"""Policies side by side, at most."""


def shows_pixels(results: xr.Dataset) -> bool:
    """Whether looks showed pixels of scenes of which there are small pictures, no strips."""
    low = min(results["candidate_mask"].shape[1:])
    return bool(results.attrs.get("direct", False)) and "thumbnail" in results and low > 1


def density(results: xr.Dataset) -> NDArray[np.float64]:
    """How often each pixel was looked at, per look taken, `[policy, y, x]`."""
    return in_view(results).mean(1)


def at_the_border(seen: NDArray[np.float64]) -> NDArray[np.float64]:
    """The part of what was looked at that lies in the border, `[policy]`.

    Args:
        seen: what `density` returned.
    """
    edge = 1 - regions(*seen.shape[1:])[INSIDE].numpy()
    total = seen.sum((1, 2))
    return (seen * edge).sum((1, 2)) / np.where(total > 0, total, np.nan)


def density_figure(results: xr.Dataset) -> Figure:
    """The mean scene in grey, and on it how often each pixel was looked at, a policy each.

    Args:
        results: of looks that show pixels, see `shows_pixels`.
    """
    names, seen = results["policy"].values, density(results)
    mean = results["thumbnail"].transpose("scene", "channel", "v", "u").values.mean((0, 1))
    edge = at_the_border(seen)
    columns = min(len(names), COLUMNS)
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(1.9 * columns + 0.9, 2.2 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    height, width = seen.shape[1:]
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    most = max(float(seen.max()), 1e-9)
    shown = None
    for axis, name, view, part in zip(axes.flat, names, seen, edge, strict=False):
        axis.imshow(mean, cmap="gray", extent=extent)
        strength = np.sqrt(view / most)
        shown = axis.imshow(view, cmap="plasma", vmin=0, vmax=most, alpha=0.75 * strength)
        _bare(axis)
        told = "no look" if np.isnan(part) else f"{part:.0%} in the border"
        axis.set_title(f"{name}\n{told}", fontsize=8.5)
    for axis in axes.flat[len(names) :]:
        axis.set_visible(False)
    assert shown is not None
    bar = figure.colorbar(shown, ax=axes, shrink=0.8, format=lambda value, _: f"{value:.0%}")
    bar.set_label("looks with it in view", fontsize=9)
    return figure
