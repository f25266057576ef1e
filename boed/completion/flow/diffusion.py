"""Training-free posterior sampling with a diffusion model, through deepinv (Song et al. 2023)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from boed.completion.flow import unet
from boed.completion.flow.unet import UNet, UNetConfig
from boed.completion.learned import LearnedCompleter
from boed.data.observation import Observation
from boed.foundation.checks import at_least
from boed.foundation.randomness import SceneNoise, Seeds, per_scene
from boed.foundation.torchvision_compat import torchvision
from boed.training.config import TrainingConfig

if TYPE_CHECKING:
    from deepinv.sampling import PosteriorDiffusion


@dataclass(frozen=True, kw_only=True)
class DiffusionConfig(UNetConfig):
    """The U-Net of the denoiser, and how samples are drawn with it.

    Attributes:
        steps: of the reverse diffusion; each goes through the network forwards and backwards.
        weight: of the guidance towards what was seen.
        lowest, highest: noise levels, in standard deviations of the training set's pixels.
    """

    steps: int = 20
    weight: float = 1.0
    lowest: float = 0.05
    highest: float = 10.0

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(2, steps=self.steps)
        if not 0 < self.lowest < self.highest:
            raise ValueError(f"lowest is {self.lowest}, expected between 0 and {self.highest}")


class Denoiser(nn.Module):
    """E[x | x + sigma noise] of standardised images, preconditioned (Karras et al. 2022, Eq. 7).

    After training the answer is kept within what pixels can be.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.network = UNet(config)
        self.low, self.high = -config.mean / config.std, (1 - config.mean) / config.std

    def forward(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """`x [B, C, H, W]`, and one `sigma` for all or one for each."""
        level = torch.as_tensor(sigma, dtype=x.dtype, device=x.device).flatten().expand(len(x))
        wide = level[:, None, None, None]
        raised = (level.log() / 8 + 0.5).clamp(0, 1)  # sigma from 0.02 to 55 as 0 to 1
        inner = self.network(x / (1 + wide**2).sqrt(), raised)
        out: Tensor = x / (1 + wide**2) + inner * wide / (1 + wide**2).sqrt()
        return out if self.training else out.clamp(self.low, self.high)


class DiffusionPosterior(LearnedCompleter):
    """Diffusion posterior sampling: a denoiser that never saw a mask, guided by what was seen.

    The denoiser is trained on whole scenes alone. deepinv draws from the reverse diffusion, to
    whose score it adds the gradient of log p(seen | x_t), the scene given x_t taken as Gaussian
    around the denoised one with variance sigma^2 / (1 + sigma^2): pseudoinverse guidance (Song et
    al. 2023). That of Chung et al. 2023 takes a point for it and ignores what was seen until the
    noise is low. Both are approximations: samples are not exactly of the posterior, however good
    the denoiser. This is not in Harvey et al. 2021. Needs the extra `physics`.
    """

    name: ClassVar[str] = "diffusion"
    Config = DiffusionConfig
    config: DiffusionConfig

    def __init__(self, config: DiffusionConfig) -> None:
        super().__init__(config)
        self.denoiser = Denoiser(config)

    @classmethod
    def preset(cls, size: int, channels: int) -> tuple[DiffusionConfig, TrainingConfig]:
        """A small U-Net.

        Raises:
            ValueError: the size is neither 28 nor a multiple of 16.
        """
        training = TrainingConfig(steps=6000, batch=32, lr=1e-3, betas=(0.9, 0.99), clip=1.0)
        return DiffusionConfig(**vars(unet.small(size, channels))), training

    def loss(
        self,
        scene: Float[Tensor, "B C H W"],
        observation: Observation,
        progress: float = 1.0,
    ) -> Tensor:
        """Mean squared error of the denoised scene, weighted as by Karras et al. 2022."""
        clean = self.standardised(scene)
        sigma = (1.2 * torch.randn(len(clean), device=clean.device) - 0.5).exp()
        wide = sigma[:, None, None, None]
        error = self.denoiser(clean + wide * torch.randn_like(clean), sigma) - clean
        return (error.square() * (1 + wide**2) / wide**2).mean()

    @torch.no_grad()
    def draw(self, observation: Observation, n: int, seed: Seeds = 0) -> Float[Tensor, "n B C H W"]:
        """`n` scenes of the guided reverse diffusion.

        Raises:
            ImportError: deepinv is not installed.
        """
        torchvision()  # deepinv imports it
        from deepinv.physics import GaussianNoise, Inpainting

        config, batch = self.config, len(observation)
        noise = SceneNoise(per_scene(seed, batch), observation.device)
        shape = tuple(observation.values.shape[1:])
        given = observation.repeat(n)
        mask = given.mask.expand_as(given.values)
        exact = GaussianNoise(config.lowest / 2)  # the seen pixels are known to a grey level
        physics = Inpainting(shape, mask, noise_model=exact, device=observation.device)
        start = config.highest * noise.normal(n, *shape).flatten(0, 1)
        sampler = self._sampler(noise, n, observation.device)
        seen = self.standardised(given.values) * mask
        x = sampler(seen, physics, x_init=start, denoise_output=False)
        return (x * config.std + config.mean).clamp(0, 1).unflatten(0, (n, batch))

    def _sampler(self, noise: SceneNoise, n: int, device: torch.device | str) -> PosteriorDiffusion:
        """deepinv's sampler, with noise that belongs to the scenes."""
        from deepinv.sampling import (
            AncestralSolver,
            PiGDMDataFidelity,
            PosteriorDiffusion,
            VarianceExplodingDiffusion,
        )

        class PerScene(AncestralSolver):
            def randn_like(self, input: Tensor, seed: int | None = None) -> Tensor:
                return noise.normal(n, *input.shape[1:]).flatten(0, 1).to(input.dtype)

        config = self.config
        kind = {"dtype": torch.float32, "device": device}
        return PosteriorDiffusion(
            data_fidelity=PiGDMDataFidelity(weight=config.weight),
            denoiser=self.denoiser,
            sde=VarianceExplodingDiffusion(
                sigma_min=config.lowest, sigma_max=config.highest, alpha=1.0, **kind
            ),
            solver=PerScene(torch.linspace(1, 0, config.steps + 1, device=device)),
            minus_one_one=False,
            **kind,
        )
