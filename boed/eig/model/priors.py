"""What some estimators ask of a model's latents: a gradient, or the entropy of their prior."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from boed.eig.model.guides import NEED_NO_GUIDE
from boed.eig.model.pyro_model import SiteModel
from boed.eig.model.site_kinds import site_kinds


def check_prior(
    problem: SiteModel,
    designs: Tensor,
    *,
    instead: str = "marginal_likelihood, infonce and donsker_varadhan",
) -> None:
    """Raises a ValueError if the target's prior changes with the nuisances; `instead` can do it."""
    if not problem.nuisances:
        return
    where = designs.expand(16, *designs.shape)
    latents = problem.draw_latents(where)
    target = {name: latents[name] for name in problem.target}
    first, second = (problem.log_prior(target, where) for _ in range(2))
    if not torch.allclose(first, second, atol=1e-5):
        raise ValueError(
            f"target: the prior of {list(problem.target)} depends on nuisances "
            f"{list(problem.nuisances)}, so that its entropy is unknown to "
            f"{problem.estimator!r}; {instead} can do it"
        )


def check_gradients(problem: SiteModel, designs: Tensor) -> None:
    """Raises a ValueError unless the joint density has a gradient in every latent."""
    kinds, _ = site_kinds(problem, designs, [*problem.latents, *problem.observation])
    for kind in kinds[: len(problem.latents)]:
        if kind.family == "other":
            raise ValueError(
                f"target: latent site {kind.name!r} has values that {problem.estimator!r} cannot "
                f"map to the reals; {NEED_NO_GUIDE} can do it"
            )
        if kind.family != "real":
            raise ValueError(
                f"target: latent site {kind.name!r} is discrete; {problem.estimator!r} has "
                "gradients for continuous latents only; ace, vnmc and posterior take both"
            )
    for kind in kinds:
        if kind.moving:
            raise ValueError(
                f"site {kind.name!r} has bounds that move with the latents, where the density that "
                f"{problem.estimator!r} climbs has a step; {NEED_NO_GUIDE} can do it"
            )


def prior_entropy(problem: SiteModel, designs: Tensor, samples: int) -> Float[Tensor, " D"]:
    """H[p(target)] in nats: exact where the sites' entropies are, else from samples."""
    trace = problem.trace(designs.expand(samples, *designs.shape), {})
    total = torch.zeros(len(designs), dtype=problem.dtype, device=designs.device)
    for name in problem.target:
        site: Any = trace.nodes[name]
        try:
            value = site["fn"].entropy()
        except NotImplementedError:
            value = -site["fn"].log_prob(site["value"])
        total = total + value.expand(samples, len(designs)).mean(0)
    return total
