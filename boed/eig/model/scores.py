"""EIG estimates of several designs with what their errors have in common."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Scores:
    """EIG of several designs, in nats.

    Attributes:
        eig: `[D]`.
        deviations: from the mean, of the R parts that the estimate is a sum of, `[R, D]`, scaled so
            that the covariance of the estimates is deviations^T deviations. Infinite for a design
            whose estimate is.
    """

    eig: Float[Tensor, " D"]
    deviations: Float[Tensor, "R D"]


Evaluation = Callable[[int], Scores]
"""An estimator, trained if it learns: the EIG from so many fresh samples, more than once."""


def deviations(
    sums: Float[Tensor, "R D"], fractions: Float[Tensor, " R"], total: Float[Tensor, " D"]
) -> Float[Tensor, "R D"]:
    """Of independent parts that hold these fractions of what was summed.

    Their scale makes the squares' sum an unbiased estimate of the variance of `total`. It is NaN
    for a single part.
    """
    apart = sums - fractions[:, None] * total
    free = 1 - float(fractions.double().square().sum())  # (R - 1) / R where they are equal
    scale = free**-0.5 if len(sums) > 1 else math.nan
    return (scale * apart).where(torch.isfinite(total), torch.inf)


def over_replicates(values: Float[Tensor, "R D"]) -> Scores:
    """The mean over independent replicates."""
    values = values.double()
    each = torch.full((len(values),), 1 / len(values)).to(values)
    mean = values.mean(0)
    return Scores(mean, deviations(values * each[:, None], each, mean))


def together(parts: Sequence[Scores], samples: Sequence[int]) -> Scores:
    """Independent estimates from so many samples each, as one."""
    weights = [number / sum(samples) for number in samples]
    eig = sum(weight * part.eig for weight, part in zip(weights, parts, strict=True))
    rows = [weight * part.deviations for weight, part in zip(weights, parts, strict=True)]
    return Scores(torch.as_tensor(eig), torch.cat(rows))


class Moments:
    """Sums over the outer samples from which the EIG and the errors follow.

    Args:
        samples: N, outer.
        shared: each group's fraction of the inner samples, where all outer ones have the same.
        designs: how many, D.
        memory: bound in MiB; where N D numbers are a quarter of it, neighbouring samples are taken
            together.
    """

    def __init__(
        self,
        samples: int,
        shared: Float[Tensor, " G"] | None,
        *,
        designs: int,
        memory: int,
        device: torch.device,
    ) -> None:
        rows = min(samples, max(2, memory * 2**18 // (8 * designs)))
        self._samples, self._shared, self._seen = samples, shared, 0
        self._rows = torch.arange(samples, device=device) * rows // samples
        self._sums = torch.zeros(rows, designs, dtype=torch.float64, device=device)
        self._groups: Tensor | float = 0.0

    def add(self, terms: Float[Tensor, "n D"], weights: Float[Tensor, "G D"] | None = None) -> None:
        """Terms of the next outer samples, and each group's share of their denominators, summed."""
        rows = self._rows[self._seen : self._seen + len(terms)]
        self._sums.index_add_(0, rows, terms.double())
        self._seen += len(terms)
        if weights is not None:
            self._groups = self._groups + weights.double()

    def scores(self) -> Scores:
        """Mean and deviations; the delta method gives the inner samples' part.

        The estimate moves by -1/N sum_n w_gn when group g doubles, w its share of denominator n.
        """
        mean = self._sums.sum(0) / self._samples
        sizes = torch.bincount(self._rows).to(self._sums)
        rows = deviations(self._sums / self._samples, sizes / self._samples, mean)
        if self._shared is not None:
            weight = torch.as_tensor(self._groups) / self._samples
            inner = deviations(weight, self._shared.to(weight), weight.sum(0))
            rows = torch.cat([rows, inner.where(torch.isfinite(mean), torch.inf)])
        return Scores(mean, rows)


def warn_if_saturated(
    estimator: str, eig: Tensor, contrasts: int, *, upper: Tensor | None = None
) -> None:
    """Warns where a bound that is at most ln(L + 1) is too near to it to tell of the EIG.

    Args:
        estimator: its name.
        eig: estimates in nats, of any shape.
        contrasts: L.
        upper: what an upper bound is at least, if there is one: above ln(L + 1) it does not rule
            out an EIG that the lower bound cannot reach.
    """
    ceiling = math.log(contrasts + 1)
    near = int((eig > SATURATED * ceiling).sum())
    beyond = 0 if upper is None else int((upper > ceiling).sum())
    if beyond and upper is not None and not near:
        warnings.warn(
            f"contrasts is {contrasts}: {estimator!r} is at most ln(L + 1) = {ceiling:.2f} nats, "
            f"and the upper bound is above {float(upper.max()):.2f}; the EIG may be more than the "
            "lower one can say: take more contrasts",
            stacklevel=4,
        )
    if near:
        warnings.warn(
            f"contrasts is {contrasts}: {estimator!r} is at most ln(L + 1) = {ceiling:.2f} nats "
            f"and comes to {float(eig.max()):.2f}; so near to it ({near} of {eig.numel()}) it "
            "tells of L, not of the EIG: take more contrasts, or look at an upper bound beside it",
            stacklevel=4,
        )


SATURATED = 0.85
"""Fraction of ln(L + 1) from which a bound is too near to it."""
