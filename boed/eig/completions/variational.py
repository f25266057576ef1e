"""EIG as a variational lower bound, with the whole completed scene standing for the answer."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from boed.eig.completions.posterior_entropy import (
    FINITE_LOG_ZERO,
    check_shapes,
    entropy,
    over_findings,
)
from boed.foundation.arguments import checked


@checked
def variational_eig(
    prior: Float[Tensor, "B *L K"],
    posterior: Float[Tensor, "N B D *L K"],
    whole_scene: Float[Tensor, "N B *L K"],
    *,
    weights: Float[Tensor, "N B"] | None = None,
    first: Literal["score", "belief"] = "score",
) -> tuple[Float[Tensor, "B D"], Float[Tensor, "N B D"]]:
    """Barber-Agakov bound: EIG(c) >= H[p(v)] + E_n sum_v g(v | I^(n)) log g(v | f_c(I^(n))).

    Barber & Agakov 2003; Foster et al. 2019 call it the variational posterior estimator. Unlike
    Eq. 17 it charges a belief that is confident and wrong, so an over-confident classifier does
    not attract looks. It is a lower bound as far as the completions are true posterior samples
    and the current belief is right: both forms of the first term stand for its entropy.

    A look after which the classifier is sure, and wrong for one of two completions:

    >>> prior = torch.tensor([[0.5, 0.5]]).log()
    >>> whole_scene = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]]).log()  # [N, B, K]
    >>> posterior = torch.tensor([[[[0.99, 0.01]]], [[[0.99, 0.01]]]]).log()  # [N, B, D, K]
    >>> variational_eig(prior, posterior, whole_scene)[0]  # Eq. 17 would say +0.6371
    tensor([[-1.6145]])

    Args:
        prior: log g(v | observation), the current belief.
        posterior: log g(v | f_c(I^(n))), after candidate look c at completion n.
        whole_scene: log g(v | I^(n)) on the whole completion, or the log of its true answer.
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
    findings = prior.ndim == 3
    weights = check_shapes(prior, posterior, weights)
    expected = (*posterior.shape[:2], *prior.shape[1:])
    if tuple(whole_scene.shape) != expected:
        raise ValueError(f"whole_scene must be {expected}, got {tuple(whole_scene.shape)}")
    answer = whole_scene.exp()
    # sum_v g(v | I^(n)) log g(v | f_c(I^(n)))
    after = (answer[:, :, None] * posterior.clamp(min=FINITE_LOG_ZERO)).sum(-1)  # [N, B, D, *L]
    after = over_findings(after, findings)
    if first == "belief":
        before = over_findings(entropy(prior), findings)[None, :, None]
    elif first == "score":
        score = (answer * prior.clamp(min=FINITE_LOG_ZERO)).sum(-1)
        before = -over_findings(score, findings)[..., None]
    else:
        raise ValueError(f"first is {first!r}, expected 'belief' or 'score'")
    gains = before + after
    return torch.einsum("nb,nbd->bd", weights, gains), gains
