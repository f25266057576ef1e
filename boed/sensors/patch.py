"""A sensor that sees one square patch of the scene at a time (Harvey et al. 2021, Sec. 5)."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from boed.foundation.arguments import checked
from boed.sensors.direct import DirectSensor
from boed.sensors.scanner import nearest


@checked
class PatchSensor(DirectSensor):
    """A small-field sensor: a square patch anywhere on an evenly spaced grid.

    A design is the (row, column) of the patch's top-left pixel; one that is not whole is rounded.

    >>> import torch
    >>> from boed.data import Observation
    >>> sensor = PatchSensor(32, patch=0.25, grid=9)
    >>> scene = torch.rand(1, 1, 32, 32)
    >>> nothing = Observation.nothing_of(scene)
    >>> sensor.designs(nothing).shape
    torch.Size([81, 2])
    >>> seen = sensor.observe(nothing, scene, torch.tensor([[12, 3]]))
    >>> int(seen.mask.sum()), seen.fraction_seen
    (64, tensor([0.0625]))

    Args:
        size: width of the scene in pixels.
        patch: width of the patch over the width of the scene, 0.25 as in the paper.
        grid: positions along each axis, from border to border; fewer where the scene has fewer
            pixels, since equal looks are merged. Or the candidates themselves, `[D, 2]`.
        border: looks keep so far from the scene's edge, over its width; the grid lies within.
        region: where looks are allowed, `[size, size]`, not 0 there: candidates that reach over it
            are left out.
        noise: standard deviation of a reading, in pixel values of [0, 1].
        travel, start: cost of moving over one pixel, and where the sensor stands at first; see
            `DirectSensor`.

    Attributes:
        bounds: lowest and highest design, `[2, 2]`, for searches that need no grid.

    Raises:
        ValueError: the patch is smaller than a pixel or larger than the scene, grid < 1,
            candidates that reach over the edge, or no candidate that border and region leave.
    """

    def __init__(
        self,
        size: int,
        patch: float = 0.25,
        grid: int | Float[Tensor, "D 2"] = 17,
        *,
        border: float = 0.0,
        region: Float[Tensor, "H W"] | None = None,
        noise: float = 0.0,
        travel: float = 0.0,
        start: Float[Tensor, " 2"] | None = None,
    ) -> None:
        self.size = size
        self.patch = round(patch * size)
        if not 1 <= self.patch <= size:
            raise ValueError(
                f"patch {patch:g} of a scene of {size} pixels is {self.patch} pixels wide; "
                f"expected 1 to {size}, so patch between {1 / size:.3g} and 1"
            )
        first, last = self._ends(border)
        self.bounds = torch.tensor([[first] * 2, [last] * 2]).float()
        if isinstance(grid, Tensor):
            if grid.ndim != 2 or grid.shape[1] != 2:
                raise ValueError(f"grid is {tuple(grid.shape)}, expected candidates [D, 2]")
            designs = grid[((grid >= first) & (grid <= last)).all(1)] if border else grid
        elif grid < 1:
            raise ValueError(f"grid is {grid}, expected at least 1 position along each axis")
        else:
            spots = torch.tensor([(first + last) / 2])
            if grid > 1:
                number = min(grid, last - first + 1)  # more are the same pixels
                spots = torch.linspace(first, last, number)
            positions: Int64[Tensor, " P"] = spots.round().long().unique()
            designs = torch.cartesian_prod(positions, positions)
        candidates = len(designs)
        if region is not None:
            designs = self._within(region, designs)
        if not len(designs):
            raise ValueError(
                f"border {border:g} and region leave no candidate of {candidates}; expected at "
                "least one"
            )
        super().__init__((size, size), designs, noise, travel=travel, start=start)
        self.positions = designs[:, 0].unique()
        if isinstance(grid, Tensor):
            self._check_design(designs, len(designs))

    def _ends(self, border: float) -> tuple[int, int]:
        """First and last position along each axis."""
        last = self.size - self.patch
        margin = round(border * self.size)
        if not 0 <= margin <= last / 2:
            raise ValueError(
                f"border {border:g} of a scene of {self.size} pixels is {margin} pixels on each "
                f"side, which leaves no room for a patch of {self.patch}; expected 0 to "
                f"{last / 2 / self.size:.3g}"
            )
        return margin, last - margin

    def _within(self, region: Tensor, designs: Tensor) -> Tensor:
        """The designs whose patches lie in the region."""
        if region.shape != (self.size, self.size):
            raise ValueError(
                f"region is {tuple(region.shape)}, expected {(self.size, self.size)} as the scene"
            )
        outside = (region == 0).float()
        over = (self.footprint(designs)[:, 0] * outside).sum((1, 2))
        return designs[over == 0]

    def footprint(self, design: Float[Tensor, "B 2"]) -> Float[Tensor, "B 1 H W"]:
        """1 on the pixels under each patch."""
        corner = nearest(design)
        pixel = torch.arange(self.size, device=design.device)
        inside = (pixel >= corner[..., None]) & (pixel < corner[..., None] + self.patch)
        return (inside[:, 0, :, None] & inside[:, 1, None, :]).float()[:, None]

    def _check_design(self, design: Tensor, batch: int) -> None:
        super()._check_design(design, batch)
        first, last = round(float(design.min())), round(float(design.max())) + self.patch - 1
        if first < 0 or last >= self.size:
            raise ValueError(
                f"design spans pixels {first}..{last}; the scene has 0..{self.size - 1}"
            )
