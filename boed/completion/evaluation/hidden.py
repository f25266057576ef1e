"""The hidden pixels of a batch: what completions are judged on."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def hidden_mean(
    values: Float[Tensor, "*n B C H W"], hidden: Float[Tensor, "B 1 H W"]
) -> Float[Tensor, "*n B"]:
    """Mean over the hidden pixels and all channels; NaN where a scene has none."""
    count = hidden.sum((1, 2, 3)) * values.shape[-3]
    return (values * hidden).sum((-3, -2, -1)) / count  # 0 / 0 is NaN


def check_completions(
    scenes: Tensor, truth: Tensor | None = None, hidden: Tensor | None = None, *, least: int = 1
) -> None:
    """Refuse completions, true scenes and masks that do not belong together.

    Args:
        scenes: completions, expected to be finite and `[n, B, C, H, W]` with n at least `least`.
        truth: expected to be finite and `[B, C, H, W]`.
        hidden: expected to be zeros and ones, `[B, 1, H, W]`.

    Raises:
        ValueError: naming the argument, what was given and what is expected.
    """
    if scenes.ndim != 5:
        raise ValueError(f"scenes must be [n, B, C, H, W], got {tuple(scenes.shape)}")
    if len(scenes) < least:
        raise ValueError(f"scenes has n = {len(scenes)} completions, expected {least} or more")
    check_finite(scenes, "scenes")
    shape = tuple(scenes.shape[1:])
    if truth is not None:
        if tuple(truth.shape) != shape:
            raise ValueError(
                f"truth is {tuple(truth.shape)}, expected {shape} as scenes is "
                f"{tuple(scenes.shape)}"
            )
        check_finite(truth, "truth")
    if hidden is not None:
        expected = (shape[0], 1, *shape[2:])
        if tuple(hidden.shape) != expected:
            raise ValueError(
                f"hidden is {tuple(hidden.shape)}, expected {expected} as scenes is "
                f"{tuple(scenes.shape)}"
            )
        if not ((hidden == 0) | (hidden == 1)).all():
            raise ValueError("hidden must be 1 where a pixel was not seen and 0 elsewhere")


def check_finite(values: Tensor, name: str) -> None:
    """Refuse NaN and infinite entries.

    Raises:
        ValueError: naming the argument and how many there are.
    """
    bad = int((~torch.isfinite(values)).sum())
    if bad:
        raise ValueError(f"{name} has {bad} NaN or infinite entries, expected finite numbers")
