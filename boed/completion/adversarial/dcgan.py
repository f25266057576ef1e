"""A deep convolutional GAN (Radford et al. 2016) as the prior of whole scenes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from boed.completion.adversarial.losses import frozen
from boed.foundation.checks import at_least, attributes, more_than

MADE, REAL = 0, 1
"""The discriminator's two classes."""


@dataclass(frozen=True, kw_only=True)
class DCGANConfig:
    """Architecture of a DCGAN.

    Attributes:
        size: width of the images in pixels.
        channels: image channels.
        latent: dimensions of z.
        width: channels of the generator at half of the image's size; they double with each
            halving.
        critic: the same of the discriminator.
        flips: whether training scenes are flipped from left to right, every second one.
        mean, std: statistics of the training set, for the record: images are scaled to [-1, 1].

    Raises:
        ValueError: a number that is not positive, or a size that is odd or less than 8.
    """

    size: int
    channels: int
    latent: int = 100
    width: int = 64
    critic: int = 64
    flips: bool = False
    mean: float = 0.5
    std: float = 0.25

    def __post_init__(self) -> None:
        at_least(1, **attributes(self, "channels", "latent", "width", "critic"))
        if self.size < 8 or self.size % 2:
            raise ValueError(f"size is {self.size}, expected an even number of at least 8 pixels")
        more_than(0, std=self.std)

    @property
    def smallest(self) -> int:
        """Width in pixels where z comes in: at most 4, or odd."""
        size = self.size // 2
        while size > 4 and size % 2 == 0:
            size //= 2
        return size

    @property
    def multiples(self) -> list[int]:
        """Of `width` and `critic` after each halving."""
        return [2**stage for stage in range((self.size // self.smallest).bit_length() - 1)]


class DCGAN(nn.Module):
    """z ~ U[-1, 1] to scenes, and a discriminator that is a softmax of two classes.

    4x4 transposed convolutions of stride 2 from a projection of z on, batch norm, ReLU, tanh at the
    end; the discriminator in reverse, with leaky ReLU. The generator's loss is the non-saturating
    one. Both networks take their steps at once.
    """

    def __init__(self, config: DCGANConfig) -> None:
        super().__init__()
        self.config = config
        self.generator = _generator(config)
        self.discriminator = _discriminator(config)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.normal_(module.weight, 0.0, 0.02)
            elif isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.weight, 1.0, 0.02)

    def losses(self, scene: Float[Tensor, "B C H W"]) -> tuple[Tensor, Tensor]:
        """The generator's and the discriminator's, each for its own parameters."""
        real = 2 * scene - 1
        if self.config.flips:
            flipped = torch.rand(len(real), 1, 1, 1, device=real.device) < 0.5
            real = torch.where(flipped, real.flip(-1), real)
        z = 2 * torch.rand(len(real), self.config.latent, device=real.device) - 1
        made = self.generator(z)
        fooled = _judged(frozen(self.discriminator, made), REAL)
        recognised = _judged(self.discriminator(real), REAL)
        return fooled, recognised + _judged(self.discriminator(made.detach()), MADE)


def _judged(logits: Float[Tensor, "B 2"], answer: int) -> Tensor:
    """Cross-entropy of images that are all of one class."""
    return F.cross_entropy(logits.float(), torch.full((len(logits),), answer, device=logits.device))


def _generator(config: DCGANConfig) -> nn.Sequential:
    """z, `[B, Z]`, to images in [-1, 1]."""
    widths = [config.width * multiple for multiple in reversed(config.multiples)]
    layers: list[nn.Module] = [
        nn.Unflatten(1, (config.latent, 1, 1)),
        nn.ConvTranspose2d(config.latent, widths[0], config.smallest, bias=False),
    ]
    for width, narrower in zip(widths, [*widths[1:], None], strict=True):
        layers += [nn.BatchNorm2d(width), nn.ReLU()]
        last = narrower is None
        channels = config.channels if narrower is None else narrower
        layers.append(nn.ConvTranspose2d(width, channels, 4, 2, 1, bias=last))
    return nn.Sequential(*layers, nn.Tanh())


def _discriminator(config: DCGANConfig) -> nn.Sequential:
    """Images in [-1, 1] to the logits of `MADE` and `REAL`."""
    layers: list[nn.Module] = []
    channels = config.channels
    for multiple in config.multiples:
        width, first = config.critic * multiple, not layers
        layers.append(nn.Conv2d(channels, width, 4, 2, 1, bias=first))
        layers += [] if first else [nn.BatchNorm2d(width)]
        layers.append(nn.LeakyReLU(0.2))
        channels = width
    return nn.Sequential(*layers, nn.Conv2d(channels, 2, config.smallest), nn.Flatten())
