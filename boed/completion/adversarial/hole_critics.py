"""The DCGAN and WGAN inpainters of the CIFAR-10 report: hole fillers that a critic judges, too."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from boed.completion.adversarial.hole_filler import HoleFiller, HoleFillerConfig, small
from boed.completion.adversarial.hole_networks import Critic
from boed.completion.adversarial.losses import resting
from boed.data.observation import Observation
from boed.foundation.checks import at_least, at_most, attributes, more_than
from boed.foundation.options import Switch
from boed.training.config import TrainingConfig


@dataclass(frozen=True, kw_only=True)
class JudgedConfig(HoleFillerConfig):
    """A hole filler with a critic.

    Attributes:
        alpha: weight of the squared error, 1 - alpha being that of the adversarial loss; with 1
            the critic has no turn.
        critic: features of the critic's first stage; its convolutions are those of `encoder`.
        critic_steps: of the critic before each one of the generator.
        pretraining: share of the training, its beginning, by squared error alone.
        separate: whether the critic's batches are of true scenes or of made ones alone, so that
            batch norm lets it tell them apart by the batch, or of both.

    Raises:
        ValueError: as the hole filler's, or a number out of range.
    """

    overlap: float = 20.0
    alpha: float = 0.99
    critic: int = 32
    critic_steps: int = 1
    pretraining: float = 1 / 3
    separate: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(1, **attributes(self, "critic", "critic_steps"))
        at_least(0, **attributes(self, "alpha", "pretraining"))
        at_most(1, **attributes(self, "alpha", "pretraining"))
        Switch().check("separate", self.separate)


class JudgedHoleFiller(HoleFiller):
    """A hole filler that minimises alpha L_rec + (1 - alpha) L_adv, in turns with its critic.

    L_rec is that of `HoleFiller`. The critic judges the whole scene with the seen pixels put back
    in; of a patch without overlap it judges that alone, as theirs did before the overlap trick.
    While one network has its turn, the other rests, its batch statistics and moments, too.
    """

    config: JudgedConfig

    def __init__(self, config: JudgedConfig) -> None:
        super().__init__(config)
        fields = attributes(config, "channels", "encoder")
        self.critic = Critic(**fields, width=config.critic)
        self.critic_turn = False

    def take_turn(self, step: int) -> None:
        """The critic's before each of the generator, which has all of them in pretraining."""
        self.critic_turn = step % (self.config.critic_steps + 1) < self.config.critic_steps

    def loss(
        self,
        scene: Float[Tensor, "B C H W"],
        observation: Observation,
        progress: float = 1.0,
    ) -> Tensor:
        """That of the network whose turn it is."""
        scene, observation = self.varied(scene, observation)
        alpha = self.config.alpha
        judged = alpha < 1 and progress >= self.config.pretraining
        if judged and self.critic_turn:
            made = self.guess(observation, rest=True)
            return self.criticism(*self.scores(scene, observation.composite(made)))
        guess = self.guess(observation)
        error = self.error(guess, scene, observation)
        if not judged:
            return error
        _, made = self.scores(scene, observation.composite(guess), rest=True)
        return alpha * error + (1 - alpha) * self.disbelief(made)

    def scores(
        self,
        true: Float[Tensor, "B C H W"],
        made: Float[Tensor, "B C H W"],
        *,
        rest: bool = False,
    ) -> tuple[Float[Tensor, " B"], Float[Tensor, " B"]]:
        """The critic's of true and of made scenes.

        Args:
            true, made: scenes.
            rest: whether the critic rests: gradients reach the scenes alone.
        """

        def judged(images: Tensor) -> Tensor:
            images = 2 * images - 1
            return resting(self.critic, images) if rest else self.critic(images)

        config = self.config
        if config.patch and not config.overlap:
            margin = (config.size - config.patch) // 2
            true, made = (F.pad(each, (-margin,) * 4) for each in (true, made))
        if config.separate:
            return judged(true), judged(made)
        both = judged(torch.cat([true, made]))
        return both[: len(true)], both[len(true) :]

    @abstractmethod
    def criticism(self, true: Float[Tensor, " B"], made: Float[Tensor, " B"]) -> Tensor:
        """What the critic minimises, of its scores."""

    @abstractmethod
    def disbelief(self, made: Float[Tensor, " B"]) -> Tensor:
        """L_adv, which the generator minimises, of the critic's scores of what it made."""


@dataclass(frozen=True, kw_only=True)
class DCGANFillerConfig(JudgedConfig):
    """A hole filler with the critic of a DCGAN.

    Attributes:
        noisy: whether the critic's labels are drawn: U(0.9, 1.1) for true scenes, U(0, 0.2) for
            made ones.
        flipped: share of the labels that are the other way round.

    Raises:
        ValueError: as those of any critic, or a share that is not one.
    """

    noisy: bool = True
    flipped: float = 0.05

    def __post_init__(self) -> None:
        super().__post_init__()
        Switch().check("noisy", self.noisy)
        at_least(0, flipped=self.flipped)
        at_most(1, flipped=self.flipped)


