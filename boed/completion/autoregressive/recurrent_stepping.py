"""A PixelRNN one pixel after another: states of the rows above are computed once a row."""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from boed.completion.autoregressive.recurrent import DiagonalLayer, PixelRNN, RowLayer, cell
from boed.completion.autoregressive.stepping import Canvas, Head, by_group, matrices, windows


class LayerSteps(Protocol):
    """A recurrent layer: of a row its pixels one after another, and then the row as a whole."""

    def step(self, column: int, group: int) -> Float[Tensor, "N G"]:
        """The features of a group at a pixel, given what comes in there and before."""
        ...

    def finish(self, x: Float[Tensor, "N I 1 W"]) -> Float[Tensor, "N I 1 W"]:
        """The features of the whole row, whose states the next row reads."""
        ...


class Gates:
    """The inputs of a layer's gates, group after group, from what it reads at a pixel."""

    def __init__(self, layer: RowLayer | DiagonalLayer, source: Float[Tensor, "N P I"]) -> None:
        """
        Args:
            layer: of the network.
            source: what comes in, P = 1 + W pixels, with zeros before the first.
        """
        reads = layer.to_state
        self.windows = windows(source[:, 1 - reads.left :], reads.taps, source.shape[1] - 1)
        self.gates = 4 * layer.filters // layer.groups
        self.weights = [each[:, : self.gates].contiguous() for each in matrices(reads)]
        self.biases = [each[: self.gates] for each in reads.bias.chunk(layer.groups)]
        self.out_weights = matrices(layer.out)
        self.out_biases = layer.out.bias.chunk(layer.groups)

    def inputs(
        self, added: Float[Tensor, "N 4G"], column: int, group: int
    ) -> Float[Tensor, "N 4G"]:
        """Of a group at a pixel, with what earlier states add."""
        read = torch.addmm(self.biases[group], self.windows[column], self.weights[group])
        return read + added

    def out(self, state: Float[Tensor, "N F"], group: int) -> Float[Tensor, "N G"]:
        """The features of a group, from the state of this group and those before."""
        return torch.addmm(self.out_biases[group], state, self.out_weights[group])


class RowSteps:
    """`LayerSteps` of a Row LSTM."""

    def __init__(self, layer: RowLayer, source: Float[Tensor, "N P I"]) -> None:
        self.layer, self.gates = layer, Gates(layer, source)
        number, width = len(source), source.shape[1] - 1
        self.state = source.new_zeros(number, width, layer.filters)
        self.memory = torch.zeros_like(self.state)
        self.here = source.new_zeros(number, layer.filters)
        self.parts = self.here.chunk(layer.groups, dim=1)
        self.prepare()

    def prepare(self) -> None:
        """What the row above gives to each group at each pixel."""
        self.added = by_group(self.layer.from_above(self.state.mT).mT, self.layer.groups)
        self.memories = by_group(self.memory, self.layer.groups)

    def step(self, column: int, group: int) -> Float[Tensor, "N G"]:
        z = self.gates.inputs(self.added[column][group], column, group)
        state, _ = cell(z, self.memories[column][group])
        self.parts[group].copy_(state)
        return self.gates.out(self.here, group)

    def finish(self, x: Float[Tensor, "N I 1 W"]) -> Float[Tensor, "N I 1 W"]:
        z = self.layer.to_state(x)[:, :, 0].mT
        self.state, self.memory = self.layer.next_row(z, self.state, self.memory)
        self.prepare()
        out: Tensor = self.layer.out(self.state.mT[:, :, None])
        return out


