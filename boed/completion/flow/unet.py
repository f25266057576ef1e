"""A small U-Net conditioned on a noise level, for flow matching and diffusion."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from boed.foundation.checks import at_least, attributes, more_than


@dataclass(frozen=True, kw_only=True)
class UNetConfig:
    """Architecture of the U-Net (Ho et al. 2020, in small).

    Attributes:
        size: width of the images in pixels.
        channels: image channels.
        stem: space-to-depth factor before the first and after the last convolution.
        widths: channels at each resolution, which is halved from one to the next.
        blocks: residual blocks at each resolution.
        mean, std: statistics of the training set that standardise the images.

    Raises:
        ValueError: a number that is not positive, or a size that cannot be halved so often.
    """

    size: int
    channels: int
    stem: int = 2
    widths: tuple[int, ...] = (48, 96)
    blocks: int = 1
    mean: float = 0.5
    std: float = 0.25

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))  # JSON has lists only
        at_least(1, **attributes(self, "size", "channels", "stem", "blocks"))
        more_than(0, std=self.std)
        if not self.widths or any(width < 8 or width % 8 for width in self.widths):
            raise ValueError(f"widths is {self.widths}, expected multiples of 8")
        step = self.stem * 2 ** (len(self.widths) - 1)
        if self.size % step:
            raise ValueError(f"size is {self.size}, expected a multiple of {step}")


class Residual(nn.Module):
    """Two normalised convolutions, the second scaled and shifted by the level's embedding."""

    def __init__(self, inner: int, outer: int, embedding: int) -> None:
        super().__init__()
        self.before = nn.GroupNorm(8, inner)
        self.first = nn.Conv2d(inner, outer, 3, padding=1)
        self.modulate = nn.Linear(embedding, 2 * outer)
        self.after = nn.GroupNorm(8, outer, affine=False)
        self.second = nn.Conv2d(outer, outer, 3, padding=1)
        self.skip = nn.Conv2d(inner, outer, 1) if inner != outer else nn.Identity()
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)  # type: ignore[arg-type]

    def forward(self, state: Tensor, embedding: Tensor) -> Tensor:
        scale, shift = self.modulate(embedding)[..., None, None].chunk(2, dim=1)
        inner = self.first(F.silu(self.before(state)))
        inner = self.after(inner) * (1 + scale) + shift
        out: Tensor = self.skip(state) + self.second(F.silu(inner))
        return out


class Attention(nn.Module):
    """Self-attention between all positions, added to the state."""

    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(8, width)
        self.inward = nn.Conv2d(width, 3 * width, 1)
        self.outward = nn.Conv2d(width, width, 1)
        nn.init.zeros_(self.outward.weight)
        nn.init.zeros_(self.outward.bias)  # type: ignore[arg-type]

    def forward(self, state: Tensor) -> Tensor:
        batch, width, height, across = state.shape
        split = self.inward(self.norm(state)).view(batch, 3, self.heads, -1, height * across)
        query, key, value = split.transpose(-1, -2).unbind(1)
        mixed = F.scaled_dot_product_attention(query, key, value)
        mixed = mixed.transpose(-1, -2).reshape(batch, width, height, across)
        out: Tensor = state + self.outward(mixed)
        return out


class UNet(nn.Module):
    """Image and noise level to an image.

    Attention stands at the lowest resolution.

    Args:
        config: architecture.
        extra: channels read beside the image, such as what was observed and where.
    """

    def __init__(self, config: UNetConfig, extra: int = 0) -> None:
        super().__init__()
        self.config = config
        area, widths = config.stem**2, config.widths
        self.frequencies = widths[0]
        embedding = 4 * widths[0]
        self.embed = nn.Sequential(
            nn.Linear(self.frequencies, embedding), nn.SiLU(), nn.Linear(embedding, embedding)
        )
        self.first = nn.Conv2d((config.channels + extra) * area, widths[0], 3, padding=1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        self.pool, self.rise = nn.ModuleList(), nn.ModuleList()
        skips = [widths[0]]
        inner = widths[0]
        for level, width in enumerate(widths):
            for _ in range(config.blocks):
                self.down.append(Residual(inner, width, embedding))
                inner = width
                skips.append(width)
            if level < len(widths) - 1:
                self.pool.append(nn.Conv2d(width, width, 3, stride=2, padding=1))
                skips.append(width)
        self.attend_down = Attention(inner)
        self.middle = Residual(inner, inner, embedding)
        self.attend_up = Attention(inner)
        for level, width in reversed(list(enumerate(widths))):
            for _ in range(config.blocks + 1):
                self.up.append(Residual(inner + skips.pop(), width, embedding))
                inner = width
            if level > 0:
                self.rise.append(nn.Conv2d(width, width, 3, padding=1))
        self.norm = nn.GroupNorm(8, inner)
        self.last = nn.Conv2d(inner, config.channels * area, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    def forward(
        self, image: Float[Tensor, "B I H W"], level: Float[Tensor, " B"]
    ) -> Float[Tensor, "B C H W"]:
        """Args:
        image: the image, and the extra channels behind it.
        level: of noise, in [0, 1].
        """
        config = self.config
        embedding = F.silu(self.embed(self._waves(level)))
        state = self.first(F.pixel_unshuffle(image, config.stem))
        skips = [state]
        deepest = len(config.widths) - 1
        for depth in range(deepest + 1):
            for block in range(config.blocks):
                state = self.down[depth * config.blocks + block](state, embedding)
                skips.append(state)
            if depth < deepest:
                state = self.pool[depth](state)
                skips.append(state)
        state = self.attend_up(self.middle(self.attend_down(state), embedding))
        for rise in range(deepest + 1):
            for block in range(config.blocks + 1):
                at = rise * (config.blocks + 1) + block
                state = self.up[at](torch.cat([state, skips.pop()], dim=1), embedding)
            if rise < deepest:
                state = self.rise[rise](F.interpolate(state, scale_factor=2, mode="nearest"))
        out = self.last(F.silu(self.norm(state)))
        return F.pixel_shuffle(out, config.stem).float()

    def _waves(self, level: Tensor) -> Tensor:
        """Sines and cosines of the level, from slow to fast."""
        half = self.frequencies // 2
        speeds = torch.exp(math.log(1000.0) * torch.arange(half, device=level.device) / half)
        phases = level[:, None].float() * speeds
        return torch.cat([phases.sin(), phases.cos()], dim=1)


def small(size: int, channels: int) -> UNetConfig:
    """The U-Net for an image size that trains on two CPU cores.

    Raises:
        ValueError: the size is neither 28 nor a multiple of 16.
    """
    if size != 28 and size % 16:
        raise ValueError(f"size {size} has no preset; expected 28 or a multiple of 16")
    return UNetConfig(size=size, channels=channels, stem=2 if size <= 32 else size // 16)
