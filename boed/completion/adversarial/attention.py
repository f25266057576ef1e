"""Spectrally normalised residual blocks, and attention over what was encoded (Zheng 2019)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm


def conv(
    width_in: int, width_out: int, kernel: int = 3, *, padding: int | None = None
) -> nn.Module:
    """A spectrally normalised convolution that keeps the resolution."""
    padding = kernel // 2 if padding is None else padding
    return spectral_norm(_orthogonal(nn.Conv2d(width_in, width_out, kernel, padding=padding)))


def reflecting(width_in: int, width_out: int) -> nn.Module:
    """`conv` that pads an image by its reflection."""
    layer = nn.Conv2d(width_in, width_out, 3, padding=1, padding_mode="reflect")
    return spectral_norm(_orthogonal(layer))


def widening(width_in: int, width_out: int) -> nn.Module:
    """A spectrally normalised transposed convolution to twice the resolution."""
    layer = nn.ConvTranspose2d(width_in, width_out, 3, 2, 1, output_padding=1)
    return spectral_norm(_orthogonal(layer))


def activation() -> nn.Module:
    return nn.LeakyReLU(0.1)


class Residual(nn.Module):
    """The sum of what two branches make of the same input."""

    def __init__(self, main: list[nn.Module], shortcut: list[nn.Module]) -> None:
        super().__init__()
        self.main = nn.Sequential(*main)
        self.shortcut = nn.Sequential(*shortcut)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D h w"]:
        out: Tensor = self.main(x) + self.shortcut(x)
        return out


def block(width_in: int, width_out: int, hidden: int) -> Residual:
    """Two 3x3 convolutions, each after an activation, at one resolution."""
    main = [activation(), conv(width_in, hidden), activation(), conv(hidden, width_out)]
    return Residual(main, [conv(width_in, width_out, 1)])


def halving(width_in: int, width_out: int) -> Residual:
    """`block` followed by 2x2 average pooling."""
    main = [activation(), conv(width_in, width_in), activation(), conv(width_in, width_out)]
    return Residual([*main, nn.AvgPool2d(2)], [nn.AvgPool2d(2), conv(width_in, width_out, 1)])


def first_halving(width_in: int, width_out: int) -> Residual:
    """`halving` for an image, which needs no activation first."""
    main = [conv(width_in, width_out), activation(), conv(width_out, width_out)]
    return Residual([*main, nn.AvgPool2d(2)], [nn.AvgPool2d(2), conv(width_in, width_out, 1)])


def doubling(width_in: int, width_out: int) -> Residual:
    """Instance norm, a convolution, instance norm, and a transposed one of stride 2."""
    main = [
        nn.InstanceNorm2d(width_in, affine=True),
        activation(),
        conv(width_in, width_out),
        nn.InstanceNorm2d(width_out, affine=True),
        activation(),
        widening(width_out, width_out),
    ]
    return Residual(main, [widening(width_in, width_out)])


class ShortTermAttention(nn.Module):
    """Self-attention with queries for keys, added to its input with a weight that starts at 0."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = _orthogonal(nn.Conv2d(width, width // 4, 1))
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        return self.gamma * self.attend(x, x) + x

    def attend(
        self, x: Float[Tensor, "B C H W"], values: Float[Tensor, "B D H W"]
    ) -> Float[Tensor, "B D H W"]:
        """`values` averaged over positions whose `x` is alike (Zheng et al. 2019, Eq. 7, 8)."""
        query = self.query(x).flatten(2).transpose(1, 2)
        flat = values.flatten(2).transpose(1, 2)
        attended = (query @ query.transpose(1, 2)).softmax(-1) @ flat
        return attended.transpose(1, 2).unflatten(2, x.shape[2:])


class ShortLongAttention(ShortTermAttention):
    """Self-attention, and the same attention over the encoder's feature of what was seen.

    Seen positions keep the encoder's feature; hidden ones get what the attention finds in it,
    with a weight `alpha` that starts at 0 (Zheng et al. 2019, Sec. 3.4, Eq. 9).
    """

    def __init__(self, width: int, encoded: int) -> None:
        super().__init__(width)
        self.alpha = nn.Parameter(torch.zeros(()))
        self.merge = block(width + encoded, width, width)

    def forward(  # type: ignore[override]
        self,
        x: Float[Tensor, "B C H W"],
        encoded: Float[Tensor, "B D H W"],
        mask: Float[Tensor, "B 1 H W"],
    ) -> Float[Tensor, "B C H W"]:
        short, long = self.attend(x, torch.cat([x, encoded], dim=1)).split(
            [x.shape[1], encoded.shape[1]], dim=1
        )
        context = self.alpha * (1 - mask) * long + mask * encoded
        merged: Tensor = self.merge(torch.cat([self.gamma * short + x, context], dim=1))
        return merged


def _orthogonal(layer: nn.Conv2d | nn.ConvTranspose2d) -> nn.Conv2d | nn.ConvTranspose2d:
    nn.init.orthogonal_(layer.weight)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer
