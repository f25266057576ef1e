"""Pictures of what has been seen."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from boed.data.observation import Observation

UNSEEN = (51, 65, 92)
"""Colour of what was not seen, so that it is not taken for black."""

WIDTH = 256
"""Pixels that a picture should at least have in its longer side."""


def frames(observation: Observation) -> tuple[NDArray[np.uint8], ...]:
    """A picture of each observation, uint8 `[height, width, 3]`, enlarged by a whole factor.

    A sensor that sees no pixels has two beside each other: its reconstruction and its mask.
    """
    values = _colours(observation.values)
    if observation.readings is not None:
        picture = torch.cat([values, _colours(observation.mask)], dim=3)
    else:
        unseen = torch.tensor(UNSEEN, device=values.device).view(3, 1, 1) / 255
        picture = torch.where(observation.mask > 0, values, unseen)
    factor = max(-(-WIDTH // max(observation.shape)), 1)
    large = picture.repeat_interleave(factor, 2).repeat_interleave(factor, 3)
    pixels = (large * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu()
    return tuple(each.copy() for each in pixels.numpy())


def _colours(values: Float[Tensor, "B C H W"]) -> Float[Tensor, "B 3 H W"]:
    """As they are if there are three channels, else their mean as grey."""
    if values.shape[1] != 3:
        values = values.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    return values.clamp(0, 1)
