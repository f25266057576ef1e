"""DenseNet-121 for inference: the same function in fewer operations, and only where it changed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from boed.classifiers.networks.boxes import Box

PIXELS_AT_ONCE = 2**19
"""Input pixels per piece on a CPU: their features were measured to be fastest at that size, since
they stay in the processor's cache."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Threshold:
    """The batch norm and ReLU before a 1x1 convolution, as one clamp.

    relu(s x + t) = s max(x, -t / s) + t for s > 0, and with min for s < 0; the factor and the
    summand are part of the convolution, which has no padding.

    Attributes:
        low, high: bounds of each channel; infinite where there is none.
        weight, bias: of the convolution, `[C, K]` and `[K]`.
    """

    low: Float[Tensor, " C"]
    high: Float[Tensor, " C"] | None
    weight: Float[Tensor, "C K"]
    bias: Float[Tensor, " K"]

    @classmethod
    @torch.no_grad()
    def of(cls, norm: nn.BatchNorm2d, conv: nn.Conv2d, dtype: torch.dtype) -> Threshold:
        """From a batch norm and the 1x1 convolution after it (and the ReLU between)."""
        scale, shift = _affine(norm)
        scale = torch.where(scale.abs() < 1e-12, 1e-12, scale)  # relu(shift), all the same
        bound = (-shift / scale).to(dtype)
        rising = scale > 0
        none = torch.full_like(bound, torch.inf)
        weight = (conv.weight[:, :, 0, 0].double() * scale).T.to(dtype)
        bias = -(bound.double() @ weight.double())  # exactly 0 in all where the ReLU is off
        high = None if bool(rising.all()) else torch.where(rising, none, bound)
        return cls(
            low=torch.where(rising, bound, -none), high=high, weight=weight.contiguous(), bias=bias
        )

    def clamped(self, features: Float[Tensor, "*P C"]) -> Float[Tensor, "*P C"]:
        """Features within the bounds."""
        if self.high is None:
            return torch.maximum(features, self.low)
        return torch.clamp(features, self.low, self.high)

    def convolved(self, clamped: Float[Tensor, "*P C"]) -> Float[Tensor, "*P K"]:
        """The 1x1 convolution of clamped features."""
        rows = clamped.reshape(-1, clamped.shape[-1])
        return torch.addmm(self.bias, rows, self.weight).view(*clamped.shape[:-1], -1)


@dataclass(frozen=True, eq=False)
class Layer:
    """A bottleneck layer of a dense block: what it appends to its input.

    Attributes:
        bottleneck: the first norm and convolution, with the second norm folded into it.
        weight: of the 3x3 convolution.
    """

    bottleneck: Threshold
    weight: Float[Tensor, "G K 3 3"]

    @classmethod
    @torch.no_grad()
    def of(cls, layer: Any, dtype: torch.dtype) -> Layer:
        scale, shift = _affine(layer.norm2)
        first = Threshold.of(layer.norm1, _scaled(layer.conv1, scale), dtype)
        first = replace(first, bias=(first.bias + shift).to(dtype))
        return cls(first, _channels_last(layer.conv2.weight, dtype))

    @property
    def inputs(self) -> int:
        """Channels read."""
        return len(self.bottleneck.low)

    @property
    def growth(self) -> int:
        """Channels appended."""
        return len(self.weight)

    def __call__(
        self,
        features: Float[Tensor, "P H W C"],
        padding: int,
        inside: Bool[Tensor, "P H W"] | None = None,
    ) -> Float[Tensor, "P h w G"]:
        """What is appended; pixels not `inside` the image count as zero, as padding does."""
        first = self.bottleneck
        middle = first.convolved(first.clamped(features[..., : self.inputs])).relu_()
        if inside is not None:
            middle *= inside[..., None]
        appended = F.conv2d(middle.permute(0, 3, 1, 2), self.weight, padding=padding)
        return appended.permute(0, 2, 3, 1)


