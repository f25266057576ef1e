"""AIPO: amortised inference with partial observations (Harvey et al. 2021, Sec. 3)."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from completion.blocks import Block
from completion.vdvae import VDVAE, StochasticBlock, VDVAEConfig, draw, kl_divergence
from data.files import load_weights, save_weights
from data.observation import Observation, check_scenes
from data.randomness import SceneNoise, Seeds, per_scene


class AIPO(nn.Module):
    """A VD-VAE with a partial encoder, sampling p(scene | observation).

    The partial encoder reads cat(values, mask); every decoder block has a second posterior head
    fed with the decoder state and the partial encoder's activation at that resolution.

    Args:
        vae: the VD-VAE to extend; trained already (`frozen=True`), or trained jointly.
        frozen: leave encoder and decoder as they are and train the partial encoder alone.
    """

    def __init__(self, vae: VDVAE, frozen: bool = False) -> None:
        super().__init__()
        self.vae = vae
        self.frozen = frozen
        self.provenance: dict[str, Any] = {}
        self.vae.requires_grad_(not frozen)
        self.partial_encoder = vae.make_encoder(extra_channels=1)
        for specification, block in zip(vae.decoder_blocks, vae.blocks, strict=True):
            assert isinstance(block, StochasticBlock)
            resolution = specification.resolution
            block.partial = Block(
                2 * vae.widths[resolution], vae.middle(resolution), 2 * block.latent, resolution
            )

    @classmethod
    def from_vae(cls, vae: VDVAE) -> AIPO:
        """Extend a copy of a trained VAE, whose weights stay frozen (Sec. 3.2)."""
        return cls(copy.deepcopy(vae), frozen=True)

    @property
    def config(self) -> VDVAEConfig:
        return self.vae.config

    def partial_activations(self, observation: Observation) -> dict[int, Tensor]:
        """The partial encoder's activation at each resolution."""
        config = self.config
        # zero where unseen, standardised where seen
        values = (observation.values - config.mean) / config.std * observation.mask
        stacked = torch.cat([values, observation.mask], dim=1)
        return self.partial_encoder(F.pixel_unshuffle(stacked, config.stem))

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

        Raises:
            ValueError: scene and observation do not fit the model or each other.
        """
        self.vae.check_scene(scene)
        self._check(observation)
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
            rate = rate + kl_divergence(q, block.partial_head(state, partial[resolution]))
            states[resolution] = block.merge(state, feature, draw(q, noise))
        log_likelihood = vae.likelihood.log_prob(vae.pixel_parameters(states), scene)
        return log_likelihood.flatten(1).sum(1), rate

    def loss(self, scene: Float[Tensor, "B C H W"], observation: Observation) -> Tensor:
        """Negative O_for in nats per dimension; only the KL matters when the VAE is frozen."""
        distortion, rate = self.rate_distortion(scene, observation, seed=None)
        objective = -rate if self.frozen else distortion - rate
        return -objective.mean() / self.vae.dimensions

    @torch.no_grad()
    def sample(
        self, observation: Observation, n: int, seed: Seeds = 0
    ) -> Float[Tensor, "n B C H W"]:
        """`n` completions of each observation, the seen pixels composited in.

        Raises:
            ValueError: n is less than 1, or the observation has another size or number of
                channels than the model, or NaN pixels.
        """
        if n < 1:
            raise ValueError(f"n must be at least 1, got {n}")
        self._check(observation)
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
            states[resolution] = block.merge(state, feature, mean + log_std.exp() * epsilon)
        parameters = vae.pixel_parameters(states)
        uniform = noise.uniform(n, vae.likelihood.n_uniform, config.size, config.size)
        scenes = vae.likelihood.sample(parameters, uniform.flatten(0, 1))
        return observation.composite(scenes.unflatten(0, (n, batch)))

    def _check(self, observation: Observation) -> None:
        config = self.config
        if tuple(observation.values.shape[1:]) != (config.channels, config.size, config.size):
            raise ValueError(
                f"observation has {observation.channels} channels of {observation.size} pixels; "
                f"this completer was trained for {config.channels} of {config.size}"
            )
        if not torch.isfinite(observation.values).all():
            raise ValueError("observation has NaN or infinite pixels; expected values in [0, 1]")

    def save(self, path: Path | str, provenance: dict[str, Any]) -> None:
        """Write the weights with configuration and provenance as safetensors."""
        header = {"kind": "aipo", "config": vars(self.config), **provenance}
        save_weights(path, self.state_dict(), header)

    @classmethod
    def load(cls, path: Path | str) -> AIPO:
        """Read a checkpoint that `save` wrote.

        Raises:
            ValueError: the file is missing, damaged, or holds something else.
        """
        tensors, header = load_weights(path, "aipo")
        try:
            model = cls(VDVAE(VDVAEConfig(**header["config"])))
            model.load_state_dict(tensors)
        except (RuntimeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"checkpoint {path} does not fit its configuration: {error}"
            ) from error
        model.provenance = header
        return model.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
