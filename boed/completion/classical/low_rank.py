"""Completion by a matrix of low rank, a local baseline of Yeh et al. 2017 (Lu et al. 2014)."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from boed.completion.classical.filling import Filling
from boed.data.dataset import Dataset
from boed.foundation.arguments import checked
from boed.foundation.checks import at_least, more_than

LAST = 1e-5
"""The last weight of the penalty over the first."""


@checked
class LowRankFill(Filling):
    """Hidden pixels for which each channel, as a matrix, is of low rank.

    min sum_i g(sigma_i(X)) with X = Y where seen, g(s) = log(1 + s / c) a concave penalty of the
    singular values, by iteratively reweighted singular value thresholding (Lu et al. 2014, "Gener-
    alized nonconvex nonsmooth low-rank minimization", Algorithm 1): each step puts the seen pixels
    back in and shrinks the singular values by a weight times g'. The weight falls geometrically.
    Of the image its mean over the seen pixels is taken off first, so that rows and columns of which
    nothing is seen come out as that, not black.

    Args:
        library: scenes of the size and channels to complete; their mean where nothing is seen.
        iterations: steps.
        scale: c, over the largest singular value of what is seen.

    Raises:
        ValueError: iterations below 1, or a scale that is not positive.
    """

    def __init__(self, library: Dataset, *, iterations: int = 300, scale: float = 0.1) -> None:
        at_least(1, iterations=iterations)
        more_than(0, scale=scale)
        super().__init__(library)
        self.iterations, self.scale = iterations, scale

    def fill(
        self, seen: Float[Tensor, "b C H W"], hidden: Bool[Tensor, "H W"]
    ) -> Float[Tensor, "b C Q"]:
        known = (~hidden).double()
        mean = (seen.double() * known).sum((2, 3), keepdim=True) / known.sum()
        wanted = (seen.double() - mean) * known
        matrix = wanted
        largest = torch.linalg.matrix_norm(wanted, 2)[..., None]
        concave = self.scale * largest.clamp(min=1e-9)  # of a constant nothing is left
        for weight in torch.logspace(0, torch.tensor(LAST).log10(), self.iterations).tolist():
            left, values, right = torch.linalg.svd(
                torch.where(hidden, matrix, wanted), full_matrices=False
            )
            slope = concave / (values + concave)  # g', 1 at 0
            shrunk = (values - weight * largest * slope).clamp(min=0)
            matrix = left * shrunk[..., None, :] @ right
        return (matrix + mean)[:, :, hidden]
