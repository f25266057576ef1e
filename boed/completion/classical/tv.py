"""Completion by least total variation, a local baseline of Yeh et al. 2017."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from boed.completion.classical.blending import HarmonicExtension
from boed.completion.classical.filling import Filling
from boed.data.dataset import Dataset
from boed.foundation.arguments import checked
from boed.foundation.checks import at_least, more_than

SETTLED = 1e-4
"""Where no pixel moves further than that in a step, the steps end."""


@checked
class TotalVariationFill(Filling):
    """Hidden pixels of least total variation, the seen ones as they are.

    min sum_p sqrt(sum_c |grad x_c(p)|^2 + s^2), forward differences inside the image and all
    channels together (Bresson & Chan 2008), by lagged diffusivity (Vogel & Oman 1996): each step
    solves a Laplace equation whose weights are those of the last, from the harmonic fill on. The
    sum never rises. Afonso et al. 2011, whom they
    refer to, solve the problem with s = 0 by splitting.

    Args:
        library: scenes of the size and channels to complete; their mean where nothing is seen.
        iterations: steps at most.
        smoothing: s, in pixel values.

    Raises:
        ValueError: iterations below 1, or smoothing that is not positive.
    """

    def __init__(self, library: Dataset, *, iterations: int = 100, smoothing: float = 1e-3) -> None:
        at_least(1, iterations=iterations)
        more_than(0, smoothing=smoothing)
        super().__init__(library)
        self.iterations, self.smoothing = iterations, smoothing

    def fill(
        self, seen: Float[Tensor, "b C H W"], hidden: Bool[Tensor, "H W"]
    ) -> Float[Tensor, "b C Q"]:
        filled = []
        for scene in seen:
            *_, last = self.steps(scene, hidden)
            filled.append(last[:, hidden])
        return torch.stack(filled)

    def steps(
        self, seen: Float[Tensor, "C H W"], hidden: Bool[Tensor, "H W"]
    ) -> Iterator[Float[Tensor, "C H W"]]:
        """The scene as each step leaves it, in double precision, the harmonic fill first."""
        from scipy.sparse import diags_array
        from scipy.sparse.linalg import spsolve

        differences, unknown = grid_differences(*hidden.shape), hidden.flatten().numpy()
        scene = seen.double().clone()
        scene[:, hidden] = HarmonicExtension(hidden)(scene)
        yield scene
        for _ in range(self.iterations):
            weights = 1 / self._lengths(scene).flatten().numpy()
            weighted = diags_array(np.tile(weights, 2)) @ differences
            energy = (differences[:, unknown].T @ weighted).tocsc()
            known = scene.flatten(1).numpy()[:, ~unknown]
            right = -energy[:, ~unknown] @ known.T
            solved = spsolve(energy[:, unknown], right).reshape(-1, len(scene))
            after = scene.clone()
            after[:, hidden] = torch.from_numpy(solved.T.copy())
            moved = float((after - scene).abs().max())
            scene = after
            yield scene
            if moved < SETTLED:
                break

    def variation(self, scene: Float[Tensor, "C H W"]) -> float:
        """The sum that is minimised."""
        return float(self._lengths(scene).sum())

    def _lengths(self, scene: Float[Tensor, "C H W"]) -> Float[Tensor, "H W"]:
        """Smoothed length of the gradient at each pixel."""
        down, across = torch.zeros_like(scene), torch.zeros_like(scene)
        down[:, :-1], across[..., :-1] = scene.diff(dim=1), scene.diff(dim=2)
        return (down.square() + across.square()).sum(0).add(self.smoothing**2).sqrt()


def grid_differences(height: int, width: int) -> Any:
    """Next pixel below less this one, then next to the right, 0 at the border: `[2 H W, H W]`."""
    from scipy.sparse import diags_array, eye_array, kron, vstack

    def line(length: int) -> Any:
        here = -np.ones(length)
        here[-1] = 0
        return diags_array([here, np.ones(length - 1)], offsets=[0, 1])

    down = kron(line(height), eye_array(width))
    return vstack([down, kron(eye_array(height), line(width))]).tocsc()
