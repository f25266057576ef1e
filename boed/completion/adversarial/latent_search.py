"""Semantic inpainting: search for the z whose scene fits what was seen (Yeh et al. 2017)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from boed.completion.adversarial.dcgan import DCGAN, MADE, REAL, DCGANConfig
from boed.completion.adversarial.losses import evaluating, frozen
from boed.completion.classical.blending import poisson_blend
from boed.completion.evaluation.realism import kernel_distance
from boed.completion.learned import LearnedCompleter
from boed.data.observation import Observation
from boed.foundation.checks import at_least, more_than
from boed.foundation.randomness import SceneNoise, Seeds, per_scene
from boed.foundation.registry import check_known
from boed.training.config import TrainingConfig

NORMS = ("l1", "l2")
PRIORS = ("saturating", "non-saturating")
BLENDS = ("poisson", "overlay")

AT_ONCE = 128
"""Completions that are searched for together."""


@dataclass(frozen=True, kw_only=True)
class GANLatentConfig(DCGANConfig):
    """A DCGAN, and how its latent space is searched.

    Attributes:
        iterations: steps of Adam.
        rate: its learning rate; the paper does not say theirs.
        prior: weight lambda of the prior loss; 0 leaves the discriminator out.
        prior_form: `saturating`, log(1 - D) as in the paper, or `non-saturating`, -log D as in
            public code.
        norm: of the context loss, `l1`, or `l2`, the sum of squares.
        weighted: whether seen pixels count by how much is hidden around them; all alike if not.
        window: width of that neighbourhood in pixels, odd.
        blend: `poisson`, or `overlay`: what was seen is laid over what was made.

    Raises:
        ValueError: a number out of its range, or a name that there is not.
    """

    iterations: int = 1500
    rate: float = 0.03
    prior: float = 0.003
    prior_form: str = "saturating"
    norm: str = "l1"
    weighted: bool = True
    window: int = 7
    blend: str = "poisson"

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(1, iterations=self.iterations)
        more_than(0, rate=self.rate)
        at_least(0, prior=self.prior)
        check_known("prior_form", self.prior_form, PRIORS)
        check_known("norm", self.norm, NORMS)
        check_known("blend", self.blend, BLENDS)
        if self.window < 3 or self.window % 2 == 0:
            raise ValueError(f"window is {self.window}, expected an odd number of at least 3")


@dataclass(frozen=True, kw_only=True, eq=False)
class Searched:
    """Where searches have come to.

    Attributes:
        z: within [-1, 1], `[n, B, Z]`.
        made: G(z) in [0, 1], `[n, B, C, H, W]`.
        context, prior: the two losses there, `[n, B]`.
    """

    z: Float[Tensor, "n B Z"]
    made: Float[Tensor, "n B C H W"]
    context: Float[Tensor, "n B"]
    prior: Float[Tensor, "n B"]


class GANLatent(LearnedCompleter):
    """Scenes of a GAN that never saw a mask, searched for by gradients from random z on.

    Minimises ||W (G(z) - y)||_1 + lambda log(1 - D(G(z))) over z in [-1, 1]^Z by Adam, z clipped in
    each step, and blends what comes out with what was seen, y. As in the paper the norm is a sum
    over pixels in [-1, 1]: with other sizes and channels lambda means something else. Where nothing
    was seen there is nothing to fit, and G(z) of a random z comes out; the prior loss alone would
    drive all z to the discriminator's favourite scene.

    Completions are local minima from random starts: no samples of a posterior, and likely surer
    than one. Each takes `iterations` passes through both networks. The generator and discriminator
    are trained on whole scenes (`DCGAN`), and judged on val by the kernel distance of pixels.

    Neither channels nor kernels are in the paper. `PUBLISHED` has 1024 channels at 4 pixels, as
    Radford et al. 2016 (Fig. 1), and a discriminator in reverse: 12,658,435 and 11,052,674
    parameters; the presets are narrower and take 250 iterations of a higher rate.
    """

    name: ClassVar[str] = "gan-latent"
    merit = "val_kernel_distance"
    Config = GANLatentConfig
    config: GANLatentConfig
    PUBLISHED: ClassVar[GANLatentConfig] = GANLatentConfig(
        size=64, channels=3, width=128, critic=128, flips=True
    )

    def __init__(self, config: GANLatentConfig) -> None:
        super().__init__(config)
        self.gan = DCGAN(config)

    @classmethod
    def preset(cls, size: int, channels: int) -> tuple[GANLatentConfig, TrainingConfig]:
        """A narrow GAN and a short search; scenes in colour are flipped, too.

        Raises:
            ValueError: the size is not 28, 32 or a multiple of 64.
        """
        if size not in (28, 32) and size % 64:
            raise ValueError(f"size {size} has no preset; expected 28, 32 or a multiple of 64")
        width = 48 if channels > 1 else 32 if size < 64 else 24
        config = GANLatentConfig(
            size=size,
            channels=channels,
            width=width,
            critic=width,
            flips=channels > 1,
            iterations=250,
            rate=0.05,
        )
        training = TrainingConfig(
            steps=4000,
            batch=32,
            lr=2e-4,
            weight_decay=0.0,
            betas=(0.5, 0.999),
            ema=0.99,
            every=2000,  # a validation draws samples, which takes as long as 250 steps
        )
        return config, training

    def loss(
        self,
        scene: Float[Tensor, "B C H W"],
        observation: Observation,
        progress: float = 1.0,
    ) -> Tensor:
        """Sum of both networks' losses on whole scenes, neither of which moves the other's."""
        generator, discriminator = self.gan.losses(scene)
        return generator + discriminator

    @torch.no_grad()
    def figures(
        self, scene: Float[Tensor, "B C H W"], observation: Observation
    ) -> dict[str, float]:
        """Both losses, and the kernel distance of pixels between scenes and as many made ones."""
        with evaluating(self), torch.random.fork_rng():
            torch.manual_seed(0)
            generator, discriminator = self.gan.losses(scene)
            z = 2 * torch.rand(len(scene), self.config.latent) - 1
            made = 0.5 + 0.5 * self.gan.generator(z.to(scene.device))
        return {
            "val_generator_loss": float(generator),
            "val_discriminator_loss": float(discriminator),
            "val_kernel_distance": kernel_distance(scene.flatten(1), made.flatten(1)),
        }

    @torch.no_grad()
    def draw(self, observation: Observation, n: int, seed: Seeds = 0) -> Float[Tensor, "n B C H W"]:
        """`n` scenes of as many searches: as made on the seen pixels, blended on the hidden ones.

        A scene seen whole comes back; blended values are clamped to [0, 1].
        """
        made = self.search(observation, n, seed).made
        if self.config.blend == "poisson":
            blended = poisson_blend(made, observation).clamp(0, 1)
            made = torch.where(observation.mask > 0, made, blended)
        whole = observation.mask.amin((1, 2, 3), keepdim=True) > 0
        return torch.where(whole, observation.values, made)

    @torch.no_grad()
    def search(self, observation: Observation, n: int, seed: Seeds = 0) -> Searched:
        """`n` searches for each observation, before anything is blended."""
        batch = len(observation)
        noise = SceneNoise(per_scene(seed, batch), observation.device)
        z = (2 * noise.uniform(n, self.config.latent) - 1).flatten(0, 1)
        given = observation.repeat(n)
        ended = []
        with evaluating(self):
            for rows in torch.arange(n * batch, device=observation.device).split(AT_ONCE):
                ended.append(self._searched(z[rows], given[rows]))
        parts = [torch.cat(part).unflatten(0, (n, batch)) for part in zip(*ended, strict=True)]
        return Searched(z=parts[0], made=0.5 + 0.5 * parts[1], context=parts[2], prior=parts[3])

    def losses(
        self, z: Float[Tensor, "B Z"], observation: Observation
    ) -> tuple[Float[Tensor, "B C H W"], Float[Tensor, " B"], Float[Tensor, " B"]]:
        """G(z) in [-1, 1], context loss and prior loss of each z; networks are constant."""
        image = frozen(self.gan.generator, z).float()
        off = image - (2 * observation.values - 1)
        each = off.abs() if self.config.norm == "l1" else off.square()
        context = (self.weights(observation.mask) * each).sum((1, 2, 3))
        if self.config.prior == 0:
            return image, context, torch.zeros_like(context)
        judged = frozen(self.gan.discriminator, image).float().log_softmax(1)
        saturating = self.config.prior_form == "saturating"
        prior = judged[:, MADE] if saturating else -judged[:, REAL]
        return image, context, self.config.prior * prior

    def weights(self, mask: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B 1 H W"]:
        """W of seen pixels, 0 for hidden ones."""
        return context_weights(mask, self.config.window) if self.config.weighted else mask

    def _searched(
        self, z: Float[Tensor, "b Z"], given: Observation
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """z after the search, with what `losses` says of it."""
        partly = (given.mask.amax((1, 2, 3)) > 0) & (given.mask.amin((1, 2, 3)) < 1)
        if partly.any():
            z = z.index_put((partly,), self._minimised(z[partly], given[partly]))
        return z, *self.losses(z, given)

    def _minimised(self, z: Float[Tensor, "b Z"], given: Observation) -> Float[Tensor, "b Z"]:
        """Each z by steps of its own: the sum of the losses couples none of them."""
        z = z.clone().requires_grad_()
        optimiser = torch.optim.Adam([z], lr=self.config.rate)
        for _ in range(self.config.iterations):
            with torch.enable_grad():
                _, context, prior = self.losses(z, given)
                (z.grad,) = torch.autograd.grad((context + prior).sum(), z)
            optimiser.step()
            z.data.clamp_(-1, 1)
        return z.detach()


def context_weights(mask: Float[Tensor, "B 1 H W"], window: int = 7) -> Float[Tensor, "B 1 H W"]:
    """How much of its neighbourhood is hidden, for seen pixels; 0 for hidden ones.

    W_i = sum_{j in N(i)} (1 - M_j) / |N(i)| where M_i = 1, N(i) the window around pixel i as far as
    it lies inside the image (Yeh et al. 2017, Sec. 3.1).
    """
    hidden = F.avg_pool2d(1 - mask, window, 1, window // 2, count_include_pad=False)
    return mask * hidden
