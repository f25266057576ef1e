"""EIG as a variational lower bound, with the whole completed scene standing for the answer."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from boed.eig.completions.posterior_entropy import check_shapes, entropy, over_findings


def variational_eig(
    belief: Float[Tensor, "B *L K"],
    candidates: Float[Tensor, "N B D *L K"],
    whole: Float[Tensor, "N B *L K"],
    *,
    weights: Float[Tensor, "N B"] | None = None,
    first: Literal["score", "belief"] = "score",
) -> tuple[Float[Tensor, "B D"], Float[Tensor, "N B D"]]:
    """Barber-Agakov bound: EIG(c) >= H[p(v)] + E_n sum_v g(v | I^(n)) log g(v | f_c(I^(n))).

    Barber & Agakov 2003; Foster et al. 2019 call it the variational posterior estimator. Unlike
    Eq. 17 it charges a belief that is confident and wrong, so an over-confident classifier does
    not attract looks. It is a lower bound as far as the completions are true posterior samples
    and the current belief is right: both forms of the first term stand for its entropy.

    Args:
        belief: log g(v | observation), the current belief.
        candidates: log g(v | f_c(I^(n))), after candidate look c at completion n.
        whole: log g(v | I^(n)) on the whole completion, or the log of its true answer.
        weights: of the completions, summing to 1 over N; equal if not given.
        first: the first term, `score`: the completions' log-loss under the current belief,
            -E_n sum_v g(v | I^(n)) log g(v | observation), so that a look that reveals nothing has
            exactly zero; or `belief`: H[g(v | observation)]. It does not depend on c.

    Returns:
        The bound `[B, D]`, and the gain per completion `[N, B, D]`, in nats; several findings
        are added.

    Raises:
        ValueError: shapes that do not belong together, weights that do not sum to 1, or another
            `first`.
    """
    findings = belief.ndim == 3
    weights = check_shapes(belief, candidates, weights)
    if whole.shape != (*candidates.shape[:2], *belief.shape[1:]):
        expected = (*candidates.shape[:2], *belief.shape[1:])
        raise ValueError(f"whole must be {expected}, got {tuple(whole.shape)}")
    answer = whole.exp()
    after = (answer[:, :, None] * candidates.clamp(min=-1e4)).sum(-1)  # [N, B, D, *L]
    after = over_findings(after, findings)
    if first == "belief":
        before = over_findings(entropy(belief), findings)[None, :, None]
    elif first == "score":
        before = -over_findings((answer * belief.clamp(min=-1e4)).sum(-1), findings)[..., None]
    else:
        raise ValueError(f"first is {first!r}, expected 'belief' or 'score'")
    gains = before + after
    return torch.einsum("nb,nbd->bd", weights, gains), gains
