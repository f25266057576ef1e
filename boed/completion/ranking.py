"""How likely completions are: log-probabilities, the rank of the truth, the most and the least.

Probabilities of completions of one observation are compared, never of different observations:
these have other hidden pixels.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from boed.completion.completer import ROUNDING, Completer
from boed.completion.log_probability import log_prob, meaning
from boed.data.observation import Observation
from boed.foundation.arguments import checked


@checked
def log_probs(
    completer: Completer, completions: Float[Tensor, "n B C H W"], observation: Observation
) -> Float[Tensor, "n B"]:
    """The log-probability of each of n completions of each observation in nats, in one call.

    What it is says `boed.completion.log_probability.meaning`: a bound ranks by the bound.

    Raises:
        ValueError: a completer without a likelihood, completions of another shape or NaN, or ones
            that differ from the pixels that were seen.
    """
    meaning(completer)
    _check(completions, observation)
    if observation.readings is None:  # to the last digit, which decides on a pixel's level
        completions = observation.composite(completions)
    n = len(completions)
    nats = log_prob(completer, completions.flatten(0, 1), observation.repeat(n))
    return nats.unflatten(0, (n, len(observation)))


@checked
def rank_of_truth(
    truth: Float[Tensor, " B"], completions: Float[Tensor, "n B"]
) -> Float[Tensor, " B"]:
    """The rank of the truth among it and its n completions by log-probability, 1 the most likely.

    Equal ones share their mean rank, so that chance, and a model to which all are alike, has
    (n + 2) / 2 (Dupont & Suresha 2019, Sec. 5.4).

    Raises:
        ValueError: shapes that do not belong together, or NaN.
    """
    _check_ranked(completions)
    if truth.shape != completions.shape[1:]:
        raise ValueError(
            f"truth is {tuple(truth.shape)}, expected {tuple(completions.shape[1:])} as "
            f"completions is {tuple(completions.shape)}"
        )
    if truth.isnan().any():
        raise ValueError("truth has NaN, expected log-probabilities")
    before = (completions > truth).sum(0)
    equal = (completions == truth).sum(0)
    return 1 + before + equal / 2


@checked
def order(completions: Float[Tensor, "n B"]) -> Int64[Tensor, "n B"]:
    """Which completion of each scene is the most likely, the second, ...: indices; ties in order.

    Raises:
        ValueError: another shape, or NaN.
    """
    _check_ranked(completions)
    return completions.argsort(dim=0, descending=True, stable=True)


@checked
def extreme_pair(
    completions: Float[Tensor, "n B"],
) -> tuple[Int64[Tensor, " B"], Int64[Tensor, " B"]]:
    """Which completion of each scene is the most likely, and which the least.

    Raises:
        ValueError: fewer than two completions, another shape, or NaN.
    """
    if completions.ndim == 2 and len(completions) < 2:
        raise ValueError(f"completions has n = {len(completions)}, expected 2 or more for a pair")
    ordered = order(completions)
    return ordered[0], ordered[-1]


def _check(completions: Tensor, observation: Observation) -> None:
    shape = tuple(observation.values.shape)
    if completions.ndim != 5 or tuple(completions.shape[1:]) != shape or not len(completions):
        raise ValueError(
            f"completions must be [n, B, C, H, W] with n >= 1 and {shape} behind as observation "
            f"has, got {tuple(completions.shape)}"
        )
    if not torch.isfinite(completions).all():
        raise ValueError("completions has NaN or infinite pixels, expected finite ones")
    if observation.readings is None:
        seen = observation.mask > 0
        off = float(((completions - observation.values).abs() * seen).max())
        if off > ROUNDING:
            raise ValueError(
                f"completions differ by up to {off:.3g} from the pixels that were seen; expected "
                "those of observation, as observation.composite(completions) has them"
            )


def _check_ranked(completions: Tensor) -> None:
    if completions.ndim != 2 or len(completions) == 0:
        raise ValueError(
            f"completions must be log-probabilities [n, B] with n >= 1, got "
            f"{tuple(completions.shape)}"
        )
    if completions.isnan().any():
        raise ValueError("completions has NaN, expected log-probabilities")
