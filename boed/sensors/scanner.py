"""What all sensors of this package share: a scene's size, candidate looks and noise."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from boed.data.observation import Observation

Shape = int | tuple[int, int]
"""Height and width of a scene in pixels; one number for both."""


def height_and_width(shape: Shape) -> tuple[int, int]:
    """The two numbers that `shape` stands for.

    Raises:
        ValueError: they are not two whole numbers above zero.
    """
    pair = (shape, shape) if isinstance(shape, int) else tuple(shape)
    if len(pair) != 2 or not all(isinstance(side, int) and side > 0 for side in pair):
        raise ValueError(f"shape is {shape}, expected (height, width) in pixels, both above 0")
    return pair[0], pair[1]


class Scanner:
    """Candidate looks at scenes of one size.

    Args:
        shape: height and width of the scene in pixels.
        designs: the candidates, `[D, K]`.
        noise: standard deviation of a reading, in pixel values of [0, 1].
        limits: lowest and highest number that each of a design's K entries may round to, `[2, K]`.

    Raises:
        ValueError: noise that is negative or infinite, designs that are not `[D, K]`, or designs
            outside the limits.
    """

    def __init__(
        self,
        shape: Shape,
        designs: Float[Tensor, "D K"],
        noise: float = 0.0,
        *,
        limits: Float[Tensor, "2 K"] | None = None,
    ) -> None:
        if not 0 <= noise < float("inf"):
            raise ValueError(f"noise is {noise}, expected a standard deviation of 0 or more")
        if designs.ndim != 2:
            raise ValueError(f"designs must be [D, K], got {tuple(designs.shape)}")
        if limits is not None and designs.shape[1] != limits.shape[1]:
            width = limits.shape[1]
            raise ValueError(f"designs must be [D, {width}], got {tuple(designs.shape)}")
        self.shape = height_and_width(shape)
        self.noise = noise
        self._designs = designs
        self._limits = limits
        if limits is not None and len(designs) > 0:
            self._check_design(designs, len(designs))

    def designs(self, observation: Observation) -> Float[Tensor, "D K"]:
        """The candidates, whatever has been seen.

        Raises:
            ValueError: an observation of another size.
        """
        self._check(observation.values, "observation")
        return self._designs.to(observation.device)

    def _check_design(self, design: Tensor, batch: int) -> None:
        """Refuse designs that do not belong to the candidates' kind and range."""
        width = self._designs.shape[1]
        if tuple(design.shape) != (batch, width):
            raise ValueError(
                f"design must be ({batch}, {width}), one for each scene, got {tuple(design.shape)}"
            )
        if not design.isfinite().all():
            raise ValueError("design is NaN or infinite")
        if self._limits is not None:
            whole = nearest(design)
            low, high = self._limits.to(design.device)
            bad = ~((whole >= low) & (whole <= high))
            if bad.any():
                entry = int(bad.any(0).nonzero()[0])
                raise ValueError(
                    f"design {design[bad.any(1)][0].tolist()}: entry {entry} must lie between "
                    f"{low[entry]:g} and {high[entry]:g}"
                )

    def _check(self, scene: Tensor, name: str) -> None:
        if tuple(scene.shape[-2:]) != self.shape:
            raise ValueError(
                f"{name} has {tuple(scene.shape[-2:])} pixels; "
                f"this sensor is for {self.shape[0]} x {self.shape[1]}"
            )


def nearest(design: Tensor) -> Tensor:
    """The nearest whole numbers, so that a continuous search may offer fractions."""
    return design.round() if design.is_floating_point() else design


def grid(height: int, width: int, step: int = 1) -> Float[Tensor, "D 2"]:
    """(row, column) of every `step`-th pixel along both axes."""
    return torch.cartesian_prod(torch.arange(0, height, step), torch.arange(0, width, step))
