"""How scenes are seen in training and scoring: after random looks, or whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from boed.data.masks import squares
from boed.data.observation import Observation
from boed.foundation.randomness import derive

LOOKS = (0, 1, 2, 3, 4, 6, 8)
"""Numbers of looks at which calibration and scores are taken, besides the whole scene."""

EVERYTHING = -1
"""The number of looks that stands for the whole scene."""


class Looking(Protocol):
    """How scenes are seen in training: random looks of the sensor that the classifier is for."""

    def __call__(
        self,
        scenes: Float[Tensor, "B C H W"],
        counts: Int64[Tensor, " B"],
        generator: torch.Generator | None = None,
    ) -> Observation:
        """Each scene after `counts` random looks, all of it where that is `EVERYTHING`.

        On the scenes' device; the counts, and what random numbers are drawn on, are on the CPU.
        Without a generator the random numbers come from torch's global one.
        """
        ...


@dataclass(frozen=True)
class Squares:
    """Looks at random squares that lie within the scene, as those of a patch sensor.

    Attributes:
        fraction: side of a square over the width of the scene.
    """

    fraction: float = 0.25

    def __call__(
        self,
        scenes: Float[Tensor, "B C H W"],
        counts: Int64[Tensor, " B"],
        generator: torch.Generator | None = None,
    ) -> Observation:
        mask = squares(
            len(scenes),
            scenes.shape[-1],
            self.fraction,
            counts=counts,
            overhang=False,
            generator=generator,
        )
        mask[counts == EVERYTHING] = 1.0
        return Observation.of(scenes, mask.to(scenes.device))


def random_counts(batch: int, generator: torch.Generator | None = None) -> Int64[Tensor, " B"]:
    """Numbers of looks to train with: 0 to 7, and everything, each as often."""
    kind = torch.randint(0, 9, (batch,), generator=generator)
    return torch.where(kind == 8, EVERYTHING, kind)


def seen(scenes: Tensor, count: int | None, *, looking: Looking, seed: int) -> Observation:
    """All scenes after so many random looks; everything seen if `count` is None."""
    counts = torch.full((len(scenes),), EVERYTHING if count is None else count)
    purpose = derive(seed, "squares", EVERYTHING if count is None else count)
    return looking(scenes, counts, torch.Generator().manual_seed(purpose))


def off_centre(mask: Float[Tensor, "B 1 H W"]) -> Float[Tensor, " B"]:
    """How far what was seen lies from the centre: the mean over pixels, over a corner's distance.

    NaN where nothing was seen.
    """
    rows, columns = (torch.arange(n) - (n - 1) / 2 for n in mask.shape[-2:])
    distance = (rows[:, None] ** 2 + columns**2).sqrt()
    seen_pixels = mask[:, 0].cpu()
    far: Tensor = (seen_pixels * distance).sum((1, 2)) / seen_pixels.sum((1, 2))
    return far / distance.max().clamp(min=1e-12)
