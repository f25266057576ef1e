"""A sensor that sees whole rows or columns of pixels: a line scanner, or an ultrasound probe."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from boed.foundation.arguments import checked
from boed.foundation.registry import check_known
from boed.sensors.direct import DirectSensor
from boed.sensors.scanner import Shape, height_and_width, nearest

Axis = Literal["row", "column", "both"]


@checked
class Lines(DirectSensor):
    """Whole rows, columns or either; a band that reaches over the border is cut there.

    A design is the `[index]` of the band's first line, or `[axis, index]` where both are offered:
    axis 0 is a row and 1 a column. A look costs the fraction of the scene's pixels that it shows.

    Args:
        shape: height and width of the scene in pixels.
        axis: which lines there are.
        width: of a band of lines, in pixels.
        designs: the candidates, `[D, 1]` or `[D, 2]`; bands side by side unless given.
        noise: standard deviation of a reading, in pixel values of [0, 1].
        travel, start: cost of moving over one pixel, and where the sensor stands at first; see
            `DirectSensor`.

    Attributes:
        bounds: lowest and highest design, `[2, 1]`, for searches that need no grid; None where
            there are both rows and columns, which no search can go between.

    Raises:
        ValueError: another axis, a width that the scene has not, or designs that are no lines.
    """

    def __init__(
        self,
        shape: Shape,
        axis: Axis = "row",
        width: int = 1,
        *,
        designs: Float[Tensor, "D K"] | None = None,
        noise: float = 0.0,
        travel: float = 0.0,
        start: Float[Tensor, " K"] | None = None,
    ) -> None:
        sides = height_and_width(shape)
        check_known("axis", axis, get_args(Axis))
        self.axis = axis
        longest = max(sides) if axis == "both" else sides[axis == "column"]
        if not 1 <= width <= longest:
            raise ValueError(f"width is {width}, expected 1 to {longest} pixels")
        self.width = width
        limits = torch.tensor([[0.0], [longest - 1]])
        self.bounds: Float[Tensor, "2 1"] | None = None if axis == "both" else limits
        if axis == "both":
            limits = torch.cat([torch.tensor([[0.0], [1.0]]), limits], dim=1)
        if designs is None:
            designs = self._side_by_side(sides)
        super().__init__(sides, designs, noise, limits=limits, travel=travel, start=start)

    def _side_by_side(self, sides: tuple[int, int]) -> Float[Tensor, "D K"]:
        bands = [torch.arange(0, side, self.width)[:, None] for side in sides]
        if self.axis != "both":
            return bands[self.axis == "column"]
        numbered = [torch.nn.functional.pad(band, (1, 0), value=k) for k, band in enumerate(bands)]
        return torch.cat(numbered)

    def place(self, design: Float[Tensor, "B K"]) -> Float[Tensor, "B A"]:
        """The first line; where there are rows and columns, its middle pixel."""
        first = nearest(design)[:, -1:].float()
        if self.axis != "both":
            return first
        height, width = ((side - 1) / 2 for side in self.shape)
        rows = torch.cat([first, torch.full_like(first, width)], dim=1)
        columns = torch.cat([torch.full_like(first, height), first], dim=1)
        return columns.where(nearest(design)[:, :1] == 1, rows)

    def footprint(self, design: Float[Tensor, "B K"]) -> Float[Tensor, "B 1 H W"]:
        """1 on the pixels of each band."""
        first = nearest(design)[:, -1:]
        if self.axis == "both":
            column = nearest(design)[:, :1] == 1
        else:
            column = torch.full_like(first, self.axis == "column", dtype=torch.bool)
        height, width = (torch.arange(side, device=design.device) for side in self.shape)
        rows = (height >= first) & (height < first + self.width) & ~column
        columns = (width >= first) & (width < first + self.width) & column
        return (rows[:, :, None] | columns[:, None, :]).float()[:, None]

    def _check_design(self, design: Tensor, batch: int) -> None:
        super()._check_design(design, batch)
        if self.axis == "both":
            sides = torch.tensor(self.shape, device=design.device)[nearest(design)[:, 0].long()]
            beyond = nearest(design)[:, 1] >= sides
            if beyond.any():
                raise ValueError(
                    f"design {design[beyond][0].tolist()}: a scene of {self.shape[0]} x "
                    f"{self.shape[1]} pixels has no such line"
                )
