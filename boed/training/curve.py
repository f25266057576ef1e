"""The curve of a training, a row every so many steps, in a CSV file beside its checkpoint."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from boed.foundation.files import atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = (
    "step",
    "images",
    "seconds",
    "loss",
    "learning_rate",
    "gradient_norm",
    "images_per_second",
)
"""Of every curve, before the validation's figures."""

ROWS = 200
"""About so many rows has a whole training, besides those where its state is stored."""


def curve_path(path: Path | str) -> Path:
    """Where the curve of a checkpoint lies, also given its running state: `NAME.curve.csv`."""
    path = Path(path)
    return path.with_name(f"{path.stem.removesuffix('.training')}.curve.csv")


class Curve:
    """The rows of a training, of which those behind the step that it goes on from are dropped.

    The file is written anew with each row, so it is whole at any time. Rows have the means of loss
    and gradient norm over the updates since the row before, which are empty if none was made.

    Args:
        path: of the file.
        step: that the training goes on from; 0 at its beginning.
        steps: of the whole training.

    Raises:
        ValueError: there is another file in its place.
    """

    def __init__(self, path: Path, *, step: int, steps: int) -> None:
        self.path, self.interval = path, max(steps // ROWS, 1)
        self.rows = [row for row in read_curve(path) if int(row["step"]) <= step]
        self._clear()

    def add(self, *, loss: float, norm: float, images: int, seconds: float, made: bool) -> None:
        """Count a step.

        Args:
            loss: of its batch.
            norm: of the gradient, before it was clipped.
            images: in the batch.
            seconds: that it took.
            made: whether the weights were updated.
        """
        if made:
            self._losses.append(loss)
            self._norms.append(norm)
        self._images += images
        self._seconds += seconds

    def due(self, step: int) -> bool:
        """Whether it is time for a row."""
        return step % self.interval == 0

    def write(
        self, *, step: int, images: int, seconds: float, rate: float, figures: dict[str, float]
    ) -> None:
        """Add a row, and write the file.

        Args:
            step, images, seconds: since the beginning of the training.
            rate: learning rate.
            figures: of the validation at this step, if there was one.
        """
        row = {
            "step": str(step),
            "images": str(images),
            "seconds": f"{seconds:.2f}",
            "loss": f"{fmean(self._losses):.6g}" if self._losses else "",
            "learning_rate": f"{rate:.6g}",
            "gradient_norm": f"{fmean(self._norms):.6g}" if self._norms else "",
            "images_per_second": f"{self._images / max(self._seconds, 1e-9):.4g}",
        }
        row |= {name: f"{value:.6g}" for name, value in figures.items() if name not in row}
        self.rows.append(row)
        self._clear()
        names = dict.fromkeys(name for each in self.rows for name in each)
        with atomic(self.path) as temporary, open(temporary, "w", newline="") as file:
            writer = csv.DictWriter(file, list(names), restval="", lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)

    def _clear(self) -> None:
        self._losses: list[float] = []
        self._norms: list[float] = []
        self._images, self._seconds = 0, 0.0


def read_curve(path: Path) -> list[dict[str, str]]:
    """The rows of a curve, oldest first; none if there is no file.

    Raises:
        ValueError: the file is no curve.
    """
    if not path.exists():
        return []
    try:
        rows = list(csv.DictReader(path.read_text().splitlines()))
        whole = all(tuple(row)[: len(COLUMNS)] == COLUMNS and int(row["step"]) > 0 for row in rows)
    except (ValueError, TypeError, KeyError, csv.Error):
        whole = False
    if not rows or not whole:
        raise ValueError(
            f"curve {path} is no training curve of boed, whose columns begin with "
            f"{', '.join(COLUMNS)}; remove it, or give another file"
        )
    return rows


def draw_curves(*paths: Path | str) -> Figure:
    """Loss and each validation figure of one or more trainings, over the images they have seen.

    Args:
        paths: of curves, or of their checkpoints.

    Raises:
        ValueError: there is no curve.
    """
    from matplotlib.figure import Figure

    curves = {}
    for each in map(Path, paths):
        path = each if each.suffix == ".csv" else curve_path(each)
        if not path.exists():
            raise ValueError(f"curve {path} does not exist")
        curves[path.name.removesuffix(".curve.csv")] = read_curve(path)
    rows = [row for curve in curves.values() for row in curve]
    names = dict.fromkeys(k for row in rows for k in row if k == "loss" or k.startswith("val_"))
    figure = Figure(figsize=(4 * len(names), 3), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        for label, curve in curves.items():
            points = [(int(r["images"]), float(r[name])) for r in curve if r.get(name)]
            points = [each for each in points if math.isfinite(each[1])]
            axes.plot(*zip(*points, strict=True) if points else ([], []), label=label)
        axes.set(xlabel="images", ylabel=name)
    axes.legend()
    return figure
