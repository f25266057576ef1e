"""Randomness that belongs to a scene, so that results do not depend on how scenes are batched."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from numbers import Integral

import torch
from torch import Tensor

Seeds = int | Sequence[int]
"""One seed for a whole batch, or one for each of its scenes."""


def derive(*parts: int | str) -> int:
    """A seed for one purpose, such as `derive(seed, "scene", 3)`: stable across machines."""
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def per_scene(seed: Seeds, batch: int) -> list[int]:
    """One seed per scene.

    Raises:
        ValueError: neither a whole number nor a sequence of them, or one of another length than
            the batch.
    """
    if isinstance(seed, int | Integral):
        return [derive(int(seed), "scene", index) for index in range(batch)]
    if isinstance(seed, str) or not hasattr(seed, "__len__"):
        raise ValueError(f"seed is {seed!r}, expected a whole number, or one for each scene")
    if len(seed) != batch:
        raise ValueError(f"seed has {len(seed)} entries for a batch of {batch} scenes")
    return [int(value) for value in seed]


class SceneNoise:
    """Draws noise scene by scene: row b depends on seed b alone, not on its neighbours."""

    def __init__(self, seeds: Sequence[int], device: torch.device | str = "cpu") -> None:
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self._device = device

    def normal(self, n: int, *shape: int) -> Tensor:
        """Standard normal draws `[n, B, *shape]`."""
        draws = [torch.randn(n, *shape, generator=each) for each in self._generators]
        return torch.stack(draws, dim=1).to(self._device)

    def uniform(self, n: int, *shape: int) -> Tensor:
        """Uniform draws in [0, 1), `[n, B, *shape]`."""
        draws = [torch.rand(n, *shape, generator=each) for each in self._generators]
        return torch.stack(draws, dim=1).to(self._device)
