"""Diversity from many pairs of completions of a few observations (Harvey et al. 2021, Sec. 5)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from boed.completion.completer import Completer
from boed.completion.evaluation.diversity import feature_distance
from boed.completion.evaluation.drawing import described, drawn, grey_levels
from boed.completion.evaluation.perceptual import LPIPS
from boed.completion.evaluation.plan import Extractor, Plan
from boed.data.observation import Observation
from boed.foundation.randomness import derive


class Moments:
    """Number, sum and squared length of vectors: enough for the mean squared distance of pairs."""

    def __init__(self) -> None:
        self.number, self.total, self.squares = 0, torch.zeros(1), 0.0

    def add(self, vectors: Tensor) -> None:
        """Count some more, `[B, F]`."""
        vectors = vectors.double()
        self.number += len(vectors)
        self.total = self.total + vectors.sum(0)
        self.squares += float(vectors.square().sum())

    def mean_of_pairs(self) -> float:
        """Mean squared distance over all pairs: 2 / (n - 1) (sum |x|^2 - |sum x|^2 / n)."""
        within = self.squares - float(self.total.square().sum()) / self.number
        return 2 * max(within, 0.0) / (self.number - 1)


def many_pairs(
    completer: Completer,
    observation: Observation,
    *,
    plan: Plan,
    extractor: Extractor,
    perceptual: LPIPS | None,
    purpose: tuple[int | str, ...],
    report: Callable[[int], None],
) -> dict[str, Tensor]:
    """Distances over all pairs of `plan.diversity_completions`, mean over the observations.

    Completions are drawn `plan.batch` at a time; only their features are held.

    Args:
        completer: whose.
        observation: of `plan.diversity_scenes` scenes.
        plan: how many.
        extractor: whose features tell completions apart.
        perceptual: for LPIPS, too.
        purpose: of the random numbers.
        report: called with the number of completions that have just been drawn.
    """
    distances, lpips = [], []
    for row in range(len(observation)):
        one, features, moments = observation[row : row + 1], [], Moments()
        for start in range(0, plan.diversity_completions, plan.batch):
            number = min(plan.batch, plan.diversity_completions - start)
            seed = derive("evaluation", "pairs", *purpose, row, start)
            many = drawn(completer, one, number, seeds=[seed], batch=number, report=report)
            scenes = grey_levels(one.composite(many))[:, 0]
            features.append(described(extractor, scenes, plan.batch))
            if perceptual is not None:
                for some in scenes.split(8):  # embeddings of large images are large
                    moments.add(perceptual.embedded(some))
        distances.append(feature_distance(torch.cat(features)[:, None])[0])
        if perceptual is not None:
            lpips.append(moments.mean_of_pairs())
    figures = {"pair_distance": torch.stack(distances).mean()}
    return figures if perceptual is None else {**figures, "pair_lpips": torch.tensor(lpips).mean()}
