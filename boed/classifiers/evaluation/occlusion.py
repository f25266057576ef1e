"""What classifiers believe of scenes of which one region is hidden, or seen alone.

A classifier that knows masks is told what is hidden, so that what changes is what it would have
read there (Zeiler and Fergus 2014 paint a region grey, which may look like something else).
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from boed.classifiers.classifier import Classifier
from boed.classifiers.evaluation.scoring import AT_ONCE, device_of
from boed.data.observation import Observation

GRID = 8
"""Cells along each axis, each hidden in turn; of scenes with fewer pixels one for each."""

BORDER = 0.1
"""Width of the border over that of the scene."""

SCENES = 128
"""Scenes that are taken, at most: as many beliefs of them as there are regions."""

INSIDE, EDGE, NOTHING = "inside alone", "border alone", "nothing"
"""What is seen besides scenes without one cell."""


def regions(height: int, width: int) -> dict[str, Float[Tensor, "H W"]]:
    """What is seen of scenes, 1 where it is, by name: all but each cell, then what else there is.

    >>> list(regions(1, 2))
    ['without 0 0', 'without 0 1', 'inside alone', 'border alone', 'nothing']

    Args:
        height, width: of the scenes in pixels.
    """
    rows, columns = (
        np.linspace(0, n, min(GRID, n) + 1).round().astype(int) for n in (height, width)
    )
    found = {}
    for r in range(len(rows) - 1):
        for c in range(len(columns) - 1):
            seen = torch.ones(height, width)
            seen[rows[r] : rows[r + 1], columns[c] : columns[c + 1]] = 0
            found[f"without {r} {c}"] = seen
    inside = torch.zeros(height, width)
    top, left = (max(round(BORDER * n), 1) for n in (height, width))
    inside[top : height - top, left : width - left] = 1
    return {**found, INSIDE: inside, EDGE: 1 - inside, NOTHING: torch.zeros(height, width)}


@torch.no_grad()
def occluded_beliefs(
    classifier: Classifier, scenes: Float[Tensor, "B C H W"]
) -> NDArray[np.float32]:
    """Log-probabilities `[region, B, *L, K]` of each of `regions`, in their order."""
    piece, device = max(AT_ONCE // scenes.shape[-1] ** 2, 1), device_of(classifier)
    found = []
    for seen in regions(*scenes.shape[-2:]).values():
        parts = [
            classifier.log_probs(Observation.of(part, seen.expand(len(part), 1, -1, -1)).to(device))
            for part in scenes.split(piece)
        ]
        found.append(torch.cat(parts).float().cpu().numpy())
    return np.stack(found)
