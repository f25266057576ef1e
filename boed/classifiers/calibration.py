"""Temperatures, and the loss that they are chosen by."""

from __future__ import annotations

import numpy as np
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def best_temperature(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> float:
    """Temperature that minimises the negative log-likelihood (Guo et al. 2017).

    Args:
        logits: `[B, K]` or `[B, L, 2]`.
        labels: `[B]` or `[B, L]`.
        weights: how often each answer counts, `[K]` or `[L, 2]`; once if not given.
    """
    from scipy.optimize import minimize_scalar

    def objective(log_temperature: float) -> float:
        scaled = F.log_softmax(logits / float(np.exp(log_temperature)), dim=-1)
        return float(cross_entropy(scaled, labels, weights).mean())

    return float(np.exp(minimize_scalar(objective, bounds=(-1, 2.5), method="bounded").x))


def cross_entropy(
    log_probs: Float[Tensor, "B *L K"], labels: Tensor, weights: Float[Tensor, "*L K"] | None = None
) -> Float[Tensor, " B"]:
    """Negative log-likelihood of the labels in nats, `[B]`; averaged over findings.

    Args:
        log_probs: beliefs.
        labels: `[B]` or `[B, L]`.
        weights: how much each answer counts, once if not given.
    """
    losses = -log_probs.gather(-1, labels.unsqueeze(-1)).squeeze(-1)
    if weights is not None:
        answers = weights.expand(log_probs.shape)
        losses = losses * answers.gather(-1, labels.unsqueeze(-1)).squeeze(-1)
    return losses if losses.ndim == 1 else losses.mean(1)


def balancing(frequencies: Float[Tensor, "*L K"]) -> Float[Tensor, "*L K"]:
    """How much each answer has to count to be as frequent as the others, 1 in the mean."""
    return 1 / (frequencies * frequencies.shape[-1])
