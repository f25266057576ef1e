"""Default guides and critics, built from one network per design."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from boed.eig.model.networks import HIDDEN, PerDesign, Standardiser
from boed.eig.model.pyro_model import SiteModel, Sites
from boed.eig.model.site_distribution import SiteDistribution
from boed.eig.model.site_kinds import SiteKind, site_kinds

NEED_NO_GUIDE = "nmc, pce, snmc, pyro_nmc, infonce, lfire or donsker_varadhan"
"""Estimators that ask for no density but the model's own."""


class Conditional(nn.Module):
    """q(sites | given sites) for every design; the sites follow one another, so they may depend.

    q(s_1, s_2, ... | g) = q(s_1 | g) q(s_2 | s_1, g) ...

    Args:
        problem: the model.
        designs: the candidates `[D, *K]`; the guide serves these alone.
        sites: what it is a distribution of.
        given: what it depends on, none for a marginal.
        components: of the Gaussian mixtures.

    Raises:
        ValueError: a site whose support no default guide covers, or a continuous one that takes
            single values with positive probability.
    """

    def __init__(
        self,
        problem: SiteModel,
        designs: Tensor,
        sites: Sequence[str],
        *,
        given: Sequence[str],
        components: int = 4,
    ) -> None:
        super().__init__()
        self.given = tuple(given)
        self.designs = len(designs)
        kinds, draws = site_kinds(problem, designs, [*given, *sites])
        self.inputs = nn.ModuleDict()
        self.outputs = nn.ModuleDict()
        for index, kind in enumerate(kinds):
            if kind.name in self.given:
                continue
            _check_density(problem, kind, draws[kind.name])
            inputs = Standardiser(kinds[:index], draws) if index else None
            if inputs is not None:
                self.inputs[_key(kind.name)] = inputs
            self.outputs[_key(kind.name)] = SiteDistribution(
                kind,
                draws[kind.name],
                inputs.size if inputs else 1,
                components=components,
            )
        self.sites = tuple(sites)
        self.to(device=designs.device, dtype=problem.dtype)

    def distribution(self, site: str, values: Mapping[str, Tensor]) -> Any:
        """Of one site, given the sites before it; of batch shape `[D]` if there are none."""
        key = _key(site)
        if key in self.inputs:
            return self.outputs[key](self.inputs[key](values))
        return self.outputs[key](next(self.parameters()).new_zeros(self.designs, 1))

    def log_prob(self, values: Mapping[str, Tensor], batch: tuple[int, ...]) -> Tensor:
        """log q(sites | given) in nats, `[*batch]`."""
        parts = [self.distribution(site, values).log_prob(values[site]) for site in self.sites]
        return torch.stack(torch.broadcast_tensors(*parts)).sum(0).expand(batch)

    def sample(self, given: Mapping[str, Tensor], n: int) -> tuple[Sites, Tensor]:
        """n draws for every element of the batch, `[n, *batch, *event]`, and their log q."""
        values = {name: value.expand(n, *value.shape) for name, value in given.items()}
        log_q: Tensor | float = 0.0
        for index, site in enumerate(self.sites):
            if index == 0:  # depends on what is given alone, the same for all n
                law = self.distribution(site, given)
                values[site] = law.sample((n,))
            else:
                law = self.distribution(site, values)
                values[site] = law.sample()
            log_q = log_q + law.log_prob(values[site])
        return {site: values[site] for site in self.sites}, torch.as_tensor(log_q)


def _check_density(problem: SiteModel, kind: SiteKind, draws: Tensor) -> None:
    """Raises a ValueError if no default guide has a density like the site's."""
    if kind.family == "other":
        raise ValueError(
            f"site {kind.name!r} has values of shape {kind.shape} for which {problem.estimator!r} "
            "has no default guide; give your own (guide=), or take an estimator that needs none: "
            f"{NEED_NO_GUIDE}"
        )
    if kind.family != "real":
        return
    ordered = draws.flatten(2).sort(0).values if kind.shape else draws.sort(0).values
    repeated = float((ordered[1:] == ordered[:-1]).float().mean(0).max())
    if repeated > 0.02:
        raise ValueError(
            f"site {kind.name!r} repeats single values in {repeated:.0%} of its draws; no default "
            f"guide of {problem.estimator!r} has such atoms: give your own (guide=), or take an "
            f"estimator that needs none: {NEED_NO_GUIDE}"
        )


class Critic(nn.Module):
    """T(theta, y) = <g(theta), h(y)> + b(theta) + c(y) for every design, universal in the width.

    Args:
        problem: the model.
        designs: the candidates; the critic serves these alone.
        width: of the embeddings g and h.
    """

    def __init__(self, problem: SiteModel, designs: Tensor, width: int = HIDDEN) -> None:
        super().__init__()
        targets, draws = site_kinds(problem, designs, problem.target)
        outcomes, seen = site_kinds(problem, designs, problem.observation)
        self.of_target = Standardiser(targets, draws, products=True)
        self.of_outcome = Standardiser(outcomes, seen, products=True)
        self.target = PerDesign(len(designs), self.of_target.size, width + 1)
        self.outcome = PerDesign(len(designs), self.of_outcome.size, width + 1)
        self.width = width
        self.to(device=designs.device, dtype=problem.dtype)

    def embed(
        self, latents: Mapping[str, Tensor], outcomes: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Vectors `[*batch, D, width + 2]` whose inner product is T."""
        target = self.target(self.of_target(latents))
        outcome = self.outcome(self.of_outcome(outcomes))
        one = target.new_ones(1)
        left = torch.cat([target, one.expand(*target.shape[:-1], 1)], -1)
        right = torch.cat(
            [
                outcome[..., : self.width],
                one.expand(*outcome.shape[:-1], 1),
                outcome[..., self.width :],
            ],
            -1,
        )
        return left, right

    def forward(self, latents: Mapping[str, Tensor], outcomes: Mapping[str, Tensor]) -> Tensor:
        """T of matching pairs, `[*batch, D]`."""
        left, right = self.embed(latents, outcomes)
        return (left * right).sum(-1)


def _key(site: str) -> str:
    """A site's name as a module's."""
    return "site_" + site.replace(".", "_")
