"""Designs chosen beforehand, with which adaptive ones are compared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from boed.deep_adaptive.scale import DesignScale
from boed.foundation.files import read_model, save_weights


class StaticDesign(nn.Module):
    """A policy that does not look at what it sees: T designs chosen beforehand.

    Trained on the same loss it is the best non-adaptive design, the reference that shows what
    adapting gains.

    Args:
        designs: where it starts, `[T, K]`.
        bounds: lowest and highest value of each coordinate, `[2, K]`; none if not given.
        logarithmic: which of them count in powers, as in `PolicyConfig`.

    Attributes:
        numbers: what is trained, `[T, K]`; the bounds are -1 and 1.

    Raises:
        ValueError: `designs` has another shape, no look, or is not finite.
    """

    def __init__(
        self,
        designs: Float[Tensor, "T K"],
        bounds: Float[Tensor, "2 K"] | None = None,
        *,
        logarithmic: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        bad = designs.ndim != 2 or len(designs) < 1
        if bad or not (designs.is_meta or torch.isfinite(designs).all()):
            raise ValueError(f"designs must be finite (T, K), got {tuple(designs.shape)}")
        designs = designs.detach()
        one = torch.ones_like(designs[0])
        lower, upper = (-one, one) if bounds is None else bounds.to(designs)
        self.bounded, self.logarithmic = bounds is not None, logarithmic
        self.scale = DesignScale(lower, upper, logarithmic)
        self.numbers = nn.Parameter(self.scale.numbers(designs).clone())
        self.provenance: dict[str, Any] = {}

    @property
    def designs(self) -> Float[Tensor, "T K"]:
        """The designs of all looks."""
        return (self.scale.inside if self.bounded else self.scale.designs)(self.numbers)

    @property
    def design_dim(self) -> int:
        """K, numbers in a design."""
        return self.numbers.shape[1]

    @property
    def at_once(self) -> int:
        """1: no design waits for an outcome anyway."""
        return 1

    def unit_at(self, design: Float[Tensor, "*B K"]) -> Float[Tensor, "*B K"]:
        """What 1 of the numbers stands for at a design; 1 where there are no bounds."""
        return self.scale.unit_at(design)

    @torch.no_grad()
    def keep_within(self) -> None:
        """Bring the designs back into their bounds, after an update."""
        if self.bounded:
            self.numbers.clamp_(-1, 1)

    def forward(
        self, designs: Float[Tensor, "B t K"], outcomes: Float[Tensor, "B t *Y"]
    ) -> Float[Tensor, "B K"]:
        """The design of this look, the same for every experiment.

        Raises:
            ValueError: all looks have been made.
        """
        return self.choose(self.summarise(designs, outcomes))

    def summarise(self, designs: Tensor, outcomes: Tensor) -> tuple[int, int]:
        """Experiments, and looks so far."""
        return len(designs), designs.shape[1]

    def start(self, batch: int) -> tuple[int, int]:
        """Experiments, and looks so far."""
        return batch, 0

    def choose(self, summary: tuple[int, int]) -> Float[Tensor, "B K"]:
        """The design of this look.

        Raises:
            ValueError: all looks have been made.
        """
        batch, look = summary
        if look >= len(self.numbers):
            raise ValueError(f"the fixed design has {len(self.numbers)} looks, asked for one more")
        return self.designs[look].expand(batch, -1)

    def update(self, summary: tuple[int, int], design: Tensor, outcome: Tensor) -> tuple[int, int]:
        """One look more."""
        return self.expect(summary, design)

    def expect(self, summary: tuple[int, int], design: Tensor) -> tuple[int, int]:
        """One look more."""
        batch, look = summary
        return batch, look + 1

    def save(self, path: Path | str, provenance: dict[str, Any]) -> None:
        """Write the designs with provenance as safetensors."""
        about = {
            "kind": "fixed design",
            "bounds": self.scale.bounds.tolist() if self.bounded else None,
            "logarithmic": self.logarithmic,
        }
        save_weights(path, self.state_dict(), {**about, **provenance})

    @classmethod
    def load(cls, path: Path | str) -> StaticDesign:
        """Read what `save` wrote.

        Raises:
            ValueError: the file is missing, damaged, or holds something else.
        """
        return read_model(path, cls._built, "fixed design")

    @classmethod
    def _built(cls, header: dict[str, Any], tensors: dict[str, Tensor]) -> StaticDesign:
        shape, bounds = tensors["numbers"].shape, header.get("bounds")
        if bounds is None:
            return cls(torch.zeros(shape))
        between = torch.tensor(bounds)
        start = between.mean(0).expand(shape)
        return cls(start, between, logarithmic=header.get("logarithmic"))
