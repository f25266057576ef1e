"""Which of several designs is best, from estimates whose errors have something in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

DRAWS = 4096
"""Normal draws from which probabilities are counted: a standard error of at most 0.008."""

FEW_DRAWS = 512
"""The like for each of many scenes, whose mean counts."""

REACH = 6.0
"""Standard errors below the best estimate from which a design is taken to be out of the race."""

THINNING = 0.5
"""Standard deviation of the noise by which an estimate is thinned, of that of its own."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """EIG of one design less that of another, in nats.

    Attributes:
        value: the estimate.
        standard_error: of the difference: less than those of the two EIGs let expect, as far as
            their errors have something in common.
    """

    value: float
    standard_error: float


@dataclass(frozen=True, kw_only=True)
class Race:
    """The designs that may be the best, and draws of their errors.

    Attributes:
        rows: their rows among all designs, `[C]`.
        eig: their estimates, `[C]`.
        errors: draws from N(0, covariance), `[S, C]`, the same ones for a seed.
        leader: which of them has the highest estimate.
    """

    rows: Tensor
    eig: Float[Tensor, " C"]
    errors: Float[Tensor, "S C"]
    leader: int


def race(
    eig: Float[Tensor, " D"],
    deviations: Float[Tensor, "R D"],
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> Race:
    """Leaves out what is far behind the highest estimate, by the error of the difference.

    Args:
        eig: estimates in nats.
        deviations: their covariance is deviations^T deviations.
        draws, seed: of their errors.

    Raises:
        ValueError: an estimate or an error that is not finite.
    """
    eig, deviations = eig.double(), deviations.double()
    bad = ~(torch.isfinite(eig) & torch.isfinite(deviations).all(0))
    if bool(bad.any()):
        rows = bad.nonzero().flatten().tolist()
        raise ValueError(
            f"eig or its error is not finite at designs {rows[:5]}, which cannot be compared; take "
            "more than one sample, more contrasts or another estimator"
        )
    best = eig.argmax()
    apart = (deviations - deviations[:, best, None]).norm(dim=0)
    rows = (eig[best] - eig <= REACH * apart).nonzero().flatten()
    near = deviations[:, rows]
    if len(near) > len(rows):
        values, vectors = torch.linalg.eigh(near.T @ near)
        near = values.clamp(min=0).sqrt()[:, None] * vectors.T
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(draws // 2, len(near), dtype=torch.float64, generator=generator)
    half = noise.to(near.device) @ near
    leader = int((rows == best).nonzero())
    return Race(rows=rows, eig=eig[rows], errors=torch.cat([half, -half]), leader=leader)


def difference(
    eig: Float[Tensor, " D"], deviations: Float[Tensor, "R D"], rows: tuple[int, int]
) -> Difference:
    """EIG of the first row less that of the second."""
    first, second = rows
    value = float(eig[first].double() - eig[second].double())
    error = float((deviations[:, first].double() - deviations[:, second].double()).norm())
    return Difference(value=value, standard_error=error)


def probability_best(
    eig: Float[Tensor, " D"], deviations: Float[Tensor, "R D"]
) -> Float[Tensor, " D"]:
    """Of every design, by normal errors with their covariance and no opinion beforehand.

    Chick & Inoue 2001, Management Science 47(8), with the covariance taken as known.
    """
    running = race(eig, deviations)
    possible = running.eig + running.errors
    winners = (possible >= possible.amax(1, keepdim=True)).double()  # several if they are the same
    shares = (winners / winners.sum(1, keepdim=True)).mean(0)
    probability = torch.zeros(eig.shape, dtype=eig.dtype, device=eig.device)
    return probability.index_put((running.rows,), shares.to(probability))


def shortfall(eig: Float[Tensor, " D"], deviations: Float[Tensor, "R D"], *, level: float) -> float:
    """Nats by which the design of the highest estimate is below the best one at most."""
    running = race(eig, deviations)
    possible = running.eig + running.errors
    behind = possible.amax(1) - possible[:, running.leader]
    return float(behind.quantile(level))


def curse_of_gains(
    gains: Float[Tensor, "N B D"], weights: Float[Tensor, "N B"], seeds: Sequence[int]
) -> Float[Tensor, " B"]:
    """`winners_curse` of each scene, whose EIGs are means of gains over the same completions.

    Errors of each scene are drawn by its seed, so that those of many scenes cancel in a mean.
    Designs that a search did not evaluate with all completions (NaN) are left out. NaN where a
    single completion has all the weight: nothing is then known of the error.
    """
    mean = torch.einsum("nb,nbd->bd", weights, gains)
    left = 1 - (weights**2).sum(0)
    deviations = weights[..., None] * (gains - mean) / left.clamp(min=1e-12).sqrt()[:, None]
    curses = mean.new_full((len(mean),), torch.nan)
    for row in (left > 1e-6).nonzero().flatten().tolist():
        known = deviations[:, row].isfinite().all(0)
        if known.any():
            curses[row] = winners_curse(
                mean[row, known], deviations[:, row, known], draws=FEW_DRAWS, seed=seeds[row]
            )
    return curses


def winners_curse(
    eig: Float[Tensor, " D"],
    deviations: Float[Tensor, "R D"],
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> float:
    """Nats by which the highest of the estimates is above that design's EIG, on average.

    The optimizer's curse, Smith & Winkler 2006, Management Science 52(3), by the coupled bootstrap
    of Oliveira, Lei & Tibshirani 2021 (arXiv 2111.09447): with Z ~ N(0, covariance), a choice by
    X + a Z is independent of X - Z / a, so that the mean of (a + 1 / a) Z at the chosen design is
    an unbiased estimate of the curse of a choice with 1 + a^2 times the variance; here a = 1/2.
    """
    running = race(eig, deviations, draws=draws, seed=seed)
    chosen = (running.eig + THINNING * running.errors).argmax(1)
    at = running.errors.gather(1, chosen[:, None])
    return max(0.0, float((THINNING + 1 / THINNING) * at.mean()))
