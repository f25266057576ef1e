"""The very deep hierarchical VAE of Child 2020, with room for a partial encoder (AIPO)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from boed.completion.vae.blocks import (
    BottleneckBlock,
    Encoder,
    pad_channels,
    parse_decoder,
    parse_encoder,
    parse_widths,
)
from boed.completion.vae.couplings import Couplings
from boed.completion.vae.likelihoods import likelihood
from boed.data.observation import check_scenes
from boed.foundation.checks import at_least, attributes, more_than
from boed.foundation.files import read_model, save_model
from boed.foundation.randomness import SceneNoise, Seeds, per_scene

Gaussian = tuple[Tensor, Tensor]
"""Mean and log standard deviation."""

WIDEST = 10.0
"""The largest standard deviation of a latent variable, several times what trained models use.

After a rare draw a head may be far outside of what it was trained on. Without a bound the
exponential makes an enormous z of that, the next block one more enormous, and the image NaN.
"""


@dataclass(frozen=True, kw_only=True)
class VDVAEConfig:
    """Architecture of a VD-VAE.

    Attributes:
        size: width of the images in pixels.
        channels: image channels.
        encoder, decoder: block strings (`boed.completion.vae.blocks`), at resolutions of
            `size / stem` and below.
        width: channels of the residual streams; `widths` overrides single resolutions.
        bottleneck: inner width of a block over its outer width.
        latent: channels of each group of latent variables.
        stem: space-to-depth factor before the encoder and after the decoder; 1 as published.
        likelihood: `logistics` or `bernoulli`.
        components: logistics in the mixture.
        couplings: layers of the normalising flow of AIPO's partial posterior (Harvey et al. 2021,
            Sec. 6); 0 leaves it Gaussian. They are no part of the VAE.
        mean, std: statistics of the training set that standardise the input.

    Raises:
        ValueError: a number that is not positive.
    """

    size: int
    channels: int
    encoder: str
    decoder: str
    width: int = 384
    widths: str = ""
    bottleneck: float = 0.25
    latent: int = 16
    stem: int = 1
    likelihood: str = "logistics"
    components: int = 10
    couplings: int = 0
    mean: float = 0.5
    std: float = 0.25

    def __post_init__(self) -> None:
        at_least(1, **attributes(self, "size", "channels", "width", "latent", "stem", "components"))
        at_least(0, couplings=self.couplings)
        if self.couplings and self.latent < 2:
            raise ValueError(f"couplings is {self.couplings}, for which latent has to be 2 or more")
        more_than(0, **attributes(self, "bottleneck", "std"))


def gaussian(parameters: Float[Tensor, "B 2*Z R R"]) -> Gaussian:
    """Mean and log standard deviation (of `WIDEST` at most), a half of a head's output each."""
    mean, log_std = parameters.chunk(2, dim=1)
    return mean.float(), log_std.float().clamp(max=math.log(WIDEST))


def kl_divergence(q: Gaussian, p: Gaussian) -> Float[Tensor, " B"]:
    """KL(q || p) of diagonal Gaussians in nats, summed over everything but the batch."""
    (q_mean, q_log), (p_mean, p_log) = q, p
    ratio = ((2 * q_log).exp() + (q_mean - p_mean) ** 2) / (2 * p_log).exp()
    return (p_log - q_log + 0.5 * (ratio - 1)).flatten(1).sum(1)


def log_density(gaussian: Gaussian, z: Tensor) -> Float[Tensor, " B"]:
    """Log-density of z in nats, summed over everything but the batch."""
    mean, log_std = gaussian
    standard = (z - mean) * (-log_std).exp()
    each = -0.5 * standard**2 - log_std - 0.5 * math.log(2 * math.pi)
    return each.flatten(1).sum(1)


