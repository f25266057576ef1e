"""A foveated sensor: a glimpse is sharp near its fixation and coarse away from it."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from boed.foundation.arguments import checked
from boed.sensors.indirect import IndirectSensor
from boed.sensors.scanner import Shape, grid, height_and_width, nearest


@checked
class Foveated(IndirectSensor):
    """A glimpse whose resolution halves with every doubling of the distance from its fixation.

    Readings are the averages of blocks of 1, 2, 4, ... pixels, a resolution pyramid of the scene.
    Within `fovea` pixels of the fixation a glimpse takes single pixels; in each ring twice as wide
    it takes blocks twice as wide, and the coarsest ones out to the border. A block on the border
    of two rings is taken at both. A design is the (row, column) fixated (after the glimpse sensor
    of Mnih et al. 2014, "Recurrent models of visual attention", Sec. 3.1).

    A classifier is shown the finest average known of every pixel. The mask beside it is its
    resolution: 1 for a single pixel, 1/2 for an average of 2 x 2, and so on.

    Args:
        shape: height and width of the scene in pixels.
        fovea: radius of what is seen sharply, in pixels.
        levels: number of resolutions.
        designs: the candidates, `[D, 2]`; every `fovea`-th pixel along both axes unless given.
        noise: standard deviation of a reading, in pixel values of [0, 1].

    Attributes:
        bounds: lowest and highest design, `[2, 2]`, for searches that need no grid.

    Raises:
        ValueError: a fovea of no pixel, a coarsest block larger than the scene, or designs that
            are no pixels of the scene.
    """

    def __init__(
        self,
        shape: Shape,
        fovea: float = 4.0,
        levels: int = 4,
        *,
        designs: Float[Tensor, "D 2"] | None = None,
        noise: float = 0.0,
    ) -> None:
        sides = height_and_width(shape)
        if not 0 < fovea < float("inf"):
            raise ValueError(f"fovea is {fovea}, expected a radius above 0 pixels")
        if levels < 2 or 2 ** (levels - 1) > max(sides):
            raise ValueError(
                f"levels is {levels}, expected 2 or more, with blocks of at most {max(sides)} "
                f"pixels; the coarsest has {2.0 ** (levels - 1):g}"
            )
        self.fovea, self.levels = fovea, levels
        # averaging along each axis, [blocks, pixels], for every level
        self._averages = [[_averages(side, 2**level) for side in sides] for level in range(levels)]
        self.sizes = [(len(rows), len(columns)) for rows, columns in self._averages]
        self.bounds = torch.tensor([[0.0, 0.0], [side - 1 for side in sides]])
        if designs is None:
            designs = grid(*sides, max(1, round(fovea)))
        super().__init__(sides, designs, noise, limits=self.bounds)

    def forward(self, scene: Float[Tensor, "B C H W"]) -> Float[Tensor, "B R"]:
        """The averages of all blocks of all levels, finest first, channel after channel."""
        levels = [(rows @ scene @ columns.T).flatten(2) for rows, columns in self._on(scene)]
        return torch.cat(levels, dim=2).flatten(1)

    def adjoint(self, readings: Float[Tensor, "B R"]) -> Float[Tensor, "B C H W"]:
        """Every reading evenly over its block."""
        pyramid = zip(self._on(readings), self._levels(readings), strict=True)
        return sum(rows.T @ level @ columns for (rows, columns), level in pyramid)  # type: ignore[return-value]

    def reconstruct(
        self, readings: Float[Tensor, "B R"], taken: Float[Tensor, "B R"]
    ) -> Float[Tensor, "B C H W"]:
        """The finest average known of every pixel, 0 where there is none."""
        values = torch.zeros_like(self.adjoint(readings))
        pyramid = list(zip(self._over_blocks(readings), self._over_blocks(taken), strict=True))
        for average, known in reversed(pyramid):
            values = torch.where(known > 0, average, values)
        return values

    def taken(self, design: Float[Tensor, "B 2"]) -> Float[Tensor, "B R"]:
        """1 on the blocks that hold a pixel of their level's ring."""
        row, column = (torch.arange(side, device=design.device) for side in self.shape)
        fixation = nearest(design).float()[:, :, None, None]
        distance = torch.hypot(row[:, None] - fixation[:, 0], column - fixation[:, 1])
        ring = (distance / self.fovea).log2().ceil().clamp(0, self.levels - 1)
        blocks = []
        for level, (rows, columns) in enumerate(self._on(distance)):
            held = rows @ (ring == level).float() @ columns.T
            blocks.append((held > 0).float().flatten(1))
        return torch.cat(blocks, dim=1)

    def shown(self, taken: Float[Tensor, "B R"]) -> Float[Tensor, "B 1 H W"]:
        """Resolution of what is known of every pixel: 1 over the width of the block."""
        levels = [known[:, :1] / 2**level for level, known in enumerate(self._over_blocks(taken))]
        return torch.stack(levels).amax(0)

    def cost(self, design: Float[Tensor, "B 2"]) -> Float[Tensor, " B"]:
        """Readings taken over the scene's pixels."""
        return self.taken(design).sum(1) / (self.shape[0] * self.shape[1])

    def _levels(self, readings: Float[Tensor, "B R"]) -> list[Tensor]:
        """The pyramid's levels as images, `[B, C, H / 2^level, W / 2^level]`."""
        counts = [rows * columns for rows, columns in self.sizes]
        levels = readings.unflatten(1, (-1, sum(counts))).split(counts, dim=2)
        return [level.unflatten(2, size) for level, size in zip(levels, self.sizes, strict=True)]

    def _over_blocks(self, readings: Float[Tensor, "B R"]) -> list[Float[Tensor, "B C H W"]]:
        """The pyramid's levels, each block painted on its pixels."""
        height, width = self.shape
        return [
            level.repeat_interleave(2**k, 2).repeat_interleave(2**k, 3)[..., :height, :width]
            for k, level in enumerate(self._levels(readings))
        ]

    def _on(self, like: Tensor) -> list[list[Tensor]]:
        return [[axis.to(like) for axis in level] for level in self._averages]


def _averages(pixels: int, block: int) -> Float[Tensor, "blocks pixels"]:
    """The matrix that averages blocks along one axis; the last block ends at the border."""
    members = torch.arange(pixels) // block == torch.arange(-(-pixels // block))[:, None]
    return members / members.sum(1, keepdim=True)
