"""Pixel Constrained CNN (Dupont & Suresha 2019): a PixelCNN and a network over what is seen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from boed.completion.adversarial.losses import evaluating
from boed.completion.autoregressive.base import Autoregressive, hidden
from boed.completion.autoregressive.conditioning import NORMS, ConditioningNetwork
from boed.completion.autoregressive.configuration import AutoregressiveConfig
from boed.completion.autoregressive.layers import GatedPixelCNN
from boed.completion.autoregressive.stepping import PixelSteps
from boed.completion.learned import Architectures
from boed.data.observation import Observation
from boed.foundation.checks import at_least, attributes
from boed.foundation.registry import check_known
from boed.training.config import TrainingConfig


@dataclass(frozen=True, kw_only=True)
class PixelCNNConfig(AutoregressiveConfig):
    """Architecture of a gated PixelCNN, which a subclass lets know what is seen.

    Attributes:
        filters: features of each stack, a multiple of the channels.
        kernel: width of all layers but the first, in pixels.
        first_kernel: width of the first layer.
        blocks: gated layers after the first.
        hidden: features of a layer before the last one, a multiple of the channels; 0 has none.

    Raises:
        ValueError: a number out of range, or features that the channels cannot share.
    """

    filters: int = 32
    kernel: int = 3
    first_kernel: int = 7
    blocks: int = 6
    hidden: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(1, **attributes(self, "filters", "blocks"))
        at_least(0, hidden=self.hidden)
        self.check_widths("kernel", "first_kernel")
        self.check_shared("filters", "hidden")

    @classmethod
    def small_fields(cls, size: int, channels: int, levels: int | None) -> dict[str, Any]:
        wide = {"filters": 16 * channels, "hidden": 32 * channels} if channels > 1 else {}
        return {**super().small_fields(size, channels, levels), **wide}

    def network(self, code: int = 0) -> GatedPixelCNN:
        """The PixelCNN, untrained."""
        shape = attributes(self, "channels", "levels", "filters", "kernel", "first_kernel")
        return GatedPixelCNN(**shape, blocks=self.blocks, hidden=self.hidden, code=code)


@dataclass(frozen=True, kw_only=True)
class PixelConstrainedConfig(PixelCNNConfig):
    """Architecture of a Pixel Constrained CNN: a PixelCNN and a residual network.

    Attributes:
        dilations: of each residual block of the network over what is seen.
        norm: `batch`, as published, or `group`.
        alpha: weight of the network over what is seen in the loss, by itself (Eq. 4).
    """

    dilations: tuple[int, ...] = (1, 2, 4, 8, 1)
    norm: str = "group"
    alpha: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "dilations", tuple(self.dilations))  # files have lists
        for each in self.dilations:
            at_least(1, dilations=each)
        check_known("norm", self.norm, NORMS)
        at_least(0, alpha=self.alpha)

    @classmethod
    def small_fields(cls, size: int, channels: int, levels: int | None) -> dict[str, Any]:
        dilations = (1, 2, 4, 8, 1) if size <= 32 else (1, 2, 4, 8, 16, 1)
        return {**super().small_fields(size, channels, levels), "dilations": dilations}


_TRAINING = TrainingConfig(
    steps=46_900, batch=64, lr=4e-4, weight_decay=0.0, betas=(0.9, 0.999), precision="fp32"
)

PUBLISHED: dict[str, tuple[PixelConstrainedConfig, TrainingConfig]] = {
    "mnist": (
        PixelConstrainedConfig(
            size=28,
            channels=1,
            levels=2,
            filters=32,
            kernel=5,
            first_kernel=5,
            blocks=14,
            dilations=(1,) * 14,
            norm="batch",
        ),
        _TRAINING,
    ),
    "celeba": (
        PixelConstrainedConfig(
            size=32,
            channels=3,
            levels=32,
            filters=66,
            kernel=5,
            first_kernel=5,
            blocks=16,
            hidden=1023,
            dilations=(1,) * 16,
            norm="batch",
        ),
        replace(_TRAINING, steps=152_597),
    ),
}
"""Of Dupont & Suresha 2019, App. A and B: 50 epochs of MNIST, 60 of CelebA's training images."""


class PixelConstrained(Autoregressive):
    """log p(x | c) = sum over hidden i of log p(x_i | x before i, c) (Dupont & Suresha 2019).

    The logits of a pixel (Eq. 2) are those of a gated PixelCNN, which sees the pixels before it,
    plus those of a residual network, which sees what is seen anywhere. The loss is the cross
    entropy of both together and, `alpha` times, of the residual network alone (Eq. 4), over all
    pixels and channels; without the second one the network over what is seen may be ignored.

    Differences of the small presets from `PUBLISHED`: a first layer of 7 x 7 and others of 3 x 3;
    in the residual network dilations, by which five layers see the whole image, and group norm,
    which keeps no statistics of the masks of training. Everywhere: seen pixels are quantised for
    both networks, into equal bins.
    """

    name: ClassVar[str] = "pc-cnn"
    Config = PixelConstrainedConfig
    config: PixelConstrainedConfig
    architectures: ClassVar[Architectures] = {
        "binary": partial(PixelConstrainedConfig.small, levels=2),
        "mnist": lambda size, channels: PUBLISHED["mnist"],
        "celeba": lambda size, channels: PUBLISHED["celeba"],
    }

    def __init__(self, config: PixelConstrainedConfig) -> None:
        super().__init__(config)
        self.prior = config.network()
        self.conditioning = ConditioningNetwork(
            config.channels + 1,
            config.channels * config.levels,
            filters=config.filters,
            kernel=config.kernel,
            first_kernel=config.first_kernel,
            dilations=config.dilations,
            kind=config.norm,
        )

    def condition(self, observation: Observation) -> Float[Tensor, "B L C H W"]:
        """The logits of the network over what is seen."""
        logits: Tensor = self.conditioning(self.network_input(observation))
        return logits.unflatten(1, (self.config.channels, self.levels)).transpose(1, 2)

    def logits(
        self, image: Float[Tensor, "B C H W"], condition: Tensor
    ) -> Float[Tensor, "B L C H W"]:
        prior: Tensor = self.prior(image)
        return prior + condition

    def steps(self, image: Float[Tensor, "N C H W"], condition: Tensor) -> PixelSteps:
        return PixelSteps(self.prior, image, added=condition)

    def loss(
        self,
        scene: Float[Tensor, "B C H W"],
        observation: Observation,
        progress: float = 1.0,
    ) -> Tensor:
        """Eq. 4 in nats per channel of a pixel; seen ones count as well, as in the paper's code."""
        condition = self.condition(observation)
        both = self.cross_entropy(self.logits(self.quantised(scene), condition), scene).mean()
        if self.config.alpha == 0:
            return both
        return both + self.config.alpha * self.cross_entropy(condition, scene).mean()

    @torch.no_grad()
    def figures(
        self, scene: Float[Tensor, "B C H W"], observation: Observation
    ) -> dict[str, float]:
        """Also the cross entropy of the network over what is seen, by itself, a hidden number."""
        figures = super().figures(scene, observation)
        with evaluating(self):
            alone = self.cross_entropy(self.condition(observation), scene)
        where = hidden(observation).expand_as(scene)
        nats = float((alone * where).sum() / where.sum().clamp(min=1))
        return {**figures, "val_nats_seen_alone": nats}
