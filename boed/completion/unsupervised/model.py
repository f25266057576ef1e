"""Adversarial inpainting from observations alone (Pajot, de Bezenac & Gallinari 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from boed.completion.adversarial.losses import evaluating, frozen
from boed.completion.flow import unet
from boed.completion.learned import Architectures
from boed.completion.unsupervised.generator import (
    GeneratorConfig,
    LatentGenerator,
    Trunk,
    coarse,
    other_masks,
)
from boed.data.observation import Observation
from boed.foundation.checks import at_least, attributes
from boed.foundation.registry import check_known
from boed.training.config import TrainingConfig

SUPERVISIONS = ("none", "unpaired", "paired")
"""What is known of whole scenes in training, in the words of the paper's Table 2."""

REGRESSION = 10.0
"""Weight of the squared error where scenes are paired, of pixels in [-1, 1]; the paper has none."""


TRAINING = TrainingConfig(
    steps=6000, batch=32, lr=2e-4, weight_decay=0.0, betas=(0.0, 0.99), ema=0.99
)
"""Of the preset for any scenes."""


@dataclass(frozen=True, kw_only=True)
class UnsupervisedConfig(GeneratorConfig):
    """Architecture of the three networks, and what they are trained by.

    Attributes:
        encode_z: weight of the loss of Eq. 6; 0 leaves it out.
        encode_y: weight of the loss of Eq. 7; 0 leaves it out, its adversarial part, too.
        supervision: what is known of whole scenes: `none`; `unpaired`, D judges them against
            completions; `paired`, completions are fitted to them, too. The two have no encoder.

    Raises:
        ValueError: a negative weight, or another supervision.
    """

    encode_z: float = 1.0
    encode_y: float = 1.0
    supervision: str = "none"

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(0, **attributes(self, "encode_z", "encode_y"))
        check_known("supervision", self.supervision, SUPERVISIONS)


def digits(size: int, channels: int) -> tuple[UnsupervisedConfig, TrainingConfig]:
    """Networks that work on blocks of 4 x 4 pixels, for some 10 CPU minutes on digits of 32.

    Raises:
        ValueError: the size is neither 28 nor a multiple of 16.
    """
    training = replace(TRAINING, steps=5000, lr=4e-4, ema=0.995, every=100)
    return UnsupervisedConfig(**coarse(size, channels)), training


