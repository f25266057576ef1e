"""AIPO: amortised inference with partial observations (Harvey et al. 2021, Sec. 3)."""

from __future__ import annotations

import copy
import math
from typing import ClassVar, Self

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from boed.completion.learned import LearnedCompleter
from boed.completion.vae import presets
from boed.completion.vae.blocks import BottleneckBlock
from boed.completion.vae.couplings import Couplings
from boed.completion.vae.vdvae import (
    VDVAE,
    Gaussian,
    StochasticBlock,
    VDVAEConfig,
    draw,
    kl_divergence,
    log_density,
)
from boed.data.observation import Observation, check_scenes
from boed.foundation.randomness import SceneNoise, Seeds, per_scene
from boed.training.config import TrainingConfig


class AIPO(LearnedCompleter):
    """A VD-VAE with a partial encoder, sampling p(scene | observation).

    The partial encoder reads cat(values, mask); every decoder block has a second posterior head
    fed with the decoder state and the partial encoder's activation at that resolution.

    Args:
        vae: the VD-VAE to extend; trained already (`frozen=True`), or trained jointly.
        frozen: leave encoder and decoder as they are and train the partial encoder alone.
    """

    name: ClassVar[str] = "aipo"
    merit = "val_bits_per_dim"
    Config = VDVAEConfig
    config: VDVAEConfig

    def __init__(self, vae: VDVAE, frozen: bool = False) -> None:
        super().__init__(vae.config)
        self.vae = vae
        self.frozen = frozen
        self.vae.requires_grad_(not frozen)
        self.partial_encoder = vae.make_encoder(extra_channels=1)
        for specification, block in zip(vae.decoder_blocks, vae.blocks, strict=True):
            assert isinstance(block, StochasticBlock)
            resolution = specification.resolution
            block.partial = BottleneckBlock(
                2 * vae.widths[resolution],
                vae.middle(resolution),
                2 * block.latent,
                resolution=resolution,
            )
            if vae.config.couplings:
                block.couplings = Couplings(
                    block.latent, 2 * block.latent, layers=vae.config.couplings
                )

    @classmethod
    def of(cls, config: VDVAEConfig) -> Self:
        """The untrained model of a configuration, to be trained jointly."""
        return cls(VDVAE(config))

    @classmethod
    def from_vae(cls, vae: VDVAE) -> Self:
        """Extend a copy of a trained VAE, whose weights stay frozen (Sec. 3.2)."""
        return cls(copy.deepcopy(vae), frozen=True)

    @torch.no_grad()
    def start_at_full_posterior(self) -> None:
        """Give the partial encoder and its heads the weights of the full ones.

        The first layer, which also reads the mask, gives it zero weight.
        """
        start = self.vae.encoder.state_dict()
        for name, target in self.partial_encoder.state_dict().items():
            source = start[name]
            if target.shape == source.shape:
                target.copy_(source)
            else:
                target.zero_()
                target[:, : source.shape[1]] = source
        for block in self.vae.blocks:
            assert isinstance(block, StochasticBlock)
            assert block.partial is not None
            block.partial.load_state_dict(block.posterior.state_dict())

    @classmethod
    def preset(cls, size: int, channels: int) -> tuple[VDVAEConfig, TrainingConfig]:
        """The VD-VAE of `boed.completion.vae.presets` for an image size, and how to train it.

        Raises:
            ValueError: no preset divides the size.
        """
        return presets.preset(size, channels)

    def partial_activations(self, observation: Observation) -> dict[int, Tensor]:
        """The partial encoder's activation at each resolution."""
        config = self.config
        seen = observation.network_input(config.mean, config.std)
        return self.partial_encoder(F.pixel_unshuffle(seen, config.stem))

    def log_prob(
        self, scene: Float[Tensor, "B C H W"], observation: Observation, seed: Seeds | None = 0
    ) -> Float[Tensor, " B"]:
        """Lower bound on log p(scene | observation) in nats, O_for of Eq. 10.

        The scene's seen pixels count as well. `seed=None` uses torch's global generator.

        Raises:
            ValueError: scene and observation do not fit the model or each other, or the scene
                is NaN or not in [0, 1].
        """
        check_scenes(scene, "scene")
        distortion, rate = self.rate_distortion(scene, observation, seed)
        return distortion - rate

    def rate_distortion(
        self, scene: Float[Tensor, "B C H W"], observation: Observation, seed: Seeds | None
    ) -> tuple[Float[Tensor, " B"], Float[Tensor, " B"]]:
        """log p(scene | z) and KL(full posterior || partial posterior), z from the full one.

        Where the partial posterior is a flow (`couplings`), an unbiased estimate of the KL by z.

        Raises:
            ValueError: scene and observation do not fit the model or each other.
        """
        self.vae.check_scene(scene)
        self.check(observation)
        if len(scene) != len(observation):
            raise ValueError(f"{len(scene)} scenes but {len(observation)} observations")
        vae, batch = self.vae, len(scene)
        noise = None if seed is None else SceneNoise(per_scene(seed, batch), scene.device)
        full = vae.activations(scene)
        partial = self.partial_activations(observation)
        states = vae.start(batch)
        rate = torch.zeros(batch, device=scene.device)
        for level, block in enumerate(vae.blocks):
            assert isinstance(block, StochasticBlock)
            resolution = vae.decoder_blocks[level].resolution
            state = vae.mixed(states, level)
            _, feature = block.prior_head(state)
            q = block.posterior_head(state, full[resolution])
            z = draw(q, noise)
            rate = rate + self._rate(block, q, z, block.partial_head(state, partial[resolution]))
            states[resolution] = block.merge(state, feature, z)
        log_likelihood = vae.likelihood.log_prob(vae.pixel_parameters(states), scene)
        return log_likelihood.flatten(1).sum(1), rate

    def _rate(
        self, block: StochasticBlock, q: Gaussian, z: Tensor, base: Gaussian
    ) -> Float[Tensor, " B"]:
        """KL(q || partial posterior) in nats: exact, or by z ~ q where that one is a flow."""
        if block.couplings is None:
            return kl_divergence(q, base)
        u, log_det = block.couplings.inverse(z, torch.cat(base, dim=1))
        return log_density(q, z) - log_density(base, u) - log_det

    def loss(
        self,
        scene: Float[Tensor, "B C H W"],
        observation: Observation,
        progress: float = 1.0,
    ) -> Tensor:
        """Negative O_for in nats per dimension; only the KL matters when the VAE is frozen."""
        distortion, rate = self.rate_distortion(scene, observation, seed=None)
        objective = -rate if self.frozen else distortion - rate
        return -objective.mean() / self.vae.dimensions

    @torch.no_grad()
    def figures(
        self, scene: Float[Tensor, "B C H W"], observation: Observation
    ) -> dict[str, float]:
        """The bound and its rate, in bits per dimension."""
        distortion, rate = self.rate_distortion(scene, observation, 0)
        per_dimension = self.vae.dimensions * math.log(2)
        return {
            "val_bits_per_dim": float((rate - distortion).mean()) / per_dimension,
            "val_rate_bits_per_dim": float(rate.mean()) / per_dimension,
        }

    @torch.no_grad()
    def draw(self, observation: Observation, n: int, seed: Seeds = 0) -> Float[Tensor, "n B C H W"]:
        """`n` scenes decoded from latent variables of the partial posterior."""
        config, vae, batch = self.config, self.vae, len(observation)
        noise = SceneNoise(per_scene(seed, batch), observation.device)
        partial = self.partial_activations(observation)  # once, shared by the n samples
        partial = {r: each.repeat(n, 1, 1, 1) for r, each in partial.items()}
        states = vae.start(n * batch)
        for level, block in enumerate(vae.blocks):
            assert isinstance(block, StochasticBlock)
            resolution = vae.decoder_blocks[level].resolution
            state = vae.mixed(states, level)
            _, feature = block.prior_head(state)
            mean, log_std = block.partial_head(state, partial[resolution])
            epsilon = noise.normal(n, *mean.shape[1:]).flatten(0, 1)
            z = mean + log_std.exp() * epsilon
            if block.couplings is not None:
                z = block.couplings(z, torch.cat([mean, log_std], dim=1))
            states[resolution] = block.merge(state, feature, z)
        parameters = vae.pixel_parameters(states)
        uniform = noise.uniform(n, vae.likelihood.n_uniform, config.size, config.size)
        scenes = vae.likelihood.sample(parameters, uniform.flatten(0, 1))
        return scenes.unflatten(0, (n, batch))
