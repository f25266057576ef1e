"""Which of several designs is best, from estimates whose errors have something in common."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

DRAWS = 4096
"""Normal draws from which probabilities are counted: a standard error of at most 0.008."""

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
        errors: draws from N(0, covariance), `[S, C]`, always the same ones.
        leader: which of them has the highest estimate.
    """

    rows: Tensor
    eig: Float[Tensor, " C"]
    errors: Float[Tensor, "S C"]
    leader: int


def race(eig: Float[Tensor, " D"], deviations: Float[Tensor, "R D"]) -> Race:
    """Leaves out what is far behind the highest estimate, by the error of the difference.

    Args:
        eig: estimates in nats.
        deviations: their covariance is deviations^T deviations.

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
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(DRAWS // 2, len(near), dtype=torch.float64, generator=generator)
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


def winners_curse(eig: Float[Tensor, " D"], deviations: Float[Tensor, "R D"]) -> float:
    """Nats by which the highest of the estimates is above that design's EIG, on average.

    The optimizer's curse, Smith & Winkler 2006, Management Science 52(3), by the coupled bootstrap
    of Oliveira, Lei & Tibshirani 2021 (arXiv 2111.09447): with Z ~ N(0, covariance), a choice by
    X + a Z is independent of X - Z / a, so that the mean of (a + 1 / a) Z at the chosen design is
    an unbiased estimate of the curse of a choice with 1 + a^2 times the variance; here a = 1/2.
    """
    running = race(eig, deviations)
    chosen = (running.eig + THINNING * running.errors).argmax(1)
    at = running.errors.gather(1, chosen[:, None])
    return max(0.0, float((THINNING + 1 / THINNING) * at.mean()))


def curse_of_gains(
    gains: Float[Tensor, "N B D"], weights: Float[Tensor, "N B"]
) -> Float[Tensor, " B"]:
    """The winner's curse of each scene, whose EIGs are means of gains over the same completions.

    By leaving one out: the mean gain of each completion at the design that the others would choose
    is without bias the EIG of a choice by one completion fewer, whatever the law of the gains,
    which are mostly 0 and at times large. The curse is the highest mean less that. In one scene it
    has the error of an EIG; over scenes it averages.

    Args:
        gains: in nats; designs whose gains are not all finite, as a search has dropped them, are
            left out.
        weights: of the completions, they add up to 1.

    Returns:
        In nats; NaN where a single completion has all the weight, or no design is left.
    """
    gains, weights = gains.double(), weights.double()
    known = gains.isfinite().all(0)
    share = weights[..., None]
    weighted = share * gains.where(known, 0.0)
    total = weighted.sum(0)
    rest = ((total - weighted) / (1 - share).clamp(min=1e-12)).where(known, -torch.inf)
    chosen = rest.argmax(2, keepdim=True)
    left = (weights * gains.gather(2, chosen)[..., 0]).sum(0)
    curse = (total.where(known, -torch.inf).amax(1) - left).clamp(min=0)  # but for rounding it is
    possible = known.any(1) & (weights.amax(0) < 1 - 1e-6)
    return curse.where(possible, torch.nan).to(torch.get_default_dtype())
