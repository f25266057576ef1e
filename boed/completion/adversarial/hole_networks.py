"""The networks of hole fillers: an encoder, a bottleneck, a decoder to scene or patch, a critic.

All filters are 3 pixels wide, for which the CIFAR-10 inpainting report decided.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jaxtyping import Float
from torch import Tensor, nn

CONVOLUTIONS: dict[str, tuple[int, ...]] = {"plain": (2, 2, 2), "vgg": (2, 2, 3)}
"""By encoder, how many each stage has, of which the last halves; further stages as the last."""

DOWNSAMPLINGS = ("pool", "stride")
"""How a stage halves: by pooling behind its convolutions, or by the stride of the last one."""

Block = Callable[[int, int, int], list[nn.Module]]
"""Features that come in, features that go out, and the stride of a convolution to its layers."""


def resolutions(size: int) -> list[int]:
    """That after each halving of an even size, down to 4 pixels or an odd number of them.

    >>> resolutions(32), resolutions(28)
    ([16, 8, 4], [14, 7])
    """
    found = [size // 2]
    while found[-1] > 4 and found[-1] % 2 == 0:
        found.append(found[-1] // 2)
    return found


def widths(width: int, stages: int) -> list[int]:
    """Features of each stage: they double twice.

    >>> widths(32, 4)
    [32, 64, 128, 128]
    """
    return [width * 2 ** min(stage, 2) for stage in range(stages)]


class Halvings(nn.Sequential):
    """Stages of convolutions, each at half the resolution of the one before.

    Args:
        channels: that come in.
        features: of each stage.
        encoder: one of `CONVOLUTIONS`.
        downsampling: one of `DOWNSAMPLINGS`.
        block: makes the layers of a convolution.
    """

    def __init__(
        self,
        channels: int,
        features: Sequence[int],
        *,
        encoder: str,
        downsampling: str,
        block: Block,
    ) -> None:
        layers: list[nn.Module] = []
        for stage, width in enumerate(features):
            numbers = CONVOLUTIONS[encoder]
            number = numbers[min(stage, len(numbers) - 1)]
            for index in range(number):
                halves = downsampling == "stride" and index == number - 1
                layers += block(channels, width, 2 if halves else 1)
                channels = width
            if downsampling == "pool":
                layers.append(nn.MaxPool2d(2))
        super().__init__(*layers)


class Generator(nn.Module):
    """What is seen, through a bottleneck of some numbers, to a scene or the patch in its middle.

    Convolutions have batch norm, ReLU and dropout behind them. The bottleneck is one convolution
    as wide as what the encoder leaves, without a border, and the decoder mirrors the encoder with
    one transposed convolution in place of each stage.

    Args:
        channels: image channels; the mask comes in, too.
        size: width of the scene in pixels, an even number.
        encoder: one of `CONVOLUTIONS`.
        downsampling: one of `DOWNSAMPLINGS`.
        width: features of the first stage.
        bottleneck: numbers in the middle.
        patch: width of what comes out in pixels, the last resolution of the encoder doubled some
            times.
        dropout: share of features that a training step leaves out.
    """

    def __init__(
        self,
        *,
        channels: int,
        size: int,
        encoder: str,
        downsampling: str,
        width: int,
        bottleneck: int,
        patch: int,
        dropout: float,
    ) -> None:
        super().__init__()
        low = resolutions(size)[-1]
        features = widths(width, len(resolutions(size)))

        def rest(out: int) -> list[nn.Module]:
            return [nn.BatchNorm2d(out), nn.ReLU(), nn.Dropout(dropout)]

        def block(into: int, out: int, stride: int) -> list[nn.Module]:
            return [nn.Conv2d(into, out, 3, stride, 1, bias=False), *rest(out)]

        self.encoder = Halvings(
            channels + 1, features, encoder=encoder, downsampling=downsampling, block=block
        )
        self.bottleneck = nn.Sequential(
            nn.Conv2d(features[-1], bottleneck, low, bias=False),
            *rest(bottleneck),
            nn.ConvTranspose2d(bottleneck, features[-1], low, bias=False),
            *rest(features[-1]),
        )
        layers: list[nn.Module] = []
        into = features[-1]
        for out in [*features[-2::-1], features[0]][: (patch // low).bit_length() - 1]:
            doubled = nn.ConvTranspose2d(into, out, 3, 2, 1, output_padding=1, bias=False)
            layers += [doubled, *rest(out)]
            into = out
        self.decoder = nn.Sequential(*layers, nn.Conv2d(into, channels, 3, padding=1))

    def forward(self, seen: Float[Tensor, "B C+1 H W"]) -> Float[Tensor, "B C P P"]:
        image: Tensor = self.decoder(self.bottleneck(self.encoder(seen)))
        return image


class Critic(nn.Module):
    """An image to one number: convolutions of which every other strides, then one of 1 pixel.

    The plain one has six of them. Batch norm has the statistics of the batch alone, whatever the
    mode: there is nothing but parameters that has to rest or to be bounded.

    Args:
        channels: image channels.
        encoder: one of `CONVOLUTIONS`.
        width: features of the first of its three stages.
    """

    def __init__(self, *, channels: int, encoder: str, width: int) -> None:
        super().__init__()
        features = widths(width, 3)

        def block(into: int, out: int, stride: int) -> list[nn.Module]:
            convolution = nn.Conv2d(into, out, 3, stride, 1, bias=False)
            return [convolution, nn.BatchNorm2d(out, track_running_stats=False), nn.LeakyReLU(0.2)]

        self.layers = Halvings(
            channels, features, encoder=encoder, downsampling="stride", block=block
        )
        self.last = nn.Conv2d(features[-1], 1, 1)

    def forward(self, image: Float[Tensor, "B C P P"]) -> Float[Tensor, " B"]:
        scores: Tensor = self.last(self.layers(image)).float().mean((1, 2, 3))
        return scores
