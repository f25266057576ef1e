"""What the numbers of a policy stand for: designs between bounds, in steps or in powers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn


class DesignScale(nn.Module):
    """The way from a policy's numbers to designs and back: -1 and 1 are the bounds.

    An entry counts in steps, or in powers above a size c: -1 to 1 are then even steps of
    log(x - lower + c).
    """

    bounds: Tensor
    powers: Tensor
    offset: Tensor
    centre: Tensor
    radius: Tensor

    def __init__(
        self,
        lower: Float[Tensor, " K"],
        upper: Float[Tensor, " K"],
        logarithmic: Sequence[float] | None = None,
    ) -> None:
        """
        Args:
            lower, upper: the designs that -1 and 1 stand for.
            logarithmic: c of each entry, 0 where it counts in steps; all do if not given.
        """
        super().__init__()
        size = torch.zeros_like(lower) if logarithmic is None else torch.tensor(logarithmic)
        self.register_buffer("bounds", torch.stack([lower, upper]), persistent=False)
        self.register_buffer("powers", size > 0, persistent=False)
        self.register_buffer("offset", size - lower, persistent=False)
        low, high = self._scaled(self.bounds)
        self.register_buffer("centre", (low + high) / 2, persistent=False)
        self.register_buffer("radius", (high - low) / 2, persistent=False)

    def numbers(self, designs: Float[Tensor, "*B K"]) -> Float[Tensor, "*B K"]:
        """The policy's numbers for designs."""
        return (self._scaled(designs) - self.centre) / self.radius

    def designs(self, numbers: Float[Tensor, "*B K"]) -> Float[Tensor, "*B K"]:
        """The designs that numbers stand for."""
        scaled = self.centre + self.radius * numbers
        inner = torch.where(self.powers, scaled, 0.0)  # no exponential of what is no logarithm
        return torch.where(self.powers, inner.exp() - self.offset, scaled)

    def inside(self, numbers: Float[Tensor, "*B K"]) -> Float[Tensor, "*B K"]:
        """The like of numbers from -1 to 1, never beyond the bounds, as rounding may lead."""
        lowest, highest = self.bounds
        return self.designs(numbers).maximum(lowest).minimum(highest)

    def unit_at(self, designs: Float[Tensor, "*B K"]) -> Float[Tensor, "*B K"]:
        """How far a design moves for each 1 by which its number does, there."""
        return self.radius * torch.where(self.powers, designs + self.offset, 1.0)

    def _scaled(self, designs: Tensor) -> Tensor:
        size = (designs + self.offset).clamp(min=1e-30)
        return torch.where(self.powers, size.log(), designs)
