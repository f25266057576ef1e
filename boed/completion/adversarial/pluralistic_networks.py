"""The networks of Pluralistic Image Completion (Zheng et al. 2019)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from boed.completion.adversarial.attention import (
    ShortLongAttention,
    ShortTermAttention,
    activation,
    block,
    conv,
    doubling,
    first_halving,
    halving,
    reflecting,
)
from boed.foundation.checks import at_least, attributes, more_than


@dataclass(frozen=True, kw_only=True)
class PluralisticConfig:
    """Architecture of Pluralistic Image Completion.

    Attributes:
        size: width of the images in pixels.
        channels: image channels.
        width: channels after the first halving; they double with each until `most`.
        critic: the same of the discriminators.
        levels: halvings, of a grid of `size / stem` positions.
        latent: channels of the latent variable, which is a map at the lowest resolution.
        inference: residual blocks between the encoder and the conditional prior.
        scales: resolutions at which an image is made and compared, the full one included.
        attention: doublings before the attention; the discriminators attend at that resolution.
        stem: space-to-depth factor before the networks; 1 as published.
        reconstruction, divergence: weights of the L1 and of the KL terms.
        mean, std: statistics of the training set that standardise the input.

    Raises:
        ValueError: a number that is not positive, or resolutions that do not work out.
    """

    size: int
    channels: int
    width: int = 32
    most: int = 128
    critic: int = 32
    levels: int = 5
    latent: int = 128
    inference: int = 6
    scales: int = 4
    attention: int = 2
    stem: int = 1
    reconstruction: float = 20.0
    divergence: float = 20.0
    mean: float = 0.5
    std: float = 0.25

    def __post_init__(self) -> None:
        at_least(1, **attributes(self, "channels", "levels", "latent", "scales", "stem"))
        if self.size % (self.stem * 2**self.levels) or self.lowest < 3:
            raise ValueError(
                f"size {self.size} with stem {self.stem} cannot be halved {self.levels} times "
                "and leave 3 pixels or more; give a lower stem or fewer levels"
            )
        if not 0 <= self.attention < self.levels or self.scales > self.levels:
            raise ValueError(
                f"attention is {self.attention} and scales {self.scales}, expected less than and "
                f"at most levels = {self.levels}"
            )
        for name in ("width", "critic"):
            if not 4 <= getattr(self, name) <= self.most:
                raise ValueError(
                    f"{name} is {getattr(self, name)}, expected 4 to most = {self.most}"
                )
        more_than(0, std=self.std)

    @property
    def lowest(self) -> int:
        """Resolution of the latent map."""
        return self.size // (self.stem * 2**self.levels)

    def width_after(self, halvings: int) -> int:
        """Channels after some halvings, at least one."""
        return min(self.width * 2 ** (halvings - 1), self.most)

    def critic_after(self, halvings: int) -> int:
        """The discriminators' channels after some halvings, at least one."""
        return min(self.critic * 2 ** (halvings - 1), self.most)


class Encoder(nn.Module):
    """What was seen, or what was hidden, to features at every resolution, and latent maps."""

    def __init__(self, config: PluralisticConfig, planes: int) -> None:
        super().__init__()
        widths = [config.width_after(level) for level in range(1, config.levels + 1)]
        self.halvings = nn.ModuleList(
            [first_halving(planes, widths[0]), *(halving(a, b) for a, b in pairwise(widths))]
        )
        low, latent = widths[-1], config.latent
        self.posterior = block(low, 2 * latent, low)
        inference = (block(low, low, low) for _ in range(config.inference))
        self.prior = nn.Sequential(*inference, block(low, 2 * latent, low))

    def forward(self, image: Float[Tensor, "B C H W"]) -> list[Tensor]:
        features = []
        for each in self.halvings:
            image = each(image)
            features.append(image)
        return features


def scaled_like(image: Float[Tensor, "B C H W"], other: Tensor) -> Float[Tensor, "B C h w"]:
    """`image` averaged down to the resolution of `other`."""
    height, width = other.shape[2:]
    return F.adaptive_avg_pool2d(image, (height, width))


class Clamp(torch.autograd.Function):
    """Values within [-1, 1]; outside, gradients that would lead further out are dropped."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.clamp(-1, 1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        outwards = ((x < -1) & (gradient > 0)) | ((x > 1) & (gradient < 0))
        return gradient.masked_fill(outwards, 0)


class Generator(nn.Module):
    """A latent map and features of what was seen to images, the smallest first."""

    def __init__(self, config: PluralisticConfig, planes: int) -> None:
        super().__init__()
        low, levels = config.width_after(config.levels), config.levels
        self.attended = config.attention
        self.unheaded = levels - config.scales
        self.latent = block(config.latent, low, low)
        self.attention = ShortLongAttention(
            low if config.attention == 0 else config.width_after(levels - config.attention + 1),
            config.width_after(levels - config.attention),
        )
        self.doublings, self.heads = nn.ModuleList(), nn.ModuleList()
        width = low
        for level in range(levels):
            below = planes if level > self.unheaded else 0
            self.doublings.append(doubling(width + below, config.width_after(levels - level)))
            width = config.width_after(levels - level)
            if level >= self.unheaded:
                self.heads.append(nn.Sequential(activation(), reflecting(width, planes)))

    def forward(
        self,
        z: Float[Tensor, "B Z h w"],
        features: list[Tensor],
        mask: Float[Tensor, "B 1 H W"],
    ) -> list[Tensor]:
        encoded = features[-1 - self.attended]
        seen = scaled_like(mask, encoded)
        x = self.latent(z) + features[-1]
        if self.attended == 0:
            x = self.attention(x, encoded, seen)
        images: list[Tensor] = []
        for level, each in enumerate(self.doublings):
            x = each(x if level <= self.unheaded else torch.cat([x, images[-1]], dim=1))
            if level + 1 == self.attended:
                x = self.attention(x, encoded, seen)
            if level >= self.unheaded:
                image = self.heads[level - self.unheaded](x)
                images.append(Clamp.apply(image.float()))
        return images


class Discriminator(nn.Module):
    """An image to a map of scores, with attention after some halvings."""

    def __init__(self, config: PluralisticConfig, planes: int) -> None:
        super().__init__()
        widths = [config.critic_after(level) for level in range(1, config.levels + 1)]
        layers: list[nn.Module] = [first_halving(planes, widths[0])]
        layers += [halving(a, b) for a, b in pairwise(widths)]
        attended = config.levels - config.attention
        layers.insert(attended, ShortTermAttention(widths[attended - 1]))
        low = widths[-1]
        self.layers = nn.Sequential(
            *layers, block(low, low, low), activation(), conv(low, 1, padding=0)
        )

    def forward(self, image: Float[Tensor, "B C H W"]) -> Float[Tensor, "B 1 h w"]:
        scores: Tensor = self.layers(image)
        return scores.float()
