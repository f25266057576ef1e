"""Flattened Row LSTM of the CIFAR-10 inpainting report: an image as one sequence of values."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from boed.completion.autoregressive.configuration import AutoregressiveConfig
from boed.completion.autoregressive.unconditional import Unconditional
from boed.completion.learned import Architectures
from boed.completion.levels import to_level
from boed.data.observation import Observation
from boed.foundation.checks import at_least, attributes

State = tuple[Tensor, Tensor]
"""State and memory of an LSTM, `[1, N, H]` each."""


@dataclass(frozen=True, kw_only=True)
class FlattenedRowLSTMConfig(AutoregressiveConfig):
    """Architecture of a Flattened Row LSTM.

    Attributes:
        hidden: features of the state.
        window: values that a training step learns from, at a random place of each batch, with the
            state that those before leave; 0 takes whole images.

    Raises:
        ValueError: a number out of range.
    """

    hidden: int = 64
    window: int = 256

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(1, hidden=self.hidden)
        at_least(0, window=self.window)


class SequenceLSTM(nn.Module):
    """The logits of each value from those before it, which come in one-hot; one token starts."""

    def __init__(self, levels: int, hidden: int) -> None:
        super().__init__()
        self.levels = levels
        self.lstm = nn.LSTM(levels + 1, hidden, batch_first=True)
        self.leave = nn.Linear(hidden, levels)

    def forward(
        self, tokens: Int64[Tensor, "N S"], state: State | None = None
    ) -> tuple[Float[Tensor, "N S L"], State]:
        """Logits, and the state after the last token.

        Args:
            tokens: the value before each one, L before the first.
            state: that before the first token; zero if not given.
        """
        one_hot = F.one_hot(tokens, self.levels + 1).to(self.leave.weight.dtype)
        features, state = self.lstm(one_hot, state)
        return self.leave(features), state


class ValueSteps:
    """`Steps` of a Flattened Row LSTM: its state after all values that came before."""

    reach = 0  # what was left out is read when the next logits are asked for

    def __init__(self, network: SequenceLSTM, image: Float[Tensor, "N C H W"]) -> None:
        self.network = network
        number, self.channels, _, self.width = image.shape
        pixels = image.permute(2, 3, 1, 0).contiguous()
        self.image, self.values = pixels.permute(3, 2, 0, 1), pixels.flatten(0, 2)
        self.start = image.new_full((number, 1), network.levels, dtype=torch.long)
        self.state: State | None = None
        self.row = self.read = 0

    def begin(self, row: int) -> None:
        self.row = row

    def step(self, column: int, channel: int) -> Float[Tensor, "N L"]:
        place = (self.row * self.width + column) * self.channels + channel
        tokens = to_level(self.values[max(self.read - 1, 0) : place].mT, self.network.levels)
        if self.read == 0:
            tokens = torch.cat([self.start, tokens], dim=1)
        logits, self.state = self.network(tokens, self.state)
        self.read = place + 1
        return logits[:, -1]

    def skip(self, column: int) -> None:
        pass


class FlattenedRowLSTM(Unconditional):
    """One LSTM over all values in raster order, red, green and blue of a pixel one after another.

    As the CIFAR-10 report has it: the value before comes in one-hot, 64 features, a softmax over
    levels. Differences: fewer levels than 256; training cuts gradients after `window` values.
    Nothing that is seen after a pixel is looked at (`Unconditional`).
    """

    name: ClassVar[str] = "flattened-row-lstm"
    Config = FlattenedRowLSTMConfig
    config: FlattenedRowLSTMConfig
    architectures: ClassVar[Architectures] = {
        "binary": partial(FlattenedRowLSTMConfig.small, levels=2)
    }

    def __init__(self, config: FlattenedRowLSTMConfig) -> None:
        super().__init__(config)
        self.network = SequenceLSTM(**attributes(config, "levels", "hidden"))

    def sequence(
        self, image: Float[Tensor, "B C H W"]
    ) -> tuple[Int64[Tensor, "B S"], Int64[Tensor, "B S"]]:
        """Levels in the order of drawing, and before each the one before it."""
        values = to_level(image, self.levels).permute(0, 2, 3, 1).flatten(1)
        start = torch.full_like(values[:, :1], self.levels)
        return values, torch.cat([start, values[:, :-1]], dim=1)

    def logits(
        self, image: Float[Tensor, "B C H W"], condition: Tensor
    ) -> Float[Tensor, "B L C H W"]:
        _, tokens = self.sequence(image)
        logits: Tensor = self.network(tokens)[0]
        _, channels, height, width = image.shape
        return logits.mT.unflatten(2, (height, width, channels)).permute(0, 1, 4, 2, 3)

    def steps(self, image: Float[Tensor, "N C H W"], condition: Tensor) -> ValueSteps:
        return ValueSteps(self.network, image)

    def loss(
        self,
        scene: Float[Tensor, "B C H W"],
        observation: Observation,
        progress: float = 1.0,
    ) -> Tensor:
        """Cross entropy of a window of values, seen or not, in nats per channel of a pixel."""
        values, tokens = self.sequence(scene)
        length = values.shape[1]
        window = min(self.config.window or length, length)
        start = int(torch.randint(length - window + 1, ()))
        state = None
        if start:
            with torch.no_grad():
                _, state = self.network(tokens[:, :start])
        logits, _ = self.network(tokens[:, start : start + window], state)
        return F.cross_entropy(logits.mT, values[:, start : start + window])
