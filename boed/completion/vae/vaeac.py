"""VAEAC: a VAE with arbitrary conditioning (Ivanov, Figurnov & Vetrov 2019)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence

from boed.completion.learned import LearnedCompleter, with_unknown
from boed.completion.log_probability import Counted, Kind
from boed.completion.vae.blocks import BottleneckBlock
from boed.completion.vae.likelihoods import likelihood
from boed.data.observation import Observation, check_scenes
from boed.foundation.checks import at_least, attributes, more_than
from boed.foundation.randomness import SceneNoise, Seeds, per_scene
from boed.training.config import TrainingConfig


@dataclass(frozen=True, kw_only=True)
class VAEACConfig:
    """Architecture of a VAEAC.

    Attributes:
        size: width of the images in pixels.
        channels: image channels.
        widths: channels of each stage, at half the resolution of the one before.
        blocks: residual blocks in a stage.
        latent: dimensions of z, of which a scene has one.
        stem: space-to-depth factor before the encoders and after the decoder; 1 as published.
        likelihood: `logistics` or `bernoulli`.
        components: logistics in the mixture.
        sigma_mu, sigma_sigma: how weakly the prior's mean is held at 0, and how strongly its
            standard deviation at 1 (their Sec. 4.3.1).
        mean, std: statistics of the training set that standardise the input.

    Raises:
        ValueError: a number that is not positive, or a size that cannot be halved so often.
    """

    size: int
    channels: int
    widths: tuple[int, ...] = (8, 8, 16, 32, 64, 128, 256)
    blocks: int = 4
    latent: int = 256
    stem: int = 1
    likelihood: str = "logistics"
    components: int = 1
    sigma_mu: float = 1e4
    sigma_sigma: float = 1e-4
    mean: float = 0.5
    std: float = 0.25

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))  # a list in a checkpoint's header
        at_least(
            1, **attributes(self, "size", "channels", "blocks", "latent", "stem", "components")
        )
        more_than(0, **attributes(self, "sigma_mu", "sigma_sigma", "std"))
        if not self.widths or min(self.widths) < 1:
            raise ValueError(f"widths is {self.widths}, expected one positive width for each stage")
        if self.size % (self.stem * 2 ** (len(self.widths) - 1)):
            raise ValueError(
                f"size {self.size} with stem {self.stem} cannot be halved "
                f"{len(self.widths) - 1} times, as {len(self.widths)} widths ask for"
            )

    @property
    def resolutions(self) -> list[int]:
        """Of the stages, falling."""
        return [self.size // self.stem // 2**stage for stage in range(len(self.widths))]


def stage(width: int, resolution: int, blocks: int, *, depth: int) -> nn.Sequential:
    """Residual bottleneck blocks; `depth` of them in the whole network scale their start."""
    scale = math.sqrt(1 / depth)
    middle = min(max(width // 2, 8), width)
    return nn.Sequential(
        *(
            BottleneckBlock(
                width, middle, width, resolution=resolution, residual=True, last_scale=scale
            )
            for _ in range(blocks)
        )
    )


def mix(width_in: int, width_out: int, kernel: int = 1) -> nn.Conv2d:
    """A convolution without padding that starts with outputs as large as its inputs.

    Smaller ones would make z whisper at first, and a decoder that cannot hear z never learns to.
    """
    layer = nn.Conv2d(width_in, width_out, kernel)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer


class GaussianEncoder(nn.Module):
    """A scene or observation with its mask to a Gaussian over z, and to activations."""

    def __init__(self, config: VAEACConfig) -> None:
        super().__init__()
        widths, number = config.widths, len(config.widths)
        inputs = ((config.channels + 1) * config.stem**2, *widths)
        depth = config.blocks * number + 1
        self.enter = nn.ModuleList(mix(inputs[i], widths[i]) for i in range(number))
        self.stages = nn.ModuleList(
            stage(width, resolution, config.blocks, depth=depth)
            for width, resolution in zip(widths, config.resolutions, strict=True)
        )
        self.head = nn.Sequential(
            mix(widths[-1], widths[-1], config.resolutions[-1]),
            *stage(widths[-1], 1, 1, depth=depth),
            mix(widths[-1], 2 * config.latent),
        )

    def forward(self, x: Float[Tensor, "B I R R"]) -> tuple[Normal, list[Tensor]]:
        activations = []
        for index, (enter, blocks) in enumerate(zip(self.enter, self.stages, strict=True)):
            x = blocks(enter(F.avg_pool2d(x, 2) if index else x))
            activations.append(x)
        mean, raw_std = self.head(x).float().flatten(1).chunk(2, dim=1)
        return Normal(mean, F.softplus(raw_std) + 1e-3), activations


class Decoder(nn.Module):
    """z to the parameters of the pixels; it reads what is seen by the prior's activations."""

    def __init__(self, config: VAEACConfig, n_parameters: int) -> None:
        super().__init__()
        widths, number = config.widths, len(config.widths)
        last = (config.channels + 1) * config.stem**2
        depth = config.blocks * number + 1
        smallest = config.resolutions[-1]
        self.head = nn.Sequential(
            mix(config.latent, widths[-1]),
            *stage(widths[-1], 1, 1, depth=depth),
            mix(widths[-1], widths[-1] * smallest**2),
            nn.PixelShuffle(smallest),
        )
        self.merge, self.stages = nn.ModuleList(), nn.ModuleList()
        for index in reversed(range(number)):
            below = widths[min(index + 1, number - 1)]
            skipped = widths[index] + (0 if index else last)
            self.merge.append(mix(below + skipped, widths[index]))
            self.stages.append(
                stage(widths[index], config.resolutions[index], config.blocks, depth=depth)
            )
        self.output = nn.Conv2d(widths[0], n_parameters * config.stem**2, 1)

    def forward(self, z: Float[Tensor, "N Z"], skips: list[Tensor]) -> Float[Tensor, "N P R R"]:
        """`skips` is the observation itself and the activations, each `[N, ...]`."""
        x = self.head(z[:, :, None, None])
        input_skip, *activations = skips
        for merge, blocks in zip(self.merge, self.stages, strict=True):
            skip = activations.pop()
            x = F.interpolate(x, size=skip.shape[-1])
            last = () if activations else (input_skip,)
            x = blocks(merge(torch.cat([x, skip, *last], dim=1)))
        return self.output(F.gelu(x))


