"""The recurrent layers of a PixelRNN (van den Oord et al. 2016a): Row LSTM and Diagonal BiLSTM.

Features belong to the image's channels in equal groups, as in
`boed.completion.autoregressive.layers`: within a pixel a group reads itself and those before it.
What an LSTM has of pixels before is read by all groups. Gates of a group stand together, in the
order input, forget, output, candidate.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from boed.completion.autoregressive.layers import RowConv, RowsAbove


def cell(
    z: Float[Tensor, "*S 4F"], memory: Float[Tensor, "*S F"], groups: int = 1
) -> tuple[Float[Tensor, "*S F"], Float[Tensor, "*S F"]]:
    """State and memory of an LSTM from its gates' inputs and the memory before (Eq. 3 there)."""
    gates = z.unflatten(-1, (groups, 4, -1)).unbind(-2)
    i, f, o, candidate = (each.flatten(-2) for each in gates)
    memory = f.sigmoid() * memory + i.sigmoid() * candidate.tanh()
    return o.sigmoid() * memory.tanh(), memory


class RowLayer(nn.Module):
    """An LSTM from row to row, which reads three neighbouring states of the row above.

    A pixel sees a triangle above itself, and on its left one pixel more than its input does.
    """

    def __init__(self, inputs: int, filters: int, groups: int) -> None:
        """
        Args:
            inputs: features that come in, and go out.
            filters: of the state, F.
            groups: channels of the image.
        """
        super().__init__()
        self.filters, self.groups = filters, groups
        self.to_state = RowConv(inputs, 4 * filters, left=1, groups=groups)
        self.from_above = nn.Conv1d(filters, 4 * filters, 3, padding=1, bias=False)
        self.out = RowConv(filters, inputs, left=0, groups=groups)

    def next_row(
        self,
        z: Float[Tensor, "B W 4F"],
        state: Float[Tensor, "B W F"],
        memory: Float[Tensor, "B W F"],
    ) -> tuple[Float[Tensor, "B W F"], Float[Tensor, "B W F"]]:
        """State and memory of a row, given what comes in and those of the row above."""
        return cell(z + self.from_above(state.mT).mT, memory, self.groups)

    def forward(self, x: Float[Tensor, "B I H W"]) -> Float[Tensor, "B I H W"]:
        z = self.to_state(x).permute(0, 2, 3, 1)  # [B, H, W, 4F]
        state = memory = z.new_zeros(len(z), z.shape[2], self.filters)
        states = []
        for row in z.unbind(1):
            state, memory = self.next_row(row, state, memory)
            states.append(state)
        out: Tensor = self.out(torch.stack(states, dim=1).permute(0, 3, 1, 2))
        return out


