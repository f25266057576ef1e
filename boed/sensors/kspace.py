"""Cartesian magnetic resonance imaging: a sensor that reads lines of k-space."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from boed.data.observation import Observation
from boed.foundation.arguments import checked
from boed.sensors.indirect import IndirectSensor
from boed.sensors.scanner import Shape, height_and_width, nearest


@checked
class KSpaceLines(IndirectSensor):
    """One phase-encoding line, a column of the scene's centred 2-D Fourier transform, for a look.

        y = M F x + noise

    with F the unitary transform of each channel and M the lines taken; real and imaginary parts
    are readings of their own, in the order `[C, 2, H, W]`. A design is the line's column, with the
    low frequencies at W // 2. A classifier is shown the magnitude of the zero-filled inverse
    transform; the mask beside it shows the lines taken, in k-space (Bakker et al. 2020,
    "Experimental design for MRI by greedy policy search"; Pineda et al. 2020). Scenes are real, so
    lines k and W - k, counted from the centre, carry the same information; as on a scanner, both
    are offered.

    Args:
        shape: height and width of the scene in pixels.
        centre: how many of the lowest frequencies come free with every look and are therefore no
            candidates.
        designs: the candidates, `[D, 1]`; all other lines unless given.
        noise: standard deviation of the real and of the imaginary part of a reading.

    Attributes:
        bounds: lowest and highest design, `[2, 1]`, for searches that need no grid.

    Raises:
        ValueError: more centre lines than leave one to choose, or designs that are no lines.
    """

    def __init__(
        self,
        shape: Shape,
        centre: int = 0,
        designs: Float[Tensor, "D 1"] | None = None,
        *,
        noise: float = 0.0,
    ) -> None:
        _, self.lines = height_and_width(shape)
        if not 0 <= centre < self.lines:
            raise ValueError(f"centre is {centre}, expected 0 to {self.lines - 1} lines")
        column = torch.arange(self.lines)
        first = self.lines // 2 - centre // 2
        self.centre = (column >= first) & (column < first + centre)
        self.bounds = torch.tensor([[0.0], [self.lines - 1]])
        if designs is None:
            designs = column[~self.centre][:, None]
        super().__init__(shape, designs, noise, limits=self.bounds)

    def forward(self, scene: Float[Tensor, "B C H W"]) -> Float[Tensor, "B R"]:
        """F x, real and imaginary parts, for all lines."""
        spectrum = torch.fft.fftshift(torch.fft.fft2(scene, norm="ortho"), dim=(-2, -1))
        return torch.view_as_real(spectrum).movedim(-1, 2).flatten(1)

    def adjoint(self, readings: Float[Tensor, "B R"]) -> Float[Tensor, "B C H W"]:
        """The real part of the inverse transform."""
        return self._image(readings).real

    def reconstruct(
        self, readings: Float[Tensor, "B R"], taken: Float[Tensor, "B R"]
    ) -> Float[Tensor, "B C H W"]:
        """The magnitude of the zero-filled inverse transform."""
        return self._image(readings * taken).abs()

    def taken(self, design: Float[Tensor, "B 1"]) -> Float[Tensor, "B R"]:
        """1 on each look's line and on the free centre, both parts."""
        column = torch.arange(self.lines, device=design.device)
        line = ((column == nearest(design)) | self.centre.to(design.device)).float()
        return line[:, None, None].expand(-1, 2, self.shape[0], -1).flatten(1)

    def shown(self, taken: Float[Tensor, "B R"]) -> Float[Tensor, "B 1 H W"]:
        """The lines taken, in centred k-space."""
        return taken.unflatten(1, (-1, *self.shape))[:, :1]

    def cost(self, design: Float[Tensor, "B 1"]) -> Float[Tensor, " B"]:
        """1 / W, so that the cost so far is 1 / acceleration where no centre lines are free."""
        return torch.full((len(design),), 1 / self.lines, device=design.device)

    def acceleration(self, observation: Observation) -> Float[Tensor, " B"]:
        """Lines there are over lines taken, R in the literature; infinite before the first look."""
        return self.lines / observation.mask[:, 0, 0].sum(1)

    def _image(self, readings: Float[Tensor, "B R"]) -> Tensor:
        parts = readings.unflatten(1, (-1, 2, *self.shape)).movedim(2, -1)
        spectrum = torch.fft.ifftshift(torch.view_as_complex(parts.contiguous()), dim=(-2, -1))
        return torch.fft.ifft2(spectrum, norm="ortho")
