"""Are the answers that completions imply calibrated."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor

BINS = 10
FLOOR = 1e-12


def label_posterior(log_probs: Float[Tensor, "n B K"]) -> Float[Tensor, "B K"]:
    """p(v | observation) = mean_n p(v | x_n), what completions and a classifier imply.

    Args:
        log_probs: what a classifier says of whole completed scenes, in nats.

    Raises:
        ValueError: another shape, NaN, or probabilities that do not sum to 1.
    """
    return as_probabilities(log_probs).mean(0)


def label_calibration(
    probabilities: Float[Tensor, "B K"], labels: Int64[Tensor, " B"]
) -> dict[str, float]:
    """Scores of predicted answers, each a mean over scenes.

    - `nll`: -log of the true answer's probability, in nats. A probability below 1e-12 counts as
      that, so one scene adds 27.6 nats at most.
    - `brier`: squared distance of the probabilities from the true answer, from 0 to 2.
    - `ece`: expected calibration error of the most probable answer, over 10 bins of equal width.
    - `ece_floor`: the `ece` expected of these confidences if they were right, the mean over 200
      simulated sets of answers. With few scenes `ece` is well above 0 for anyone; only what
      exceeds the floor is miscalibration.
    - `accuracy`: how often the most probable answer is right.

    Raises:
        ValueError: shapes that do not belong together, labels outside 0..K-1, NaN, or
            probabilities that do not sum to 1.
    """
    if probabilities.ndim != 2 or 0 in probabilities.shape:
        raise ValueError(f"probabilities must be [B, K], got {tuple(probabilities.shape)}")
    batch, classes = probabilities.shape
    if tuple(labels.shape) != (batch,):
        raise ValueError(f"labels is {tuple(labels.shape)}, expected {(batch,)}")
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(
            f"labels spans {int(labels.min())}..{int(labels.max())}, expected 0..{classes - 1}"
        )
    _check_probabilities(probabilities, "probabilities")
    p, labels = probabilities.double().cpu(), labels.long().cpu()
    picked = p.gather(1, labels[:, None])[:, 0]
    truth = torch.nn.functional.one_hot(labels, classes)
    confidence, answer = p.max(1)
    right = (answer == labels).double()
    generator = torch.Generator().manual_seed(0)
    chance = torch.rand(200, batch, generator=generator, dtype=torch.double)
    return {
        "nll": float(-picked.clamp(min=FLOOR).log().mean()),
        "brier": float((p - truth).square().sum(1).mean()),
        "ece": float(_ece(confidence, right[None])[0]),
        "ece_floor": float(_ece(confidence, (chance < confidence).double()).mean()),
        "accuracy": float(right.mean()),
    }


def _ece(confidence: Float[Tensor, " B"], right: Float[Tensor, "R B"]) -> Float[Tensor, " R"]:
    """Sum over bins of |sum of (confidence - right)|, over B; one for each row of `right`."""
    which = (confidence * BINS).long().clamp(max=BINS - 1)
    gap = torch.zeros(len(right), BINS, dtype=torch.double)
    gap.index_add_(1, which, confidence - right)
    return gap.abs().sum(1) / len(confidence)


def as_probabilities(log_probs: Float[Tensor, "n B K"]) -> Float[Tensor, "n B K"]:
    """exp(log_probs), checked.

    Raises:
        ValueError: another shape, NaN, or probabilities that do not sum to 1.
    """
    if log_probs.ndim != 3 or 0 in log_probs.shape:
        raise ValueError(f"log_probs must be [n, B, K], got {tuple(log_probs.shape)}")
    probabilities = log_probs.exp()
    _check_probabilities(probabilities, "exp(log_probs)")
    return probabilities


def _check_probabilities(p: Tensor, name: str) -> None:
    total = p.sum(-1)
    if p.min() < 0 or not torch.allclose(total, torch.ones_like(total), atol=1e-3):  # or NaN
        raise ValueError(f"{name} must be probabilities that sum to 1 over the last dimension")