class DCGANFiller(JudgedHoleFiller):
    """The report's DCGAN inpainter: a critic of log odds that a scene is true (its Sec. 5.1).

    With its tricks: noisy labels, some of them flipped; batches of true and of made scenes apart;
    the generator maximises log D. Labels above 1 are taken for 1: the cross entropy of others has
    no minimum. Ours, as the report gives no numbers: alpha, the share of flipped labels, and
    pretraining by squared error. It could not train its own to satisfaction.

    `PUBLISHED` has the generator of `L2CNN.PUBLISHED`, and a critic of 1,146,561 parameters that
    judges the patch.
    """

    name: ClassVar[str] = "dcgan"
    Config = DCGANFillerConfig
    config: DCGANFillerConfig
    PUBLISHED: ClassVar[DCGANFillerConfig] = DCGANFillerConfig(
        size=32,
        channels=3,
        downsampling="stride",
        width=64,
        bottleneck=1024,
        patch=8,
        overlap=0.0,
        dropout=0.5,
        critic=64,
    )

    @classmethod
    def preset(cls, size: int, channels: int) -> tuple[DCGANFillerConfig, TrainingConfig]:
        """A narrow network for whole scenes, the overlap weighing 20.

        Raises:
            ValueError: the size is not 28, 32 or a multiple of 64.
        """
        training = TrainingConfig(
            steps=6000,
            batch=32,
            lr=1e-3,
            weight_decay=0.0,
            betas=(0.5, 0.999),
            ema=0.99,
            rates={"critic": 0.2},
        )
        return DCGANFillerConfig(**small(size, channels)), training

    def criticism(self, true: Float[Tensor, " B"], made: Float[Tensor, " B"]) -> Tensor:
        losses = [
            F.binary_cross_entropy_with_logits(scores, self.labels(len(scores), real).to(scores))
            for scores, real in ((true, True), (made, False))
        ]
        return torch.stack(losses).sum()

    def disbelief(self, made: Float[Tensor, " B"]) -> Tensor:
        return F.softplus(-made).mean()  # -log D

    def labels(self, number: int, true: bool) -> Float[Tensor, " B"]:
        """What the critic is to say of scenes, in [0, 1]."""
        config = self.config
        low, high = (0.9, 1.1) if true else (0.0, 0.2)
        label = torch.full((number,), float(true))
        if config.noisy:
            label = low + (high - low) * torch.rand(number)
        other = torch.rand(number) < config.flipped
        return torch.where(other, 1 - label, label).clamp(0, 1)


@dataclass(frozen=True, kw_only=True)
class WGANFillerConfig(JudgedConfig):
    """A hole filler with the critic of a WGAN.

    Attributes:
        weight_limit: largest absolute value of the critic's parameters, batch norm's included.

    Raises:
        ValueError: as those of any critic, or a limit that is not positive.
    """

    encoder: str = "vgg"
    alpha: float = 0.9
    critic_steps: int = 10
    weight_limit: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        more_than(0, weight_limit=self.weight_limit)


class WGANFiller(JudgedHoleFiller):
    """The report's WGAN inpainter: a critic whose mean scores are far apart (its Sec. 5.3).

    The critic has ten steps before each one of the generator, and its weights are clipped after
    each update (the report says gradient clipping). Its best results came from the VGG-like encoder
    and an overlap to 16 x 16 pixels that weighs 20, which `PUBLISHED` has: 10,499,139 parameters,
    and 1,736,897 of the critic. An earlier score of theirs was with no adversarial loss at all,
    as their text says: `alpha = 1`.

    A limit of 0.01 (Arjovsky et al. 2017) leaves the scores of true and made scenes at most about
    0.01 apart, since behind batch norm they grow with the square of the limit: beside an error of
    pixels that is not heard. The preset has 0.05 and an alpha of 0.9.
    """

    name: ClassVar[str] = "wgan"
    Config = WGANFillerConfig
    config: WGANFillerConfig
    PUBLISHED: ClassVar[WGANFillerConfig] = WGANFillerConfig(
        size=32, channels=3, width=64, bottleneck=1024, patch=16, dropout=0.5, critic=64
    )

    def __init__(self, config: WGANFillerConfig) -> None:
        super().__init__(config)
        self.after_update()  # the average, which starts here, is to be within bounds, too

    @classmethod
    def preset(cls, size: int, channels: int) -> tuple[WGANFillerConfig, TrainingConfig]:
        """A narrow network for whole scenes; after pretraining about 360 steps of the generator.

        Raises:
            ValueError: the size is not 28, 32 or a multiple of 64.
        """
        training = TrainingConfig(
            steps=6000,
            batch=32,
            lr=1e-3,
            weight_decay=0.0,
            betas=(0.0, 0.99),  # RMSProp, as for WGANs
            ema=0.99,
            rates={"critic": 0.05},
        )
        return WGANFillerConfig(**small(size, channels), weight_limit=0.05), training

    @torch.no_grad()
    def after_update(self) -> None:
        """Clip the critic's parameters."""
        for parameter in self.critic.parameters():
            parameter.clamp_(-self.config.weight_limit, self.config.weight_limit)

    def criticism(self, true: Float[Tensor, " B"], made: Float[Tensor, " B"]) -> Tensor:
        return made.mean() - true.mean()

    def disbelief(self, made: Float[Tensor, " B"]) -> Tensor:
        return -made.mean()

    @torch.no_grad()
    def figures(
        self, scene: Float[Tensor, "B C H W"], observation: Observation
    ) -> dict[str, float]:
        """Those of a hole filler, and the estimate of the Wasserstein distance, up to a factor."""
        figures = super().figures(scene, observation)
        made = observation.composite(self.draw(observation, 1)[0])
        true_scores, made_scores = self.scores(scene, made)
        return figures | {"val_wasserstein": float(true_scores.mean() - made_scores.mean())}
