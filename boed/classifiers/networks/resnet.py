"""A residual network for small images: ResNet-18's stages at any width (He et al. 2016)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from boed.classifiers.networks.densenet import (
    ConvNorm,
    ConvNormReLU,
    DenseNetConfig,
    FoldingNetwork,
)

STAGES = 4
BLOCKS = 2
"""Of each stage, as in ResNet-18."""


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut, which is a 1x1 convolution where shapes change."""

    def __init__(self, width_in: int, width_out: int, stride: int) -> None:
        super().__init__()
        self.first = ConvNormReLU(width_in, width_out, 3, stride=stride)
        self.second = ConvNorm(width_out, width_out, 3)
        same = stride == 1 and width_in == width_out
        self.shortcut = nn.Identity() if same else ConvNorm(width_in, width_out, 1, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.second(self.first(x)) + self.shortcut(x))


class SmallResNet(FoldingNetwork):
    """Four stages of two residual blocks, the first at the resolution behind the stem.

    With stem 1 and width 64 it has the layers of ResNet-18 with the 3x3 first convolution that
    32-pixel images are given.
    """

    @staticmethod
    def layers(config: DenseNetConfig) -> tuple[list[nn.Module], int]:
        """The layers behind the stem, and the channels that the last one returns."""
        inputs = (config.channels + 1) * config.stem**2
        width = config.width
        parts: list[nn.Module] = [ConvNormReLU(inputs, width, 3)]
        for stage in range(STAGES):
            for block in range(BLOCKS):
                wider = stage > 0 and block == 0
                parts.append(ResidualBlock(width, width * (1 + wider), 1 + wider))
                width *= 1 + wider
        return parts, width


def resnet18(config: DenseNetConfig) -> SmallResNet:
    """The network of a configuration; its `growth` and `layers` say nothing here.

    Raises:
        ValueError: a size that the stem does not divide, or too small for so many stages.
    """
    if config.size % config.stem:
        raise ValueError(f"size {config.size} is not a multiple of stem {config.stem}")
    if config.size // config.stem < 2 ** (STAGES - 1):
        raise ValueError(
            f"size {config.size} is too small for stem {config.stem} and {STAGES} stages"
        )
    return SmallResNet(config)