class DiagonalLayer(nn.Module):
    """Two LSTMs along diagonals: from the left and from the right, both with the row above.

    Each reads the states beside and above. The one from the right has seen what comes later in the
    row, so a pixel is given its states of the row above.
    """

    def __init__(self, inputs: int, filters: int, groups: int) -> None:
        """
        Args:
            inputs: features that come in, and go out.
            filters: of each state, F.
            groups: channels of the image.
        """
        super().__init__()
        self.filters, self.groups = filters, groups
        self.to_state = RowConv(inputs, 8 * filters, left=0, groups=groups)
        bound = (2 * filters) ** -0.5
        weight = torch.empty(2, 2 * filters, 4 * filters).uniform_(-bound, bound)
        self.from_states = nn.Parameter(weight)  # by direction: of the state beside, and above
        self.out = RowConv(filters, inputs, left=0, groups=groups)

    def gates(self, x: Float[Tensor, "B I H W"]) -> Float[Tensor, "2 B H W 4F"]:
        """What comes in for both directions; the second one has its rows from right to left."""
        z = self.to_state(x).unflatten(1, (self.groups, 2, -1))
        left, right = z.permute(2, 0, 4, 5, 1, 3).flatten(-2)
        return torch.stack([left, right.flip(-2)])

    def next_states(
        self,
        z: Float[Tensor, "2 B S 4F"],
        *,
        beside: Float[Tensor, "2 B S F"],
        above: Float[Tensor, "2 B S F"],
        memory: Float[Tensor, "2 B S F"],
    ) -> tuple[Float[Tensor, "2 B S F"], Float[Tensor, "2 B S F"]]:
        """State and memory of pixels from those beside them, and from the states above."""
        read = torch.cat([beside, above], dim=-1).flatten(1, 2) @ self.from_states
        return cell(z + read.unflatten(1, z.shape[1:3]), memory, self.groups)

    def states(self, z: Float[Tensor, "2 B H W 4F"]) -> Float[Tensor, "2 B H W F"]:
        """The states of both directions, one diagonal after another.

        Where a skewed row has not begun, states are zero: nothing comes in there, not even a bias.
        """
        state = memory = z.new_zeros(*z.shape[:3], self.filters)
        diagonals = []
        for gates in skewed(z).unbind(3):
            above = F.pad(state, (0, 0, 1, -1))  # on the diagonal before, one row higher
            state, memory = self.next_states(gates, beside=state, above=above, memory=memory)
            diagonals.append(state)
        return unskewed(torch.stack(diagonals, dim=3), z.shape[3])

    def forward(self, x: Float[Tensor, "B I H W"]) -> Float[Tensor, "B I H W"]:
        left, right = self.states(self.gates(x))
        both = left + F.pad(right.flip(-2), (0, 0, 0, 0, 1, -1))  # that of the row above
        out: Tensor = self.out(both.permute(0, 3, 1, 2))
        return out


def skewed(x: Float[Tensor, "A B H W F"]) -> Float[Tensor, "A B H D F"]:
    """Each row one place further to the right than that above, zeros beside: D = W + H - 1.

    What was a diagonal is a column.
    """
    height, width = x.shape[2:4]
    rows = F.pad(x, (0, 0, 0, height)).flatten(2, 3)
    return rows[:, :, : height * (width + height - 1)].unflatten(2, (height, -1))


def unskewed(x: Float[Tensor, "A B H D F"], width: int) -> Float[Tensor, "A B H W F"]:
    """The inverse of `skewed` for images of a width."""
    height = x.shape[2]
    rows = F.pad(x.flatten(2, 3), (0, 0, 0, height))
    return rows.unflatten(2, (height, -1))[:, :, :, :width]


class PixelRNN(nn.Module):
    """A distribution of each pixel given those before it in raster order (Table 1 there).

    A masked convolution over what is before, recurrent layers, each added to what comes in, and
    two 1x1 layers behind a ReLU each.
    """

    def __init__(
        self,
        layer: type[RowLayer] | type[DiagonalLayer],
        *,
        channels: int,
        levels: int,
        filters: int,
        first_kernel: int,
        layers: int,
        hidden: int,
    ) -> None:
        """
        Args:
            layer: kind of the recurrent ones.
            channels: of the image.
            levels: of a pixel's channel.
            filters: features of a state; between layers there are twice as many.
            first_kernel: width of the convolution, an odd number of pixels.
            layers: recurrent ones.
            hidden: features before the last layer.
        """
        super().__init__()
        self.channels, self.levels, self.filters = channels, levels, filters
        wide = 2 * filters
        self.above = RowsAbove(channels, wide, kernel=first_kernel, own=False)
        self.left = RowConv(channels, wide, left=first_kernel // 2, groups=channels, own=False)
        self.layers = nn.ModuleList(layer(wide, filters, channels) for _ in range(layers))
        self.head = nn.ModuleList(
            [
                RowConv(wide, hidden, left=0, groups=channels),
                RowConv(hidden, channels * levels, left=0, groups=channels),
            ]
        )

    def forward(self, image: Float[Tensor, "B C H W"]) -> Float[Tensor, "B L C H W"]:
        """The logits of all pixels at once, each given those before it."""
        x = self.above(image) + self.left(image)
        for layer in self.layers:
            x = x + layer(x)
        for layer in self.head:
            x = layer(x.relu())
        return x.unflatten(1, (self.channels, self.levels)).transpose(1, 2)
