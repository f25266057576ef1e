"""The claims of Pajot et al. 2019 as comparisons of rows, and whether they hold."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats
from torch import Tensor

MAIN = "patches:62:3"
CORRUPTIONS = {MAIN: "Patch(62, 3)", "patches:1:8": "Patch(1, 8)", "dropped:0.9": "DropPixel 0.9"}


@dataclass(frozen=True)
class Claim:
    """One row's figure beside another's: that it is larger, or at most `times` as large."""

    said: str
    figure: str
    row: str
    other: str
    times: float = 1.0
    larger: bool = True
    under: tuple[str, ...] = tuple(CORRUPTIONS)


FULL, NEAR = "the full model's", 4 / 3
CLAIMS = (
    Claim("encode-z raises the standard deviation", "std", "z", "neither"),
    Claim("encode-y raises the standard deviation", "std", "y", "neither"),
    Claim("both raise it more than encode-z alone", "std", "z and y", "z"),
    Claim("both raise it more than encode-y alone", "std", "z and y", "y"),
    Claim("MisGAN is less diverse than the base model", "std", "neither", "misgan"),
    Claim("MisGAN is less diverse than the full model", "std", "z and y", "misgan"),
    Claim("MisGAN's MSE is above the full model's", "mse", "misgan", "z and y"),
    Claim("MisGAN's Fréchet distance is above the full model's", "frechet", "misgan", "z and y"),
    Claim(f"{FULL} MSE is at most 4/3 of Unpaired's", "mse", "z and y", "unpaired", NEAR, False),
    Claim(
        f"{FULL} Fréchet distance is at most 4/3 of Unpaired's",
        "frechet",
        "z and y",
        "unpaired",
        times=NEAR,
        larger=False,
    ),
    Claim(
        "of one patch the base model has the lower Fréchet distance",
        "frechet",
        "z and y",
        "neither",
        under=("patches:1:8",),
    ),
)
"""Of the paper, whose own numbers are all that near to Unpaired's."""


Found = dict[tuple[str, str, int], dict[str, Tensor]]


def over(found: Found, row: str, masks: str, figure: str) -> dict[int, Tensor]:
    """A figure of a row by training seed."""
    return {
        seed: each[figure].double()
        for (name, under, seed), each in sorted(found.items())
        if (name, under) == (row, masks)
    }


def interval(values: np.ndarray) -> list[float]:
    """The mean and the ends of its 95 % interval by Student's t, which a single value has not."""
    mean, n = float(values.mean()), len(values)
    if n < 2:
        return [mean]
    half = float(stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / n**0.5)
    return [mean, mean - half, mean + half]


def claimed(
    found: Found, claim: Claim, masks: str, *, too_short: Collection[tuple[str, str]]
) -> dict[str, Any] | None:
    """Whether a claim holds under some masks; None if there is nothing to compare.

    The interval is over training seeds where there are several, else over scenes, of which the
    Fréchet distance has none. A claim is open where the interval says neither, and its verdict is
    marked where one of its two rows was trained too shortly.
    """
    one, other = (over(found, row, masks, claim.figure) for row in (claim.row, claim.other))
    seeds = sorted(one.keys() & other.keys())
    if not seeds:
        return None
    differences = [one[seed] - claim.times * other[seed] for seed in seeds]
    if len(seeds) > 1:
        values, unit = np.array([float(each.mean()) for each in differences]), "training seeds"
    else:
        values, unit = differences[0].reshape(-1).numpy(), "scenes of one training"
    sign = 1 if claim.larger else -1
    difference = interval(values)
    bounds = difference[1:] or difference
    holds = all(sign * each > 0 for each in bounds)
    fails = all(sign * each < 0 for each in bounds)
    verdict = "holds" if holds else "does not hold" if fails else "open"
    early = any((row, masks) in too_short for row in (claim.row, claim.other))
    return {
        "claim": claim.said,
        "masks": CORRUPTIONS[masks],
        "difference": difference,
        "over": unit if len(difference) > 1 else "one training, no interval",
        "verdict": f"{verdict} (short)" if early else verdict,
    }
