"""Pictures of a session: what had been seen after each reading, and what was believed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from boed.data.readers.sessions import Seen
from boed.report.figures import COLOURS, MARKERS, UNSEEN, outline

COLUMNS = 6
"""Pictures in a row."""

LINES = 6
"""Answers that are drawn, at most: those that were likeliest at any time."""


def seen_figure(seen: Sequence[Seen], titles: Sequence[str]) -> Figure:
    """What had been seen after 0, 1, ... readings, with what each one added outlined.

    Args:
        seen: values and where they were seen.
        titles: above each picture.
    """
    _, height, width = seen[0][0].shape
    columns = min(len(seen), COLUMNS)
    rows = -(-len(seen) // columns)
    tall = min(max(height / width, 0.35), 1.5)
    figure = Figure(figsize=(1.8 * columns, (1.7 * tall + 0.5) * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat[len(seen) :]:
        axis.set_visible(False)
    before = np.zeros((height, width), bool)
    for axis, (values, mask), title in zip(axes.flat, seen, titles, strict=False):
        shown = mask[0].numpy() > 0
        _show(axis, values.numpy(), shown)
        new = shown & ~before
        outline(axis, new)
        axis.set_title(title, fontsize=9)
        before = shown
    return figure


def beliefs_figure(
    beliefs: NDArray[np.float64], names: Sequence[str], *, label: Sequence[int]
) -> Figure:
    """The probability of each answer, or that each finding is there, after 0, 1, ... readings.

    Args:
        beliefs: `[T + 1, n]`.
        names: of the answers or findings.
        label: which of them hold; none if the truth is not known.
    """
    order = np.argsort(-beliefs.max(0), kind="stable")[:LINES].tolist()
    drawn = [*order, *(each for each in label if each not in order)]
    figure = Figure(figsize=(6.5, 3.4), layout="constrained")
    axis = figure.subplots()
    for number, each in enumerate(drawn):
        truth = " (true)" if each in label else ""
        axis.plot(
            beliefs[:, each],
            marker=MARKERS[number % len(MARKERS)],
            color=COLOURS[number % len(COLOURS)],
            lw=2.2 if truth else 1.2,
            ms=4,
            label=f"{names[each]}{truth}",
        )
    axis.set_xlabel("number of readings", fontsize=10)
    axis.set_ylabel("probability", fontsize=10)
    axis.set_ylim(-0.02, 1.02)
    axis.set_xticks(range(len(beliefs)))
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(alpha=0.25, lw=0.6)
    axis.legend(fontsize=8, framealpha=0.8, edgecolor="none")
    return figure


def _show(axis: Axes, image: NDArray[np.float32], shown: NDArray[np.bool_]) -> None:
    """An image `[C, H, W]`, and in another colour what of it was not seen."""
    colour = image if len(image) == 3 else np.repeat(image[:1], 3, axis=0)
    unseen = np.array([int(UNSEEN[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    pixels = np.where(shown[..., None], np.moveaxis(colour, 0, -1).clip(0, 1), unseen)
    long, short = max(shown.shape), min(shown.shape)
    axis.imshow(pixels, aspect="equal" if long < 8 * short else "auto")
    axis.set_xticks([])
    axis.set_yticks([])
