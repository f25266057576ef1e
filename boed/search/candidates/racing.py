"""Racing: completions are spent only on candidates that can still be the best."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from boed.eig.completions.estimators import AdditiveEstimator, Estimator
from boed.eig.completions.problem import Imagined
from boed.eig.result import EIGEstimate
from boed.search.candidates.design_geometry import scaled, spread_out
from boed.search.candidates.evaluations import Ledger, needs_additive

TIE = 1.5e-4
"""Candidates this near (nats, or relative above 1) are not told apart, as when policies choose."""


@dataclass(frozen=True, kw_only=True)
class Racing:
    """Judge all candidates with few completions, drop the losers, and go on with the rest.

    What all N completions would say is sought, and those not seen yet limit it. Two rules drop a
    candidate:

    - For certain: the best that its unseen completions can add (`ceiling`) does not lift it to a
      candidate that has been judged with all. Alone (`error` 0) it keeps the best look of the
      exhaustive search and all that tie with it, always. `scouts` are judged with all completions
      at first, and show which completions cost a look most; these come first, since they tell
      candidates apart.
    - By a paired t-interval for its difference d to the leader on common completions (Maron and
      Moore 1994's races, paired as in Moore and Lee 1994). With weights w and W = sum of the
      unseen weights, sum_seen w d + W mean(d) estimates the difference after all completions,
      with the error t_{n-1} s sqrt(sum_unseen w^2 + W^2 / n), for equal weights
      t_{n-1} s / sqrt(n) sqrt(1 - n / N). Guarantee: where differences are independent, Gaussian,
      and independent of the weights, the best is dropped with probability at most `error`,
      divided by the number of comparisons (candidates x rounds). Gains are skewed: measured
      errors are in docs/search. An empirical Bernstein interval (Audibert et al. 2009) would need
      no Gaussian, but its term 3 range ln(3 / error) / n drops nothing at 10 completions.

    Attributes:
        scouts: candidates, spread over the designs, judged with all completions at first; used
            where the certain rule is alone.
        first: completions for every other candidate in the first round.
        growth: the completions seen grow by this factor each round, by one at least.
        error: probability that the t-intervals drop the best; 0 is the certain rule alone.

    Raises:
        ValueError: `scouts` or `first` below 1, `growth` below 1, or `error` not in [0, 1).
    """

    scouts: int = 6
    first: int = 1
    growth: float = 1.2
    error: float = 0.0

    def __post_init__(self) -> None:
        for name in ("scouts", "first", "growth"):
            if not getattr(self, name) >= 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected at least 1")
        if not 0 <= self.error < 1:
            raise ValueError(f"error is {self.error}, expected a probability from 0 to below 1")

    def __call__(self, imagined: Imagined, estimator: Estimator) -> EIGEstimate:
        """All candidates with at least `first` completions, the survivors with all.

        Raises:
            ValueError: an estimator that is not additive, or one without a ceiling where no
                error is allowed.
        """
        self.check(estimator)
        ledger = Ledger(imagined, estimator)
        self.race(ledger, torch.ones_like(ledger.judged[0]))
        return ledger.estimate()

    def check(self, estimator: Estimator) -> None:
        """Raises a ValueError if the estimator is not additive."""
        if not isinstance(estimator, AdditiveEstimator):
            raise needs_additive(estimator, "completions one by one, as racing does")

    def race(
        self, ledger: Ledger, active: Bool[Tensor, "B D"], keep: int = 1
    ) -> Bool[Tensor, "B D"]:
        """Judges the active candidates; returns the survivors, judged with all completions.

        Args:
            ledger: what has been judged, which grows.
            active: who takes part.
            keep: how many of the best must not be dropped.
        """
        bounded = bool(ledger.ceiling.isfinite().all())
        if not bounded and self.error == 0:
            raise ValueError(
                f"error is 0, but no limit of a gain of {type(ledger.estimator).__name__} is "
                "known; give an error above 0, or register one with boed.search.ceiling"
            )
        if bounded and self.error == 0:
            ledger.judge(self._scouts(ledger, active, max(self.scouts, keep)))
        turn = self._turns(ledger)
        schedule = self.schedule(len(turn))
        for number in schedule:
            ledger.judge((turn < number)[..., None] & active)
            if number < len(turn):
                if bounded:
                    ledger.judge(_most_promising(ledger, active))
                    active = active & ~_certainly_beaten(ledger, active, keep)
                if self.error > 0:
                    lost = self._probably_beaten(ledger, active, keep, len(schedule) - 1)
                    active = active & ~lost
        return active

    def schedule(self, completions: int) -> list[int]:
        """Completions seen after each round; the last are all."""
        seen = [min(self.first, completions)]
        while seen[-1] < completions:
            seen.append(min(max(int(seen[-1] * self.growth), seen[-1] + 1), completions))
        return seen

    def _scouts(
        self, ledger: Ledger, active: Bool[Tensor, "B D"], number: int
    ) -> Bool[Tensor, "N B D"]:
        """Candidates spread over the designs, in scenes where none has been finished yet."""
        chosen, _ = spread_out(scaled(ledger.imagined.designs), active.any(0), number)
        scouts = torch.zeros_like(active)
        scouts[:, chosen] = True
        none = ~ledger.judged.all(0).any(1, keepdim=True)
        return (scouts & active & none).expand_as(ledger.judged)

    def _turns(self, ledger: Ledger) -> Int64[Tensor, "N B"]:
        """Each completion's place: the most costly to the looks known, else the heaviest, first.

        An order that depends on gains would make the t-intervals wrong.
        """
        value = ledger.imagined.completions.weights
        if self.error == 0:
            known = ledger.judged.all(0)
            short = (ledger.ceiling[..., None] - ledger.gains).where(known, 0.0)
            value = value * short.sum(2)
        return value.argsort(dim=0, descending=True, stable=True).argsort(dim=0)

    def _probably_beaten(
        self, ledger: Ledger, active: Bool[Tensor, "B D"], keep: int, rounds: int
    ) -> Bool[Tensor, "B D"]:
        """The active candidates whose t-interval lies below that of the `keep`-th best."""
        eig = ledger.eig.where(active, -torch.inf)
        leader = eig.topk(min(keep, eig.shape[1])).indices[:, -1][None, :, None]
        leader = leader.expand(len(ledger.gains), -1, 1)
        common = ledger.judged & ledger.judged.gather(2, leader)
        difference = (ledger.gains.gather(2, leader) - ledger.gains).where(common, 0.0)
        weights = ledger.imagined.completions.weights.to(difference)[..., None]
        number = common.sum(0)
        mean = difference.sum(0) / number
        spread = ((difference - mean).where(common, 0.0) ** 2).sum(0) / (number - 1)
        unseen = weights * ~common
        rest = unseen.sum(0)
        estimate = (weights * difference).sum(0) + rest * mean
        error = (spread * ((unseen**2).sum(0) + rest**2 / number)).sqrt()
        comparisons = active.sum(1, keepdim=True) * rounds
        return active & (estimate > self._quantile(number, comparisons) * error)

    def _quantile(
        self, number: Int64[Tensor, "B D"], comparisons: Int64[Tensor, "B 1"]
    ) -> Float[Tensor, "B D"]:
        """Of Student's t with number - 1 degrees of freedom; one-sided."""
        from scipy import stats

        degrees = np.maximum(number.cpu().numpy() - 1, 1)
        found = stats.t.isf(self.error / comparisons.cpu().numpy(), degrees)
        return torch.as_tensor(found).to(number.device)


def _most_promising(ledger: Ledger, active: Bool[Tensor, "B D"]) -> Bool[Tensor, "N B D"]:
    """The candidate that could still be worth most: a high one known well drops many others."""
    upper = ledger.upper.where(active, -torch.inf)
    one = torch.zeros_like(active).scatter(1, upper.argmax(1, keepdim=True), True)
    return (one & active).expand_as(ledger.judged)


def _certainly_beaten(
    ledger: Ledger, active: Bool[Tensor, "B D"], keep: int
) -> Bool[Tensor, "B D"]:
    """The active candidates that cannot come up to the `keep`-th best known one."""
    known = ledger.eig.where(ledger.judged.all(0), -torch.inf)
    mark = known.topk(min(keep, known.shape[1])).values[:, -1:]
    return active & (ledger.upper < mark - TIE * mark.abs().clamp(min=1))
