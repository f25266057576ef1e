"""What is known of the latents of a Pyro model after some looks: weighted draws."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from boed.eig.model.isolation import isolated
from boed.eig.model.pyro_model import Model, SiteModel, Sites
from boed.eig.model.sequence_model import sequence_model
from boed.eig.model.site_kinds import SiteKind, site_kinds
from boed.foundation.arguments import checked
from boed.foundation.options import Whole
from boed.foundation.randomness import derive
from boed.foundation.registry import check_known

FEWEST = 0.5
"""Effective fraction of the particles below which they are drawn anew and moved."""

ACCEPTED = 0.25
"""Fraction of moves that the size of the steps aims at."""


TEMPERATURES = 50
"""Steps in which a look is taken in at most; what is left then is taken in at once."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Posterior:
    """P weighted draws of all latents, given some looks.

    Attributes:
        latents: every latent site, `[P, *event]`.
        log_weights: normalised, `[P]`, float64.
        log_evidence: log p(outcomes | designs), nats.
    """

    latents: Sites
    log_weights: Float[Tensor, " P"]
    log_evidence: float

    @property
    def effective(self) -> float:
        """Effective sample size of the weights, 1 to P."""
        return float((-(2 * self.log_weights).logsumexp(0)).exp())

    def mean(self, site: str) -> Tensor:
        """Posterior mean of a site, `[*event]`.

        Raises:
            ValueError: there is no such site.
        """
        check_known("site", site, self.latents)
        return self._average(self.latents[site])

    def standard_deviation(self, site: str) -> Tensor:
        """Posterior standard deviation of a site, `[*event]`."""
        mean = self.mean(site)
        return self._average((self.latents[site] - mean).square()).sqrt()

    def draw(self, number: int) -> Sites:
        """Unweighted draws `[N, *event]`, of torch's global generator."""
        rows = torch.multinomial(self.log_weights.exp(), number, replacement=True)
        return {name: value[rows] for name, value in self.latents.items()}

    def _average(self, value: Tensor) -> Tensor:
        value = value if value.is_floating_point() else value.double()
        return torch.tensordot(self.log_weights.exp().to(value), value, 1)


@checked
@torch.no_grad()
def sample_posterior(
    model: Model,
    designs: Float[Tensor, "t *K"],
    outcomes: Float[Tensor, "t *Y"],
    *,
    example: Float[Tensor, "*K"],
    observation: str = "y",
    target: str | Sequence[str] = "theta",
    particles: int = 4096,
    moves: int = 5,
    seed: int = 0,
) -> Posterior:
    """Draws from p(latents | designs, outcomes) by sequential Monte Carlo.

    Particles start from the prior and take in one look after the other (Chopin 2002), a sharp one
    in steps of a temperature (Del Moral, Doucet & Jasra 2006). Where few of them are left with
    weight they are drawn anew, and the continuous ones moved by random walks that leave the
    posterior so far unchanged.

    Args:
        model: a Pyro program of one look.
        designs: of the looks, none of them for the prior.
        outcomes: what each returned.
        example: a legal design.
        observation: the outcome's site.
        target: the latent sites; all of them.
        particles: P.
        moves: of each particle when it is drawn anew.
        seed: the same seed gives the same answer; global random state is left as it was.

    Raises:
        ValueError: counts below 1, sites that do not fit, a likelihood that does not broadcast,
            numbers of designs and outcomes that differ, or an outcome that no particle explains.
    """
    Whole(2).check("particles", particles)
    Whole(0).check("moves", moves)
    with isolated(derive(seed, "posterior")):
        problem = sequence_model(
            model, example, observation, target=target, estimator="sample_posterior"
        )
        return filtered(
            problem, designs, outcomes, example=example, particles=particles, moves=moves
        )


@torch.no_grad()
def filtered(
    problem: SiteModel,
    designs: Float[Tensor, "t *K"],
    outcomes: Float[Tensor, "t *Y"],
    *,
    example: Float[Tensor, "*K"],
    particles: int,
    moves: int,
) -> Posterior:
    """As `sample_posterior`, of a model that is checked; uses torch's global generator."""
    if len(designs) != len(outcomes):
        raise ValueError(f"there are {len(designs)} designs and {len(outcomes)} outcomes")
    kinds = _movable(problem, example)
    latents = problem.draw_latents(example.expand(particles, *example.shape))
    even = torch.full((particles,), -math.log(particles)).to(example.device, torch.float64)
    weights, evidence = even, 0.0
    for look in range(len(designs)):
        power, steps = 0.0, 0
        while power < 1:
            one = slice(look, look + 1)
            now = _explained(problem, latents, designs[one], outcomes[one]).double()
            most, steps = 1 - power, steps + 1
            step = most if steps == TEMPERATURES else _temperature(weights, now, most=most)
            power = 1.0 if step == most else power + step
            weights = weights + now.where(now == -math.inf, step * now)
            total = float(weights.logsumexp(0))
            if not math.isfinite(total):
                raise ValueError(
                    f"outcome {look} ({outcomes[look].tolist()}) is impossible for all "
                    f"{particles} particles; expected one that the model can return at its design"
                )
            evidence += total
            weights = weights - total
            if power < 1 or _effective(weights) < FEWEST * particles:
                rows = torch.multinomial(weights.exp(), particles, replacement=True)
                latents = {name: value[rows] for name, value in latents.items()}
                weights = even
                target = _tempered(problem, designs[: look + 1], outcomes[: look + 1], power)
                latents = _moved(kinds, latents, target, moves=moves)
    return Posterior(latents=latents, log_weights=weights, log_evidence=evidence)


