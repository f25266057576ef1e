"""The two stacks of a gated PixelCNN (van den Oord et al. 2016): what a pixel may see of others.

The vertical stack reads the rows above, the horizontal stack the pixels on the left, the channels
of the pixel itself that come before, and at each layer what the vertical stack has there. Kernels
have no masked taps above or on the left: they are as large as what they see. The features of the
horizontal stack belong to channels in equal groups, red, green, blue; within a pixel a group reads
the groups before it, and in all layers but the first also itself.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class RowConv(nn.Module):
    """A convolution over the pixels on the left and the pixel itself.

    Attributes:
        left: pixels on the left that it reads.
        taps: all pixels that it reads; the pixel itself only where it sees something of it.
    """

    def __init__(
        self, inputs: int, outputs: int, *, left: int, groups: int, own: bool = True
    ) -> None:
        """
        Args:
            inputs, outputs: features, in `groups` equal groups one after the other.
            left: pixels on the left that it reads.
            groups: channels of the image.
            own: within the pixel itself a group reads itself, too, not only those before.
        """
        super().__init__()
        self.left, self.groups = left, groups
        self.taps = left + (own or groups > 1)
        like = nn.Conv2d(inputs, outputs, (1, self.taps))
        assert like.bias is not None
        self.weight, self.bias = like.weight, like.bias
        mask = None
        if groups > 1:
            order = range(groups)
            sees = torch.tensor([[float(a < b or (own and a == b)) for a in order] for b in order])
            sees = sees[:, None, :, None].expand(-1, outputs // groups, -1, inputs // groups)
            mask = torch.ones(outputs, inputs, 1, self.taps)
            mask[:, :, 0, -1] = sees.reshape(outputs, inputs)
        self.mask: Tensor | None
        self.register_buffer("mask", mask, persistent=False)

    @property
    def kernel(self) -> Float[Tensor, "O I 1 taps"]:
        """The weights, zero where a group would see one that comes later."""
        return self.weight if self.mask is None else self.weight * self.mask

    def forward(self, x: Float[Tensor, "B I H W"]) -> Float[Tensor, "B O H W"]:
        padded = F.pad(x, (self.left, self.taps - self.left - 1))
        return F.conv2d(padded, self.kernel, self.bias)


class RowsAbove(nn.Conv2d):
    """A convolution over the rows above, and with `own` over the row itself, to both sides."""

    def __init__(self, inputs: int, outputs: int, *, kernel: int, own: bool = True) -> None:
        self.above, self.side = kernel // 2, kernel // 2
        super().__init__(inputs, outputs, (self.above + own, kernel))

    def forward(self, x: Float[Tensor, "B I H W"]) -> Float[Tensor, "B O H W"]:
        rows = self.above, self.kernel_size[0] - self.above - 1
        return super().forward(F.pad(x, (self.side, self.side, *rows)))


def gate(x: Float[Tensor, "B 2F *S"], groups: int = 1) -> Float[Tensor, "B F *S"]:
    """tanh(a) sigmoid(b), a and b the halves of each group's features (Eq. 2 there)."""
    a, b = x.unflatten(1, (groups, 2, -1)).unbind(2)
    return (a.tanh() * b.sigmoid()).flatten(1, 2)


class GatedBlock(nn.Module):
    """One layer of both stacks (Fig. 2 there).

    The first one sees neither the pixel's row above nor the pixel itself and has no residual
    connection.
    """

    def __init__(
        self,
        inputs: int,
        filters: int,
        *,
        kernel: int,
        groups: int,
        first: bool = False,
        code: int = 0,
    ) -> None:
        """
        Args:
            inputs: features, or the image's channels.
            filters: features of each stack, F.
            kernel: width of what the vertical stack sees, an odd number of pixels.
            groups: channels of the image.
            first: the layer reads the image.
            code: length of a vector that both stacks are given; 0 if there is none.
        """
        super().__init__()
        self.groups, self.first = groups, first
        self.vertical = RowsAbove(inputs, 2 * filters, kernel=kernel, own=not first)
        self.link = nn.Conv2d(2 * filters, 2 * filters, 1, bias=False)
        self.horizontal = RowConv(
            inputs, 2 * filters, left=kernel // 2, groups=groups, own=not first
        )
        self.out = RowConv(filters, filters, left=0, groups=groups)
        self.code = nn.Linear(code, 4 * filters) if code else None

    def shifts(self, code: Float[Tensor, "B K"] | None) -> tuple[Tensor, Tensor] | tuple[int, int]:
        """What the vector adds to each stack before its gate, `[B, 2F, 1, 1]` each."""
        if self.code is None or code is None:
            return 0, 0
        vertical, horizontal = self.code(code)[:, :, None, None].chunk(2, dim=1)
        return vertical, horizontal

    def forward(
        self,
        above: Float[Tensor, "B I H W"],
        left: Float[Tensor, "B I H W"],
        code: Float[Tensor, "B K"] | None = None,
    ) -> tuple[Float[Tensor, "B F H W"], Float[Tensor, "B F H W"]]:
        """The features of the vertical and of the horizontal stack."""
        to_vertical, to_horizontal = self.shifts(code)
        vertical = self.vertical(above)
        horizontal = self.horizontal(left) + self.link(vertical) + to_horizontal
        out: Tensor = self.out(gate(horizontal, self.groups))
        return gate(vertical + to_vertical), out if self.first else left + out


class GatedPixelCNN(nn.Module):
    """A distribution of each pixel given those before it in raster order."""

    def __init__(
        self,
        *,
        channels: int,
        levels: int,
        filters: int,
        kernel: int,
        first_kernel: int,
        blocks: int,
        hidden: int = 0,
        code: int = 0,
    ) -> None:
        """
        Args:
            channels: of the image.
            levels: of a pixel's channel.
            filters: features of each stack.
            kernel: of the layers but the first, `first_kernel` of that one, odd numbers of pixels.
            blocks: layers after the first.
            hidden: features of a layer before the last one; 0 has none.
            code: length of a vector that all layers are given; 0 if there is none.
        """
        super().__init__()
        self.channels, self.levels = channels, levels
        sizes = [(channels, first_kernel), *[(filters, kernel)] * blocks]
        self.blocks = nn.ModuleList(
            GatedBlock(inputs, filters, kernel=width, groups=channels, first=index == 0, code=code)
            for index, (inputs, width) in enumerate(sizes)
        )
        widths = [filters, *([hidden] if hidden else []), channels * levels]
        self.head = nn.ModuleList(
            RowConv(before, after, left=0, groups=channels) for before, after in pairwise(widths)
        )

    @property
    def layers(self) -> list[GatedBlock]:
        """The blocks; the first one reads the image."""
        return [block for block in self.blocks if isinstance(block, GatedBlock)]

    def forward(
        self, image: Float[Tensor, "B C H W"], code: Float[Tensor, "B K"] | None = None
    ) -> Float[Tensor, "B L C H W"]:
        """The logits of all pixels at once, each given those before it.

        Args:
            image: levels as pixels in [0, 1].
            code: what else all pixels depend on.
        """
        above = left = image
        for block in self.blocks:
            above, left = block(above, left, code)
        for index, layer in enumerate(self.head):
            left = layer(left.relu() if index else left)
        return left.unflatten(1, (self.channels, self.levels)).transpose(1, 2)
