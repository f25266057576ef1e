"""What has been measured of a batch of scenes so far: values, and where they were measured."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Observation:
    """Partly seen scenes.

    Attributes:
        values: measured pixel values in [0, 1], zero where unseen, `[B, C, H, W]`.
        mask: 1 where a pixel was measured, 0 elsewhere, `[B, 1, H, W]`.

    Raises:
        ValueError: the two shapes do not belong together.
    """

    values: Float[Tensor, "B C H W"]
    mask: Float[Tensor, "B 1 H W"]

    def __post_init__(self) -> None:
        if self.values.ndim != 4:
            raise ValueError(f"values must be [B, C, H, W], got {tuple(self.values.shape)}")
        batch, _, height, width = self.values.shape
        if self.mask.shape != (batch, 1, height, width):
            raise ValueError(
                f"mask must be {(batch, 1, height, width)} to go with values "
                f"{tuple(self.values.shape)}, got {tuple(self.mask.shape)}"
            )

    @classmethod
    def of(cls, scene: Float[Tensor, "B C H W"], mask: Float[Tensor, "B 1 H W"]) -> Observation:
        """See `scene` where `mask` is 1."""
        return cls(scene * mask, mask)

    @classmethod
    def nothing(
        cls, batch: int, channels: int, size: int, device: torch.device | str = "cpu"
    ) -> Observation:
        """Nothing seen yet, of `batch` scenes of `size` x `size` pixels."""
        values = torch.zeros(batch, channels, size, size, device=device)
        return cls(values, torch.zeros(batch, 1, size, size, device=device))

    def __len__(self) -> int:
        return self.values.shape[0]

    def __getitem__(self, index: slice | Tensor) -> Observation:
        return Observation(self.values[index], self.mask[index])

    @property
    def device(self) -> torch.device:
        return self.values.device

    @property
    def size(self) -> int:
        """Width of the scene in pixels."""
        return self.values.shape[-1]

    @property
    def channels(self) -> int:
        """Number of image channels C."""
        return self.values.shape[1]

    @property
    def fraction_seen(self) -> Float[Tensor, " B"]:
        """Fraction of each scene's pixels that was measured."""
        return self.mask.mean((1, 2, 3))

    def to(self, device: torch.device | str) -> Observation:
        return Observation(self.values.to(device), self.mask.to(device))

    def repeat(self, n: int) -> Observation:
        """`n` copies of the batch, one after the other: `[n * B, ...]`."""
        return Observation(self.values.repeat(n, 1, 1, 1), self.mask.repeat(n, 1, 1, 1))

    def stacked(self) -> Float[Tensor, "B C+1 H W"]:
        """Values and mask as one image: what networks read (Harvey et al. 2021, Sec. 3)."""
        return torch.cat([self.values, self.mask], dim=1)

    def with_seen(
        self, scene: Float[Tensor, "B C H W"], mask: Float[Tensor, "B 1 H W"]
    ) -> Observation:
        """The observation after `scene` has also been measured where `mask` is 1."""
        return Observation(
            torch.where(mask > 0, scene, self.values), torch.maximum(self.mask, mask)
        )

    def composite(self, scenes: Float[Tensor, "*n B C H W"]) -> Float[Tensor, "*n B C H W"]:
        """`scenes` with every measured pixel replaced by its measured value."""
        return torch.where(self.mask > 0, self.values, scenes)


def check_scenes(scenes: Tensor, name: str = "scenes") -> None:
    """Refuse a batch that is not `[B, C, H, W]`, finite, square and within [0, 1].

    Raises:
        ValueError: naming the argument, what was given and what is expected.
    """
    if scenes.ndim != 4 or scenes.shape[-1] != scenes.shape[-2]:
        raise ValueError(f"{name} must be [B, C, H, W] with H = W, got {tuple(scenes.shape)}")
    if not torch.isfinite(scenes).all():
        bad = int((~torch.isfinite(scenes)).sum())
        raise ValueError(f"{name} has {bad} NaN or infinite pixels; expected values in [0, 1]")
    if scenes.min() < 0 or scenes.max() > 1:
        low, high = float(scenes.min()), float(scenes.max())
        raise ValueError(f"{name} spans [{low:.3g}, {high:.3g}]; expected values in [0, 1]")
