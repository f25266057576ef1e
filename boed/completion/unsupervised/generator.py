"""What completers that are trained against critics of observations share: G, its z, its turns."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

from boed.completion.adversarial.attention import activation, block, first_halving, halving
from boed.completion.flow import unet
from boed.completion.flow.unet import UNet, UNetConfig
from boed.completion.learned import LearnedCompleter
from boed.data.observation import Observation
from boed.foundation.checks import at_least, attributes
from boed.foundation.randomness import SceneNoise, Seeds, per_scene


@dataclass(frozen=True, kw_only=True)
class GeneratorConfig(UNetConfig):
    """Architecture of a generator, a U-Net, and of the networks that judge it.

    Attributes:
        latent: dimensions of z.
        critic: channels of those that judge after the first halving; they double with each until
            `most`.
        most: channels of these at most.
        critic_stem: space-to-depth factor before their first convolution.
        critic_steps: of those that judge before each one of the generator.

    Raises:
        ValueError: a number that is too small, or a size that cannot be divided so.
    """

    latent: int = 16
    critic: int = 24
    most: int = 96
    critic_stem: int = 1
    critic_steps: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(1, **attributes(self, "latent", "critic", "most", "critic_stem", "critic_steps"))
        if self.size % (2 * self.critic_stem):
            raise ValueError(
                f"size is {self.size}, expected a multiple of {2 * self.critic_stem}, twice "
                f"critic_stem {self.critic_stem}"
            )

    @property
    def halved(self) -> list[int]:
        """Channels of those that judge after each halving, down to 4 pixels or an odd width."""
        widths, size = [self.critic], self.size // self.critic_stem // 2
        while size > 4 and size % 2 == 0:
            widths.append(min(2 * widths[-1], self.most))
            size //= 2
        return widths


def coarse(size: int, channels: int) -> dict[str, Any]:
    """Fields of networks that work on blocks of pixels, four times as fast as the small ones.

    Raises:
        ValueError: the size is neither 28 nor a multiple of 16.
    """
    stem = 2 if size == 28 else 4
    shape = {**vars(unet.small(size, channels)), "stem": stem, "widths": (32, 64)}
    return {**shape, "critic": 32, "most": 64, "critic_stem": max(2, size // 16)}


class Trunk(nn.Module):
    """An image and its mask to some numbers: residual blocks, whose mean over pixels is read.

    Args:
        config: architecture.
        outputs: how many numbers.
        spectral: normalise all weights by their largest singular value (Miyato et al. 2018).
    """

    def __init__(self, config: GeneratorConfig, outputs: int, *, spectral: bool = True) -> None:
        super().__init__()
        self.stem, widths = config.critic_stem, config.halved
        layers: list[nn.Module] = [first_halving((config.channels + 1) * self.stem**2, widths[0])]
        layers += [halving(*pair) for pair in pairwise(widths)]
        self.layers = nn.Sequential(
            *layers, block(widths[-1], widths[-1], widths[-1]), activation()
        )
        self.head = parametrizations.spectral_norm(nn.Linear(widths[-1], outputs))
        if not spectral:
            for layer in [each for each in self.modules() if parametrize.is_parametrized(each)]:
                parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)

    def forward(self, seen: Float[Tensor, "B C+1 H W"]) -> Float[Tensor, "B outputs"]:
        deep = self.layers(F.pixel_unshuffle(seen, self.stem))
        out: Tensor = self.head(deep.float().mean((2, 3)))
        return out


class LatentGenerator(LearnedCompleter):
    """A U-Net that makes a scene of what is seen and of z ~ N(0, I), and networks that judge it.

    Without batch norm, so that a scene's completions depend on nothing else in its batch.

    Attributes:
        critic_turn: whether it is the turn of those that judge.
    """

    merit = "val_mse_hidden"
    learns_from: ClassVar[tuple[str, ...]] = ("scenes", "observations")
    config: GeneratorConfig

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__(config)
        self.generator = UNet(config, extra=1 + math.ceil(config.latent / config.stem**2))
        self.critic_turn = True

    def take_turn(self, step: int) -> None:
        """Those that judge first, then one step of the generator."""
        self.critic_turn = step % (self.config.critic_steps + 1) < self.config.critic_steps

    def made(self, observation: Observation, z: Float[Tensor, "B Z"]) -> Float[Tensor, "B C H W"]:
        """Scenes in [0, 1] as G has them, what was seen not put back in."""
        planes = torch.cat([self.read(observation), self._planes(z)], dim=1)
        return in_range(self.generator(planes, z.new_zeros(len(z))))

    def read(self, observation: Observation) -> Float[Tensor, "B C+1 H W"]:
        """What networks read of an observation: hidden pixels are the mean grey, and the mask."""
        return observation.network_input(self.config.mean, self.config.std)

    def noise(self, observation: Observation) -> Float[Tensor, "B Z"]:
        """A z for each scene, of torch's global generator."""
        return torch.randn(len(observation), self.config.latent, device=observation.device)

    @torch.no_grad()
    def figures(
        self, scene: Float[Tensor, "B C H W"], observation: Observation
    ) -> dict[str, float]:
        """Mean squared error of one sample on what is not shown."""
        return self._figures(scene, observation, 1 - observation.mask)

    @torch.no_grad()
    def partial_figures(self, measured: Observation, observation: Observation) -> dict[str, float]:
        """The same of what was measured and is not shown."""
        return self._figures(measured.values, observation, measured.mask - observation.mask)

    @torch.no_grad()
    def draw(self, observation: Observation, n: int, seed: Seeds = 0) -> Float[Tensor, "n B C H W"]:
        """`n` scenes of as many z."""
        noise = SceneNoise(per_scene(seed, len(observation)), observation.device)
        z = noise.normal(n, self.config.latent).flatten(0, 1)
        return self.made(observation.repeat(n), z).unflatten(0, (n, len(observation)))

    def _planes(self, z: Float[Tensor, "B Z"]) -> Float[Tensor, "B P H W"]:
        """Planes of which space-to-depth makes one channel for each number of z, and a few of 0."""
        stem, area = self.config.stem, self.config.stem**2
        tile = F.pad(z, (0, -z.shape[1] % area)).unflatten(1, (-1, stem, stem))
        return tile.repeat(1, 1, *[self.config.size // stem] * 2)

    def _figures(
        self, scene: Tensor, observation: Observation, counted: Tensor
    ) -> dict[str, float]:
        error = (self.draw(observation, 1)[0] - scene).square() * counted
        number = float(counted.sum()) * self.config.channels
        return {"val_mse_hidden": float(error.sum()) / max(number, 1)}


def in_range(image: Tensor) -> Tensor:
    """A network's output as pixels in [0, 1]."""
    return 0.5 + 0.5 * image.float().tanh()


def other_masks(observation: Observation) -> Float[Tensor, "B 1 H W"]:
    """The masks of the batch in another order: of the law of the data, whatever that is."""
    return observation.mask[torch.randperm(len(observation)).to(observation.device)]
