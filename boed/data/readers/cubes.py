"""CUBE and CUBE-NM: tables drawn from a law that is known, to tell policies apart that look ahead.

CUBE (Rückstieß et al. 2013; Shim et al. 2018): a row has one of 8 labels, whose three bits stand in
three of ten features beginning at the label's own; all other features are noise around 0.5. Where
the bits stand depends on the label, so that which feature tells most depends on what has been read.

CUBE-NM ("AFABench", 2025, arXiv:2508.14734) has five such blocks, of which one holds
the bits and the others noise; a context feature says which. It says nothing about the label by
itself, and everything about where to look.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from boed.data.dataset import Dataset
from boed.foundation.checks import at_least
from boed.foundation.randomness import derive

ROWS = {"train": 8_000, "val": 1_000, "test": 2_000}
"""Rows of each split."""

NOISE, CONTEXT_NOISE = 0.05, 0.005
"""Standard deviation of a feature, and of the context, in units of the scenes."""

LOW, MIDDLE, HIGH = 0.25, 0.5, 0.75
"""A bit that is 0, a feature that holds none, a bit that is 1."""


@dataclass(frozen=True, kw_only=True)
class CubeLaw:
    """What rows of such a table are drawn from: one Gaussian for each context and label.

    The numbers of the paper, 0, 0.5 and 1 with a standard deviation of 0.1, are halved and moved
    by 0.25, so that they lie in [0, 1].

    Attributes:
        contexts: blocks of features, C; of one no context feature tells.
        bits: of a label, of which there are 2^bits, K.
        extra: features without meaning, at the end.

    Raises:
        ValueError: less than a context or a bit.
    """

    contexts: int = 1
    bits: int = 3
    extra: int = 0

    def __post_init__(self) -> None:
        at_least(1, contexts=self.contexts, bits=self.bits)
        at_least(0, extra=self.extra)

    @property
    def labels(self) -> int:
        """K."""
        return 2**self.bits

    @property
    def block(self) -> int:
        """Features of a block: as many as the bits of all labels reach."""
        return self.labels + self.bits - 1

    @property
    def names(self) -> tuple[str, ...]:
        """Of the F features."""
        context = ("context",) if self.contexts > 1 else ()
        where = [f"block {c + 1} " if self.contexts > 1 else "" for c in range(self.contexts)]
        blocks = [f"{block}feature {k + 1}" for block in where for k in range(self.block)]
        return (*context, *blocks, *(f"extra {k + 1}" for k in range(self.extra)))

    @cached_property
    def means(self) -> Float[Tensor, "C K F"]:
        """Of the features, by context and label."""
        means = torch.full((self.contexts, self.labels, len(self.names)), MIDDLE)
        start = 0
        if self.contexts > 1:
            means[..., 0] = torch.linspace(LOW, HIGH, self.contexts)[:, None]
            start = 1
        for label in range(self.labels):
            for bit in range(self.bits):
                at = start + label + bit + self.block * torch.arange(self.contexts)
                means[range(self.contexts), label, at] = HIGH if label >> bit & 1 else LOW
        return means

    @cached_property
    def spread(self) -> Float[Tensor, " F"]:
        """Standard deviation of each feature, whatever context and label."""
        spread = torch.full((len(self.names),), NOISE)
        if self.contexts > 1:
            spread[0] = CONTEXT_NOISE
        return spread

    def draw(
        self, number: int, seed: int
    ) -> tuple[Float[Tensor, "N 1 1 F"], Int64[Tensor, " N"], Int64[Tensor, " N"]]:
        """Rows as scenes, their labels and their contexts.

        Args:
            number: of rows.
            seed: the same rows for the same seed.
        """
        generator = np.random.default_rng(seed)
        contexts = torch.from_numpy(generator.integers(self.contexts, size=number))
        labels = torch.from_numpy(generator.integers(self.labels, size=number))
        noise = generator.standard_normal((number, len(self.names)))
        rows = self.means[contexts, labels].double() + torch.from_numpy(noise) * self.spread
        rounded = rows.clamp(0, 1).round(decimals=4)  # the same on every machine
        return rounded.float()[:, None, None], labels, contexts

    def dataset(
        self, number: int, seed: int, *, name: str = "cube", split: str = "test"
    ) -> Dataset:
        """Rows with their labels.

        Args:
            number: of rows.
            seed: as for `draw`.
            name, split: of the data set.
        """
        images, labels, _ = self.draw(number, seed)
        names = tuple(map(str, range(self.labels)))
        return Dataset(name=name, split=split, images=images, labels=labels, label_names=names)


LAWS = {"cube": CubeLaw(extra=10), "cube_nm": CubeLaw(contexts=5)}
"""By the names of the data sets: 20 and 51 features."""

CUBES = {
    "cube": "11,000 rows of CUBE, 20 features, 8 labels whose bits stand in 3 of them",
    "cube_nm": "11,000 rows of CUBE-NM, 5 blocks of 10 features and one that says which counts",
}
"""What can be read by name."""


def cube(name: str, split: str, draw: int = 0) -> Dataset:
    """Rows of one split, float32 `[N, 1, 1, F]` in [0, 1].

    Args:
        name: one of `LAWS`.
        split: `train`, `val` or `test`.
        draw: which of any number of draws; no row is in two of them.
    """
    return LAWS[name].dataset(ROWS[split], derive(name, split, draw), name=name, split=split)
