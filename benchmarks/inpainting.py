"""What the benchmarks of papers on inpainting share: their metrics, intervals and pictures."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from measuring import machine
from torch import Tensor

from boed.completion.evaluation import best_of, psnr, relative_l1, relative_l2
from boed.data.masks import named
from boed.data.observation import Observation
from boed.foundation.files import write_json
from boed.foundation.randomness import derive
from boed.report.figures import UNSEEN

VEIL = torch.tensor([int(UNSEEN[i : i + 2], 16) / 255 for i in (1, 3, 5)]).view(3, 1, 1)


def resampled(values: np.ndarray, resamples: int = 2000) -> list[float]:
    """The mean with its 95 % bootstrap interval."""
    rng = np.random.default_rng(0)
    means = values[rng.integers(len(values), size=(resamples, len(values)))].mean(1)
    return [float(values.mean()), *map(float, np.percentile(means, [2.5, 97.5]))]


def decibels(peak: Tensor) -> list[float]:
    """PSNRs, `[B]`, as that of their mean squared error, with its 95 % bootstrap interval.

    A mean of decibels is infinite where one scene is exact, as the black corners of digits are.
    """
    mean, low, high = resampled(10 ** (-peak.double().numpy() / 10))
    floor = 1e-10  # 100 dB stands for exact
    return [float(-10 * np.log10(max(each, floor))) for each in (mean, high, low)]


def of_several(scenes: Tensor, truth: Tensor) -> dict[str, list[float]]:
    """Mean and best of n in the metrics of Dupont & Suresha 2019, Sec. 5.3.

    Args:
        scenes: completions, `[n, B, C, H, W]`.
        truth: `[B, C, H, W]`.
    """
    errors = {}
    for name, metric in (("l1", relative_l1), ("l2", relative_l2)):
        each = metric(scenes, truth).double()
        errors[name] = resampled(each.mean(0).numpy())
        errors[f"{name}_best"] = resampled(best_of(each, higher=False).numpy())
    peak = psnr(scenes, truth).double()
    errors["psnr"] = decibels(-10 * (10 ** (-peak / 10)).mean(0).log10())
    errors["psnr_best"] = decibels(best_of(peak, higher=True))
    return errors


class Measured:
    """Parts of a result, each written as soon as it is measured, and only once.

    Args:
        path: JSON; what is there counts if it was measured with the same settings.
        settings: of all parts.
    """

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        self.path = path
        before = json.loads(path.read_text()) if path.exists() else {}
        same = before.get("settings") == json.loads(json.dumps(settings))
        self.results: dict[str, Any] = before
        if not same:
            self.results = {"settings": settings, "machine": machine()}

    def part(self, keys: Sequence[str], measure: Callable[[], Any]) -> None:
        """Measure one part, at the place of some keys, if that has not been done."""
        *outer, last = keys
        place = self.results
        for key in outer:
            place = place.setdefault(key, {})
        if last not in place:
            place[last] = measure()
            print(*keys, json.dumps(place[last]), flush=True)
            write_json(self.path, self.results)


def observed(scenes: Tensor, masks: str, seed: int) -> Observation:
    """What is seen of scenes under masks of a name, drawn by a seed."""
    generator = torch.Generator().manual_seed(derive(seed, "masks", masks))
    return Observation.of(scenes, named(masks)(len(scenes), scenes.shape[-1], generator=generator))


def picture(image: Tensor, mask: Tensor | None = None) -> np.ndarray:
    """An image `[H, W, 3]`, with what is not seen in another colour."""
    shown = image.expand(3, -1, -1)
    if mask is not None:
        shown = shown * mask + VEIL * (1 - mask)
    return shown.permute(1, 2, 0).clamp(0, 1).numpy()


def worst_figure(
    rows: Sequence[int], seen: Observation, truth: Tensor, *, made: Sequence[Tensor]
) -> Figure:
    """A column for each of some scenes: what is seen, what was made of it, and the truth."""
    figure, axes = grid(len(made) + 2, len(rows), size=0.75)
    for column, index in enumerate(rows):
        axes[0, column].imshow(picture(truth[index], seen.mask[index]))
        for row, images in enumerate((*made, truth), start=1):
            axes[row, column].imshow(picture(images[index]))
    return figure


def grid(rows: int, columns: int, *, size: float = 0.8, extra: float = 0.0) -> tuple[Figure, Any]:
    """Axes without frames."""
    figure = Figure(figsize=(size * columns, (size + extra) * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    return figure, axes
