"""Conditional PixelCNN (van den Oord et al. 2016): a vector of what is seen in every layer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from boed.completion.autoregressive.base import Autoregressive
from boed.completion.autoregressive.pixel_constrained import PixelCNNConfig
from boed.completion.autoregressive.stepping import PixelSteps
from boed.completion.learned import Architectures
from boed.data.observation import Observation
from boed.foundation.checks import at_least


@dataclass(frozen=True, kw_only=True)
class ConditionalPixelCNNConfig(PixelCNNConfig):
    """Architecture of a Conditional PixelCNN.

    Attributes:
        code: length of the vector that says what is seen.
    """

    code: int = 128

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(1, code=self.code)


class Encoder(nn.Module):
    """Seen pixels and their mask to a vector, by convolutions that halve the image."""

    def __init__(self, config: ConditionalPixelCNNConfig) -> None:
        super().__init__()
        features, width = config.channels + 1, config.size
        layers: list[nn.Module] = []
        while width > 4:
            layers.append(nn.Conv2d(features, 2 * config.filters, 3, stride=2, padding=1))
            features, width = 2 * config.filters, (width + 1) // 2
        self.layers = nn.ModuleList(layers)
        self.leave = nn.Linear(features * width**2, config.code)

    def forward(self, seen: Float[Tensor, "B I H W"]) -> Float[Tensor, "B K"]:
        for layer in self.layers:
            seen = F.relu(layer(seen))
        code: Tensor = self.leave(seen.flatten(1))
        return code


class ConditionalPixelCNN(Autoregressive):
    """A gated PixelCNN whose every layer is given a vector h, by V h (van den Oord 2016, Eq. 4).

    The baseline of Dupont & Suresha 2019, who say no more of it than that h is of the masked
    image. Here h are 128 numbers of an encoder that reads what is seen and its mask. Every
    pixel is given the same V h, whatever lies beside it, so it may draw what does not fit.
    """

    name: ClassVar[str] = "pixelcnn-c"
    Config = ConditionalPixelCNNConfig
    config: ConditionalPixelCNNConfig
    architectures: ClassVar[Architectures] = {
        "binary": partial(ConditionalPixelCNNConfig.small, levels=2)
    }

    def __init__(self, config: ConditionalPixelCNNConfig) -> None:
        super().__init__(config)
        self.encoder = Encoder(config)
        self.network = config.network(config.code)

    def condition(self, observation: Observation) -> Float[Tensor, "B K"]:
        """The vector h."""
        code: Tensor = self.encoder(self.network_input(observation))
        return code

    def logits(
        self, image: Float[Tensor, "B C H W"], condition: Tensor
    ) -> Float[Tensor, "B L C H W"]:
        logits: Tensor = self.network(image, condition)
        return logits

    def steps(self, image: Float[Tensor, "N C H W"], condition: Tensor) -> PixelSteps:
        return PixelSteps(self.network, image, code=condition)

    def loss(
        self,
        scene: Float[Tensor, "B C H W"],
        observation: Observation,
        progress: float = 1.0,
    ) -> Tensor:
        """Cross entropy in nats per channel of a pixel; seen ones count as well."""
        logits = self.logits(self.quantised(scene), self.condition(observation))
        return self.cross_entropy(logits, scene).mean()
