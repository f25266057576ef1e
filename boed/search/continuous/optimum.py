"""What a search over continuous designs returns, and what it checks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

Objective = Callable[[Float[Tensor, "S *K"]], Float[Tensor, " S"]]
"""The utility of each design of a batch, in nats; higher is better."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Optimum:
    """The best design, as a search found it.

    Attributes:
        design: `[*K]`.
        value: its utility as the search saw it, in nats. The highest of several noisy or fitted
            numbers is too high on average: estimate it anew with fresh draws before quoting it.
        designs: every start's last design, or every design tried, `[S, *K]`.
        values: their utilities, `[S]`.
        history: the utility of every start's design at each step, or the highest so far after each
            evaluation; `[T, S]` or `[T]`.
    """

    design: Float[Tensor, "*K"]
    value: float
    designs: Float[Tensor, "S *K"]
    values: Float[Tensor, " S"]
    history: Float[Tensor, "T *S"]


def evaluate(objective: Objective, designs: Float[Tensor, "S *K"]) -> Float[Tensor, " S"]:
    """The objective, after making sure that it is one finite number per design.

    Raises:
        ValueError: it is not.
    """
    value = objective(designs)
    if tuple(value.shape) != (len(designs),):
        raise ValueError(
            f"objective returned {tuple(value.shape)} for {len(designs)} designs, "
            f"expected ({len(designs)},)"
        )
    bad = ~value.isfinite()
    if bad.any():
        raise ValueError(
            f"objective is {value[bad][0].item()} at design {designs[bad][0].tolist()}"
        )
    return value


def check_bounds(bounds: Float[Tensor, "2 *K"]) -> None:
    """Raises a ValueError unless the bounds are finite numbers `[2, *K]`, the lowest first."""
    if not bounds.is_floating_point():
        raise ValueError(
            f"bounds must be floating point, got {bounds.dtype}: this search moves designs in "
            "steps of any size; where they are whole numbers, list them and take model_eig"
        )
    if bounds.ndim < 2 or len(bounds) != 2:
        raise ValueError(f"bounds must be [2, *K], lowest and highest, got {tuple(bounds.shape)}")
    if not bounds.isfinite().all() or not (bounds[0] < bounds[1]).all():
        raise ValueError(f"bounds must be finite and rise from low to high, got {bounds.tolist()}")
