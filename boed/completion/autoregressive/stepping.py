"""A gated PixelCNN one pixel after another: buffers hold what later pixels read again."""

from __future__ import annotations

from collections import deque

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from boed.completion.autoregressive.layers import GatedBlock, GatedPixelCNN, RowConv, gate


class Canvas:
    """Scenes with zeros above and on the left, in one memory, row after row.

    Attributes:
        image: the scenes, `[N, C, H, W]`, a view.
    """

    def __init__(self, image: Float[Tensor, "N C H W"], *, above: int, left: int) -> None:
        number, channels, height, width = image.shape
        self.above, self.left = above, left
        self.pixels = image.new_zeros(above + height, number, left + width, channels)
        inside = self.pixels[above:, :, left:]
        inside.copy_(image.permute(2, 0, 3, 1))
        self.image = inside.permute(1, 3, 0, 2)

    def rows_above(self, row: int) -> Float[Tensor, "N C A W"]:
        """The `above` rows that come before a row."""
        return self.pixels[row : row + self.above, :, self.left :].permute(1, 3, 0, 2)

    def row(self, row: int) -> Float[Tensor, "N P C"]:
        """A row behind its zeros, P = left + W."""
        return self.pixels[self.above + row]


class Rows:
    """The vertical stack of one block, one row of the image after another."""

    def __init__(self, block: GatedBlock, code: Float[Tensor, "B K"] | None, copies: int) -> None:
        self.block = block
        self.to_vertical, to_horizontal = (
            each if isinstance(each, int) else each.repeat(copies, 1, 1, 1)
            for each in block.shifts(code)
        )
        self.added = block.horizontal.bias[:, None, None] + to_horizontal
        self.above: deque[Tensor] = deque(maxlen=block.vertical.kernel_size[0])

    def read(self, rows: Float[Tensor, "N I R W"]) -> tuple[Tensor, Tensor]:
        """What the stack gives to the next block and to the horizontal stack, `[N, ., 1, W]`."""
        layer = self.block.vertical
        vertical = F.conv2d(rows, layer.weight, layer.bias, padding=(0, layer.side))  # type: ignore[arg-type]
        linked = F.conv2d(vertical, self.block.link.weight) + self.added
        return gate(vertical + self.to_vertical), linked

    def pushed(self, row: Float[Tensor, "N I 1 W"]) -> Float[Tensor, "N I R W"]:
        """The rows that the block reads, the newest last; there are zeros above the first."""
        while len(self.above) < self.block.vertical.above:
            self.above.append(torch.zeros_like(row))
        self.above.append(row)
        return torch.cat(list(self.above), dim=2)


class Columns:
    """The horizontal stack of one block, one pixel of a row after another."""

    def __init__(self, block: GatedBlock, source: Float[Tensor, "N P I"], width: int) -> None:
        """
        Args:
            block: of the network.
            source: what it reads, P = left + width pixels, with zeros before the first.
            width: of the image.
        """
        horizontal, number = block.horizontal, len(source)
        filters = block.out.weight.shape[0]
        self.groups = block.groups
        self.weights = matrices(horizontal)
        self.out_weights = matrices(block.out)
        self.out_biases = block.out.bias.chunk(self.groups)
        self.residual = None if block.first else by_group(source[:, horizontal.left :], self.groups)
        self.windows = windows(source, horizontal.taps, width)
        self.linked = source.new_zeros(number, width, 2 * filters)
        self.bases = by_group(self.linked, self.groups)
        self.gated = source.new_zeros(number, filters)
        self.gates = self.gated.chunk(self.groups, dim=1)

    def begin(self, linked: Float[Tensor, "N 2F 1 W"]) -> None:
        """Begin a row, given what the vertical stack has there."""
        self.linked.copy_(linked[:, :, 0].mT)

    def step(self, column: int, group: int, target: Float[Tensor, "N G"]) -> None:
        """Write the features of a group at a pixel to `target`."""
        z = torch.addmm(self.bases[column][group], self.windows[column], self.weights[group])
        a, b = z.chunk(2, dim=1)
        torch.mul(a.tanh_(), b.sigmoid_(), out=self.gates[group])
        out = torch.addmm(self.out_biases[group], self.gated, self.out_weights[group])
        if self.residual is None:
            target.copy_(out)
        else:
            torch.add(out, self.residual[column][group], out=target)