class DenseNet121:
    """torchvision's DenseNet-121 with its weights folded, in `dtype`, for inference only.

    Features are kept with channels last in one buffer per dense block, to which layers append;
    transitions average before their convolution, which gives the same and costs a quarter.

    Args:
        network: in evaluation mode.
        dtype: of weights and features; the head is float32.
    """

    def __init__(self, network: Any, dtype: torch.dtype = torch.float32) -> None:
        features = network.features
        self.dtype = dtype
        scale, shift = _affine(features.norm0)
        self.stem = _channels_last(_scaled(features.conv0, scale).weight, dtype)
        self.stem_bias = shift.to(dtype)
        blocks = [getattr(features, f"denseblock{index}") for index in (1, 2, 3, 4)]
        self.blocks = [[Layer.of(layer, dtype) for layer in block.children()] for block in blocks]
        self.transitions = []
        for index in (1, 2, 3):
            transition = getattr(features, f"transition{index}")
            threshold = Threshold.of(transition.norm, transition.conv, dtype)
            self.transitions.append(replace(threshold, bias=threshold.bias.to(dtype)))
        self.last = [each.float() for each in _affine(features.norm5)]
        self.output = network.classifier

    def __call__(self, images: Float[Tensor, "P C H W"]) -> Float[Tensor, "P K"]:
        """Logits."""
        return torch.cat([self._head(self._blocks(part)[-1]) for part in self._pieces(images)])

    def around(self, images: Float[Tensor, "B C H W"]) -> Around:
        """Logits of images that differ little from some of these."""
        return Around(self, images)

    def _pieces(self, images: Tensor) -> tuple[Tensor, ...]:
        return images.split(pieces_of(images))

    def _blocks(
        self, images: Float[Tensor, "P C H W"], number: int = 4
    ) -> list[Float[Tensor, "P h w c"]]:
        """The features at the end of each of the first dense blocks."""
        images = images.to(self.dtype)
        first = F.conv2d(images, self.stem, self.stem_bias, 2, 3).relu_()
        now = F.max_pool2d(first, 3, 2, 1).permute(0, 2, 3, 1)
        ends = []
        for index, layers in enumerate(self.blocks[:number]):
            features = self._room(now, layers)
            self.run(features, layers)
            ends.append(features)
            if index < number - 1:
                now = self.halved(features, index)
        return ends

    @staticmethod
    def _room(now: Float[Tensor, "P H W C"], layers: list[Layer]) -> Float[Tensor, "P H W E"]:
        """A buffer that begins with what there is, and has room for what the layers append."""
        end = layers[-1].inputs + layers[-1].growth
        features = now.new_empty(*now.shape[:3], end)
        features[..., : now.shape[3]] = now
        return features

    @staticmethod
    def run(features: Float[Tensor, "P H W C"], layers: list[Layer]) -> None:
        """Let the layers append to whole images."""
        for layer in layers:
            features[..., layer.inputs : layer.inputs + layer.growth] = layer(features, 1)

    def halved(self, features: Float[Tensor, "P H W C"], index: int) -> Float[Tensor, "P h w K"]:
        """The transition after a dense block."""
        clamped = self.transitions[index].clamped(features).permute(0, 3, 1, 2)
        averaged = F.avg_pool2d(clamped, 2).permute(0, 2, 3, 1)
        return self.transitions[index].convolved(averaged)

    def _head(self, features: Float[Tensor, "P H W C"]) -> Float[Tensor, "P K"]:
        scale, shift = self.last
        return self.output((features.float() * scale + shift).relu_().mean((1, 2)))


