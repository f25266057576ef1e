"""The CNN of the CIFAR-10 inpainting report that fills a hole by squared error alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from boed.completion.adversarial.hole_networks import (
    CONVOLUTIONS,
    DOWNSAMPLINGS,
    Generator,
    resolutions,
)
from boed.completion.adversarial.losses import evaluating, overlap_weights, resting
from boed.completion.learned import LearnedCompleter
from boed.data.observation import Observation
from boed.foundation.checks import at_least, at_most, attributes, more_than
from boed.foundation.options import Switch
from boed.foundation.randomness import Seeds
from boed.foundation.registry import check_known
from boed.foundation.torchvision_compat import torchvision
from boed.training.config import TrainingConfig

TOGETHER = 4
"""Scenes that share their random changes: torchvision draws them once a call."""


@dataclass(frozen=True, kw_only=True)
class HoleFillerConfig:
    """Architecture of a hole filler, and what it is trained by.

    Attributes:
        size: width of the images in pixels.
        channels: image channels.
        encoder: `plain`, of two convolutions a stage, or `vgg`, of three from the third stage on.
        downsampling: by `pool`, or by `stride` of the last convolution of each stage.
        width: features of the first stage; they double twice.
        bottleneck: numbers between encoder and decoder.
        patch: width in pixels of the square in the middle that is made; 0 makes whole scenes.
        overlap: weight in the loss of a seen pixel in the band beside the hidden ones; 0 for none.
        dropout: share of features that a training step leaves out.
        augmentation: whether training scenes are changed in hue, saturation, contrast and blur.
        mean, std: statistics of the training set that standardise the input.

    Raises:
        ValueError: an unknown name, a number out of range, a size that is odd or less than 8, or a
            patch that no doubling of what the encoder leaves comes to.
    """

    size: int
    channels: int
    encoder: str = "plain"
    downsampling: str = "pool"
    width: int = 32
    bottleneck: int = 512
    patch: int = 0
    overlap: float = 0.0
    dropout: float = 0.0
    augmentation: bool = False
    mean: float = 0.5
    std: float = 0.25

    def __post_init__(self) -> None:
        check_known("encoder", self.encoder, CONVOLUTIONS)
        check_known("downsampling", self.downsampling, DOWNSAMPLINGS)
        at_least(1, **attributes(self, "channels", "width", "bottleneck"))
        at_least(0, **attributes(self, "overlap", "dropout"))
        at_most(0.9, dropout=self.dropout)
        more_than(0, std=self.std)
        Switch().check("augmentation", self.augmentation)
        if self.size < 8 or self.size % 2:
            raise ValueError(f"size is {self.size}, expected an even number of at least 8 pixels")
        low, *wider = reversed((self.size, *resolutions(self.size)))
        if self.patch not in (0, low, *wider):
            made = ", ".join(map(str, (0, low, *wider)))
            raise ValueError(f"patch is {self.patch}, expected one of {made} pixels of {self.size}")
        if self.augmentation and self.channels not in (1, 3):
            raise ValueError(
                f"augmentation is of grey or colour images, but channels is {self.channels}; "
                "expected 1 or 3, or no augmentation"
            )

    @property
    def band(self) -> int:
        """Width in pixels of the overlap: 4 of 32, and at least 1."""
        return max(1, round(4 * self.size / 32))


class HoleFiller(LearnedCompleter):
    """One deterministic guess at the hidden pixels by a CNN with a bottleneck.

    The loss is the squared error, summed over channels and averaged over the hidden pixels, which
    is the L2 of the CIFAR-10 inpainting report (its Sec. 1). With `overlap` the seen pixels of a
    band beside them count as well, so much more than a hidden one, for completions without a seam.

    Differences from the report: the mask is read, too, and hidden pixels enter as the mean grey
    (they tried other fills, to no gain); a whole scene is made, so that any mask can be answered.
    `patch` makes the square in the middle alone, as theirs does; hidden pixels outside of it then
    come out as the training set's mean, and no loss counts them. Of its encoders those like
    Inception and ResNet are left out: no sizes are given, and they came out no better than `vgg`.

    All `n` samples are that one scene: an EIG computed from them knows no doubt about pixels.
    """

    merit = "val_mse_hidden"
    Config: ClassVar[type[Any]] = HoleFillerConfig
    config: HoleFillerConfig
    deterministic = True

    def __init__(self, config: HoleFillerConfig) -> None:
        super().__init__(config)
        names = ("channels", "size", "encoder", "downsampling", "width", "bottleneck", "dropout")
        fields = attributes(config, *names)
        self.generator = Generator(**fields, patch=config.patch or config.size)

    def guess(self, observation: Observation, *, rest: bool = False) -> Float[Tensor, "B C H W"]:
        """The scene in [0, 1] as the decoder has it, before what was seen is put back in.

        Args:
            observation: what is seen.
            rest: whether the generator rests: no gradients, and its statistics stay.
        """
        config = self.config
        seen = observation.network_input(config.mean, config.std)
        image = resting(self.generator, seen) if rest else self.generator(seen)
        made: Tensor = 0.5 + 0.5 * image.float().tanh()
        margin = (config.size - made.shape[-1]) // 2
        return F.pad(made, (margin,) * 4, value=config.mean)

    def error(
        self,
        guess: Float[Tensor, "B C H W"],
        scene: Float[Tensor, "B C H W"],
        observation: Observation,
    ) -> Tensor:
        """Squared error, weighted, over the number of hidden pixels; of the patch, if of one."""
        config, mask = self.config, observation.mask
        weights = overlap_weights(mask, band=config.band, weight=config.overlap)
        middle = slice(None)
        if config.patch:
            margin = (config.size - config.patch) // 2
            middle = slice(margin, margin + config.patch)
        squared = (weights * (guess - scene).square())[..., middle, middle].sum()
        return squared / (1 - mask)[..., middle, middle].sum().clamp(min=1)

    def loss(
        self,
        scene: Float[Tensor, "B C H W"],
        observation: Observation,
        progress: float = 1.0,
    ) -> Tensor:
        """The squared error of the guess."""
        scene, observation = self.varied(scene, observation)
        return self.error(self.guess(observation), scene, observation)

    def varied(
        self, scene: Float[Tensor, "B C H W"], observation: Observation
    ) -> tuple[Float[Tensor, "B C H W"], Observation]:
        """Scenes of a training step, changed if they are to be, and what is seen of them."""
        if not (self.training and self.config.augmentation):
            return scene, observation
        scene = augmented(scene)
        return scene, Observation.of(scene, observation.mask)

    @torch.no_grad()
    def figures(
        self, scene: Float[Tensor, "B C H W"], observation: Observation
    ) -> dict[str, float]:
        """The error with its weights, and the mean squared error on the hidden pixels."""
        with evaluating(self):
            guess = self.guess(observation)
            loss = self.error(guess, scene, observation)
        hidden = (1 - observation.mask).expand_as(scene)
        squared = (hidden * (guess - scene).square()).sum()
        mse = squared / hidden.sum().clamp(min=1)
        return {"val_loss": float(loss), "val_mse_hidden": float(mse)}

    @torch.no_grad()
    def draw(self, observation: Observation, n: int, seed: Seeds = 0) -> Float[Tensor, "n B C H W"]:
        """The one guess, `n` times; `seed` changes nothing."""
        with evaluating(self):
            return self.guess(observation).expand(n, -1, -1, -1, -1)


class L2CNN(HoleFiller):
    """The report's vanilla CNN: a hole filler by squared error alone (its Sec. 4).

    `PUBLISHED` has its sizes for the hole of 8 x 8 of 32 pixels, as far as they are given: strides,
    4 x 4 x 256 numbers before a bottleneck of 1,024 filters, dropout 0.5; 9,836,675 parameters,
    of which 576 read the mask. The preset makes whole scenes, pools, has half the features and a
    bottleneck of 512, and no dropout, since it sees its images few times.
    """

    name: ClassVar[str] = "l2-cnn"
    PUBLISHED: ClassVar[HoleFillerConfig] = HoleFillerConfig(
        size=32,
        channels=3,
        downsampling="stride",
        width=64,
        bottleneck=1024,
        patch=8,
        dropout=0.5,
    )

    @classmethod
    def preset(cls, size: int, channels: int) -> tuple[HoleFillerConfig, TrainingConfig]:
        """A narrow network for whole scenes.

        Raises:
            ValueError: the size is not 28, 32 or a multiple of 64.
        """
        training = TrainingConfig(
            steps=4000, batch=32, lr=1e-3, weight_decay=0.0, betas=(0.9, 0.999), ema=0.99
        )
        return HoleFillerConfig(**small(size, channels)), training


def small(size: int, channels: int) -> dict[str, Any]:
    """What the small configurations have for an image size.

    Raises:
        ValueError: a size that is neither 28 or 32 nor a multiple of 64.
    """
    if size not in (28, 32) and (size % 64 or size < 64):
        raise ValueError(f"size {size} has no preset; expected 28, 32 or a multiple of 64")
    return {"size": size, "channels": channels, "width": 32 if size <= 32 else 16}


def augmented(scenes: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
    """Scenes, each four of them changed alike at random, in [0, 1].

    Hue by up to 0.05 of the circle, saturation and contrast by up to a fifth, and, of half of them,
    blur of standard deviation up to 0.7 pixels. The report names these without amounts. Grey
    images have neither hue nor saturation. The random numbers come from torch's global generator.
    """
    torchvision()
    from torchvision.transforms import v2

    change = v2.Compose(
        [
            v2.ColorJitter(hue=0.05, saturation=0.2, contrast=0.2),
            v2.RandomApply([v2.GaussianBlur(5, (0.1, 0.7))], 0.5),
        ]
    )
    return torch.cat([change(part) for part in scenes.split(TOGETHER)]).clamp(0, 1)
