"""Completions for the evaluation: drawn in batches, and described in batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from boed.completion.completer import Completer
from boed.completion.evaluation.plan import Extractor
from boed.data.observation import Observation
from boed.foundation.checks import attribute, called


def drawn(
    completer: Completer,
    observation: Observation,
    n: int,
    *,
    seeds: Sequence[int],
    batch: int,
    report: Callable[[int], None],
) -> Float[Tensor, "n B C H W"]:
    """Completions as the model makes them where it says so, or with what was seen put in.

    Args:
        completer: whose.
        observation: of B scenes.
        n: completions of each.
        seeds: one of each scene.
        batch: completions asked for at once, or `n` where that is more.
        report: called with the number of completions that have just been drawn.

    Raises:
        ValueError: the completer drew pixels that are not finite.
    """
    draw = attribute(completer, "draw", completer.sample)
    at_once = max(1, batch // n)
    parts = [torch.zeros(n, 0, *observation.values.shape[1:])]
    for start in range(0, len(observation), at_once):
        some = slice(start, start + at_once)
        parts.append(draw(observation[some], n, list(seeds[some])))
        wrong = int((~parts[-1].isfinite()).sum())
        if wrong:
            raise ValueError(
                f"completer: {called(completer, 'sample')} drew {wrong} of {parts[-1].numel()} "
                "pixels that are NaN or infinite, as weights of a training that diverged do"
            )
        report(parts[-1].shape[0] * parts[-1].shape[1])
    return torch.cat(parts, dim=1)


def grey_levels(scenes: Tensor) -> Tensor:
    """Rounded to the 256 levels that images have."""
    return (scenes * 255).round() / 255


def described(
    extractor: Extractor, scenes: Float[Tensor, "B C H W"], batch: int
) -> Float[Tensor, "B F"]:
    """The features of many scenes."""
    return torch.cat([extractor.features(some) for some in scenes.split(batch)])