class PixelSteps:
    """`Steps` of a gated PixelCNN (`boed.completion.autoregressive.sampling`).

    The vertical stack is computed once for each row, the horizontal stack and the last layers once
    for each channel of each pixel: in all the arithmetic of one parallel pass.
    """

    def __init__(
        self,
        network: GatedPixelCNN,
        image: Float[Tensor, "N C H W"],
        *,
        code: Float[Tensor, "B K"] | None = None,
        added: Float[Tensor, "B L C H W"] | None = None,
    ) -> None:
        """
        Args:
            network: whose logits are asked for.
            image: the seen pixels; row i belongs to row i modulo B of what follows.
            code: what the network's layers are given.
            added: logits to add to the network's.
        """
        number, channels, _, width = image.shape
        given = next((each for each in (code, added) if each is not None), image)
        blocks = network.layers
        first, filters = blocks[0], blocks[0].out.weight.shape[0]
        self.channels, self.taps, self.width = channels, first.horizontal.taps, width
        self.reach = sum(block.vertical.above for block in blocks[1:])
        self.canvas = Canvas(image, above=first.vertical.above, left=first.horizontal.left)
        self.image = self.canvas.image
        self.rows = [Rows(block, code, number // len(given)) for block in blocks]
        lefts = [*(block.horizontal.left for block in blocks[1:]), 0]
        features = [image.new_zeros(number, left + width, filters) for left in lefts]
        self.targets = [
            by_group(each[:, left:], channels) for each, left in zip(features, lefts, strict=True)
        ]
        sources = [self.canvas.row(0), *features[:-1]]
        self.columns = [
            Columns(block, source, width) for block, source in zip(blocks, sources, strict=True)
        ]
        self.head = Head(network.head, features[-1], channels)
        self.added = None
        if added is not None:
            self.added = added.permute(3, 4, 2, 0, 1).contiguous()  # [H, W, C, B, L]
        self.row = 0

    def begin(self, row: int) -> None:
        self.row = row
        rows = self.canvas.rows_above(row)
        for index, (reader, columns) in enumerate(zip(self.rows, self.columns, strict=True)):
            features, linked = reader.read(rows)
            columns.begin(linked)
            if index + 1 < len(self.rows):
                rows = self.rows[index + 1].pushed(features)
        self.columns[0].windows = windows(self.canvas.row(row), self.taps, self.width)

    def step(self, column: int, channel: int) -> Float[Tensor, "N L"]:
        self.advance(column, channel)
        logits = self.head.step(column, channel)
        if self.added is None:
            return logits
        each = self.added[self.row, column, channel]
        return (logits.unflatten(0, (-1, len(each))) + each).flatten(0, 1)

    def skip(self, column: int) -> None:
        for channel in range(self.channels):
            self.advance(column, channel)

    def advance(self, column: int, channel: int) -> None:
        """The features of a channel's group at a pixel, in all blocks."""
        for block, targets in zip(self.columns, self.targets, strict=True):
            block.step(column, channel, targets[column][channel])


class Head:
    """The last layers of a network at one pixel."""

    def __init__(self, head: nn.ModuleList, features: Float[Tensor, "N W F"], groups: int) -> None:
        layers: list[RowConv] = list(head)  # type: ignore[arg-type]
        self.features = features.unbind(1)
        self.weights = [matrices(layer) for layer in layers]
        self.biases = [layer.bias.chunk(groups) for layer in layers]
        widths = [layer.weight.shape[0] for layer in layers[:-1]]
        self.hidden = [features.new_zeros(len(features), each) for each in widths]
        self.parts = [each.chunk(groups, dim=1) for each in self.hidden]

    def step(self, column: int, channel: int) -> Float[Tensor, "N L"]:
        x = self.features[column]
        for weights, biases, hidden, parts in zip(
            self.weights, self.biases, self.hidden, self.parts, strict=False
        ):
            part = torch.addmm(biases[channel], x, weights[channel])
            parts[channel].copy_(part.relu_())
            x = hidden
        return torch.addmm(self.biases[-1][channel], x, self.weights[-1][channel])


def matrices(layer: RowConv) -> list[Float[Tensor, "taps*I G"]]:
    """The kernel as a matrix for each group of outputs."""
    kernel = layer.kernel[:, :, 0].permute(2, 1, 0).flatten(0, 1)
    return [each.contiguous() for each in kernel.chunk(layer.groups, dim=1)]


def by_group(
    features: Float[Tensor, "N W F"], groups: int
) -> list[tuple[Float[Tensor, "N G"], ...]]:
    """Views of the features of each group at each pixel."""
    return [each.chunk(groups, dim=1) for each in features.unbind(1)]


def windows(
    features: Float[Tensor, "N P I"], taps: int, width: int
) -> tuple[Float[Tensor, "N taps*I"], ...]:
    """Views of what each pixel of a row reads."""
    number, _, inputs = features.shape
    by_scene, by_pixel, _ = features.stride()
    shape, strides = (width, number, taps * inputs), (by_pixel, by_scene, 1)
    return features.as_strided(shape, strides, features.storage_offset()).unbind(0)