class VAEAC(LearnedCompleter):
    """Proposal q(z | scene, mask), prior p(z | seen, mask) and decoder p(hidden | z, seen, mask).

    One vector z speaks for the whole scene; the decoder takes the prior network's activations
    through skip connections (Ivanov et al. 2019, Sec. 4). Trained by their Eq. 9 with the prior
    regularised.

    Differences from their CelebA model: pixels are discretised logistics, where the published
    Gaussian density has a learned scale of at least 0.01 and is never sampled, only its mean;
    the mask has one channel; blocks have two 3x3 convolutions and no batch norm, so that a scene's
    completions depend on nothing else in its batch; at z the last stage is flattened, not averaged,
    and the first layers start without shrinking z, which otherwise stays unused in short trainings;
    the observation joins the last stage of the decoder rather than a stage of its own.
    """

    name: ClassVar[str] = "vaeac"
    learns_from: ClassVar[tuple[str, ...]] = ("scenes", "observations")
    merit = "val_bits_per_dim"
    log_prob_is: ClassVar[Kind] = "lower bound"
    counts: ClassVar[Counted] = "hidden"
    Config = VAEACConfig
    config: VAEACConfig
    PUBLISHED: ClassVar[VAEACConfig] = VAEACConfig(size=128, channels=3)
    """That of the paper's CelebA experiment at 128 px."""

    def __init__(self, config: VAEACConfig) -> None:
        super().__init__(config)
        self.likelihood = likelihood(config.likelihood, config.channels, config.components)
        self.proposal = GaussianEncoder(config)
        self.prior = GaussianEncoder(config)
        self.decoder = Decoder(config, self.likelihood.n_parameters)

    @classmethod
    def preset(cls, size: int, channels: int) -> tuple[VAEACConfig, TrainingConfig]:
        """A configuration for 28 or 32 px, or a multiple of 64 px, and how to train it.

        Raises:
            ValueError: another size.
        """
        if size not in (28, 32) and (size % 64 or size < 64):
            raise ValueError(f"size {size} has no preset; expected 28, 32 or a multiple of 64")
        widths = (64, 96) if size == 28 else (64, 96, 128)
        config = replace(
            cls.PUBLISHED,
            size=size,
            channels=channels,
            widths=widths,
            blocks=1,
            latent=64,
            stem=2 if size < 64 else size // 16,
            components=5,
        )
        return config, TrainingConfig(steps=3000, batch=32, lr=1e-3, betas=(0.9, 0.99), skip=400.0)

    @property
    def levels(self) -> int:
        """Of grey, that `log_prob` is of."""
        return self.likelihood.levels

    @property
    def dimensions(self) -> int:
        """Numbers in a scene."""
        return self.config.channels * self.config.size**2

    def encoder_input(self, image: Tensor, mask: Tensor, known: Tensor | None = None) -> Tensor:
        """Standardised image, where it is `known`, and mask, at the encoders' resolution."""
        stacked = torch.cat([self.standardised(image), mask], dim=1)
        if known is not None:
            stacked = with_unknown(stacked, known)
        return F.pixel_unshuffle(stacked, self.config.stem)

    def condition(self, observation: Observation) -> tuple[Normal, list[Tensor]]:
        """p(z | seen, mask), and what the decoder reads of the observation."""
        config = self.config
        seen = F.pixel_unshuffle(observation.network_input(config.mean, config.std), config.stem)
        prior, activations = self.prior(seen)
        return prior, [seen, *activations]

    def decode(self, z: Float[Tensor, "N Z"], skips: list[Tensor]) -> Float[Tensor, "N P H W"]:
        """Parameters of each pixel's likelihood."""
        return F.pixel_shuffle(self.decoder(z, skips), self.config.stem)

    def log_prob(
        self, scene: Float[Tensor, "B C H W"], observation: Observation, seed: Seeds | None = 0
    ) -> Float[Tensor, " B"]:
        """Lower bound on log p(hidden pixels | seen pixels) in nats, of `levels` of grey.

        Their Eq. 9: E log p(hidden | z, seen) - KL(q(z | scene) || p(z | seen)), estimated with
        one z. Seen pixels do not count. `seed=None` uses torch's global generator.

        Raises:
            ValueError: scene and observation do not fit the model or each other, or the scene
                is NaN or not in [0, 1].
        """
        check_scenes(scene, "scene")
        distortion, rate, _ = self.terms(scene, observation, seed)
        return distortion - rate

    def terms(
        self,
        scene: Float[Tensor, "B C H W"],
        observation: Observation,
        seed: Seeds | None,
        *,
        known: Float[Tensor, "B 1 H W"] | None = None,
    ) -> tuple[Float[Tensor, " B"], Float[Tensor, " B"], Normal]:
        """log p(hidden | z, seen), z ~ q; KL(q(z | scene, mask) || p(z | seen, mask)); the prior.

        Of a scene that is only partly known q reads that part, and the other hidden pixels do not
        count, as with missing features in their Sec. 4.3.3.

        Raises:
            ValueError: scene and observation do not fit the model or each other.
        """
        self.check(observation)
        if scene.shape != observation.values.shape:
            raise ValueError(
                f"scene is {tuple(scene.shape)}, expected that of the observation, "
                f"{tuple(observation.values.shape)}"
            )
        q, _ = self.proposal(self.encoder_input(scene, observation.mask, known))
        prior, skips = self.condition(observation)
        if seed is None:
            epsilon = torch.randn_like(q.mean)
        else:
            noise = SceneNoise(per_scene(seed, len(scene)), scene.device)
            epsilon = noise.normal(1, self.config.latent)[0]
        z = q.mean + q.stddev * epsilon
        each = self.likelihood.log_prob(self.decode(z, skips), scene)  # [B, H, W]
        counted = 1 - observation.mask if known is None else known - observation.mask
        distortion = (each * counted[:, 0]).flatten(1).sum(1)
        return distortion, kl_divergence(q, prior).sum(1), prior

    def regularisation(self, prior: Normal) -> Float[Tensor, " B"]:
        """Log-density, but for a constant, of Normal(0, sigma_mu) means and Gamma deviations."""
        mean, deviation = prior.mean, prior.stddev
        normal = -(mean**2) / (2 * self.config.sigma_mu**2)
        gamma = self.config.sigma_sigma * (deviation.log() - deviation)
        return (normal + gamma).sum(1)

    def loss(
        self,
        scene: Float[Tensor, "B C H W"],
        observation: Observation,
        progress: float = 1.0,
    ) -> Tensor:
        """Negative bound less the prior's regularisation, in nats per dimension of the scene."""
        return self._objective(scene, observation)

    def partial_loss(
        self, measured: Observation, observation: Observation, progress: float = 1.0
    ) -> Tensor:
        """The same of the measured pixels that are not shown, in nats per dimension of the scene.

        The proposal reads -1 in the channel of the mask where nothing was measured.
        """
        return self._objective(measured.values, observation, known=measured.mask)

    def _objective(
        self, scene: Tensor, observation: Observation, *, known: Tensor | None = None
    ) -> Tensor:
        distortion, rate, prior = self.terms(scene, observation, None, known=known)
        return (rate - distortion - self.regularisation(prior)).mean() / self.dimensions

    @torch.no_grad()
    def figures(
        self, scene: Float[Tensor, "B C H W"], observation: Observation
    ) -> dict[str, float]:
        """The bound in bits per hidden dimension, and its rate in nats."""
        return self._figures(scene, observation)

    @torch.no_grad()
    def partial_figures(self, measured: Observation, observation: Observation) -> dict[str, float]:
        """The same of the measured pixels that are not shown."""
        return self._figures(measured.values, observation, known=measured.mask)

    def _figures(
        self, scene: Tensor, observation: Observation, *, known: Tensor | None = None
    ) -> dict[str, float]:
        distortion, rate, _ = self.terms(scene, observation, 0, known=known)
        counted = 1 - observation.mask if known is None else known - observation.mask
        hidden = float(counted.sum()) * self.config.channels
        return {
            "val_bits_per_dim": float((rate - distortion).sum()) / max(hidden, 1) / math.log(2),
            "val_rate_nats": float(rate.mean()),
        }

    @torch.no_grad()
    def draw(self, observation: Observation, n: int, seed: Seeds = 0) -> Float[Tensor, "n B C H W"]:
        """`n` scenes decoded from z of the prior, their pixels drawn from the likelihood."""
        config, batch = self.config, len(observation)
        noise = SceneNoise(per_scene(seed, batch), observation.device)
        prior, skips = self.condition(observation)  # once, shared by the n samples
        z = (prior.mean + prior.stddev * noise.normal(n, config.latent)).flatten(0, 1)
        parameters = self.decode(z, [each.repeat(n, 1, 1, 1) for each in skips])
        uniform = noise.uniform(n, self.likelihood.n_uniform, config.size, config.size)
        scenes = self.likelihood.sample(parameters, uniform.flatten(0, 1))
        return scenes.unflatten(0, (n, batch))