class StochasticBlock(nn.Module):
    """One group of latent variables z_l in the decoder (Child 2020, Fig. 3, right).

    `partial` is AIPO's second posterior head, fed with the decoder state and the partial
    encoder's activation (Harvey et al. 2021, Fig. 2b), and `couplings` the normalising flow behind
    it, if there is one; both are absent from a plain VAE.
    """

    def __init__(self, resolution: int, width: int, middle: int, *, latent: int, n: int) -> None:
        super().__init__()
        self.latent = latent
        scale = math.sqrt(1 / n)
        self.posterior = BottleneckBlock(2 * width, middle, 2 * latent, resolution=resolution)
        self.prior = BottleneckBlock(
            width, middle, 2 * latent + width, resolution=resolution, last_scale=0.0
        )
        self.project = nn.Conv2d(latent, width, 1)
        nn.init.zeros_(self.project.bias)  # type: ignore[arg-type]
        with torch.no_grad():
            self.project.weight.mul_(scale)
        self.residual = BottleneckBlock(
            width, middle, width, resolution=resolution, residual=True, last_scale=scale
        )
        self.partial: BottleneckBlock | None = None
        self.couplings: Couplings | None = None

    def prior_head(self, state: Tensor) -> tuple[Gaussian, Tensor]:
        """p(z_l | z_<l), and a residual feature for the state."""
        parameters, feature = self.prior(state).split([2 * self.latent, state.shape[1]], dim=1)
        return gaussian(parameters), feature

    def posterior_head(self, state: Tensor, activation: Tensor) -> Gaussian:
        """q(z_l | z_<l, image)."""
        return gaussian(self.posterior(torch.cat([state, activation], dim=1)))

    def partial_head(self, state: Tensor, activation: Tensor) -> Gaussian:
        """The partial posterior over z_l given z_<l and an observation."""
        assert self.partial is not None
        return gaussian(self.partial(torch.cat([state, activation], dim=1)))

    def merge(self, state: Tensor, feature: Tensor, z: Tensor) -> Tensor:
        """The decoder state after z_l is known."""
        return self.residual(state + feature + self.project(z))

    def merge_active(self, state: Tensor, active: Tensor, z: Tensor) -> Tensor:
        """As `merge`, of what the prior's last layer reads: its Gaussian is not computed."""
        last, skipped = self.prior.layers[-1], 2 * self.latent
        weight = torch.cat([last.weight[skipped:], self.project.weight], dim=1)  # type: ignore[index]
        bias = last.bias[skipped:] + self.project.bias  # type: ignore[index,operator]
        return self.residual(state + F.conv2d(torch.cat([active, z], dim=1), weight, bias))


