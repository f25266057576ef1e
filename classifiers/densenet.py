"""DenseNets on partly seen scenes: the AVP-CNN of Harvey et al. 2021, and a small one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


@dataclass(frozen=True)
class DenseNetConfig:
    """A densely connected network on cat(values, mask).

    Attributes:
        size: width of the scenes in pixels.
        channels: image channels.
        outputs: number of logits (K classes, or two per finding).
        kind: `small`, or `densenet121` as in the paper (torchvision's, other input layer).
        stem: space-to-depth factor before the first convolution of the small network.
        width: channels after the first convolution.
        growth: channels that each layer adds.
        layers: layers of each dense block; between blocks width and resolution are halved.
        mean, std: statistics of the training set that standardise the input.
    """

    size: int
    channels: int
    outputs: int
    kind: str = "small"
    stem: int = 2
    width: int = 32
    growth: int = 16
    layers: tuple[int, ...] = (3, 4, 4)
    mean: float = 0.5
    std: float = 0.25


class DenseLayer(nn.Module):
    """Batch norm, ReLU, 3x3 convolution; the output is appended to the input."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(width)
        self.conv = nn.Conv2d(width, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.conv(F.relu(self.norm(x)))], dim=1)


class SmallDenseNet(nn.Module):
    """A DenseNet for 28 to 128 pixels: space-to-depth stem, dense blocks without bottleneck."""

    def __init__(self, config: DenseNetConfig) -> None:
        super().__init__()
        self.stem = config.stem
        inputs = (config.channels + 1) * config.stem**2
        width = config.width
        parts: list[nn.Module] = [nn.Conv2d(inputs, width, 3, padding=1, bias=False)]
        for index, layers in enumerate(config.layers):
            if index:
                parts += [
                    nn.BatchNorm2d(width),
                    nn.ReLU(),
                    nn.Conv2d(width, width // 2, 1, bias=False),
                    nn.AvgPool2d(2),
                ]
                width //= 2
            for _ in range(layers):
                parts.append(DenseLayer(width, config.growth))
                width += config.growth
        self.features = nn.Sequential(*parts, nn.BatchNorm2d(width), nn.ReLU())
        self.output = nn.Linear(2 * width, config.outputs)

    def forward(self, stacked: Float[Tensor, "B C+1 H W"]) -> Float[Tensor, "B K"]:
        features = self.features(F.pixel_unshuffle(stacked, self.stem))
        pooled = torch.cat([features.mean((2, 3)), features.amax((2, 3))], dim=1)
        return self.output(pooled)


def build(config: DenseNetConfig) -> nn.Module:
    """The network that a configuration describes.

    Raises:
        ValueError: an unknown kind, or a size that the stem does not divide.
    """
    if config.kind == "densenet121":
        from data.xrayvision import torchvision

        network = torchvision().models.densenet121(num_classes=config.outputs)
        old = network.features.conv0
        network.features.conv0 = nn.Conv2d(
            config.channels + 1, old.out_channels, old.kernel_size, old.stride, old.padding, bias=False
        )
        return network
    if config.kind != "small":
        raise ValueError(f"kind {config.kind!r}: expected 'small' or 'densenet121'")
    if config.size % config.stem:
        raise ValueError(f"size {config.size} is not a multiple of stem {config.stem}")
    return SmallDenseNet(config)
