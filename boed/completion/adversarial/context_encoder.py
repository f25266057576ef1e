"""Context Encoder: one completion by reconstruction and a discriminator (Pathak et al. 2016)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from boed.completion.adversarial.losses import evaluating, frozen, overlap_weights
from boed.completion.learned import LearnedCompleter
from boed.data.observation import Observation
from boed.foundation.checks import at_least, attributes, more_than
from boed.foundation.randomness import Seeds
from boed.training.config import TrainingConfig


@dataclass(frozen=True, kw_only=True)
class ContextEncoderConfig:
    """Architecture of a Context Encoder.

    Attributes:
        size: width of the images in pixels.
        channels: image channels.
        width: channels of the first layer; they double with each halving from 32 pixels down.
        bottleneck: units between encoder and decoder.
        critic: channels of the discriminator's first layer.
        mean, std: statistics of the training set that standardise the input.

    Raises:
        ValueError: a number that is not positive, or a size that is odd or less than 8.
    """

    size: int
    channels: int
    width: int = 64
    bottleneck: int = 4000
    critic: int = 64
    mean: float = 0.5
    std: float = 0.25

    def __post_init__(self) -> None:
        at_least(1, **attributes(self, "channels", "width", "bottleneck", "critic"))
        if self.size < 8 or self.size % 2:
            raise ValueError(f"size is {self.size}, expected an even number of at least 8 pixels")
        more_than(0, std=self.std)

    @property
    def stages(self) -> list[tuple[int, int]]:
        """Resolution and multiple of `width` after each halving, down to 4 pixels or an odd size.

        Channels do not double above 32 pixels, as in the baseline of Harvey et al. 2021.
        """
        resolution, multiple = self.size // 2, 1
        stages = [(resolution, multiple)]
        while resolution > 4 and resolution % 2 == 0:
            multiple *= 2 if resolution <= 32 else 1
            resolution //= 2
            stages.append((resolution, multiple))
        return stages

    @property
    def band(self) -> int:
        """Width in pixels of the overlap: 4 of 128, and at least 1."""
        return max(1, round(4 * self.size / 128))


SMALL: dict[int, ContextEncoderConfig] = {
    28: ContextEncoderConfig(size=28, channels=1, width=32, bottleneck=256, critic=32),
    32: ContextEncoderConfig(size=32, channels=1, width=40, bottleneck=256, critic=32),
    64: ContextEncoderConfig(size=64, channels=1, width=24, bottleneck=256, critic=16),
}
"""By image size."""


class ContextEncoder(LearnedCompleter):
    """One deterministic guess at the hidden pixels.

    4x4 convolutions of stride 2 lead to a bottleneck, and transposed ones back. The loss is 0.999
    times the squared error on the hidden pixels and on an overlap, a band of seen pixels beside
    them that counts 10 times, plus 0.001 times the adversarial loss (Pathak et al. 2016, Eq. 1-3).
    The guess is near the posterior mean, and all `n` samples are that one scene: an EIG computed
    from them knows no doubt about pixels. Seen pixels away from the band are not trained, so
    what `draw` has there means nothing.

    Where we differ from the paper and its code: the network also reads the mask (1024 weights
    more); hidden pixels enter as the mean grey; the discriminator judges the whole scene with the
    seen pixels put back in, not a central square; and both networks take their steps at once. But
    for the mask `PUBLISHED` has the 34,094,528 parameters of Harvey et al. (2021, App. B.2) at 32
    pixels, and their 71,321,536 at `size=256`. Their code takes the squared error over the whole
    image, the overlap being its upper and left border; we follow the paper. The presets have
    fewer channels and a bottleneck of 256.
    """

    name: ClassVar[str] = "ce"
    merit = "val_mse_hidden"
    Config = ContextEncoderConfig
    config: ContextEncoderConfig
    deterministic = True
    PUBLISHED: ClassVar[ContextEncoderConfig] = ContextEncoderConfig(size=32, channels=3)
    reconstruction = 0.999
    overlap = 10.0

    def __init__(self, config: ContextEncoderConfig) -> None:
        super().__init__(config)
        width, stages = config.width, config.stages
        last, multiple = stages[-1]
        self.encoder = _halvings(config.channels + 1, width, stages)
        self.bottleneck = nn.Sequential(
            nn.Conv2d(width * multiple, config.bottleneck, last, bias=False),
            nn.BatchNorm2d(config.bottleneck),
            nn.LeakyReLU(0.2),
            nn.ConvTranspose2d(config.bottleneck, width * multiple, last, bias=False),
            nn.BatchNorm2d(width * multiple),
            nn.ReLU(),
        )
        self.decoder = _doublings(config.channels, width, stages)
        self.discriminator = nn.Sequential(
            _halvings(config.channels, config.critic, stages),
            nn.Conv2d(config.critic * multiple, 1, last, bias=False),
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.normal_(module.weight, 0.0, 0.02)
            elif isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.weight, 1.0, 0.02)

    @classmethod
    def preset(cls, size: int, channels: int) -> tuple[ContextEncoderConfig, TrainingConfig]:
        """A narrow network with a bottleneck of 256 units.

        Raises:
            ValueError: the size is not 28, 32 or a multiple of 64.
        """
        if size not in SMALL and size % 64:
            raise ValueError(f"size {size} has no preset; expected 28, 32 or a multiple of 64")
        config = replace(SMALL.get(size, SMALL[64]), size=size, channels=channels)
        training = TrainingConfig(
            steps=6000, batch=32, lr=1e-3, weight_decay=0.0, betas=(0.5, 0.999), ema=0.99
        )
        return config, training

    def guess(self, observation: Observation) -> Float[Tensor, "B C H W"]:
        """The scene in [0, 1] as the decoder has it."""
        code = self.encoder(observation.network_input(self.config.mean, self.config.std))
        image: Tensor = self.decoder(self.bottleneck(code)).float()
        return 0.5 + 0.5 * image.tanh()

    def overlap_weights(self, mask: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B 1 H W"]:
        """1 on hidden pixels, `overlap` on seen ones at most `config.band` away, 0 elsewhere."""
        return overlap_weights(mask, band=self.config.band, weight=self.overlap)

    def losses(
        self, scene: Float[Tensor, "B C H W"], observation: Observation
    ) -> tuple[Tensor, Tensor]:
        """The generator's loss (Eq. 3) and the discriminator's, each for its own parameters."""
        guess = self.guess(observation)
        weights = self.overlap_weights(observation.mask).expand_as(scene)
        squared = (weights * (2 * (guess - scene)) ** 2).sum()  # Eq. 1, pixels in [-1, 1]
        error = squared / (weights > 0).sum().clamp(min=1)
        fake = observation.composite(guess)
        fooled = F.softplus(-self._logits(fake, constant=True)).mean()
        generator = self.reconstruction * error + (1 - self.reconstruction) * fooled
        real = F.softplus(-self._logits(scene)).mean()
        false = F.softplus(self._logits(fake.detach())).mean()
        return generator, real + false  # Eq. 2, non-saturating for the generator

    def loss(
        self,
        scene: Float[Tensor, "B C H W"],
        observation: Observation,
        progress: float = 1.0,
    ) -> Tensor:
        """Sum of both networks' losses, neither of which moves the other's parameters."""
        generator, discriminator = self.losses(scene, observation)
        return generator + discriminator

    @torch.no_grad()
    def figures(
        self, scene: Float[Tensor, "B C H W"], observation: Observation
    ) -> dict[str, float]:
        """Mean squared error on hidden pixels, and the generator's loss."""
        with evaluating(self):
            generator, _ = self.losses(scene, observation)
            hidden = (1 - observation.mask).expand_as(scene)
            squared = (hidden * (self.guess(observation) - scene) ** 2).sum()
        mse = squared / hidden.sum().clamp(min=1)
        return {"val_loss": float(generator), "val_mse_hidden": float(mse)}

    @torch.no_grad()
    def draw(self, observation: Observation, n: int, seed: Seeds = 0) -> Float[Tensor, "n B C H W"]:
        """The one guess, `n` times; `seed` changes nothing."""
        with evaluating(self):
            return self.guess(observation).expand(n, -1, -1, -1, -1)

    def _logits(self, image: Tensor, constant: bool = False) -> Float[Tensor, " B"]:
        """Log odds that an image is real; `constant`: gradients reach the image alone."""
        image = 2 * image - 1
        logits = frozen(self.discriminator, image) if constant else self.discriminator(image)
        return logits.float().flatten()


def _halvings(channels: int, width: int, stages: list[tuple[int, int]]) -> nn.Sequential:
    """4x4 convolutions of stride 2, batch norm on all but the first."""
    layers: list[nn.Module] = []
    for _, multiple in stages:
        layers.append(nn.Conv2d(channels, width * multiple, 4, 2, 1, bias=False))
        if len(layers) > 1:
            layers.append(nn.BatchNorm2d(width * multiple))
        layers.append(nn.LeakyReLU(0.2))
        channels = width * multiple
    return nn.Sequential(*layers)


def _doublings(channels: int, width: int, stages: list[tuple[int, int]]) -> nn.Sequential:
    """`_halvings` backwards with transposed convolutions, none of them after the last."""
    layers: list[nn.Module] = []
    for (_, inner), (_, outer) in zip(stages[:0:-1], stages[-2::-1], strict=True):
        layers += [
            nn.ConvTranspose2d(width * inner, width * outer, 4, 2, 1, bias=False),
            nn.BatchNorm2d(width * outer),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers, nn.ConvTranspose2d(width, channels, 4, 2, 1, bias=False))
