"""A normalising flow over latent variables: affine couplings between their channels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

WIDEST = 2.0
"""Largest log of a factor, in nats either way."""


class Couplings(nn.Module):
    """Invertible layers; each scales and shifts half of the channels by the others and a context.

    Real NVP's couplings (Dinh et al. 2017) by 1x1 convolutions: what stands at one place depends on
    the other channels there, and on the context. They begin as the identity.

    Args:
        channels: of what is transformed.
        context: channels of what it depends on.
        layers: how many; the halves take turns.
        hidden: width of each layer's perceptron.
    """

    def __init__(self, channels: int, context: int, *, layers: int, hidden: int = 32) -> None:
        super().__init__()
        self.kept = channels // 2
        self.first, self.last = nn.ModuleList(), nn.ModuleList()
        for layer in range(layers):
            kept = self._kept(channels, layer)
            last = nn.Conv2d(hidden, 2 * (channels - kept), 1)
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)  # type: ignore[arg-type]
            self.first.append(nn.Conv2d(kept + context, hidden, 1))
            self.last.append(last)

    def _kept(self, channels: int, layer: int) -> int:
        """How many channels a layer leaves as they are: the first ones, or the others."""
        return self.kept if layer % 2 == 0 else channels - self.kept

    def forward(
        self, u: Float[Tensor, "B Z H W"], context: Float[Tensor, "B K H W"]
    ) -> Float[Tensor, "B Z H W"]:
        """From the base to the transformed variable."""
        for layer in range(len(self.first)):
            kept, moved = self._halves(u, layer)
            shift, log_factor = self._affine(kept, context, layer)
            u = self._joined(kept, moved * log_factor.exp() + shift, layer)
        return u

    def inverse(
        self, z: Float[Tensor, "B Z H W"], context: Float[Tensor, "B K H W"]
    ) -> tuple[Float[Tensor, "B Z H W"], Float[Tensor, " B"]]:
        """Back to the base, and log |det du / dz| in nats."""
        log_det = z.new_zeros(len(z))
        for layer in reversed(range(len(self.first))):
            kept, moved = self._halves(z, layer)
            shift, log_factor = self._affine(kept, context, layer)
            z = self._joined(kept, (moved - shift) * (-log_factor).exp(), layer)
            log_det = log_det - log_factor.flatten(1).sum(1)
        return z, log_det

    def _halves(self, z: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        first, second = z[:, : self.kept], z[:, self.kept :]
        return (first, second) if layer % 2 == 0 else (second, first)

    def _joined(self, kept: Tensor, moved: Tensor, layer: int) -> Tensor:
        return torch.cat([kept, moved] if layer % 2 == 0 else [moved, kept], dim=1)

    def _affine(self, kept: Tensor, context: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """Shift and log factor of what is moved."""
        hidden = F.gelu(self.first[layer](torch.cat([kept, context], dim=1)))
        shift, raw = self.last[layer](hidden).to(kept.dtype).chunk(2, dim=1)
        return shift, WIDEST * torch.tanh(raw / WIDEST)
