"""Scenes with an exact posterior: Gaussian images whose hidden pixels are conjugate."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

SIDE = 6


@dataclass(frozen=True)
class World:
    """`B` smooth images with different masks, and the exact law of what is hidden.

    x ~ N(1/2, K), K the sum of a smooth kernel and a little white noise; the seen pixels are read
    without noise, so hidden | seen is Gaussian with `mean [B, D]` and Cholesky factor
    `factor [B, D, D]`, both 0 at the seen pixels.
    """

    truth: Tensor
    hidden: Tensor
    mean: Tensor
    factor: Tensor

    def samples(
        self, n: int, seed: int, spread: float = 1, shift: float = 0, between: float = 1
    ) -> Tensor:
        """Draws with `spread` times the standard deviations, `shift`ed by pixel values.

        `between` is how far the n draws of a scene are apart; below 1 they gather around one of
        them, which is itself a draw of the posterior.
        """
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(n, *self.mean.shape, generator=generator, dtype=torch.double)
        noise = noise[:1] + between * (noise - noise[:1])
        drawn = torch.einsum("bij,nbj->nbi", self.factor, noise) * spread + self.mean + shift
        scenes = drawn.unflatten(2, self.truth.shape[1:])
        return torch.where(self.hidden > 0, scenes, self.truth).float()


@pytest.fixture(scope="session")
def world():
    def make(batch: int, seed: int = 0) -> World:
        generator = torch.Generator().manual_seed(seed)
        rows, columns = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
        where = torch.stack([rows, columns], -1).flatten(0, 1).double()
        kernel = 0.04 * torch.exp(-0.5 * (torch.cdist(where, where) / 1.5) ** 2)
        kernel += 0.002 * torch.eye(len(where), dtype=torch.double)
        root = torch.linalg.cholesky(kernel)
        noise = torch.randn(batch, len(where), generator=generator, dtype=torch.double)
        truth = 0.5 + noise @ root.T
        share = 0.3 + 0.6 * torch.rand(batch, 1, generator=generator)
        hidden = (torch.rand(batch, len(where), generator=generator) < share).double()
        mean, factor = truth.clone(), torch.zeros(batch, *kernel.shape, dtype=torch.double)
        for b in range(batch):
            h, s = hidden[b].nonzero()[:, 0], (1 - hidden[b]).nonzero()[:, 0]
            gain = torch.linalg.solve(kernel[s][:, s], kernel[s][:, h]).T
            mean[b, h] = 0.5 + gain @ (truth[b, s] - 0.5)
            left = kernel[h][:, h] - gain @ kernel[s][:, h]
            factor[b, h[:, None], h] = torch.linalg.cholesky(left)
        shape = (batch, 1, SIDE, SIDE)
        return World(truth.view(shape).float(), hidden.view(shape).float(), mean, factor)

    return make
