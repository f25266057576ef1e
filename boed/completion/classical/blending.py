"""Poisson blending: what was made joins what was seen without a seam, its gradients kept.

Perez, Gangnet & Blake 2003, as Yeh et al. 2017 (Sec. 3.3) use it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from boed.data.observation import Observation


class HarmonicExtension:
    """Values of seen pixels to hidden ones that solve Laplace's equation between them.

    Each hidden pixel is the mean of its neighbours, of which there are fewer at the border of the
    image. The sparse system is factorised once for a mask and solved for any number of images.

    Args:
        hidden: which pixels are to be found; at least one is not.
    """

    def __init__(self, hidden: Bool[Tensor, "H W"]) -> None:
        from scipy.sparse.linalg import splu

        self._unknown = hidden.flatten().cpu().numpy()
        laplacian = grid_laplacian(*hidden.shape)[self._unknown]
        self._from_known = laplacian[:, ~self._unknown]
        self._factors = splu(laplacian[:, self._unknown].tocsc())

    def __call__(self, values: Float[Tensor, "*n H W"]) -> Float[Tensor, "*n Q"]:
        """The Q hidden pixels of each image in raster order, in double precision."""
        flat = values.flatten(-2).double().cpu().numpy()
        known = flat[..., ~self._unknown].reshape(-1, int((~self._unknown).sum()))
        right = -self._from_known @ known.T
        solved = self._factors.solve(np.ascontiguousarray(right))
        return torch.from_numpy(solved.T.copy()).reshape(*values.shape[:-2], -1)


def poisson_blend(
    made: Float[Tensor, "*n B C H W"], observation: Observation
) -> Float[Tensor, "*n B C H W"]:
    """The x nearest to `made` in its gradients that has the seen pixels: min ||grad x - grad g||^2.

    Gradients are differences of neighbouring pixels inside the image, so that its border pulls
    nothing. Their normal equations are L (x - g) = 0 on the hidden pixels: `made` and the harmonic
    extension of what it is off by where pixels were seen. Scenes of which nothing, or everything,
    was seen come back as they were made, or seen. Values may leave [0, 1] where those of `made`
    and of the seen pixels do not agree.

    Args:
        made: scenes g, any number for each observation.
        observation: of pixels.
    """
    blended = observation.composite(made)
    off = (blended - made).cpu()
    masks, group = torch.unique(observation.mask.cpu()[:, 0] == 0, dim=0, return_inverse=True)
    for index, hidden in enumerate(masks):
        if hidden.any() and not hidden.all():
            rows = torch.nonzero(group == index)[:, 0]
            added = HarmonicExtension(hidden)(off[..., rows, :, :, :])
            where, rows = hidden.to(made.device), rows.to(made.device)
            part, gradients = (each[..., rows, :, :, :] for each in (blended, made))
            part[..., where] = gradients[..., where] + added.to(made)
            blended[..., rows, :, :, :] = part
    return blended


def grid_laplacian(height: int, width: int) -> Any:
    """Degree less neighbours of each pixel of an image, a sparse matrix `[H W, H W]`."""
    from scipy.sparse import diags_array, eye_array, kron

    def line(length: int) -> Any:
        degree = np.full(length, 2.0)
        degree[0] -= 1
        degree[-1] -= 1
        beside = -np.ones(length - 1)
        return diags_array([beside, degree, beside], offsets=[-1, 0, 1])

    rows, columns = eye_array(height), eye_array(width)
    return (kron(line(height), columns) + kron(rows, line(width))).tocsr()
