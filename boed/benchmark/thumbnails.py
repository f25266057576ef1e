"""Small pictures of a run's scenes, kept with its results so that a report can show all of them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from boed.data.dataset import Dataset

PIXELS = 2**23
"""Of all scenes together, at most: larger ones are shrunk."""


def thumbnails(dataset: Dataset) -> NDArray[np.uint8]:
    """The scenes as uint8 `[N, C, h, w]`, grey or colour, of at most `PIXELS` pixels in all."""
    height, width = dataset.shape
    shrink = max((len(dataset) * height * width / PIXELS) ** 0.5, 1.0)
    small = (max(int(height / shrink), 1), max(int(width / shrink), 1))
    parts = []
    for start in range(0, len(dataset), 256):
        scenes = dataset.scenes(slice(start, start + 256))
        scenes = scenes if dataset.channels in (1, 3) else scenes.mean(1, keepdim=True)
        if small != (height, width):
            scenes = torch.nn.functional.interpolate(scenes, small, mode="area")
        parts.append((scenes * 255).round().to(torch.uint8))
    return torch.cat(parts).numpy()
