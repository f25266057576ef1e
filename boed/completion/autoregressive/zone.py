"""The greedy PixelCNN of the CIFAR-10 inpainting report: a pixel from a zone of 5 x 5."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from boed.completion.autoregressive.configuration import AutoregressiveConfig
from boed.completion.autoregressive.stepping import Canvas
from boed.completion.autoregressive.unconditional import Unconditional
from boed.completion.learned import Architectures
from boed.completion.levels import to_level
from boed.data.observation import Observation
from boed.foundation.checks import at_least, at_most, attributes

ZONE = 5
"""Its width in pixels; the pixel that is drawn is its last one, at the bottom on the right."""

AT_ONCE = 16_384
"""Most zones that go through the network at once where all of an image are asked for."""


@dataclass(frozen=True, kw_only=True)
class ZonePixelCNNConfig(AutoregressiveConfig):
    """Architecture of a PixelCNN over zones.

    Attributes:
        filters: features.
        dropout: share of features that a training step leaves out.
        zones: pixels that a training step learns from, drawn at random from its images.
        temperature: 0 as in the report, which takes the likeliest level; 1 draws samples.

    Raises:
        ValueError: a number out of range.
    """

    filters: int = 64
    dropout: float = 0.5
    zones: int = 4096
    temperature: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(1, **attributes(self, "filters", "zones"))
        at_least(0, dropout=self.dropout)
        at_most(0.9, dropout=self.dropout)


class ZoneNetwork(nn.Module):
    """Three convolutions that end in one number a feature, and a last layer for each channel."""

    def __init__(self, *, channels: int, levels: int, filters: int, dropout: float) -> None:
        super().__init__()
        sizes = ((channels, 3), (filters, 3), (filters, 1))  # features that come in, width
        self.convolutions = nn.ModuleList(nn.Conv2d(into, filters, width) for into, width in sizes)
        self.dropout = nn.Dropout(dropout)
        self.leave = nn.ModuleList(nn.Linear(filters, levels) for _ in range(channels))

    def forward(self, zones: Float[Tensor, "N C 5 5"], channel: int) -> Float[Tensor, "N L"]:
        """The logits of a channel of the last pixel of each zone.

        Args:
            zones: of the last pixel the channels from this one on are not looked at.
            channel: of the image.
        """
        x = zones.clone()
        x[:, channel:, -1, -1] = 0
        for layer in self.convolutions:
            x = self.dropout(F.leaky_relu(layer(x)))
        logits: Tensor = self.leave[channel](x.flatten(1))
        return logits


class ZoneSteps:
    """`Steps` of a PixelCNN over zones, which has nothing to remember."""

    reach = 0

    def __init__(self, network: ZoneNetwork, image: Float[Tensor, "N C H W"]) -> None:
        self.network = network
        self.canvas = Canvas(image, above=ZONE - 1, left=ZONE - 1)
        self.image = self.canvas.image
        self.row = 0

    def begin(self, row: int) -> None:
        self.row = row

    def step(self, column: int, channel: int) -> Float[Tensor, "N L"]:
        rows = self.canvas.pixels[self.row : self.row + ZONE, :, column : column + ZONE]
        logits: Tensor = self.network(rows.permute(1, 3, 0, 2), channel)
        return logits

    def skip(self, column: int) -> None:
        pass


class ZonePixelCNN(Unconditional):
    """p(pixel | 24 neighbours above and on the left), each channel given those before it.

    As the CIFAR-10 report has it: the zone of 5 x 5 whose last pixel is drawn, so of the rows above
    nothing on the right; convolutions with leaky ReLU and dropout, no pooling, a softmax for each
    channel; the likeliest level is taken, pixel after pixel, so all completions of an observation
    are equal. With `temperature = 1` levels are drawn. Ours, as the report does not say: 64
    features, convolutions 3, 3 and 1 pixels wide, zeros outside of the image, fewer levels than
    256. Neither the likeliest image nor the one of least squared error comes out of likeliest
    pixels. Nothing that is seen after a pixel is looked at (`Unconditional`).
    """

    name: ClassVar[str] = "pixelcnn-zone"
    Config = ZonePixelCNNConfig
    config: ZonePixelCNNConfig
    architectures: ClassVar[Architectures] = {"binary": partial(ZonePixelCNNConfig.small, levels=2)}

    def __init__(self, config: ZonePixelCNNConfig) -> None:
        super().__init__(config)
        fields = attributes(config, "channels", "levels", "filters", "dropout")
        self.network = ZoneNetwork(**fields)

    def logits(
        self, image: Float[Tensor, "B C H W"], condition: Tensor
    ) -> Float[Tensor, "B L C H W"]:
        pieces = zones(image).split(AT_ONCE)
        channels = [
            torch.cat([self.network(each, channel) for each in pieces])
            for channel in range(image.shape[1])
        ]
        logits = torch.stack(channels, dim=1)  # [B H W, C, L]
        height, width = image.shape[2:]
        return logits.unflatten(0, (-1, height, width)).permute(0, 4, 3, 1, 2)

    def steps(self, image: Float[Tensor, "N C H W"], condition: Tensor) -> ZoneSteps:
        return ZoneSteps(self.network, image)

    def loss(
        self,
        scene: Float[Tensor, "B C H W"],
        observation: Observation,
        progress: float = 1.0,
    ) -> Tensor:
        """Cross entropy of random pixels, seen or not, in nats per channel of a pixel."""
        image = self.quantised(scene)
        every = zones(image)
        some = every[torch.randint(len(every), (self.config.zones,), device=every.device)]
        values = to_level(some[:, :, -1, -1], self.levels)
        nats = [
            F.cross_entropy(self.network(some, channel), level)
            for channel, level in enumerate(values.unbind(1))
        ]
        return torch.stack(nats).mean()


def zones(image: Float[Tensor, "B C H W"]) -> Float[Tensor, "B*H*W C 5 5"]:
    """The zone of each pixel, with zeros outside of the image."""
    wider = F.pad(image, (ZONE - 1, 0, ZONE - 1, 0))
    return wider.unfold(2, ZONE, 1).unfold(3, ZONE, 1).permute(0, 2, 3, 1, 4, 5).flatten(0, 2)
