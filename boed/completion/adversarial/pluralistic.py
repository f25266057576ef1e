"""Pluralistic Image Completion: a two-path conditional VAE-GAN (Zheng et al. 2019)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from boed.completion.adversarial.losses import evaluating, frozen
from boed.completion.adversarial.pluralistic_networks import (
    Discriminator,
    Encoder,
    Generator,
    PluralisticConfig,
    scaled_like,
)
from boed.completion.learned import LearnedCompleter
from boed.data.observation import Observation
from boed.foundation.randomness import SceneNoise, Seeds, per_scene
from boed.training.config import TrainingConfig

_SMALL = PluralisticConfig(
    size=32,
    channels=1,
    width=32,
    most=48,
    critic=16,
    levels=2,
    latent=16,
    inference=2,
    scales=2,
    attention=1,
    stem=2,
    divergence=1.0,
)
SMALL: dict[int, PluralisticConfig] = {
    28: replace(_SMALL, size=28, width=40, most=40, critic=24, levels=1, scales=1, attention=0),
    32: _SMALL,
    64: replace(_SMALL, size=64, stem=4),
}
"""By image size."""


@dataclass(frozen=True, kw_only=True)
class Paths:
    """What the reconstructive and the generative path make of a batch of scenes.

    Attributes:
        posterior, prior: of the latent map, given the hidden part and given the seen part.
        reconstructed, generated: images in [-1, 1] from a draw of each, the smallest first.
    """

    posterior: Normal
    prior: Normal
    reconstructed: list[Tensor]
    generated: list[Tensor]


class Pluralistic(LearnedCompleter):
    """Samples of a conditional VAE-GAN that knows hidden parts by their latent posterior.

    In the reconstructive path a posterior q(z | hidden part) is kept near N(0, s^2), with s
    growing with the fraction hidden, and decodes to the whole scene. In the generative path
    a conditional prior p(z | seen part) is kept near that posterior, and what it decodes to is
    compared on the seen pixels alone (L1) and judged by a least-squares discriminator; completions
    are drawn from it. A second discriminator's scores of reconstruction and truth are matched.
    Encoder and decoder are shared, the seen part's features join in the decoder, and an attention
    layer copies from them (Zheng et al. 2019, Sec. 3).

    Where the paper and its code differ we follow the code, as Harvey et al. (2021, App. B.2) did:
    the divergence of the reconstructive path is KL(N(0, s^2) || q), the paper has the reverse;
    s = 1 / (1 + exp(8 (fraction seen - 0.8))); divergences are averages over the latent map's
    elements, times the number of scales; and q is held constant in KL(q || p).

    Where we differ from both: the encoder also reads the mask (320 weights more); masks and
    images are scaled down by averaging; all networks take their steps at once; discriminators
    lack an unused branch of their attention layers (951,042 weights fewer); and images end in a
    clamp whose gradient points inwards, because tanh saturated on digits' black background
    before anything was learned. But for these `PUBLISHED` has the 9,128,390 parameters of App.
    B.2, where images of 32 pixels were enlarged to 256. The presets have fewer levels and
    channels, a space-to-depth stem, and divergences that weigh 1: with 20, all samples were alike
    after a short training on digits.
    """

    name: ClassVar[str] = "pic"
    merit = "val_l1_hidden"
    Config = PluralisticConfig
    config: PluralisticConfig
    PUBLISHED: ClassVar[PluralisticConfig] = PluralisticConfig(size=256, channels=3)

    def __init__(self, config: PluralisticConfig) -> None:
        super().__init__(config)
        planes = config.channels * config.stem**2
        self.encoder = Encoder(config, planes + config.stem**2)
        self.generator = Generator(config, planes)
        self.discriminator = Discriminator(config, planes)
        self.discriminator_rec = Discriminator(config, planes)

    @classmethod
    def preset(cls, size: int, channels: int) -> tuple[PluralisticConfig, TrainingConfig]:
        """Narrow networks on a space-to-depth grid of 14 or 16 positions.

        Raises:
            ValueError: the size is not 28, 32 or a multiple of 64.
        """
        if size not in SMALL and size % 64:
            raise ValueError(f"size {size} has no preset; expected 28, 32 or a multiple of 64")
        config = SMALL.get(size) or replace(SMALL[64], size=size, stem=size // 16)
        config = replace(config, channels=channels)
        training = TrainingConfig(
            steps=2000,
            batch=32,
            lr=1e-3,
            weight_decay=0.0,
            betas=(0.5, 0.999),
            ema=0.99,
            clip=20.0,
        )
        return config, training

    def seen_features(self, observation: Observation) -> list[Tensor]:
        """The encoder's features of what was seen."""
        seen = observation.network_input(self.config.mean, self.config.std)
        features: list[Tensor] = self.encoder(self._planes(seen))
        return features

    def prior(self, features: list[Tensor]) -> Normal:
        """p(z | seen part)."""
        return _gaussian(self.encoder.prior(features[-1]))

    def fixed_prior(self, observation: Observation, like: Normal) -> Normal:
        """N(0, s^2), s from 0.17 with everything seen to 1 with nothing seen."""
        seen = observation.mask.flatten(1).mean(1)[:, None, None, None]
        width = (-8 * (seen - 0.8)).sigmoid()
        return Normal(torch.zeros_like(like.loc), width.expand_as(like.loc), validate_args=False)

    def paths(self, scene: Float[Tensor, "B C H W"], observation: Observation) -> Paths:
        """Both paths, latent maps drawn with torch's global generator."""
        mask = observation.mask
        both = self.seen_features(
            Observation(torch.cat([observation.values, scene]), torch.cat([mask, 1 - mask]))
        )
        seen = [each.chunk(2)[0] for each in both]
        prior, posterior = self.prior(seen), _gaussian(self.encoder.posterior(both[-1].chunk(2)[1]))
        z = torch.cat([posterior.rsample(), prior.rsample()])
        images = self.generator(z, [torch.cat([f, f]) for f in seen], torch.cat([mask, mask]))
        reconstructed, generated = zip(
            *(self._image(each).chunk(2) for each in images), strict=True
        )
        return Paths(
            posterior=posterior,
            prior=prior,
            reconstructed=list(reconstructed),
            generated=list(generated),
        )

    def divergences(self, paths: Paths, observation: Observation) -> tuple[Tensor, Tensor]:
        """KL(fixed prior || posterior) and KL(posterior, held constant || prior), in nats.

        Both are averages over the elements of the latent map and the batch.
        """
        q = paths.posterior
        fixed = kl_divergence(self.fixed_prior(observation, q), q).mean()
        held = Normal(q.loc.detach(), q.scale.detach(), validate_args=False)
        return fixed, kl_divergence(held, paths.prior).mean()

    def losses(
        self, scene: Float[Tensor, "B C H W"], observation: Observation
    ) -> tuple[Tensor, Tensor]:
        """The generator's loss and the discriminators', each for its own parameters."""
        config, mask = self.config, observation.mask
        paths = self.paths(scene, observation)
        truth = 2 * scene - 1
        error = scene.new_zeros(())
        for rec, gen in zip(paths.reconstructed, paths.generated, strict=True):
            target = scaled_like(truth, rec)
            seen = scaled_like(mask, rec)
            error = error + (rec - target).abs().mean() + (seen * (gen - target)).abs().mean()
        divergence = config.scales * sum(self.divergences(paths, observation))
        rec, gen = paths.reconstructed[-1], paths.generated[-1]
        real, false = self._scores(self.discriminator, truth, gen)
        real_rec, false_rec = self._scores(self.discriminator_rec, truth, rec)
        judged = frozen(self.discriminator, self._planes(gen))
        judged_rec = frozen(self.discriminator_rec, self._planes(rec))
        adversarial = F.mse_loss(judged, torch.ones_like(judged))
        adversarial = adversarial + F.mse_loss(judged_rec, real_rec.detach())
        generator = config.reconstruction * error + config.divergence * divergence + adversarial
        return generator, _least_squares(real, false) + _least_squares(real_rec, false_rec)

    def loss(
        self,
        scene: Float[Tensor, "B C H W"],
        observation: Observation,
        progress: float = 1.0,
    ) -> Tensor:
        """Sum of all networks' losses, none of which moves another's parameters."""
        generator, discriminators = self.losses(scene, observation)
        return generator + discriminators

    @torch.no_grad()
    def figures(
        self, scene: Float[Tensor, "B C H W"], observation: Observation
    ) -> dict[str, float]:
        """The generator's and discriminators' loss, and the L1 of both paths on hidden pixels."""
        with evaluating(self), torch.random.fork_rng():
            torch.manual_seed(0)
            generator, discriminators = self.losses(scene, observation)
            paths = self.paths(scene, observation)
        hidden = (1 - observation.mask).expand_as(scene)

        def l1(image: Tensor) -> float:
            off = (hidden * (0.5 + 0.5 * image - scene).abs()).sum()
            return float(off / hidden.sum().clamp(min=1))

        return {
            "val_loss": float(generator),
            "val_discriminator_loss": float(discriminators),
            "val_l1_reconstructed": l1(paths.reconstructed[-1]),
            "val_l1_hidden": l1(paths.generated[-1]),
        }

    @torch.no_grad()
    def draw(self, observation: Observation, n: int, seed: Seeds = 0) -> Float[Tensor, "n B C H W"]:
        """`n` scenes decoded from draws of the conditional prior."""
        batch = len(observation)
        noise = SceneNoise(per_scene(seed, batch), observation.device)
        with evaluating(self):
            features = self.seen_features(observation)
            prior = self.prior(features)
            z = prior.loc + prior.scale * noise.normal(n, *prior.loc.shape[1:])
            repeated = [each.repeat(n, 1, 1, 1) for each in features]
            mask = observation.mask.repeat(n, 1, 1, 1)
            image = self._image(self.generator(z.flatten(0, 1), repeated, mask)[-1])
        return (0.5 + 0.5 * image).unflatten(0, (n, batch))

    def _planes(self, image: Tensor) -> Tensor:
        return F.pixel_unshuffle(image, self.config.stem)

    def _image(self, planes: Tensor) -> Tensor:
        return F.pixel_shuffle(planes, self.config.stem)

    def _scores(
        self, discriminator: Discriminator, real: Tensor, false: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Of both batches, to train the discriminator."""
        scores: Tensor = discriminator(self._planes(torch.cat([real, false.detach()])))
        first, second = scores.chunk(2)
        return first, second


def _gaussian(parameters: Float[Tensor, "B 2Z h w"]) -> Normal:
    mean, raw = parameters.float().chunk(2, dim=1)
    return Normal(mean, F.softplus(raw) + 1e-4, validate_args=False)


def _least_squares(real: Tensor, false: Tensor) -> Tensor:
    """A discriminator's loss: 1 for real images, 0 for others."""
    return 0.5 * (((real - 1) ** 2).mean() + (false**2).mean())