class DiagonalSteps:
    """`LayerSteps` of a Diagonal BiLSTM.

    Pixels are passed from the left; the states from the right are computed when a row is whole.
    """

    def __init__(self, layer: DiagonalLayer, source: Float[Tensor, "N P I"]) -> None:
        self.layer, self.gates = layer, Gates(layer, source)
        number, width, filters = len(source), source.shape[1] - 1, layer.filters
        self.above = source.new_zeros(2, number, width, filters)
        row = source.new_zeros(2, number, 1 + width, filters)
        self.states, self.memories = (by_group(each, layer.groups) for each in row)
        self.whole = row[0].unbind(1)
        beside, self.weight_above = layer.from_states[0].chunk(2)
        self.beside = [each.contiguous() for each in beside.chunk(layer.groups, dim=1)]
        self.prepare()

    def prepare(self) -> None:
        """What the row above gives to each group at each pixel, and from the right to all."""
        self.added = by_group(self.above[0] @ self.weight_above, self.layer.groups)
        self.right = self.above[1].flip(-2).unbind(1)

    def step(self, column: int, group: int) -> Float[Tensor, "N G"]:
        read = torch.addmm(self.added[column][group], self.whole[column], self.beside[group])
        z = self.gates.inputs(read, column, group)
        state, memory = cell(z, self.memories[column][group])
        self.states[1 + column][group].copy_(state)
        self.memories[1 + column][group].copy_(memory)
        return self.gates.out(self.whole[1 + column] + self.right[column], group)

    def finish(self, x: Float[Tensor, "N I 1 W"]) -> Float[Tensor, "N I 1 W"]:
        z = self.layer.gates(x)[:, :, 0].split(1, dim=2)
        state = memory = torch.zeros_like(self.above[:, :, :1])
        row = []
        for gates, above in zip(z, self.above.split(1, dim=2), strict=True):
            state, memory = self.layer.next_states(gates, beside=state, above=above, memory=memory)
            row.append(state)
        right = self.above[1].flip(-2)
        self.above = torch.cat(row, dim=2)
        self.prepare()
        out: Tensor = self.layer.out((self.above[0] + right).mT[:, :, None])
        return out


def layer_steps(layer: RowLayer | DiagonalLayer, source: Float[Tensor, "N P I"]) -> LayerSteps:
    """The steps of a layer, given what comes in, with zeros before the first pixel."""
    return RowSteps(layer, source) if isinstance(layer, RowLayer) else DiagonalSteps(layer, source)


class RecurrentSteps:
    """`Steps` of a PixelRNN (`boed.completion.autoregressive.sampling`).

    A state depends on all rows above: none is left out. A row is computed once as a whole when the
    next one begins, and before pixel by pixel, channel by channel.
    """

    def __init__(self, network: PixelRNN, image: Float[Tensor, "N C H W"]) -> None:
        number, channels, height, width = image.shape
        self.network, self.channels, self.width = network, channels, width
        self.reach = max(height, width)
        self.canvas = Canvas(image, above=network.above.above, left=network.left.left)
        self.image = self.canvas.image
        self.weights = matrices(network.left)
        shape = number, 1 + width, 2 * network.filters
        features = [image.new_zeros(shape) for _ in network.layers]
        self.features = [by_group(each[:, 1:], channels) for each in features]
        self.layers = [
            layer_steps(layer, source)  # type: ignore[arg-type]
            for layer, source in zip(network.layers, features, strict=True)
        ]
        last = image.new_zeros(number, width, 2 * network.filters)
        self.targets = by_group(last, channels)
        self.head = Head(network.head, last, channels)

    def begin(self, row: int) -> None:
        if row:
            self.finish(row - 1)
        base = self.entering(row) + self.network.left.bias[:, None, None]
        self.bases = by_group(base[:, :, 0].mT, self.channels)
        taps = self.network.left.taps
        self.windows = windows(self.canvas.row(row), taps, self.width)

    def entering(self, row: int) -> Float[Tensor, "N 2F 1 W"]:
        """What the first convolution makes of the rows above."""
        layer = self.network.above
        rows = self.canvas.rows_above(row)
        return F.conv2d(rows, layer.weight, layer.bias, padding=(0, layer.side))

    def finish(self, row: int) -> None:
        """The states of a row whose pixels are all known."""
        x = self.entering(row) + self.network.left(self.image[:, :, row : row + 1])
        for layer in self.layers:
            x = x + layer.finish(x)

    def step(self, column: int, channel: int) -> Float[Tensor, "N L"]:
        self.advance(column, channel)
        return self.head.step(column, channel)

    def skip(self, column: int) -> None:
        for channel in range(self.channels):
            self.advance(column, channel)

    def advance(self, column: int, group: int) -> None:
        """The features of a channel's group at a pixel, in all layers."""
        x = torch.addmm(self.bases[column][group], self.windows[column], self.weights[group])
        for layer, features in zip(self.layers, self.features, strict=True):
            features[column][group].copy_(x)
            x = x + layer.step(column, group)
        self.targets[column][group].copy_(x.relu())
