"""EIG as the expected fall of the belief's entropy: Eq. 17 of Harvey et al. 2021."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor


def entropy(log_belief: Float[Tensor, "... K"]) -> Float[Tensor, "..."]:
    """Entropy in nats over the last dimension; 0 log 0 counts as 0."""
    return -(log_belief.exp() * log_belief.clamp(min=-1e4)).sum(-1)


def over_findings(values: Tensor, findings: bool) -> Tensor:
    """Sum over the last dimension where it holds findings: their joint entropy if independent."""
    return values.sum(-1) if findings else values


def posterior_entropy_eig(
    belief: Float[Tensor, "B *L K"],
    candidates: Float[Tensor, "N B D *L K"],
    weights: Float[Tensor, "N B"] | None = None,
    *,
    first: Literal["belief", "marginal"] = "belief",
) -> tuple[Float[Tensor, "B D"], Float[Tensor, "N B D"]]:
    """Eq. 17: EIG(c) = H[g(v | observation)] - 1/N sum_n H[g(v | f_c(I^(n)))].

    Args:
        belief: log g(v | observation), the current belief.
        candidates: log g(v | f_c(I^(n))), after candidate look c at completion n.
        weights: of the completions, summing to 1 over N; equal if not given.
        first: the first term, `belief` as in Eq. 17, or `marginal`: H[1/N sum_n g], the form of
            the paper's later version, which is never negative. The argmax over c can differ. A
            completion's gain is then KL(g(v | f_c(I^(n))) || 1/N sum_m g(v | f_c(I^(m)))).

    Returns:
        EIG `[B, D]`, and the gain per completion `[N, B, D]` whose weighted mean it is, in nats.
        Several findings count as independent: their entropies are added.

    Raises:
        ValueError: shapes that do not belong together, weights that do not sum to 1, or another
            `first`.
    """
    findings = belief.ndim == 3
    weights = check_shapes(belief, candidates, weights)
    if first == "belief":
        before = over_findings(entropy(belief), findings)[:, None]  # [B, 1]
        gains = before - over_findings(entropy(candidates), findings)  # [N, B, D]
    elif first == "marginal":
        spread = weights.log().reshape(*weights.shape, *(1,) * (candidates.ndim - 2))
        mixture = torch.logsumexp(candidates + spread, dim=0)  # [B, D, *L, K]
        surprise = candidates.clamp(min=-1e4) - mixture.clamp(min=-1e4)
        gains = over_findings((candidates.exp() * surprise).sum(-1), findings)  # KL(g_n || mixture)
    else:
        raise ValueError(f"first is {first!r}, expected 'belief' or 'marginal'")
    return torch.einsum("nb,nbd->bd", weights, gains), gains


def check_shapes(belief: Tensor, candidates: Tensor, weights: Tensor | None) -> Tensor:
    """The weights, after making sure that beliefs, candidates and weights fit together.

    Raises:
        ValueError: they do not.
    """
    expected = ("N", belief.shape[0], "D", *belief.shape[1:])
    found = tuple(candidates.shape)
    if (
        belief.ndim not in (2, 3)
        or candidates.ndim != belief.ndim + 2
        or (found[1], *found[3:]) != tuple(belief.shape)
    ):
        raise ValueError(
            f"candidates must be {expected} to go with belief {tuple(belief.shape)}, got {found}"
        )
    if weights is None:
        return candidates.new_full(candidates.shape[:2], 1 / len(candidates))
    if weights.shape != candidates.shape[:2]:
        raise ValueError(
            f"weights must be {tuple(candidates.shape[:2])}, got {tuple(weights.shape)}"
        )
    total = weights.sum(0)
    if not torch.allclose(total, torch.ones_like(total), atol=1e-3):
        raise ValueError(
            f"weights must sum to 1 over the completions, got sums from {float(total.min()):.3g} "
            f"to {float(total.max()):.3g}"
        )
    return weights.to(candidates)
