"""What benchmarks/pixel_constrained.py studies: a trained model, scenes, other completers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from inpainting import observed
from torch import Tensor

from boed.benchmark.sweep import scene_rows
from boed.completion import Completer
from boed.completion.autoregressive.base import Autoregressive
from boed.data.dataset import Dataset
from boed.data.observation import Observation

COMPLETIONS = 8
"""Of each scene; with the truth nine are ranked."""

BATCH = 25
"""Scenes completed at once."""


@dataclass(frozen=True)
class Study:
    """A trained model, the scenes, and how many of them; other completers by name."""

    model: Autoregressive
    test: Dataset
    scenes: int
    seed: int
    others: Mapping[str, Completer]

    @property
    def completers(self) -> dict[str, Completer]:
        """All of them by name."""
        return {self.model.name: self.model, **self.others}

    def some(self, number: int, start: int = 0) -> Tensor:
        """Test scenes, as the model's levels."""
        rows = torch.from_numpy(scene_rows(len(self.test), start + number)[start:])
        return self.model.quantised(self.test.scenes(rows))

    def observed(self, scenes: Tensor, masks: str) -> Observation:
        """What is seen of scenes under masks of a name, drawn by the study's seed."""
        return observed(scenes, masks, self.seed)
