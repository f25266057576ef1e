"""A sensor that sees one square patch of the scene at a time (Harvey et al. 2021, Sec. 5)."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from data.observation import Observation


class PatchSensor:
    """A small-field sensor: a square patch anywhere on an evenly spaced grid.

    A design is the (row, column) of the patch's top-left pixel.

    Args:
        size: width of the scene in pixels.
        patch: width of the patch over the width of the scene, 0.25 as in the paper.
        grid: positions along each axis, from border to border; fewer where the scene has fewer
            pixels, since equal looks are merged.

    Raises:
        ValueError: the patch is smaller than a pixel or larger than the scene, or grid < 1.
    """

    def __init__(self, size: int, patch: float = 0.25, grid: int = 17) -> None:
        self.size = size
        self.patch = round(patch * size)
        if not 1 <= self.patch <= size:
            raise ValueError(
                f"patch {patch:g} of a scene of {size} pixels is {self.patch} pixels wide; "
                f"expected 1 to {size}, so patch between {1 / size:.3g} and 1"
            )
        if grid < 1:
            raise ValueError(f"grid is {grid}, expected at least 1 position along each axis")
        last = size - self.patch
        spots = torch.linspace(0, last, grid) if grid > 1 else torch.tensor([last / 2])
        self.positions: Int64[Tensor, " P"] = spots.round().long().unique()
        self._designs = torch.cartesian_prod(self.positions, self.positions)

    def designs(self, observation: Observation) -> Int64[Tensor, "D 2"]:
        """Top-left pixels of all patches on the grid, row by row."""
        self._check(observation.values, "observation")
        return self._designs.to(observation.device)

    def measure(
        self, scene: Float[Tensor, "B C H W"], design: Int64[Tensor, "B 2"]
    ) -> Float[Tensor, "B C p p"]:
        """The pixels under each patch.

        Raises:
            ValueError: a scene of another size, or a patch that reaches over its border.
        """
        self._check(scene, "scene")
        self._check_design(design, len(scene))
        offset = torch.arange(self.patch, device=scene.device)
        rows, columns = (design.to(scene.device)[..., None] + offset).unbind(1)
        batch = torch.arange(len(scene), device=scene.device)[:, None, None]
        patches = scene.permute(0, 2, 3, 1)[batch, rows[:, :, None], columns[:, None, :]]
        return patches.permute(0, 3, 1, 2)

    def observe(
        self,
        observation: Observation,
        scene: Float[Tensor, "B C H W"],
        design: Int64[Tensor, "B 2"],
    ) -> Observation:
        """The observation with each patch of the scene added.

        Raises:
            ValueError: as `measure` does.
        """
        self._check(scene, "scene")
        self._check_design(design, len(scene))
        return observation.with_seen(scene, self.footprint(design))

    def footprint(self, design: Int64[Tensor, "B 2"]) -> Float[Tensor, "B 1 H W"]:
        """1 on the pixels under each patch."""
        pixel = torch.arange(self.size, device=design.device)
        inside = (pixel >= design[..., None]) & (pixel < design[..., None] + self.patch)
        return (inside[:, 0, :, None] & inside[:, 1, None, :]).float()[:, None]

    def cost(self, design: Int64[Tensor, "B 2"]) -> Float[Tensor, " B"]:
        """Exposed area: the fraction of the scene's pixels under the patch."""
        return torch.full((len(design),), (self.patch / self.size) ** 2, device=design.device)

    def _check_design(self, design: Tensor, batch: int) -> None:
        if tuple(design.shape) != (batch, 2):
            raise ValueError(
                f"design must be ({batch}, 2), a row and column for each scene, "
                f"got {tuple(design.shape)}"
            )
        first, last = int(design.min()), int(design.max()) + self.patch - 1
        if first < 0 or last >= self.size:
            raise ValueError(
                f"design spans pixels {first}..{last}; the scene has 0..{self.size - 1}"
            )

    def _check(self, scene: Tensor, name: str) -> None:
        if tuple(scene.shape[-2:]) != (self.size, self.size):
            raise ValueError(
                f"{name} has {tuple(scene.shape[-2:])} pixels; "
                f"this sensor is for {self.size} x {self.size}"
            )
