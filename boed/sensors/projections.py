"""Parallel-beam tomography: a sensor that takes one projection at an angle."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from boed.foundation.arguments import checked
from boed.foundation.checks import at_least
from boed.foundation.memory import check_memory
from boed.sensors.indirect import IndirectSensor
from boed.sensors.scanner import Shape, height_and_width


@checked
class Projections(IndirectSensor):
    """The scene's projection along parallel strips at an angle, for a look.

        y[angle, k] = sum over pixels of (area of the pixel inside strip k) x[pixel] / max(H, W)

    Strips are a pixel wide; the areas are exact, so the adjoint is, too (Kak & Slaney 1988,
    Ch. 7.1). Strip k lies at distance x cos(angle) + y sin(angle) from the centre, x to the right
    and y down: 0 degrees sums columns, 90 degrees rows. A classifier is shown the filtered
    back-projection of the angles taken, cut to [0, 1], which takes them as evenly spread. The mask
    beside it is the centred Fourier plane: a projection is its slice through the centre (Fourier
    slice theorem), and each frequency is lit with the angle next to it.

    Args:
        shape: height and width of the scene in pixels.
        angles: in degrees, `[D]`; or how many, evenly over half a turn. A design is one `[angle]`;
            one between is rounded to the nearest.
        noise: standard deviation of a reading; a scene of ones reads about 1 along its longer side.

    Attributes:
        bounds: lowest and highest design, `[2, 1]`, for searches that need no grid.

    Raises:
        ValueError: no angle, or the same angle twice; half a turn counts as none.
    """

    def __init__(
        self,
        shape: Shape,
        angles: int | Float[Tensor, " D"] = 60,
        noise: float = 0.0,
    ) -> None:
        height, width = height_and_width(shape)
        if isinstance(angles, int):
            at_least(1, angles=angles)
            check_memory(
                f"angles {angles}: their strips across {height} x {width} pixels",
                4 * angles * (angles + 2 * height * width),
            )
            angles = torch.arange(angles) * (180 / angles)
        apart = _apart(angles[:, None], angles).fill_diagonal_(90) if angles.ndim == 1 else None
        if apart is None or len(angles) == 0 or not bool((apart > 1e-3).all()):
            raise ValueError(f"angles are {angles}, expected [D] different ones in degrees")
        self.angles = angles.float()
        self.scale = 1 / max(height, width)
        strips = math.ceil(math.hypot(height, width))
        self.strips = strips + (strips - width) % 2  # so that 0 degrees has a strip for a column
        self.matrix = _strip_areas(height, width, self.angles, self.strips) * self.scale
        self.nearest_angle = _nearest_angle(height, width, self.angles)
        self.bounds = torch.tensor([[0.0], [180.0]])
        super().__init__(shape, self.angles[:, None], noise)

    def forward(self, scene: Float[Tensor, "B C H W"]) -> Float[Tensor, "B R"]:
        """All projections, `[C, angle, strip]`."""
        columns = (
            scene.flatten(0, 1).flatten(1).T.contiguous()
        )  # strided, it takes many times as long
        sums = self._matrix(scene) @ columns
        return sums.T.reshape(len(scene), -1)

    def adjoint(self, readings: Float[Tensor, "B R"]) -> Float[Tensor, "B C H W"]:
        """The back-projection: every pixel collects its share of the strips through it."""
        each = readings.reshape(-1, len(self.angles) * self.strips)
        images = self._matrix(readings).T @ each.T.contiguous()
        return images.T.reshape(len(readings), -1, *self.shape)

    def reconstruct(
        self, readings: Float[Tensor, "B R"], taken: Float[Tensor, "B R"]
    ) -> Float[Tensor, "B C H W"]:
        """Filtered back-projection, pi / angles * A^T (h * y) (Kak & Slaney 1988, Ch. 3)."""
        strips = (readings * taken).unflatten(1, (-1, self.strips))
        back = self.adjoint(_ramp_filtered(strips).flatten(1))
        number = self._angles_taken(taken).sum(1).clamp(min=1)
        return (math.pi / self.scale**2 * back / number[:, None, None, None]).clamp(0, 1)

    def taken(self, design: Float[Tensor, "B 1"]) -> Float[Tensor, "B R"]:
        """1 on all strips of the angle nearest to each look."""
        which = _apart(design.float(), self.angles.to(design.device)).argmin(1)
        chosen = torch.nn.functional.one_hot(which, len(self.angles)).float()
        return chosen.repeat_interleave(self.strips, dim=1)

    def shown(self, taken: Float[Tensor, "B R"]) -> Float[Tensor, "B 1 H W"]:
        """The centred Fourier plane, lit where the nearest angle was taken."""
        return self._angles_taken(taken)[:, self.nearest_angle.to(taken.device)][:, None]

    def cost(self, design: Float[Tensor, "B 1"]) -> Float[Tensor, " B"]:
        """The fraction of all angles: 1 for a full scan."""
        return torch.full((len(design),), 1 / len(self.angles), device=design.device)

    def _angles_taken(self, taken: Tensor) -> Float[Tensor, "B D"]:
        return taken[:, : len(self.angles) * self.strips : self.strips]

    def _matrix(self, like: Tensor) -> Tensor:
        if self.matrix.device != like.device or self.matrix.dtype != like.dtype:
            self.matrix = self.matrix.to(like)
        return self.matrix


def _apart(first: Tensor, second: Tensor) -> Tensor:
    """Degrees between two directions, 0 to 90: half a turn is the same direction."""
    apart = (first - second).remainder(180)
    return torch.minimum(apart, 180 - apart)


def _strip_areas(height: int, width: int, angles: Tensor, strips: int) -> Tensor:
    """The sparse matrix of each pixel's area in each strip, `[D * strips, H * W]`.

    A pixel's shadow is a trapezoid, the convolution of boxes |cos| and |sin| wide; a strip's share
    of it is the difference of the shadow's distribution function at the strip's edges.
    """
    y, x = np.meshgrid(
        np.arange(height) - (height - 1) / 2, np.arange(width) - (width - 1) / 2, indexing="ij"
    )
    rows, columns, values = [], [], []
    for index, angle in enumerate(np.deg2rad(angles.double().numpy())):
        middle = (x * np.cos(angle) + y * np.sin(angle)).ravel()
        first = np.floor(middle + (strips - 1) / 2).astype(int)
        for strip in (first - 1, first, first + 1, first + 2):
            from_middle = strip - (strips - 1) / 2 - middle
            area = _shadow(from_middle + 0.5, angle) - _shadow(from_middle - 0.5, angle)
            lit = np.flatnonzero((area > 1e-9) & (strip >= 0) & (strip < strips))
            rows.append(index * strips + strip[lit])
            columns.append(lit)
            values.append(area[lit])
    where = np.stack([np.concatenate(rows), np.concatenate(columns)])
    areas = torch.as_tensor(np.concatenate(values))
    size = (len(angles) * strips, height * width)
    return torch.sparse_coo_tensor(
        torch.as_tensor(where), areas, size, check_invariants=True
    ).coalesce()


def _shadow(distance: np.ndarray, angle: float) -> np.ndarray:
    """The part of a unit pixel's area that lies before `distance` from its centre."""
    longer, shorter = sorted((abs(np.cos(angle)), abs(np.sin(angle))), reverse=True)
    if shorter < 1e-6:
        return np.clip(distance / longer + 0.5, 0, 1)
    outer, inner = (longer + shorter) / 2, (longer - shorter) / 2
    ramps = [np.maximum(distance + edge, 0) ** 2 for edge in (outer, inner, -inner, -outer)]
    return (ramps[0] - ramps[1] - ramps[2] + ramps[3]) / (2 * longer * shorter)


def _nearest_angle(height: int, width: int, angles: Tensor) -> Int64[Tensor, "H W"]:
    """Index of the angle next to each frequency of the centred Fourier plane."""
    down = (torch.arange(height) - height // 2) / height
    right = (torch.arange(width) - width // 2) / width
    direction = torch.rad2deg(torch.atan2(down[:, None], right))
    return _apart(direction[..., None], angles).argmin(-1)


def _ramp_filtered(strips: Float[Tensor, "... S"]) -> Float[Tensor, "... S"]:
    """Convolved with the ramp filter h of unit spacing (Kak & Slaney 1988, Ch. 3, Eq. 61)."""
    number = strips.shape[-1]
    lag = torch.arange(-number, number, device=strips.device)
    ramp = torch.where(lag % 2 == 0, 0.0, -1 / (math.pi * lag) ** 2).to(strips)
    ramp[number] = 1 / 4
    product = torch.fft.rfft(strips, 2 * number) * torch.fft.rfft(ramp.roll(-number))
    return torch.fft.irfft(product, 2 * number)[..., :number]
