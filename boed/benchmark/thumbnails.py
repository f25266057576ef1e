"""Small pictures of a run's scenes, kept with its results so that a report can show all of them."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from boed.data.dataset import Dataset

PIXELS = 2**23
"""Of all scenes together, at most: larger ones are shrunk."""


def thumbnails(dataset: Dataset) -> NDArray[np.uint8]:
    """The scenes as uint8 `[N, C, h, w]`, grey or colour, of at most `PIXELS` pixels in all."""
    starts = range(0, len(dataset), 256)
    parts = (dataset.scenes(slice(start, start + 256)) for start in starts)
    return np.concatenate([small(part, of=len(dataset)) for part in parts])


def small(scenes: Float[Tensor, "N C H W"], *, of: int | None = None) -> NDArray[np.uint8]:
    """Scenes as uint8 `[N, C, h, w]`, so small that `of` of them, or all, have `PIXELS` pixels."""
    height, width = scenes.shape[2:]
    shrink = max(((of or len(scenes)) * height * width / PIXELS) ** 0.5, 1.0)
    size = (max(int(height / shrink), 1), max(int(width / shrink), 1))
    scenes = scenes if scenes.shape[1] in (1, 3) else scenes.mean(1, keepdim=True)
    if size != (height, width):
        scenes = torch.nn.functional.interpolate(scenes, size, mode="area")
    return (scenes * 255).round().to(torch.uint8).numpy()
