"""Ways to fill the hole of benchmarks/cifar_inpainting.py: trained models, and without training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from boed.completion.autoregressive.base import Autoregressive
from boed.completion.classical.filling import HarmonicFill, RidgeFill
from boed.completion.learned import LearnedCompleter
from boed.completion.levels import from_level
from boed.data.dataset import Dataset
from boed.data.observation import Observation
from boed.foundation.randomness import derive

Fill = Callable[[Observation], Tensor]
"""Partly seen scenes, all with the same hole, to whole ones `[B, C, H, W]`."""


def without_training(library: Dataset) -> dict[str, Fill]:
    """Anchors that need no training, or next to none, by name."""
    harmonic, ridge = HarmonicFill(library), RidgeFill(library)
    mean = harmonic.mean

    def context(seen: Observation) -> Tensor:
        return averaged(seen, seen.mask)

    def ring(seen: Observation) -> Tensor:
        return averaged(seen, F.max_pool2d(1 - seen.mask, 3, 1, 1) * seen.mask)

    return {
        "mean of the training images": lambda seen: mean.expand_as(seen.values),
        "mean of the context": context,
        "mean of the 1 px ring": ring,
        "harmonic": lambda seen: harmonic.sample(seen, 1)[0],
        "ridge": lambda seen: ridge.sample(seen, 1)[0],
    }


def averaged(seen: Observation, counted: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B C H W"]:
    """The mean colour of each scene's seen pixels that count, everywhere."""
    sums = (seen.values * counted).sum((2, 3), keepdim=True)
    return (sums / counted.sum((2, 3), keepdim=True)).expand_as(seen.values)


def methods(models: Mapping[str, LearnedCompleter], seed: int) -> Iterator[tuple[str, Fill]]:
    """The ways in which each model fills a hole, by name.

    Those that draw pixel by pixel have three: the likeliest level of each, a level drawn from its
    distribution, and the mean of that.
    """
    for name, model in models.items():
        if not isinstance(model, Autoregressive):
            yield name, filled_by(model, seed)
            continue
        for said, temperature in (("greedy", 0.0), ("sampled", 1.0)):
            yield f"{name}, {said}", filled_by(at_temperature(model, temperature), seed)
        yield f"{name}, mean of softmax", partial(mean_of_softmax, model)


def filled_by(model: LearnedCompleter, seed: int) -> Fill:
    """One completion of each scene."""

    def fill(seen: Observation) -> Tensor:
        seeds = [derive(seed, "fill", row) for row in range(len(seen))]
        return model.sample(seen, 1, seeds)[0]

    return fill


def at_temperature(model: Autoregressive, temperature: float) -> Autoregressive:
    """The same model, drawing at another temperature."""
    other = type(model)(replace(model.config, temperature=temperature)).eval()
    other.load_state_dict(model.state_dict())
    return other


@torch.no_grad()
def mean_of_softmax(model: Autoregressive, seen: Observation) -> Float[Tensor, "B C H W"]:
    """Each hidden pixel the mean of its distribution, given the means before it.

    Which is the least squared error of one pixel, were those before it right.
    """
    hidden = seen.mask[0, 0] == 0
    image = model.quantised(seen.values).masked_fill(seen.mask == 0, 0)
    steps = model.steps(image, model.condition(seen))
    levels = from_level(torch.arange(model.levels), model.levels)
    rows = hidden.any(1).nonzero()[:, 0].tolist()
    for row in range(max(rows[0] - steps.reach, 0), rows[-1] + 1):
        steps.begin(row)
        wanted = hidden[row].nonzero()[:, 0].tolist()
        for column in range(max(wanted[0] - steps.reach, 0), wanted[-1] + 1) if wanted else ():
            if not hidden[row, column]:
                steps.skip(column)
                continue
            for channel in range(image.shape[1]):
                chances = steps.step(column, channel).float().softmax(1)
                steps.image[:, channel, row, column] = chances @ levels
    return steps.image.clone()
