"""MisGAN (Li, Jiang & Marlin 2019), whose masks are those of the data instead of generated ones."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from boed.completion.adversarial.losses import frozen
from boed.completion.flow import unet
from boed.completion.learned import Architectures
from boed.completion.unsupervised.generator import (
    GeneratorConfig,
    LatentGenerator,
    Trunk,
    coarse,
    in_range,
    other_masks,
)
from boed.data.observation import Observation
from boed.foundation.checks import at_least, attributes
from boed.training.config import TrainingConfig

TRAINING = TrainingConfig(
    steps=12000,
    batch=32,
    lr=1e-4,
    weight_decay=0.0,
    betas=(0.5, 0.9),
    ema=0.99,
    rates={"generator": 2.0},
)
"""Of both presets: the imputer's rate is twice the others', as in the authors' code."""


@dataclass(frozen=True, kw_only=True)
class MisGANConfig(GeneratorConfig):
    """Architecture of the four networks, and what they are trained by.

    Attributes:
        scene_latent: dimensions of what a whole scene is made of.
        penalty: weight of the gradient penalty.
        beta: how much the scenes' generator minds that completions can be told from its scenes.

    Raises:
        ValueError: a number that is too small.
    """

    critic_steps: int = 5
    scene_latent: int = 64
    penalty: float = 10.0
    beta: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(1, **attributes(self, "scene_latent"))
        at_least(0, **attributes(self, "penalty", "beta"))


class SceneGenerator(nn.Module):
    """A whole scene of normal numbers: a `Trunk` backwards, with nearest neighbours for means."""

    def __init__(self, config: MisGANConfig) -> None:
        super().__init__()
        widths = config.halved[::-1]
        self.shape = (widths[0], *[config.size // config.critic_stem // 2 ** len(widths)] * 2)
        self.first = nn.Linear(config.scene_latent, widths[0] * self.shape[1] ** 2)
        layers: list[nn.Module] = []
        for inner, outer in zip(widths, [*widths[1:], widths[-1]], strict=True):
            layers += [
                nn.GroupNorm(1, inner),
                nn.SiLU(),
                nn.Upsample(scale_factor=2, mode="nearest"),
                nn.Conv2d(inner, outer, 3, padding=1),
            ]
        last = nn.Conv2d(widths[-1], config.channels * config.critic_stem**2, 3, padding=1)
        self.layers = nn.Sequential(
            *layers,
            nn.GroupNorm(1, widths[-1]),
            nn.SiLU(),
            last,
            nn.PixelShuffle(config.critic_stem),
        )

    def forward(self, z: Float[Tensor, "B Z"]) -> Float[Tensor, "B C H W"]:
        return in_range(self.layers(self.first(z).unflatten(1, self.shape)))


def digits(size: int, channels: int) -> tuple[MisGANConfig, TrainingConfig]:
    """The networks of `unsup` by that name.

    Raises:
        ValueError: the size is neither 28 nor a multiple of 16.
    """
    return MisGANConfig(**coarse(size, channels)), replace(TRAINING, steps=9000, every=180)


class MisGAN(LatentGenerator):
    """Scenes that cannot be told from observations, and completions not from those scenes.

    One generator makes whole scenes; its critic judges observations against these seen under masks
    of the same law. The other one, the imputer, completes observations; its critic judges the
    scenes of the first against completions, of which nothing else is known. Critics are those of
    Wasserstein distances with a gradient penalty (Gulrajani et al. 2017).

    Differences from the paper: as in Pajot et al. 2019 the law of the masks is known, so there are
    no generator and no critic of masks, and the imputer is the generator that `unsup` has, to which
    hidden pixels are the mean grey, and z a vector, in place of noise in the hidden pixels. Critics
    read the mask beside the image. Whole scenes serve for what is seen of them alone.
    """

    name: ClassVar[str] = "misgan"
    architectures: ClassVar[Architectures] = {"digits": digits}
    Config = MisGANConfig
    config: MisGANConfig

    def __init__(self, config: MisGANConfig) -> None:
        super().__init__(config)
        self.scenes = SceneGenerator(config)
        self.critic = Trunk(config, 1, spectral=False)
        self.imputer_critic = Trunk(config, 1, spectral=False)

    @classmethod
    def preset(cls, size: int, channels: int) -> tuple[MisGANConfig, TrainingConfig]:
        """A small U-Net and small critics.

        Raises:
            ValueError: the size is neither 28 nor a multiple of 16.
        """
        return MisGANConfig(**vars(unet.small(size, channels))), TRAINING

    def loss(
        self,
        scene: Float[Tensor, "B C H W"],
        observation: Observation,
        progress: float = 1.0,
    ) -> Tensor:
        """`partial_loss` of what is seen."""
        return self.partial_loss(observation, observation, progress)

    def partial_loss(
        self, measured: Observation, observation: Observation, progress: float = 1.0
    ) -> Tensor:
        """Of both critics or of both generators, whose turn it is (their Eq. 1 and 5)."""
        y = measured
        with torch.set_grad_enabled(not self.critic_turn):
            scene = self.scenes(torch.randn(len(y), self.config.scene_latent, device=y.device))
            x = y.composite(self.made(y, self.noise(y)))
        other = self.read(Observation.of(scene, other_masks(y)))
        whole, filled = (self.read(Observation.everything(each)) for each in (scene, x))
        if self.critic_turn:
            return self._criticism(self.critic, self.read(y), other) + self._criticism(
                self.imputer_critic, whole, filled
            )
        told = [frozen(self.imputer_critic, each).mean() for each in (whole, filled)]
        return self.config.beta * told[0] - told[1] - frozen(self.critic, other).mean()

    def _criticism(self, critic: nn.Module, real: Tensor, made: Tensor) -> Tensor:
        """What a critic minimises: less the distance that it estimates, and the penalty."""
        scores = critic(torch.cat([real, made]))
        distance = scores[: len(real)].mean() - scores[len(real) :].mean()
        return self.config.penalty * gradient_penalty(critic, real, made) - distance


def gradient_penalty(
    critic: nn.Module, real: Float[Tensor, "B C H W"], made: Float[Tensor, "B C H W"]
) -> Tensor:
    """Mean (|grad D| - 1)^2 at random points between real and made (Gulrajani et al. 2017, Eq. 3).

    Gradients of it reach the critic's parameters.
    """
    share = torch.rand(len(real), 1, 1, 1, device=real.device)
    between = (share * real + (1 - share) * made).detach().requires_grad_()
    (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return (slope.flatten(1).norm(dim=1) - 1).square().mean()
