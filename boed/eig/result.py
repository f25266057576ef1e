"""What every EIG estimator returns."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from boed.eig.comparison import (
    Difference,
    difference,
    probability_best,
    shortfall,
    winners_curse,
)
from boed.foundation.arguments import checked
from boed.foundation.checks import at_most, more_than

Bound = Literal["lower", "upper", "consistent", "biased up", "none"]
"""What the expectation of an estimate is to the EIG at finite cost.

`lower` and `upper` bound it; `consistent` converges to it with the number of samples, from either
side; `biased up` converges to it from above; `none` is no bound and need not converge to it, or
is no EIG about the question at all.
"""


@checked
@dataclass(frozen=True, eq=False, kw_only=True)
class EIGEstimate:
    """EIG of every candidate design.

    Attributes:
        designs: the candidates, `[D, *K]`.
        eig: nats, `[D]`, or `[B, D]` for a batch of scenes.
        standard_error: Monte-Carlo standard error of `eig` in nats, of the same shape.
        bound: what the estimate's expectation is to the EIG.
        gains: where an estimate is a weighted mean over completions: nats for each, `[N, B, D]`,
            NaN for those not used.
        finished: where a search dropped candidates early: which ones were evaluated with
            every completion, `[B, D]`. The others' `eig` comes from fewer, NaN if none.
        fresh: where designs are looks: which would read anything that has not been read yet,
            `[B, D]`; all of them where none would. The others' EIG is 0.
        evaluations: where a search saved some: beliefs computed, of N B D.
        effective_sample_size: of weighted completions: how many equal ones they equal, `[B]`.
        samples: of `model_eig`: outer samples that were taken.
        deviations: of `model_eig`: what the errors of the designs have in common, `[R, D]`; their
            covariance is deviations^T deviations. The comparisons below need it. What a learned
            estimator got wrong in its training is not in it.
    """

    designs: Float[Tensor, "D *K"]
    eig: Float[Tensor, "*B D"]
    standard_error: Float[Tensor, "*B D"]
    bound: Bound
    gains: Float[Tensor, "N B D"] | None = None
    finished: Bool[Tensor, "B D"] | None = None
    fresh: Bool[Tensor, "B D"] | None = None
    evaluations: int | None = None
    effective_sample_size: Float[Tensor, " B"] | None = None
    samples: int | None = None
    deviations: Float[Tensor, "R D"] | None = None

    @property
    def finished_eig(self) -> Float[Tensor, "*B D"]:
        """`eig`, -inf for candidates that no choice is made from.

        These are the ones that a search dropped, and those that would read nothing new: their EIG
        is 0, but an estimate for another one may be below that.
        """
        eig = self.eig
        for among in (self.finished, self.fresh):
            eig = eig if among is None else eig.where(among, -torch.inf)
        return eig

    @property
    def best(self) -> Float[Tensor, "..."]:
        """The design of highest EIG, `[*K]`, or `[B, K]` for a batch of scenes."""
        return self.designs[self.finished_eig.argmax(-1)]

    @property
    def covariance(self) -> Float[Tensor, "D D"]:
        """Of the estimates' errors, in nats squared.

        Raises:
            ValueError: an estimate without `deviations`.
        """
        rows = self._deviations()
        return rows.T @ rows

    def difference(self, i: int, j: int) -> Difference:
        """EIG of design i less that of design j, with its standard error.

        Raises:
            ValueError: an estimate without `deviations`, or a row that there is not.
        """
        rows, pair = self._deviations(), []
        for name, row in (("i", i), ("j", j)):
            try:
                number = -1 if isinstance(row, bool) else operator.index(row)
            except TypeError:
                number = -1
            if not 0 <= number < len(self.eig):
                raise ValueError(
                    f"{name} is {row!r}, expected the row of a design, 0 to {len(self.eig) - 1}"
                )
            pair.append(number)
        return difference(self.eig, rows, (pair[0], pair[1]))

    def probability_best(self) -> Float[Tensor, " D"]:
        """The probability of each design that its EIG is the highest.

        Raises:
            ValueError: an estimate without `deviations`, or one that is not finite.
        """
        return probability_best(self.eig, self._deviations())

    def shortfall(self, level: float = 0.95) -> float:
        """Nats by which the best design may be below the truly best, with this probability.

        Raises:
            ValueError: as `probability_best`, or a level that is not between 0 and 1.
        """
        more_than(0, level=level)
        at_most(1, level=level)
        return shortfall(self.eig, self._deviations(), level=level)

    def winners_curse(self) -> float:
        """Nats by which the EIG of the best design is estimated too high, because it was chosen.

        Expected, of a choice among these estimates; take it off the highest one. What the
        estimator itself gets wrong, as a bound does, comes beside it.

        Raises:
            ValueError: as `probability_best`.
        """
        return winners_curse(self.eig, self._deviations())

    def _deviations(self) -> Tensor:
        if self.deviations is None:
            raise ValueError(
                "deviations: this estimate does not say what its errors have in common; those of "
                "model_eig do"
            )
        return self.deviations
