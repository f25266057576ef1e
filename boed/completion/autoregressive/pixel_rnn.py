"""Row LSTM and Diagonal BiLSTM (van den Oord et al. 2016a): PixelRNNs as completers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from boed.completion.autoregressive.configuration import AutoregressiveConfig, images, training
from boed.completion.autoregressive.recurrent import DiagonalLayer, PixelRNN, RowLayer
from boed.completion.autoregressive.recurrent_stepping import RecurrentSteps
from boed.completion.autoregressive.unconditional import Unconditional
from boed.completion.learned import Architectures
from boed.foundation.checks import at_least, attributes
from boed.training.config import TrainingConfig


@dataclass(frozen=True, kw_only=True)
class PixelRNNConfig(AutoregressiveConfig):
    """Architecture of a PixelRNN.

    Attributes:
        filters: features of a state, a multiple of the channels.
        first_kernel: width of the convolution before the recurrent layers, in pixels.
        layers: recurrent ones.
        hidden: features before the last layer, a multiple of the channels.

    Raises:
        ValueError: a number out of range, or features that the channels cannot share.
    """

    filters: int = 32
    first_kernel: int = 7
    layers: int = 1
    hidden: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(1, **attributes(self, "filters", "layers", "hidden"))
        self.check_widths("first_kernel")
        self.check_shared("filters", "hidden")


def small(
    size: int, channels: int, *, layers: int, levels: int | None = None
) -> tuple[PixelRNNConfig, TrainingConfig]:
    """A small configuration, and how to train it.

    Raises:
        ValueError: as `images` says.
    """
    filters = 16 * channels if channels > 1 else 32
    config = PixelRNNConfig(
        **images(size, channels, levels), filters=filters, layers=layers, hidden=2 * filters
    )
    return config, training(size)


def mnist(size: int, channels: int) -> tuple[PixelRNNConfig, TrainingConfig]:
    """That of van den Oord et al. 2016a for binarised MNIST, trained as the small ones are."""
    config = PixelRNNConfig(size=28, channels=1, levels=2, filters=16, layers=7, hidden=32)
    return config, training(28)


def cifar(size: int, channels: int) -> tuple[PixelRNNConfig, TrainingConfig]:
    """That of van den Oord et al. 2016a for CIFAR-10, trained as the small ones are.

    Theirs has 128 and 1024 features where these have the next numbers that three channels share.
    """
    config = PixelRNNConfig(size=32, channels=3, levels=256, filters=129, layers=12, hidden=1023)
    return config, training(32)


class PixelRNNCompleter(Unconditional):
    """A PixelRNN, and its pixels one after another; subclasses say of which layers."""

    Config = PixelRNNConfig
    config: PixelRNNConfig
    layer: ClassVar[type[RowLayer] | type[DiagonalLayer]]
    preset_layers: ClassVar[int]

    def __init__(self, config: PixelRNNConfig) -> None:
        super().__init__(config)
        names = ("channels", "levels", "filters", "first_kernel", "layers", "hidden")
        self.network = PixelRNN(self.layer, **attributes(config, *names))

    @classmethod
    def preset(cls, size: int, channels: int) -> tuple[PixelRNNConfig, TrainingConfig]:
        """A configuration of 16 levels, or of 32 in colour and above 32 px.

        Raises:
            ValueError: there is none for that size.
        """
        return small(size, channels, layers=cls.preset_layers)

    def logits(
        self, image: Float[Tensor, "B C H W"], condition: Tensor
    ) -> Float[Tensor, "B L C H W"]:
        logits: Tensor = self.network(image)
        return logits

    def steps(self, image: Float[Tensor, "N C H W"], condition: Tensor) -> RecurrentSteps:
        return RecurrentSteps(self.network, image)


class RowLSTM(PixelRNNCompleter):
    """A PixelRNN whose states go from row to row: a pixel sees a triangle above itself.

    As van den Oord et al. 2016a describe it, which the CIFAR-10 report ran without details: a 7 x 7
    convolution, input-to-state 1 x 3 of which the pixel itself and its left neighbour are seen,
    state-to-state 1 x 3, a residual connection around each layer, two 1 x 1 layers. Differences:
    two layers of 32 features, fewer levels, AdamW in place of RMSProp. Nothing that is seen after
    a pixel is looked at (`Unconditional`).
    """

    name: ClassVar[str] = "row-lstm"
    layer = RowLayer
    preset_layers = 2
    architectures: ClassVar[Architectures] = {
        "binary": partial(small, layers=2, levels=2),
        "mnist": mnist,
        "cifar": cifar,
    }


class DiagonalBiLSTM(PixelRNNCompleter):
    """A PixelRNN whose states go along diagonals, from both sides: a pixel sees all before it.

    As `RowLSTM`, but input-to-state 1 x 1 and state-to-state of the pixel beside and that above,
    one layer in the preset. States from the right are those of the row above: the pixels on the
    right of the same row come later. So of the last pixel of the row above the last channel is
    seen by those alone that the convolution lets see it, as in the paper.
    """

    name: ClassVar[str] = "diagonal-bilstm"
    layer = DiagonalLayer
    preset_layers = 1
    architectures: ClassVar[Architectures] = {
        "binary": partial(small, layers=1, levels=2),
        "mnist": mnist,
        "cifar": cifar,
    }