class Unsupervised(LatentGenerator):
    """A generator that a discriminator of observations cannot tell from the sensor.

    G makes a scene of an observation y and of z ~ N(0, I); what was seen is put back in. D judges y
    against that scene seen under another mask of the same law (Eq. 5), in the non-saturating form
    of the hinge loss. Two losses keep z from being ignored: an encoder E finds z again in the
    pixels that were made (Eq. 6); and with z = E(y), y is restored from the other observation
    (Eq. 7). Of whole scenes no more is looked at than what is seen of them, unless `supervision`
    says so: the paper's two baselines that know more.

    Differences from the paper: masks are those of other scenes in the batch, which have the law of
    the data whatever it is; hidden pixels enter as the mean grey with the mask as a channel, to D
    and E, too, so that true pixels of that grey are not taken for hidden; the networks are small,
    without batch norm; E is deterministic, as in the authors' code, and is trained, which it is
    not there; where scenes are paired D reads the mask beside the scene, and so what was seen.
    """

    name: ClassVar[str] = "unsup"
    architectures: ClassVar[Architectures] = {"digits": digits}
    Config = UnsupervisedConfig
    config: UnsupervisedConfig

    def __init__(self, config: UnsupervisedConfig) -> None:
        super().__init__(config)
        self.discriminator = Trunk(config, 1)
        self.encoder = Trunk(config, config.latent)

    @classmethod
    def preset(cls, size: int, channels: int) -> tuple[UnsupervisedConfig, TrainingConfig]:
        """A small U-Net and small trunks.

        Raises:
            ValueError: the size is neither 28 nor a multiple of 16.
        """
        return UnsupervisedConfig(**vars(unet.small(size, channels))), TRAINING

    def check_source(self, source: str) -> None:
        """See `LearnedCompleter`."""
        if source == "observations" and self.config.supervision != "none":
            raise ValueError(
                f"supervision is {self.config.supervision!r}, which needs whole scenes, but "
                "learns_from is 'observations'; expected supervision 'none', or whole scenes"
            )

    def loss(
        self,
        scene: Float[Tensor, "B C H W"],
        observation: Observation,
        progress: float = 1.0,
    ) -> Tensor:
        """That of the network whose turn it is, by what `supervision` lets it know of scenes."""
        if self.config.supervision == "none":
            return self.partial_loss(observation, observation, progress)
        with torch.set_grad_enabled(not self.critic_turn):
            x = observation.composite(self.made(observation, self.noise(observation)))
        paired = self.config.supervision == "paired"
        beside = observation.mask if paired else torch.ones_like(observation.mask)
        judged = [torch.cat([self.standardised(each), beside], dim=1) for each in (scene, x)]
        total = self.adversarial(judged[0], judged[1:])
        if self.critic_turn or not paired:
            return total
        missed = (2 * (x - scene)).square().sum()  # of hidden pixels alone: the rest was put in
        hidden = (1 - observation.mask).sum() * observation.channels
        return total + REGRESSION * missed / hidden.clamp(min=1)

    def partial_loss(
        self, measured: Observation, observation: Observation, progress: float = 1.0
    ) -> Tensor:
        """Their Eq. 8, of the network whose turn it is; what is shown is all that was measured."""
        config, y = self.config, measured
        z = self.noise(y)
        mask = other_masks(y)
        with torch.set_grad_enabled(not self.critic_turn):
            x = y.composite(self.made(y, z))
            other = Observation.of(x, mask)  # y~ = F(x~, m~)
            judged = [other]
            if config.encode_y:
                again = other.composite(self.made(other, self.encoded(y)))
                judged.append(Observation.of(again, y.mask))  # y^ = F(x^, m_y)
        total = self.adversarial(self.read(y), [self.read(each) for each in judged])
        if self.critic_turn:
            return total
        if config.encode_z:
            hidden = Observation.of(x, 1 - y.mask)
            total = total + config.encode_z * (z - self.encoded(hidden)).square().mean()  # Eq. 6
        if config.encode_y:
            missed = ((y.values - again).square() * y.mask).sum()
            total = total + config.encode_y * missed / (y.mask.sum() * y.channels)  # Eq. 7
        return total

    def adversarial(
        self, real: Float[Tensor, "B C+1 H W"], made: Sequence[Float[Tensor, "B C+1 H W"]]
    ) -> Tensor:
        """The hinge loss of D, or what G minimises through a D that rests."""
        if self.critic_turn:
            first, *rest = self.discriminator(torch.cat([real, *made])).split(len(real))
            return hinge(first, rest)
        with evaluating(self.discriminator):
            scores = frozen(self.discriminator, torch.cat([*made])).split(len(real))
        return -torch.stack([each.mean() for each in scores]).sum()

    def encoded(self, observation: Observation) -> Float[Tensor, "B Z"]:
        """z as E finds it in what is seen."""
        z: Tensor = self.encoder(self.read(observation))
        return z


def hinge(real: Tensor, made: Sequence[Tensor]) -> Tensor:
    """What a discriminator minimises: mean max(0, 1 - D(real)) + mean max(0, 1 + D(made)).

    >>> float(hinge(torch.tensor([2.0, 0.5]), [torch.tensor([-3.0, 0.0])]))
    0.75

    Args:
        real: scores of what the sensor recorded.
        made: scores of each kind of what was made; their mean counts as one.
    """
    against = torch.stack([(1 + each).relu().mean() for each in made]).mean()
    return (1 - real).relu().mean() + against
