"""An index for retrieval: which of many images may match the seen pixels, whichever those are."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from boed.data.dataset import Dataset
from boed.foundation.checks import at_least

_FITTED_ON = 5_000
_AT_ONCE = 1_024


class PrincipalIndex:
    """Candidates by the distance of principal components.

    With images x = mu + U^T a the squared distance from the seen pixels, where m is 1, is
    a^T G a - 2 a^T b and a constant, with G = U diag(m) U^T and b = U (m (v - mu)): an inner
    product of (a a^T, a) with (G, -2 b). So one matrix product ranks all images for any mask,
    over k (k + 3) / 2 numbers each and not over all pixels. The distances that decide in the end
    are of the pixels; what is approximate is which images are among the candidates.

    Args:
        library: images to index.
        components: k, at most the number of images or pixels.
        candidates: how many to keep for each observation.

    Raises:
        ValueError: a number that is less than 1.
    """

    def __init__(self, library: Dataset, components: int = 32, candidates: int = 1_000) -> None:
        from sklearn.decomposition import PCA

        at_least(1, components=components, candidates=candidates)
        self.candidates = min(candidates, len(library))
        order = torch.randperm(len(library), generator=torch.Generator().manual_seed(0))
        pixels = library.scenes(order[:_FITTED_ON]).flatten(1)
        k = min(components, *pixels.shape)
        fitted = PCA(k, svd_solver="randomized", random_state=0).fit(pixels.numpy())
        self._mean = torch.from_numpy(fitted.mean_).float()
        self._axes = torch.from_numpy(fitted.components_).float()  # [k, P]
        pairs = torch.triu_indices(k, k)
        lifted = []
        for rows in torch.arange(len(library)).split(_AT_ONCE):
            codes = (library.scenes(rows).flatten(1) - self._mean) @ self._axes.T
            lifted.append(torch.cat([codes[:, pairs[0]] * codes[:, pairs[1]], codes], dim=1))
        self._lifted: Float[Tensor, "M L"] = torch.cat(lifted)
        self._pairs = pairs

    def nearest(
        self, values: Float[Tensor, "B P"], taken: Float[Tensor, "B P"]
    ) -> Int64[Tensor, "B K"]:
        """Rows of the candidates for each observation.

        Args:
            values: pixels, anything where unseen.
            taken: 1 where seen.
        """
        values, taken = values.cpu(), taken.cpu()
        first, second = self._pairs
        products = torch.einsum("bp,kp,lp->bkl", taken, self._axes, self._axes)
        doubled = torch.where(first == second, 1.0, 2.0)  # a_i a_j stands for both of its places
        linear = -2 * ((values - self._mean) * taken) @ self._axes.T
        query = torch.cat([products[:, first, second] * doubled, linear], dim=1)
        scores = query @ self._lifted.T
        return scores.topk(self.candidates, dim=1, largest=False).indices