def _movable(problem: SiteModel, example: Tensor) -> list[SiteKind]:
    """The continuous latents whose bounds stand still."""
    kinds, _ = site_kinds(problem, example[None], list(problem.latents))
    return [kind for kind in kinds if kind.family == "real" and not kind.moving]


def _explained(
    problem: SiteModel, latents: Sites, designs: Tensor, outcomes: Tensor
) -> Float[Tensor, " P"]:
    """log p(outcomes | latents, designs) of some looks together."""
    number = len(next(iter(latents.values())))
    where = designs[:, None].expand(len(designs), number, *designs.shape[1:])
    wide = {name: value.expand(len(designs), *value.shape) for name, value in latents.items()}
    (site,) = problem.observation
    return problem.log_likelihood(wide, {site: outcomes[:, None]}, where).sum(0)


def _tempered(
    problem: SiteModel, designs: Tensor, outcomes: Tensor, power: float
) -> Callable[[Sites], Tensor]:
    """log prior and likelihood of all looks, the last one to a power."""

    def target(latents: Sites) -> Tensor:
        number = len(next(iter(latents.values())))
        last = designs[-1].expand(number, *designs.shape[1:])
        (site,) = problem.observation
        outcome = outcomes[-1].expand(number, *outcomes.shape[1:])
        prior, now = problem.log_joint(latents, {site: outcome}, last)
        total = prior + power * now
        if len(designs) > 1:
            total = total + _explained(problem, latents, designs[:-1], outcomes[:-1])
        return total

    return target


def _effective(weights: Tensor) -> float:
    """Effective sample size of weights that need not be normalised."""
    return float((2 * weights.logsumexp(0) - (2 * weights).logsumexp(0)).exp())


def _temperature(weights: Tensor, now: Tensor, *, most: float) -> float:
    """The largest power of a likelihood that leaves enough particles with weight."""

    def enough(step: float) -> bool:
        tried = weights + now.where(now == -math.inf, step * now)
        return _effective(tried) >= FEWEST * len(now)

    if enough(most) or not enough(0.0):
        return most
    low, high = 0.0, most
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if enough(middle) else (low, middle)
    return high


def _moved(
    kinds: list[SiteKind], latents: Sites, target: Callable[[Sites], Tensor], *, moves: int
) -> Sites:
    """Particles after random walks that leave their law, given up to a constant, unchanged."""
    if not kinds:
        return latents
    place = torch.cat([kind.encode(latents[kind.name]) for kind in kinds], -1)
    dimensions = place.shape[-1]
    covariance = torch.cov(place.mT.double()).reshape(dimensions, dimensions)
    jitter = 1e-8 * (covariance.diagonal().mean() + 1e-12)
    root = torch.linalg.cholesky(covariance + jitter * torch.eye(dimensions).to(covariance))
    size = 2.38 / dimensions**0.5
    density = target(latents) + _volume(kinds, place)
    for _ in range(moves):
        proposed = place + size * (torch.randn_like(place).double() @ root.mT).to(place)
        there = latents | _placed(kinds, proposed)
        new = (target(there) + _volume(kinds, proposed)).nan_to_num(nan=-math.inf)
        accepted = torch.rand_like(new).log() < new - density
        place = torch.where(accepted[:, None], proposed, place)
        density = torch.where(accepted, new, density)
        latents = latents | _placed(kinds, place)
        size *= math.exp(float(accepted.to(place).mean()) - ACCEPTED)
    return latents


def _placed(kinds: list[SiteKind], place: Tensor) -> Sites:
    """Values of sites from where they are on the real line."""
    parts = place.split([kind.unconstrained for kind in kinds], -1)
    return {
        kind.name: kind.bijection(part.reshape(-1, *kind.unconstrained_shape)).to(kind.dtype)
        for kind, part in zip(kinds, parts, strict=True)
    }


def _volume(kinds: list[SiteKind], place: Tensor) -> Float[Tensor, " P"]:
    """Log-volume of the step from the real line to the sites' supports."""
    total = place.new_zeros(len(place))
    for kind, part in zip(
        kinds, place.split([kind.unconstrained for kind in kinds], -1), strict=True
    ):
        inner = part.reshape(-1, *kind.unconstrained_shape)
        volume = kind.bijection.log_abs_det_jacobian(inner, kind.bijection(inner))
        total = total + volume.reshape(len(place), -1).sum(-1)
    return total
