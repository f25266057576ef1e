"""Networks on partly seen scenes: the AVP-CNN of Harvey et al. 2021, and a small DenseNet."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from boed.foundation.checks import more_than
from boed.foundation.registry import Registry


@dataclass(frozen=True, kw_only=True)
class DenseNetConfig:
    """A network on cat(values, mask), densely connected unless `kind` says otherwise.

    Attributes:
        size: width of the scenes in pixels.
        channels: image channels.
        outputs: number of logits (K classes, or two per finding).
        kind: `small`, `densenet121` as in the paper (torchvision's, other input layer),
            `resnet18`, whose stages double the width, or `mlp`, of fully connected layers.
        stem: space-to-depth factor before the first convolution; densenet121 has none.
        width: channels after the first convolution, or of each hidden layer.
        growth: channels that each layer of a dense block adds, per block.
        layers: layers of each dense block; between blocks width and resolution are halved. Of
            fully connected ones their number.
        mean, std: statistics of the training set that standardise the input.
    """

    size: int
    channels: int
    outputs: int
    kind: str = "small"
    stem: int = 2
    width: int = 32
    growth: tuple[int, ...] = (16, 32, 32)
    layers: tuple[int, ...] = (2, 3, 3)
    mean: float = 0.5
    std: float = 0.25

    def __post_init__(self) -> None:
        more_than(0, std=self.std)

    @property
    def depths(self) -> list[int]:
        """Channels at the end of each dense block, finest resolution first."""
        depths, width = [], self.width
        for growth, layers in zip(self.growth, self.layers, strict=True):
            depths.append(width + growth * layers)
            width = depths[-1] // 2
        return depths

    @classmethod
    def read(cls, header: dict[str, Any]) -> DenseNetConfig:
        """From what a checkpoint's header says, in which tuples are lists."""
        return cls(**{**header, **{name: tuple(header[name]) for name in ("growth", "layers")}})


class ConvNorm(nn.Module):
    """Convolution and batch norm: in this order the norm folds into the convolution."""

    def __init__(self, width_in: int, width_out: int, kernel: int, *, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width_in, width_out, kernel, stride, padding=kernel // 2, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(width_out)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))

    def fold(self) -> None:
        """Fold the norm's running statistics into the convolution, for inference only."""
        if isinstance(self.norm, nn.BatchNorm2d):
            self.conv = fuse_conv_bn_eval(self.conv.eval(), self.norm.eval())
            self.norm = nn.Identity()


class ConvNormReLU(ConvNorm):
    """Convolution, batch norm, ReLU."""

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(super().forward(x), inplace=not self.training)


class DenseLayer(nn.Module):
    """A 3x3 convolution whose output is appended to its input."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.layer = ConvNormReLU(width, growth, 3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.layer(x)], dim=1)


class FoldingNetwork(nn.Module, ABC):
    """Space-to-depth stem, convolutions whose norms fold away, pooling and a linear layer.

    Norms follow their convolutions, so that they fold away: the EIG evaluates such a network
    thousands of times for each look.
    """

    def __init__(self, config: DenseNetConfig) -> None:
        super().__init__()
        self.stem = config.stem
        parts, width = self.layers(config)
        self.features = nn.Sequential(*parts)
        self.output = nn.Linear(2 * width, config.outputs)

    @staticmethod
    @abstractmethod
    def layers(config: DenseNetConfig) -> tuple[list[nn.Module], int]:
        """The layers behind the stem, and the channels that the last one returns."""

    def forward(self, stacked: Float[Tensor, "B C+1 H W"]) -> Float[Tensor, "B K"]:
        stacked = stacked.to(next(self.features.parameters()).dtype)
        features = self.features(F.pixel_unshuffle(stacked, self.stem)).float()
        pooled = torch.cat([features.mean((2, 3)), features.amax((2, 3))], dim=1)
        return self.output(pooled)

    def fold(self) -> None:
        """Fold all norms into their convolutions: same function, fewer operations."""
        for module in self.modules():
            if isinstance(module, ConvNorm):
                module.fold()


class SmallDenseNet(FoldingNetwork):
    """A DenseNet for 28 to 128 pixels: dense blocks without bottleneck.

    Norms follow their convolutions, unlike Huang et al. 2017.
    """

    @staticmethod
    def layers(config: DenseNetConfig) -> tuple[list[nn.Module], int]:
        """The layers behind the stem, and the channels that the last one returns."""
        width = config.width
        inputs = (config.channels + 1) * config.stem**2
        parts: list[nn.Module] = [ConvNormReLU(inputs, width, 3)]
        for index, (growth, layers) in enumerate(zip(config.growth, config.layers, strict=True)):
            if index:
                parts += [ConvNormReLU(width, width // 2, 1), nn.AvgPool2d(2)]
                width //= 2
            for _ in range(layers):
                parts.append(DenseLayer(width, growth))
                width += growth
        return parts, width


def _densenet121(config: DenseNetConfig) -> nn.Module:
    """torchvision's network with an input layer for cat(values, mask)."""
    if config.size < 29:  # halved five times
        raise ValueError(f"size {config.size} is too small for densenet121, expected 29 or more")
    from boed.foundation.torchvision_compat import torchvision

    network = torchvision().models.densenet121(num_classes=config.outputs)
    old = network.features.conv0
    inputs = config.channels + 1
    network.features.conv0 = nn.Conv2d(
        inputs, old.out_channels, old.kernel_size, old.stride, old.padding, bias=False
    )
    return network


def _small(config: DenseNetConfig) -> nn.Module:
    if config.size % config.stem:
        raise ValueError(f"size {config.size} is not a multiple of stem {config.stem}")
    blocks = len(config.layers)
    if len(config.growth) != blocks:
        raise ValueError(f"growth has {len(config.growth)} entries for {blocks} blocks of layers")
    if config.size // config.stem < 2 ** (blocks - 1):
        raise ValueError(
            f"size {config.size} is too small for stem {config.stem} and {blocks} blocks"
        )
    return SmallDenseNet(config)


KINDS: Registry[Callable[[DenseNetConfig], nn.Module]] = Registry(
    "kind",
    {"small": _small, "densenet121": _densenet121},
    lazy={
        "resnet18": "boed.classifiers.networks.resnet:resnet18",
        "mlp": "boed.classifiers.networks.fully_connected:FullyConnected",
    },
)
"""Networks of classifiers, built from their configuration."""


def build(config: DenseNetConfig) -> nn.Module:
    """The network that a configuration describes.

    Raises:
        ValueError: an unknown kind, a size that the stem does not divide or that is too small
            for so many blocks, or not one growth per block.
    """
    return KINDS[config.kind](config)
