"""Fully connected layers on all pixels at once: for small pictures seen by single pixels."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from jaxtyping import Float, Int64
from torch import Tensor, nn

from boed.classifiers.networks.densenet import DenseNetConfig, FoldingNetwork

DROPOUT = 0.2
"""Behind each hidden layer of a classifier in training."""


class FullyConnected(FoldingNetwork):
    """Hidden layers of one width on cat(values, mask), as the literature reads MNIST's pixels.

    As in Covert et al. 2023 (App. D): of pictures of which a few pixels are seen it makes as much
    as convolutions do, in a tenth of the time.
    """

    def __init__(self, config: DenseNetConfig) -> None:
        super().__init__(config)
        self.output = nn.Linear(config.width, config.outputs)

    @staticmethod
    def layers(config: DenseNetConfig, dropout: float = DROPOUT) -> tuple[list[nn.Module], int]:
        """The hidden layers, and the width that the last one returns."""
        inputs = (config.channels + 1) * config.size**2
        widths = [inputs] + [config.width] * sum(config.layers)
        parts: list[nn.Module] = [nn.Flatten()]
        for before, after in itertools.pairwise(widths):
            parts += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(dropout)]
        return parts, config.width

    def forward(self, stacked: Float[Tensor, "B C+1 H W"]) -> Float[Tensor, "B K"]:
        stacked = stacked.to(next(self.features.parameters()).dtype)
        return self.output(self.features(stacked).float())

    def around(
        self, before: Float[Tensor, "B C+1 H W"]
    ) -> Callable[[Tensor, Int64[Tensor, " P"]], Tensor]:
        """`forward` of what differs from some of `before` in a few numbers.

        The first layer, most of the work, is computed for `before` alone, and what the differences
        add to it: a look at one pixel changes two numbers.
        """
        first = self.features[1]
        assert isinstance(first, nn.Linear)
        known = before.flatten(1).to(first.weight.dtype)
        hidden, weight = first(known), first.weight.T.contiguous()

        def forward(now: Float[Tensor, "P C+1 H W"], base: Int64[Tensor, " P"]) -> Tensor:
            change = now.flatten(1).to(known) - known[base]
            row, column = change.nonzero(as_tuple=True)
            if len(row) * 8 > change.numel():
                return self(now)
            added = weight[column] * change[row, column, None]
            near = hidden[base].index_add(0, row, added)
            return self.output(self.features[2:](near).float())

        return forward
