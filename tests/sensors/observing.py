"""Nothing seen, and designs, in short."""

from __future__ import annotations

import torch
from torch import Tensor

from boed.data.observation import Observation


def blank(shape: int | tuple[int, int], batch: int = 1, channels: int = 1) -> Observation:
    return Observation.nothing(batch, channels, shape)


def one(*entries: float) -> Tensor:
    """A design for a batch of one."""
    return torch.tensor([entries])