class Around:
    """The logits of images that equal one of a few base images outside a box.

    The base images' features are computed once. Of each image only those that its box can
    reach are computed anew: each convolution makes the box wider, and once it is about as large
    as the image, in the second dense block at the latest, the whole image is computed. The result
    is the same but for rounding.

    Args:
        network: whose logits.
        images: the base images.
    """

    def __init__(self, network: DenseNet121, images: Float[Tensor, "B C H W"]) -> None:
        self.network = network
        parts = [network._blocks(piece, 2) for piece in network._pieces(images)]
        self.base = [torch.cat(block) for block in zip(*parts, strict=True)]

    def __call__(
        self, images: Float[Tensor, "P C H W"], base: Int64[Tensor, " P"], box: Box
    ) -> Float[Tensor, "P K"]:
        """Logits of images that equal base image `base[p]` outside the box."""
        size = pieces_of(images)
        parts = zip(images.split(size), base.split(size), box.start.split(size), strict=True)
        return torch.cat([self._piece(x, which, Box(s, box.length)) for x, which, s in parts])

    def _piece(self, images: Tensor, base: Tensor, box: Box) -> Tensor:
        box = box.through(7, 2, 3).through(3, 2, 1)
        even = box.even()  # as the transition takes pixels in pairs
        if self._layers_in_window(even, 0) == len(self.network.blocks[0]):
            now, box = self._first_block_windowed(images, base, even)
            return self._rest_whole(now, base, box, 1)
        return self._rest_whole(self._stem(images, box), base, box, 0)

    def _first_block_windowed(
        self, images: Tensor, base: Tensor, box: Box
    ) -> tuple[Float[Tensor, "P h w c"], Box]:
        """What the second dense block reads, within a box that is returned with it."""
        number = len(self.network.blocks[0])
        features = self._windowed(self._stem(images, box), box, base, index=0, number=number)
        return self.network.halved(features, 0), box.grown(number).halved()

    def _rest_whole(
        self, now: Float[Tensor, "P h w c"], base: Tensor, box: Box, index: int
    ) -> Float[Tensor, "P K"]:
        """Logits, whole images being computed as soon as a window does not pay any more.

        Args:
            now: what dense block `index` reads, within the box.
            base: which base images these are.
            box: outside of which they equal the base images.
            index: of the block in which windows end.
        """
        network = self.network
        number = self._layers_in_window(box, index)
        window = self._windowed(now, box, base, index=index, number=number)
        features = self._on_base(window, box.grown(number), base, index)
        network.run(features, network.blocks[index][number:])
        for later in range(index + 1, len(network.blocks)):
            layers = network.blocks[later]
            features = network._room(network.halved(features, later - 1), layers)
            network.run(features, layers)
        return network._head(features)

    def _stem(self, images: Float[Tensor, "P C H W"], box: Box) -> Float[Tensor, "P h w c"]:
        """The first features, within the box."""
        network = self.network
        height, width = images.shape[2:]
        pooled = box.read(3, 2, 1)
        seen = pooled.read(7, 2, 3)
        every = torch.arange(len(images), device=images.device)
        cut = seen.cut(images.permute(0, 2, 3, 1).to(network.dtype), every)
        cut = cut * seen.pixels((height, width))[1][..., None]
        first = F.conv2d(cut.permute(0, 3, 1, 2), network.stem, network.stem_bias, 2).relu_()
        first = first * pooled.pixels(((height + 1) // 2, (width + 1) // 2))[1][:, None]
        return F.max_pool2d(first, 3, 2).permute(0, 2, 3, 1)

    def _layers_in_window(self, box: Box, index: int) -> int:
        """Layers of a block for which a window costs clearly less than the whole image."""
        height, width = self.base[index].shape[1:3]
        number = 0
        for layer in range(1, len(self.network.blocks[index]) + 1):
            rows, columns = (length + 2 * layer + 2 for length in box.length)
            if rows * columns > LARGEST_WINDOW * height * width:
                break
            number = layer
        return number

    def _windowed(
        self,
        now: Float[Tensor, "P h w c"],
        box: Box,
        base: Tensor,
        *,
        index: int,
        number: int,
    ) -> Float[Tensor, "P h w C"]:
        """Features after so many layers, within the box grown by as many pixels."""
        if number == 0:
            return now
        features, layers = self.base[index], self.network.blocks[index][:number]
        outer = box.grown(number + 1)
        buffer = outer.cut(features[..., : layers[-1].inputs + layers[-1].growth], base)
        inside: Tensor | None = outer.pixels(tuple(features.shape[1:3]))[1]  # type: ignore[arg-type]
        assert inside is not None
        inside = None if bool(inside.all()) else inside
        _inner(buffer, number + 1)[..., : now.shape[3]] = now
        for done, layer in enumerate(layers, 1):
            margin = number - done
            within = None if inside is None else _inner(inside, margin)
            appended = layer(_inner(buffer, margin), 0, within)
            _inner(buffer, margin + 1)[..., layer.inputs : layer.inputs + layer.growth] = appended
        return _inner(buffer, 1)

    def _on_base(
        self, window: Float[Tensor, "P h w c"], box: Box, base: Tensor, index: int
    ) -> Float[Tensor, "P H W C"]:
        """Whole images: the base features, and the window's where they differ."""
        features = self.base[index]
        known = window.shape[3]
        images = torch.empty_like(features[:1]).expand(len(base), -1, -1, -1).contiguous()
        images[..., :known] = features[..., :known].index_select(0, base)
        box.paste(images, window)
        return images


LARGEST_WINDOW = 0.9
"""Part of the image up to which a window is taken."""


def _inner(window: Tensor, margin: int) -> Tensor:
    """A window without so many pixels along each border."""
    return window[:, margin : window.shape[1] - margin, margin : window.shape[2] - margin]


def pieces_of(images: Float[Tensor, "P C H W"]) -> int:
    """Images per piece."""
    if images.device.type != "cpu":
        return len(images)
    return max(PIXELS_AT_ONCE // (images.shape[2] * images.shape[3]), 1)


def _affine(norm: nn.BatchNorm2d) -> tuple[Float[Tensor, " C"], Float[Tensor, " C"]]:
    """What a batch norm does in evaluation, as factor and summand in double precision."""
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None
    assert variance is not None
    scale = norm.weight.detach().double() / (variance.double() + norm.eps).sqrt()
    return scale, norm.bias.detach().double() - mean.double() * scale


def _scaled(conv: nn.Conv2d, scale: Tensor) -> nn.Conv2d:
    """A convolution whose outputs are multiplied by `scale`."""
    scaled = nn.Conv2d(conv.in_channels, conv.out_channels, conv.kernel_size, bias=False)  # type: ignore[arg-type]
    scaled.weight = nn.Parameter(conv.weight.detach().double() * scale.view(-1, 1, 1, 1))
    return scaled


def _channels_last(weight: Tensor, dtype: torch.dtype) -> Tensor:
    return weight.detach().to(dtype).to(memory_format=torch.channels_last)
