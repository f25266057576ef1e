"""A sensor that sees one block of pixels at a time, down to single pixels."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from boed.foundation.arguments import checked
from boed.sensors.direct import DirectSensor
from boed.sensors.scanner import Shape, grid, height_and_width, nearest


@checked
class PixelBlocks(DirectSensor):
    """Blocks of `block` x `block` pixels that lie side by side; the last ones end at the border.

    A design is the (row, column) of the block's top-left pixel; any other pixel stands for the
    block that it lies in. A look costs the fraction of the scene's pixels that it shows.

    Args:
        shape: height and width of the scene in pixels.
        block: width of a block in pixels; 1 sees single pixels.
        designs: the candidates, `[D, 2]`; all blocks unless given.
        noise: standard deviation of a reading, in pixel values of [0, 1].
        travel, start: cost of moving over one pixel, and where the sensor stands at first; see
            `DirectSensor`.

    Attributes:
        bounds: lowest and highest design, `[2, 2]`, for searches that need no grid.

    Raises:
        ValueError: a block smaller than a pixel or larger than the scene, or designs that are no
            pixels of the scene.
    """

    def __init__(
        self,
        shape: Shape,
        block: int = 1,
        designs: Float[Tensor, "D 2"] | None = None,
        *,
        noise: float = 0.0,
        travel: float = 0.0,
        start: Float[Tensor, " 2"] | None = None,
    ) -> None:
        height, width = height_and_width(shape)
        if not 1 <= block <= max(height, width):
            raise ValueError(f"block is {block}, expected 1 to {max(height, width)} pixels")
        self.block = block
        self.bounds = torch.tensor([[0.0, 0.0], [height - 1, width - 1]])
        if designs is None:
            designs = grid(height, width, block)
        super().__init__(shape, designs, noise, limits=self.bounds, travel=travel, start=start)

    def place(self, design: Float[Tensor, "B 2"]) -> Float[Tensor, "B 2"]:
        """Top-left pixel of each block."""
        return nearest(design).div(self.block, rounding_mode="floor").float() * self.block

    def footprint(self, design: Float[Tensor, "B 2"]) -> Float[Tensor, "B 1 H W"]:
        """1 on the pixels of each block."""
        corner = nearest(design).div(self.block, rounding_mode="floor")
        rows, columns = (
            torch.arange(side, device=design.device) // self.block for side in self.shape
        )
        inside = (rows == corner[:, :1])[:, :, None] & (columns == corner[:, 1:])[:, None, :]
        return inside.float()[:, None]
