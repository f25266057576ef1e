"""Conditional flow matching on masked images (Lipman et al. 2023), sampled in a few steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from boed.completion.flow import unet
from boed.completion.flow.unet import UNet, UNetConfig
from boed.completion.learned import LearnedCompleter, with_unknown
from boed.data.observation import Observation
from boed.foundation.checks import at_least
from boed.foundation.randomness import SceneNoise, Seeds, per_scene
from boed.training.config import TrainingConfig


@dataclass(frozen=True)
class FlowConfig(UNetConfig):
    """The U-Net, and how samples are integrated.

    Attributes:
        steps: of the midpoint rule, two evaluations of the network each.
    """

    steps: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(1, steps=self.steps)


class FlowMatching(LearnedCompleter):
    """A velocity field that carries noise to scenes, given the observation.

    Along the straight path x_t = (1 - t) x_0 + t x_1 from noise x_0 to a scene x_1 (the
    optimal-transport path of Lipman et al. 2023 with sigma_min = 0, as rectified flow has it) the
    network learns E[x_1 - x_0 | x_t, observation]; seen values and mask are channels that it reads
    beside x_t. Training times are logit-normal (Esser et al. 2024). This is not in Harvey et al.
    2021: it stands here as what one would choose today.
    """

    name: ClassVar[str] = "flow"
    learns_from: ClassVar[tuple[str, ...]] = ("scenes", "observations")
    stored: ClassVar[torch.dtype] = torch.float16
    Config = FlowConfig
    config: FlowConfig

    def __init__(self, config: FlowConfig) -> None:
        super().__init__(config)
        self.network = UNet(config, extra=config.channels + 1)

    @classmethod
    def preset(cls, size: int, channels: int) -> tuple[FlowConfig, TrainingConfig]:
        """A small U-Net.

        Raises:
            ValueError: the size is neither 28 nor a multiple of 16.
        """
        training = TrainingConfig(steps=6000, batch=32, lr=1e-3, betas=(0.9, 0.99), clip=1.0)
        return FlowConfig(**vars(unet.small(size, channels))), training

    def velocity(
        self,
        x: Float[Tensor, "B C H W"],
        t: Float[Tensor, " B"],
        observation: Observation,
        *,
        known: Float[Tensor, "B 1 H W"] | None = None,
    ) -> Float[Tensor, "B C H W"]:
        """d x / d t at time t, in standardised pixels; `x` counts where it is `known`, if given."""
        seen = observation.network_input(self.config.mean, self.config.std)
        planes = torch.cat([x, seen], dim=1)
        out: Tensor = self.network(planes if known is None else with_unknown(planes, known), t)
        return out

    def loss(
        self,
        scene: Float[Tensor, "B C H W"],
        observation: Observation,
        progress: float = 1.0,
    ) -> Tensor:
        """Mean squared error of the velocity over all pixels."""
        return self._error(scene, observation).square().mean()

    def partial_loss(
        self, measured: Observation, observation: Observation, progress: float = 1.0
    ) -> Tensor:
        """Mean squared error of the velocity over the measured pixels.

        Of x_t the network is given no more than those, too: elsewhere it reads -1 in the channel
        of the mask, which says 1 where a pixel is shown and 0 where it is to be made.
        """
        error = self._error(measured.values, observation, known=measured.mask)
        counted = measured.mask.sum() * self.config.channels
        return (error.square() * measured.mask).sum() / counted

    def _error(
        self,
        scene: Float[Tensor, "B C H W"],
        observation: Observation,
        *,
        known: Float[Tensor, "B 1 H W"] | None = None,
    ) -> Float[Tensor, "B C H W"]:
        """Of the velocity at a random time of each scene."""
        target = self.standardised(scene)
        noise = torch.randn_like(target)
        t = torch.randn(len(scene), device=scene.device).sigmoid()
        x = torch.lerp(noise, target, t[:, None, None, None])
        error: Tensor = self.velocity(x, t, observation, known=known) - (target - noise)
        return error

    @torch.no_grad()
    def draw(self, observation: Observation, n: int, seed: Seeds = 0) -> Float[Tensor, "n B C H W"]:
        """`n` scenes, integrated from noise."""
        config, batch = self.config, len(observation)
        noise = SceneNoise(per_scene(seed, batch), observation.device)
        x = noise.normal(n, *observation.values.shape[1:]).flatten(0, 1)
        x = self.carried(x, x.new_zeros(len(x)), observation.repeat(n))
        return (x * config.std + config.mean).clamp(0, 1).unflatten(0, (n, batch))

    def carried(
        self,
        x: Float[Tensor, "B C H W"],
        start: Float[Tensor, " B"],
        observation: Observation,
        *,
        duration: float = 1.0,
        steps: int | None = None,
    ) -> Float[Tensor, "B C H W"]:
        """Where the velocity carries `x` from time `start`, by steps of `moved`.

        Args:
            x: standardised pixels.
            start: in [0, 1 - duration].
            observation: of each.
            duration: how far.
            steps: how many; the configuration's if not given.
        """
        steps = self.config.steps if steps is None else steps
        step = duration / steps
        for k in range(steps):
            x = self.moved(x, t=start + k * step, step=step, seen=observation)
        return x

    def moved(
        self, x: Float[Tensor, "B C H W"], *, t: Float[Tensor, " B"], step: float, seen: Observation
    ) -> Float[Tensor, "B C H W"]:
        """One step from time t, by the midpoint rule."""
        middle = x + step / 2 * self.velocity(x, t, seen)
        return x + step * self.velocity(middle, t + step / 2, seen)
