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
from boed.completion.log_probability import Counted, Kind
from boed.completion.vae import presets
from boed.completion.vae.blocks import BottleneckBlock, layer_together, read_together
from boed.completion.vae.couplings import Couplings
from boed.completion.vae.vdvae import (
    VDVAE,
    Gaussian,
    StochasticBlock,
    VDVAEConfig,
    draw,
    gaussian,
    kl_divergence,
    log_density,
)
from boed.data.observation import Observation, check_scenes
from boed.foundation.checks import at_least
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
    stored: ClassVar[torch.dtype] = torch.float16
    merit = "val_bits_per_dim"
    log_prob_is: ClassVar[Kind] = "lower bound"
    counts: ClassVar[Counted] = "all"
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

    @property
    def levels(self) -> int:
        """Of grey, that `log_prob` is of."""
        return self.vae.likelihood.levels

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
        read = self._read(vae.activations(scene), self.partial_activations(observation))
        states = vae.start(batch)
        rate = torch.zeros(batch, device=scene.device)
        for level, block in enumerate(vae.blocks):
            assert isinstance(block, StochasticBlock)
            state = vae.mixed(states, level)
            hidden, q, p = self._heads(block, state, read[level])
            z = draw(q, noise)
            rate = rate + self._rate(block, q, z, p)
            states[vae.decoder_blocks[level].resolution] = block.merge_active(state, hidden, z)
        log_likelihood = vae.likelihood.log_prob(vae.pixel_parameters(states), scene)
        return log_likelihood.flatten(1).sum(1), rate

    def _read(self, full: dict[int, Tensor], partial: dict[int, Tensor]) -> list[Tensor]:
        """What both posteriors' first layers add up over the encoders' activations, per level.

        Returns:
            Of each level `[B, 2 M, R, R]`, M the inner width of the blocks at its resolution.
        """
        resolutions = [specification.resolution for specification in self.vae.decoder_blocks]
        read: dict[int, Tensor] = {}
        for resolution in set(resolutions):
            levels = [level for level, each in enumerate(resolutions) if each == resolution]
            sums = []
            for head, activations in (("posterior", full), ("partial", partial)):
                blocks = [getattr(self.vae.blocks[level], head) for level in levels]
                active = F.gelu(activations[resolution])
                together = read_together(blocks, active, start=active.shape[1])
                sums.append(together.chunk(len(levels), dim=1))
            read |= {k: torch.cat(each, dim=1) for k, *each in zip(levels, *sums, strict=True)}
        return [read[level] for level in range(len(resolutions))]

    def _heads(
        self, block: StochasticBlock, state: Tensor, read: Tensor
    ) -> tuple[Tensor, Gaussian, Gaussian]:
        """What the prior's last layer reads, and both posteriors over z_l.

        The three heads have the same layers but the last one, and are computed together.
        """
        assert block.partial is not None
        heads = (block.prior, block.posterior, block.partial)
        inner = read.shape[1] // 2
        hidden = read_together(heads, F.gelu(state)) + F.pad(read, (0, 0, 0, 0, inner, 0))
        for index in (1, 2):
            hidden = layer_together(heads, index, F.gelu(hidden))
        active, both = F.gelu(hidden).split([inner, 2 * inner], dim=1)
        q, p = layer_together(heads[1:], 3, both).chunk(2, dim=1)
        return active, gaussian(q), gaussian(p)

    def _rate(
        self, block: StochasticBlock, q: Gaussian, z: Tensor, base: Gaussian
    ) -> Float[Tensor, " B"]:
        """KL(q || partial posterior) in nats: exact, or by z ~ q where that one is a flow."""
        if block.couplings is None:
            return kl_divergence(q, base)
        return log_density(q, z) - self._log_partial(block, z, base)

    def _log_partial(
        self, block: StochasticBlock, z: Tensor, base: Gaussian
    ) -> Float[Tensor, " B"]:
        """Log-density of the partial posterior at z; it is a flow where there are couplings."""
        if block.couplings is None:
            return log_density(base, z)
        u, log_det = block.couplings.inverse(z, torch.cat(base, dim=1))
        return log_density(base, u) + log_det

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
        return self._drawn(observation, n, seed)[0]

    @torch.no_grad()
    def propose(
        self, observation: Observation, n: int, seed: Seeds = 0
    ) -> tuple[Float[Tensor, "n B C H W"], Float[Tensor, "n B"]]:
        """The scenes of `sample`, and how probable it was to draw them, for importance weights.

        log q(z | observation) + log p(hidden pixels | z) - log r(z | scene) in nats, with r the
        full posterior: the inverse of its exponential has the expectation 1 / q(scene |
        observation) over all z that lead to the scene, so that weights by it are right on average
        (importance sampling with (scene, z), whose target is p(scene | observation) r(z | scene)).

        Raises:
            ValueError: as `sample` does.
        """
        at_least(1, n=n)
        self.check(observation)
        drawn, parameters, latents = self._drawn(observation, n, seed)
        scenes = observation.composite(drawn)
        flat, repeated = scenes.flatten(0, 1), observation.repeat(n)
        of_pixels = self.vae.likelihood.log_prob(parameters, flat)
        of_hidden = (of_pixels * (1 - repeated.mask[:, 0])).flatten(1).sum(1)
        log_ratio = of_hidden + self._log_posteriors(flat, repeated, latents)
        return scenes, log_ratio.unflatten(0, (n, len(observation)))

    def _drawn(
        self, observation: Observation, n: int, seed: Seeds
    ) -> tuple[Float[Tensor, "n B C H W"], Tensor, list[Tensor]]:
        """Scenes, the pixels' parameters, and the latent variables of each level."""
        config, vae, batch = self.config, self.vae, len(observation)
        noise = SceneNoise(per_scene(seed, batch), observation.device)
        partial = self.partial_activations(observation)  # once, shared by the n samples
        partial = {r: each.repeat(n, 1, 1, 1) for r, each in partial.items()}
        states, latents = vae.start(n * batch), []
        for level, block in enumerate(vae.blocks):
            assert isinstance(block, StochasticBlock)
            resolution = vae.decoder_blocks[level].resolution
            state = vae.mixed(states, level)
            _, feature = block.prior_head(state)
            base = block.partial_head(state, partial[resolution])
            z = draw(base, noise, n)
            if block.couplings is not None:
                z = block.couplings(z, torch.cat(base, dim=1))
            latents.append(z)
            states[resolution] = block.merge(state, feature, z)
        parameters = vae.pixel_parameters(states)
        uniform = noise.uniform(n, vae.likelihood.n_uniform, config.size, config.size)
        scenes = vae.likelihood.sample(parameters, uniform.flatten(0, 1))
        return scenes.unflatten(0, (n, batch)), parameters, latents

    def _log_posteriors(
        self, scene: Float[Tensor, "B C H W"], observation: Observation, latents: list[Tensor]
    ) -> Float[Tensor, " B"]:
        """log partial less log full posterior of given latent variables, in nats."""
        vae, batch = self.vae, len(scene)
        read = self._read(vae.activations(scene), self.partial_activations(observation))
        states = vae.start(batch)
        ratio = torch.zeros(batch, device=scene.device)
        for level, (block, z) in enumerate(zip(vae.blocks, latents, strict=True)):
            assert isinstance(block, StochasticBlock)
            state = vae.mixed(states, level)
            hidden, q, p = self._heads(block, state, read[level])
            ratio = ratio + self._log_partial(block, z, p) - log_density(q, z)
            states[vae.decoder_blocks[level].resolution] = block.merge_active(state, hidden, z)
        return ratio
