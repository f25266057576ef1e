"""Building blocks of the VD-VAE (Child 2020): the block-string grammar and residual blocks."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


@dataclass(frozen=True)
class EncoderBlock:
    """One residual block at `resolution`, then average pooling by `pool` (1: none)."""

    resolution: int
    pool: int = 1


@dataclass(frozen=True)
class DecoderBlock:
    """One stochastic block at `resolution` that first adds the upsampled state of `mixin`."""

    resolution: int
    mixin: int | None = None


def parse_encoder(text: str) -> list[EncoderBlock]:
    """Read an encoder string such as `32x11,32d2,16x6`.

    `RxN` is N blocks at resolution R, `RdK` one block and then pooling by K, `R` one block.

    Raises:
        ValueError: a part that does not fit the grammar, or a resolution that the parts before
            it do not lead to.
    """
    blocks: list[EncoderBlock] = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d+)(?:([xd])(\d+))?", part.strip())
        if not match or int(match[1]) < 1 or int(match[3] or 1) < 1:
            raise ValueError(f"encoder {text!r}: {part!r} is none of R, RxN, RdK")
        resolution, kind, number = int(match[1]), match[2], int(match[3] or 1)
        if blocks and resolution != blocks[-1].resolution // blocks[-1].pool:
            reached = blocks[-1].resolution // blocks[-1].pool
            raise ValueError(f"encoder {text!r}: {part!r} follows resolution {reached}")
        if kind == "d":
            if resolution % number:
                raise ValueError(f"encoder {text!r}: {part!r} does not divide evenly")
            blocks.append(EncoderBlock(resolution, number))
        else:
            blocks += [EncoderBlock(resolution)] * number
    return blocks


def parse_decoder(text: str) -> list[DecoderBlock]:
    """Read a decoder string such as `1x1,4m1,4x2,8m4`.

    `RxN` is N stochastic blocks at resolution R, `RmS` one that first adds the
    nearest-upsampled state of resolution S, `R` one block.

    Raises:
        ValueError: a part that does not fit the grammar or mixes in a state that is not there.
    """
    blocks: list[DecoderBlock] = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d+)(?:([xm])(\d+))?", part.strip())
        if not match or int(match[1]) < 1 or int(match[3] or 1) < 1:
            raise ValueError(f"decoder {text!r}: {part!r} is none of R, RxN, RmS")
        resolution, kind, number = int(match[1]), match[2], int(match[3] or 1)
        if kind == "m":
            known = {block.resolution for block in blocks} - {resolution}
            if number not in known or resolution % number:
                raise ValueError(
                    f"decoder {text!r}: {part!r} mixes in {number}, expected one of "
                    f"{sorted(known)} that divides {resolution}"
                )
            blocks.append(DecoderBlock(resolution, number))
        else:
            blocks += [DecoderBlock(resolution)] * number
    return blocks


def parse_widths(text: str) -> dict[int, int]:
    """Read widths for single resolutions such as `32:64,16:128`; others have the default width.

    Raises:
        ValueError: a part that is not RESOLUTION:WIDTH.
    """
    widths = {}
    for part in text.split(",") if text else []:
        match = re.fullmatch(r"(\d+):(\d+)", part.strip())
        if not match or int(match[2]) < 1:
            raise ValueError(f"widths {text!r}: {part!r} is not RESOLUTION:WIDTH")
        widths[int(match[1])] = int(match[2])
    return widths


def pad_channels(x: Float[Tensor, "B C H W"], width: int) -> Float[Tensor, "B D H W"]:
    """Cut channels off or add zero channels until there are `width`."""
    missing = width - x.shape[1]
    return F.pad(x, (0, 0, 0, 0, 0, missing)) if missing > 0 else x[:, :width]


class BottleneckBlock(nn.Module):
    """GELU before each of four convolutions: 1x1, 3x3, 3x3, 1x1, through a bottleneck.

    The 3x3 convolutions are 1x1 where the resolution is 2 or less. No normalisation, zero
    biases. `last_scale` multiplies the last layer's initial weights (0 starts it at zero).
    """

    def __init__(
        self,
        width_in: int,
        middle: int,
        width_out: int,
        *,
        resolution: int,
        residual: bool = False,
        last_scale: float = 1.0,
    ) -> None:
        super().__init__()
        kernel = 3 if resolution > 2 else 1
        self.residual = residual
        self.layers = nn.ModuleList(
            [
                nn.Conv2d(width_in, middle, 1),
                nn.Conv2d(middle, middle, kernel, padding=kernel // 2),
                nn.Conv2d(middle, middle, kernel, padding=kernel // 2),
                nn.Conv2d(middle, width_out, 1),
            ]
        )
        for layer in self.layers:
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        with torch.no_grad():
            self.layers[-1].weight.mul_(last_scale)  # type: ignore[operator]

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D H W"]:
        out = x
        for layer in self.layers:
            out = layer(F.gelu(out))
        return x + out if self.residual else out


def read_together(
    blocks: Sequence[BottleneckBlock], active: Float[Tensor, "B C H W"], start: int = 0
) -> Float[Tensor, "B N*M H W"]:
    """What the first layers of N blocks add up over channels that all of them read.

    One wide convolution in place of several narrow ones, whose input goes through GELU once.

    Args:
        blocks: of the same inner width M.
        active: some of their input channels, behind the GELU.
        start: the first of these channels; the bias counts with channel 0.
    """
    first = [block.layers[0] for block in blocks]
    weight = torch.cat([each.weight[:, start : start + active.shape[1]] for each in first])  # type: ignore[index]
    bias = None if start else torch.cat([each.bias for each in first])  # type: ignore[misc]
    return F.conv2d(active, weight, bias)


def layer_together(
    blocks: Sequence[BottleneckBlock], index: int, active: Float[Tensor, "B N*M H W"]
) -> Float[Tensor, "B N*D H W"]:
    """Layer `index` of N blocks, each on its own part of the channels behind the GELU."""
    layers = [block.layers[index] for block in blocks]
    weight = torch.cat([each.weight for each in layers])  # type: ignore[misc]
    bias = torch.cat([each.bias for each in layers])  # type: ignore[misc]
    padding = weight.shape[-1] // 2
    return F.conv2d(active, weight, bias, padding=padding, groups=len(blocks))


class Encoder(nn.Module):
    """Image to one activation per resolution (Child 2020, Fig. 3, left)."""

    def __init__(
        self,
        channels: int,
        blocks: list[EncoderBlock],
        widths: dict[int, int],
        *,
        bottleneck: float,
    ) -> None:
        super().__init__()
        self.specification = blocks
        self.widths = widths
        first = widths[blocks[0].resolution]
        self.stem = nn.Conv2d(channels, first, 3, padding=1)
        nn.init.zeros_(self.stem.bias)  # type: ignore[arg-type]
        scale = math.sqrt(1 / len(blocks))
        self.blocks = nn.ModuleList()
        for block in blocks:
            width = widths[block.resolution]
            middle = max(int(width * bottleneck), 1)
            self.blocks.append(
                BottleneckBlock(
                    width,
                    middle,
                    width,
                    resolution=block.resolution,
                    residual=True,
                    last_scale=scale,
                )
            )

    def forward(self, image: Float[Tensor, "B C H W"]) -> dict[int, Tensor]:
        x = self.stem(image)
        activations = {}
        for block, layer in zip(self.specification, self.blocks, strict=True):
            x = layer(pad_channels(x, self.widths[block.resolution]))
            activations[block.resolution] = x
            if block.pool > 1:
                x = F.avg_pool2d(x, block.pool)
                below = x.shape[-1]
                if below in self.widths:
                    activations[below] = pad_channels(x, self.widths[below])
        return activations