class VDVAE(nn.Module):
    """Encoder q(z | image), prior p(z) and decoder p(image | z).

    Attributes:
        merit: the validation's figure that says how good it is, lower is better.

    Raises:
        ValueError: the block strings do not fit the image size.
    """

    merit: ClassVar[str] = "val_bits_per_dim"

    def __init__(self, config: VDVAEConfig) -> None:
        super().__init__()
        self.config = config
        self.provenance: dict[str, Any] = {}
        if config.size % config.stem:
            raise ValueError(f"size {config.size} is not a multiple of stem {config.stem}")
        top = config.size // config.stem
        encoder, decoder = parse_encoder(config.encoder), parse_decoder(config.decoder)
        for name, first in (("encoder", encoder[0]), ("decoder", decoder[-1])):
            if first.resolution != top:
                raise ValueError(
                    f"{name} works at resolution {first.resolution}, "
                    f"expected size / stem = {config.size} / {config.stem} = {top}"
                )
        resolutions = {block.resolution for block in encoder}
        resolutions |= {block.resolution // block.pool for block in encoder}
        missing = {block.resolution for block in decoder} - resolutions
        if missing:
            raise ValueError(f"decoder resolutions {sorted(missing)} never occur in the encoder")
        special = parse_widths(config.widths)
        if unknown := set(special) - resolutions:
            raise ValueError(
                f"widths names resolutions {sorted(unknown)}; there are {sorted(resolutions)}"
            )
        self.widths = {r: special.get(r, config.width) for r in sorted(resolutions)}
        self.encoder_blocks, self.decoder_blocks = encoder, decoder
        self.encoder = self.make_encoder(extra_channels=0)
        self.blocks = nn.ModuleList()
        for block in decoder:
            width = self.widths[block.resolution]
            self.blocks.append(
                StochasticBlock(
                    block.resolution,
                    width,
                    self.middle(block.resolution),
                    latent=config.latent,
                    n=len(decoder),
                )
            )
        self.biases = nn.ParameterDict(
            {
                str(r): nn.Parameter(torch.zeros(1, self.widths[r], r, r))
                for r in sorted({block.resolution for block in decoder})
                if r <= 64
            }
        )
        self.gain = nn.Parameter(torch.ones(1, self.widths[top], 1, 1))
        self.bias = nn.Parameter(torch.zeros(1, self.widths[top], 1, 1))
        self.likelihood = likelihood(config.likelihood, config.channels, config.components)
        self.output = nn.Conv2d(self.widths[top], self.likelihood.n_parameters * config.stem**2, 1)

    def middle(self, resolution: int) -> int:
        """Inner width of the blocks at a resolution."""
        return max(int(self.widths[resolution] * self.config.bottleneck), 1)

    def make_encoder(self, extra_channels: int) -> Encoder:
        """An encoder for images with so many extra channels (1 for a mask)."""
        channels = (self.config.channels + extra_channels) * self.config.stem**2
        return Encoder(
            channels, self.encoder_blocks, self.widths, bottleneck=self.config.bottleneck
        )

    @property
    def dimensions(self) -> int:
        """Values in an image, by which bounds are divided for bits per dimension."""
        return self.config.channels * self.config.size**2

    def check_scene(self, scene: Tensor) -> None:
        """Refuse images of another shape than the model's.

        Raises:
            ValueError: naming both shapes.
        """
        config = self.config
        if tuple(scene.shape[1:]) != (config.channels, config.size, config.size):
            raise ValueError(
                f"scene is {tuple(scene.shape)}; this model was made for "
                f"[B, {config.channels}, {config.size}, {config.size}]"
            )

    def activations(self, scene: Float[Tensor, "B C H W"]) -> dict[int, Tensor]:
        """The encoder's activation at each resolution."""
        standardised = (scene - self.config.mean) / self.config.std
        return self.encoder(F.pixel_unshuffle(standardised, self.config.stem))

    def start(self, batch: int) -> dict[int, Tensor]:
        """The decoder's initial state per resolution: learned biases, zero above 64 pixels."""
        device, states = self.gain.device, {}
        for resolution in {block.resolution for block in self.decoder_blocks}:
            if str(resolution) in self.biases:
                states[resolution] = self.biases[str(resolution)].expand(batch, -1, -1, -1)
            else:
                shape = (batch, self.widths[resolution], resolution, resolution)
                states[resolution] = torch.zeros(shape, device=device)
        return states

    def mixed(self, states: dict[int, Tensor], level: int) -> Tensor:
        """The state that block `level` reads, a coarser one mixed in where it says so."""
        block = self.decoder_blocks[level]
        state = states[block.resolution]
        if block.mixin is not None:
            coarse = pad_channels(states[block.mixin], state.shape[1])
            scale = block.resolution // block.mixin
            state = state + F.interpolate(coarse, scale_factor=scale, mode="nearest")
        return state

    def pixel_parameters(self, states: dict[int, Tensor]) -> Float[Tensor, "B P H W"]:
        """Parameters of the pixel likelihood from the final state."""
        top = states[self.decoder_blocks[-1].resolution]
        return F.pixel_shuffle(self.output(top * self.gain + self.bias), self.config.stem).float()

    def elbo(self, scene: Float[Tensor, "B C H W"], seed: Seeds | None = None) -> Tensor:
        """Evidence lower bound on log p(scene), nats per image `[B]` (Eq. 2).

        Raises:
            ValueError: the scenes are of another shape than the model's, NaN, or not in [0, 1].
        """
        check_scenes(scene, "scene")
        self.check_scene(scene)
        distortion, rate = self._rate_distortion(scene, seed)
        return distortion - rate

    def _rate_distortion(self, scene: Tensor, seed: Seeds | None) -> tuple[Tensor, Tensor]:
        batch = len(scene)
        noise = None if seed is None else SceneNoise(per_scene(seed, batch), scene.device)
        activations = self.activations(scene)
        states = self.start(batch)
        rate = torch.zeros(batch, device=scene.device)
        for level, block in enumerate(self.blocks):
            assert isinstance(block, StochasticBlock)
            resolution = self.decoder_blocks[level].resolution
            state = self.mixed(states, level)
            prior, feature = block.prior_head(state)
            q = block.posterior_head(state, activations[resolution])
            rate = rate + kl_divergence(q, prior)
            states[resolution] = block.merge(state, feature, draw(q, noise))
        log_likelihood = self.likelihood.log_prob(self.pixel_parameters(states), scene)
        return log_likelihood.flatten(1).sum(1), rate

    @property
    def latent_shapes(self) -> list[tuple[int, int, int]]:
        """Shape of each group of latent variables, z_1 first."""
        return [(self.config.latent, b.resolution, b.resolution) for b in self.decoder_blocks]

    def decode(self, noise: list[Float[Tensor, "B Z R R"]]) -> Float[Tensor, "B P H W"]:
        """Parameters of the pixel likelihood where z_l = prior mean + prior deviation x noise.

        Args:
            noise: of each group of latent variables, `latent_shapes`; standard normal under p(z).
        """
        states = self.start(len(noise[0]))
        for level, (block, epsilon) in enumerate(zip(self.blocks, noise, strict=True)):
            assert isinstance(block, StochasticBlock)
            state = self.mixed(states, level)
            (mean, log_std), feature = block.prior_head(state)
            z = mean + log_std.exp() * epsilon
            states[self.decoder_blocks[level].resolution] = block.merge(state, feature, z)
        return self.pixel_parameters(states)

    @torch.no_grad()
    def sample(self, n: int, seed: int = 0) -> Float[Tensor, "n C H W"]:
        """Images drawn from the prior; image i depends on the seed and i alone.

        Raises:
            ValueError: n is less than 1.
        """
        at_least(1, n=n)
        noise = SceneNoise(per_scene(seed, n), self.gain.device)
        parameters = self.decode([noise.normal(1, *shape)[0] for shape in self.latent_shapes])
        size = self.config.size
        uniform = noise.uniform(1, self.likelihood.n_uniform, size, size)[0]
        return self.likelihood.sample(parameters, uniform)

    @torch.no_grad()
    def reconstruct(
        self, scene: Float[Tensor, "B C H W"], seed: Seeds = 0
    ) -> Float[Tensor, "B C H W"]:
        """Scenes encoded and decoded again, z from the posterior (Harvey et al. 2021, Fig. 7).

        Raises:
            ValueError: the scenes are of another shape than the model's, NaN, or not in [0, 1].
        """
        check_scenes(scene, "scene")
        self.check_scene(scene)
        batch = len(scene)
        noise = SceneNoise(per_scene(seed, batch), scene.device)
        activations, states = self.activations(scene), self.start(batch)
        for level, block in enumerate(self.blocks):
            assert isinstance(block, StochasticBlock)
            resolution = self.decoder_blocks[level].resolution
            state = self.mixed(states, level)
            _, feature = block.prior_head(state)
            q = block.posterior_head(state, activations[resolution])
            states[resolution] = block.merge(state, feature, draw(q, noise))
        uniform = noise.uniform(1, self.likelihood.n_uniform, *scene.shape[-2:])[0]
        return self.likelihood.sample(self.pixel_parameters(states), uniform)

    def save(self, path: Path | str, provenance: dict[str, Any]) -> None:
        """Write the weights, rounded to half precision, with configuration and provenance."""
        header = {"kind": "vdvae", "config": vars(self.config), **provenance}
        save_model(path, self, header)

    @classmethod
    def load(cls, path: Path | str) -> VDVAE:
        """Read a checkpoint that `save` wrote.

        Raises:
            ValueError: the file is missing, damaged, or holds something else.
        """
        return read_model(path, cls.built, "vdvae")

    @classmethod
    def built(cls, header: dict[str, Any], tensors: dict[str, Tensor]) -> VDVAE:
        """The model that a checkpoint's header describes, before its weights are loaded."""
        return cls(VDVAEConfig(**header["config"]))


def draw(gaussian: Gaussian, noise: SceneNoise | None, n: int = 1) -> Tensor:
    """A reparametrised sample `[n * B, ...]`; `noise=None` uses torch's global generator."""
    mean, log_std = gaussian
    if noise is None:
        batch, channels, *rest = mean.shape  # drawn channels last, as the networks compute
        epsilon = torch.randn(batch, *rest, channels, device=mean.device).movedim(-1, 1)
    else:
        epsilon = noise.normal(n, *mean.shape[1:]).flatten(0, 1)
    return mean + log_std.exp() * epsilon
