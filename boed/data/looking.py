"""How scenes are seen in training and scoring: after random looks, or whole."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from boed.data.masks import squares
from boed.data.observation import Observation
from boed.foundation.checks import attribute
from boed.foundation.randomness import derive

MOST = 7
"""The largest number of looks to train with, where each shows a sixteenth of the scene."""

LOOKS = (0, 1, 2, 3, 4, 6, 8)
"""Numbers of such looks at which calibration and scores are taken, besides the whole scene."""

EVERYTHING = -1
"""The number of looks that stands for the whole scene."""


class Looking(Protocol):
    """How scenes are seen in training: random looks of the sensor that a model is for.

    An attribute `most` is the largest number of looks to train with, `MOST` where there is none;
    `repeats` says how often each scene stands in a batch, once where there is none.
    """

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


def most_looks(looking: object) -> int:
    """The largest number of looks to train with.

    Raises:
        ValueError: it is no number, or below one.
    """
    return _number_of(looking, "most", MOST, "looks")


def repeats_of(looking: object) -> int:
    """How often each scene stands in a batch of a training.

    Raises:
        ValueError: it is no number, or below one.
    """
    return _number_of(looking, "repeats", 1, "times")


def _number_of(looking: object, name: str, default: int, what: str) -> int:
    number = attribute(looking, name, default)
    if not isinstance(number, int) or number < 1:
        raise ValueError(
            f"looking: {type(looking).__name__}.{name} is {number!r}, expected a number of {what}"
        )
    return number


def looks_between(
    most: int, batch: int, generator: torch.Generator | None = None
) -> Int64[Tensor, " B"]:
    """Random numbers of looks from 0 to `most`, those up to `MOST` each as often.

    Of many small looks the first ones tell most: one number in eight is 0, and the logarithms of
    the others are spread evenly.
    """
    return _spread(torch.randint(MOST + 1, (batch,), generator=generator), most, generator)


def _spread(
    number: Int64[Tensor, " B"], most: int, generator: torch.Generator | None
) -> Int64[Tensor, " B"]:
    """Numbers from 0 to `MOST`, each as often, to numbers of looks up to `most`."""
    if most <= MOST:
        return number.clamp(max=most)
    many = torch.rand(len(number), generator=generator).mul(math.log(most + 1)).exp().long()
    return torch.where(number == 0, 0, many.clamp(1, most))


def random_counts(
    batch: int, generator: torch.Generator | None = None, *, most: int = MOST
) -> Int64[Tensor, " B"]:
    """Numbers of looks to train with: as `looks_between`, and in one of nine everything."""
    kind = torch.randint(MOST + 2, (batch,), generator=generator)
    return torch.where(kind > MOST, EVERYTHING, _spread(kind, most, generator))


def some_counts(looking: object) -> tuple[int, ...]:
    """Numbers of looks at which calibration and scores are taken, besides the whole scene."""
    most = most_looks(looking)
    if most <= MOST:
        return LOOKS
    return (0, *dict.fromkeys(round(most ** (k / 5)) for k in range(6)))


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
