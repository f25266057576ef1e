"""How much the completions of one observation differ from each other."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from boed.completion.evaluation.hidden import check_completions, check_finite, hidden_mean


def feature_distance(features: Float[Tensor, "n B F"]) -> Float[Tensor, " B"]:
    """Mean Euclidean distance between the features of two completions, over all pairs.

    Raises:
        ValueError: another shape, fewer than two completions, NaN or infinite entries.
    """
    if features.ndim != 3 or len(features) < 2:
        raise ValueError(f"features must be [n, B, F] with n >= 2, got {tuple(features.shape)}")
    check_finite(features, "features")
    n = len(features)
    return pair_distances(features.transpose(0, 1)).sum((1, 2)) / (n * (n - 1))


def pixel_std(
    scenes: Float[Tensor, "n B C H W"], hidden: Float[Tensor, "B 1 H W"]
) -> Float[Tensor, " B"]:
    """Standard deviation (n - 1 below) over completions, mean over hidden pixels and channels.

    NaN where nothing is hidden.

    Raises:
        ValueError: shapes that do not belong together, fewer than two completions, or NaN.
    """
    check_completions(scenes, hidden=hidden, least=2)
    return hidden_mean(scenes.std(0), hidden)


def pair_distances(points: Float[Tensor, "B n F"]) -> Float[Tensor, "B n n"]:
    """Euclidean distances within each row's n points, exactly 0 between equal ones."""
    return torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
