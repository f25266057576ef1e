"""EIG as the expected fall of the belief's entropy: Eq. 17 of Harvey et al. 2021."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from boed.foundation.arguments import checked

FINITE_LOG_ZERO = -1e4
"""Stands for log 0 where it is multiplied by a probability, so that 0 log 0 is 0 and not NaN."""


def entropy(log_belief: Float[Tensor, "... K"]) -> Float[Tensor, "..."]:
    """Entropy in nats over the last dimension; 0 log 0 counts as 0."""
    return -(log_belief.exp() * log_belief.clamp(min=FINITE_LOG_ZERO)).sum(-1)


def divergence(
    log_belief: Float[Tensor, "... K"], other: Float[Tensor, "... K"]
) -> Float[Tensor, "..."]:
    """KL(belief || other) = sum_v g (log g - log other) in nats; log 0 counts as -10,000."""
    log_ratio = log_belief.clamp(min=FINITE_LOG_ZERO) - other.clamp(min=FINITE_LOG_ZERO)
    return (log_belief.exp() * log_ratio).sum(-1)


def over_findings(values: Tensor, findings: bool) -> Tensor:
    """Sum over the last dimension where it holds findings: their joint entropy if independent."""
    return values.sum(-1) if findings else values


@checked
def posterior_entropy_eig(
    prior: Float[Tensor, "B *L K"],
    posterior: Float[Tensor, "N B D *L K"],
    weights: Float[Tensor, "N B"] | None = None,
    *,
    first: Literal["belief", "mixture", "cross"] = "belief",
) -> tuple[Float[Tensor, "B D"], Float[Tensor, "N B D"]]:
    """Eq. 17: EIG(c) = H[g(v | observation)] - sum_n w_n H[g(v | f_c(I^(n)))].

    One scene, two answers, two completions, two looks; the first look settles the answer, the
    second shows nothing:

    >>> prior = torch.tensor([[0.5, 0.5]]).log()
    >>> settled = torch.tensor([[1.0, 0.0], [0.0, 1.0]])  # by the completion
    >>> unchanged = torch.tensor([[0.5, 0.5], [0.5, 0.5]])
    >>> posterior = torch.stack([settled, unchanged], dim=1)[:, None].log()  # [N, B, D, K]
    >>> eig, gains = posterior_entropy_eig(prior, posterior)
    >>> eig  # ln 2 and 0 nats
    tensor([[0.6931, 0.0000]])

    Args:
        prior: log g(v | observation), the current belief.
        posterior: log g(v | f_c(I^(n))), after candidate look c at completion n; g_n below.
        weights: w_n of the completions, summing to 1 over N; 1 / N if not given.
        first: the first term, `belief` as in Eq. 17, or `mixture`: H[sum_n w_n g_n], the form of
            the paper's later version, which is never negative. The argmax over c can differ. A
            completion's gain is then KL(g_n || sum_m w_m g_m). With `cross` it is the cross-entropy
            -sum_v sum_n w_n g_n(v) log g(v | observation), and a completion's gain is
            KL(g_n || g(v | observation)): the information gain of Lindley (1956), never negative.

    Returns:
        EIG `[B, D]`, and the gain per completion `[N, B, D]` whose weighted mean it is, in nats.
        Several findings count as independent: their entropies are added.

    Raises:
        ValueError: shapes that do not belong together, weights that do not sum to 1, or another
            `first`.
    """
    findings = prior.ndim == 3
    weights = check_shapes(prior, posterior, weights)
    if first == "belief":
        # H[g(v | observation)] - H[g_n]
        before = over_findings(entropy(prior), findings)[:, None]  # [B, 1]
        gains = before - over_findings(entropy(posterior), findings)  # [N, B, D]
    elif first == "mixture":
        log_weights = weights.log()[(...,) + (None,) * (posterior.ndim - 2)]
        log_mixture = torch.logsumexp(posterior + log_weights, dim=0)  # log sum_m w_m g_m
        gains = over_findings(divergence(posterior, log_mixture), findings)
    elif first == "cross":
        gains = over_findings(divergence(posterior, prior[:, None]), findings)
    else:
        raise ValueError(f"first is {first!r}, expected 'belief', 'mixture' or 'cross'")
    return torch.einsum("nb,nbd->bd", weights, gains), gains


def check_shapes(prior: Tensor, posterior: Tensor, weights: Tensor | None) -> Tensor:
    """The weights, after making sure that beliefs and weights fit together.

    Raises:
        ValueError: they do not.
    """
    expected, given = ("N", prior.shape[0], "D", *prior.shape[1:]), tuple(posterior.shape)
    if (
        prior.ndim not in (2, 3)
        or posterior.ndim != prior.ndim + 2
        or (given[1], *given[3:]) != tuple(prior.shape)
    ):
        raise ValueError(
            f"posterior must be {expected} to go with prior {tuple(prior.shape)}, got {given}"
        )
    if weights is None:
        return posterior.new_full(posterior.shape[:2], 1 / len(posterior))
    if weights.shape != posterior.shape[:2]:
        raise ValueError(
            f"weights must be {tuple(posterior.shape[:2])}, got {tuple(weights.shape)}"
        )
    total = weights.sum(0)
    if not torch.allclose(total, torch.ones_like(total), atol=1e-3):
        raise ValueError(
            f"weights must sum to 1 over the completions, got sums from {float(total.min()):.3g} "
            f"to {float(total.max()):.3g}"
        )
    return weights.to(posterior)
