"""Sets of answers that hold the true one with a given probability: split conformal prediction."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from boed.foundation.arguments import checked


@checked
@dataclass(frozen=True)
class SplitConformal:
    """Sets of all answers that the belief puts at most `threshold` nats behind its best one.

    Made by `SplitConformal.calibrated`. The nonconformity score of an answer v is

        s(v) = max_u log g(u | observation) - log g(v | observation),

    so that a set always holds the best answer, and holds every answer as long as nothing is known.

    The guarantee: let the threshold be the ceil((n + 1)(1 - alpha))-th smallest score of the true
    answers of n calibration scenes that are exchangeable with the scene in question. Then
    P(v in set) >= 1 - alpha, over the draw of both (Vovk, Gammerman and Shafer 2005;
    Angelopoulos and Bates 2021, Thm. 1). It is marginal: not for each class or each scene.

    Sets calibrated after a fixed number of looks promise nothing at the look where a scene happens
    to stop, such as the first whose set is a single answer. So a scene's score is its largest
    over all looks of its trajectory, max_t s_t(v), as one number per scene exchangeable again.
    With probability 1 - alpha the true answer is then in the sets of all looks at once, whence
    also at the look where any rule, itself looking at the sets, stops.

    For several findings a score is the largest over the findings: with probability 1 - alpha the
    sets of all findings are right.

    Attributes:
        threshold: nats.
        alpha: how often the true answer may be missing.

    Raises:
        ValueError: a threshold that is negative or NaN, or an alpha that is not within (0, 1).
    """

    threshold: float
    alpha: float

    def __post_init__(self) -> None:
        if not self.threshold >= 0:
            raise ValueError(f"threshold is {self.threshold}, expected 0 nats or more")
        if not 0 < self.alpha < 1:
            raise ValueError(f"alpha is {self.alpha}, expected within (0, 1)")

    @classmethod
    def calibrated(
        cls,
        log_beliefs: Float[Tensor, "n *T K"],
        labels: Int64[Tensor, "n *L"],
        alpha: float = 0.1,
    ) -> SplitConformal:
        """Calibrate on scenes that neither the classifier nor the policy was trained on.

        Args:
            log_beliefs: `Trajectory.log_beliefs` of n scenes, `[n, T + 1, *L, K]`, run with the
                policy in question, without its stopping rule, and at least as many looks; or
                beliefs at one stage `[n, *L, K]`, for sets at that stage alone. One trajectory
                for each scene, and one scene for each patient: repetitions are not exchangeable.
            labels: their true answers, `[n]`, or findings `[n, L]`.
            alpha: how often the true answer may be missing.

        Raises:
            ValueError: shapes that do not belong together, beliefs with NaN, labels that are no
                answers, an alpha not within (0, 1), or too few scenes for it: 1 / alpha - 1 are
                the least.
        """
        looks = _with_looks(log_beliefs, labels)
        scores = _behind(looks)  # [n, T, *L, K]
        index = labels.to(scores.device)[:, None, ..., None].expand(*scores.shape[:-1], 1)
        worst = scores.gather(-1, index).flatten(1).amax(1)
        if not 0 < alpha < 1:
            raise ValueError(f"alpha is {alpha}, expected within (0, 1)")
        n = len(worst)
        rank = math.ceil((n + 1) * (1 - alpha) - 1e-9)
        if rank > n:
            least = math.ceil(1 / alpha - 1 - 1e-9)
            raise ValueError(f"{n} scenes are too few for alpha {alpha}, expected at least {least}")
        return cls(float(worst.sort().values[rank - 1]), alpha)

    def predict(self, log_belief: Float[Tensor, "*B K"]) -> Bool[Tensor, "*B K"]:
        """Which answers are in the set; of each finding, where there are several.

        Raises:
            ValueError: a belief that is NaN.
        """
        return _behind(log_belief) <= self.threshold


def _behind(log_belief: Float[Tensor, "*B K"]) -> Float[Tensor, "*B K"]:
    """Nats by which each answer is behind the best one."""
    if torch.isnan(log_belief).any():
        raise ValueError("log_belief has NaN, expected log-probabilities")
    return log_belief.amax(-1, keepdim=True) - log_belief


def _with_looks(log_beliefs: Tensor, labels: Tensor) -> Float[Tensor, "n T *L K"]:
    """The beliefs with a dimension for the looks, after making sure that the labels fit."""
    ndim = labels.ndim + 1
    if labels.ndim not in (1, 2) or log_beliefs.ndim not in (ndim, ndim + 1):
        raise ValueError(
            f"log_beliefs is {tuple(log_beliefs.shape)} and labels {tuple(labels.shape)}, "
            "expected [n, T, K] or [n, K] with [n], or [n, T, L, 2] or [n, L, 2] with [n, L]"
        )
    looks = log_beliefs[:, None] if log_beliefs.ndim == ndim else log_beliefs
    if len(looks) == 0 or (looks.shape[0], *looks.shape[2:-1]) != tuple(labels.shape):
        raise ValueError(
            f"labels is {tuple(labels.shape)}, expected one for each scene and finding of "
            f"log_beliefs {tuple(log_beliefs.shape)}"
        )
    if labels.min() < 0 or labels.max() >= looks.shape[-1]:
        raise ValueError(
            f"labels span {int(labels.min())}..{int(labels.max())}, "
            f"expected 0..{looks.shape[-1] - 1}"
        )
    return looks
