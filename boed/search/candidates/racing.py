"""Racing: completions are spent only on candidates that can still be the best."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from boed.eig.completions.estimators import AdditiveEstimator, Estimator
from boed.eig.completions.problem import DesignProblem
from boed.eig.result import EIGEstimate
from boed.foundation.arguments import checked
from boed.foundation.checks import at_least
from boed.search.candidates.design_geometry import farthest_points, scaled
from boed.search.candidates.evaluations import Evaluations, needs_additive

TIE = 1.5e-4
"""Candidates this near (nats, or relative above 1) are not told apart, as when policies choose."""


@checked
@dataclass(frozen=True, kw_only=True)
class Racing:
    """Evaluate all candidates with few completions, drop the losers, and go on with the rest.

    What all N completions would say is sought, and those not seen yet limit it. Two rules drop a
    candidate:

    - For certain: the best that its unseen completions can add (`upper_bound`) does not lift it
      to a candidate that has been evaluated with all. Alone (`error` 0) it keeps the best look of
      the exhaustive search and all that tie with it, always. `scouts` are evaluated with all
      completions at first, and show which completions cost a look most; these come first, since
      they tell candidates apart.
    - By a paired t-interval for its difference d to the leader on the n common completions (Maron
      and Moore 1994's races, paired as in Moore and Lee 1994), of mean d_bar and variance s2.
      With weights w and W = sum_unseen w, sum_seen w d + W d_bar estimates the difference after
      all completions, with the error t_{n-1} sqrt(s2 (sum_unseen w^2 + W^2 / n)), for equal
      weights t_{n-1} sqrt(s2 / n (1 - n / N)). Guarantee: where differences are independent,
      Gaussian, and independent of the weights, the best is dropped with probability at most
      `error`, divided by the number of comparisons (candidates x rounds). Gains are skewed:
      measured errors are in docs/search. An empirical Bernstein interval (Audibert et al. 2009)
      would need no Gaussian, but its term 3 range ln(3 / error) / n drops nothing at 10
      completions.

    Attributes:
        scouts: candidates, far from each other, evaluated with all completions at first; used
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
        at_least(1, scouts=self.scouts, first=self.first, growth=self.growth)
        if not 0 <= self.error < 1:
            raise ValueError(f"error is {self.error}, expected a probability from 0 to below 1")

    def __call__(self, problem: DesignProblem, estimator: Estimator) -> EIGEstimate:
        """All candidates with at least `first` completions, the survivors with all.

        Raises:
            ValueError: an estimator that is not additive, or one without an upper bound where no
                error is allowed.
        """
        self.check(estimator)
        evaluations = Evaluations(problem, estimator)
        self.race(evaluations, problem.fresh)
        return evaluations.estimate()

    def check(self, estimator: Estimator) -> None:
        """Raises a ValueError if the estimator is not additive."""
        if not isinstance(estimator, AdditiveEstimator):
            raise needs_additive(estimator, "completions one by one, as racing does")

    def race(
        self, evaluations: Evaluations, active: Bool[Tensor, "B D"], keep: int = 1
    ) -> Bool[Tensor, "B D"]:
        """Evaluates the active candidates; returns the survivors, evaluated with all completions.

        Args:
            evaluations: so far; they grow.
            active: who takes part.
            keep: how many of the best must not be dropped.
        """
        bounded = bool(evaluations.gain_bound.isfinite().all())
        if not bounded and self.error == 0:
            raise ValueError(
                f"error is 0, but no limit of a gain of {type(evaluations.estimator).__name__} is "
                "known; give an error above 0, or register one with boed.search.upper_bound"
            )
        if bounded and self.error == 0:
            evaluations.evaluate(self._scouts(evaluations, active, max(self.scouts, keep)))
        turn = self._turns(evaluations)
        schedule = self.schedule(len(turn))
        for number in schedule:
            evaluations.evaluate((turn < number)[..., None] & active)
            if number < len(turn):
                if bounded:
                    evaluations.evaluate(_most_promising(evaluations, active))
                    active = active & ~_certainly_beaten(evaluations, active, keep)
                if self.error > 0:
                    lost = self._probably_beaten(evaluations, active, keep, len(schedule) - 1)
                    active = active & ~lost
        return active

    def schedule(self, completions: int) -> list[int]:
        """Completions seen after each round; the last are all."""
        seen = [min(self.first, completions)]
        while seen[-1] < completions:
            seen.append(min(max(int(seen[-1] * self.growth), seen[-1] + 1), completions))
        return seen

    def _scouts(
        self, evaluations: Evaluations, active: Bool[Tensor, "B D"], number: int
    ) -> Bool[Tensor, "N B D"]:
        """Candidates far from each other, in scenes where none has been finished yet."""
        designs = scaled(evaluations.problem.designs)
        chosen, _ = farthest_points(designs, active.any(0), number)
        scouts = torch.zeros_like(active)
        scouts[:, chosen] = True
        none = ~evaluations.done.all(0).any(1, keepdim=True)
        return (scouts & active & none).expand_as(evaluations.done)

    def _turns(self, evaluations: Evaluations) -> Int64[Tensor, "N B"]:
        """Each completion's place: the most costly to the looks known, else the heaviest, first.

        An order that depends on gains would make the t-intervals wrong.
        """
        value = evaluations.problem.completions.weights
        if self.error == 0:
            known = evaluations.done.all(0)
            short = (evaluations.gain_bound[..., None] - evaluations.gains).where(known, 0.0)
            value = value * short.sum(2)
        return value.argsort(dim=0, descending=True, stable=True).argsort(dim=0)

    def _probably_beaten(
        self, evaluations: Evaluations, active: Bool[Tensor, "B D"], keep: int, rounds: int
    ) -> Bool[Tensor, "B D"]:
        """The active candidates whose t-interval lies below that of the `keep`-th best."""
        gains, seen = evaluations.gains, evaluations.done
        eig = evaluations.eig.where(active, -torch.inf)
        leader = eig.topk(min(keep, eig.shape[1])).indices[:, -1]  # the keep-th best, [B]
        at_leader = leader[None, :, None].expand(len(gains), -1, 1)
        common = seen & seen.gather(2, at_leader)
        d = (gains.gather(2, at_leader) - gains).where(common, 0.0)
        w = evaluations.problem.completions.weights.to(d)[..., None]
        n = common.sum(0)
        d_bar = d.sum(0) / n
        s2 = ((d - d_bar).where(common, 0.0) ** 2).sum(0) / (n - 1)
        w_unseen = w * ~common
        W = w_unseen.sum(0)
        estimate = (w * d).sum(0) + W * d_bar  # sum_seen w d + W d_bar
        error = (s2 * ((w_unseen**2).sum(0) + W**2 / n)).sqrt()  # over t: s2 (sum w^2 + W^2 / n)
        t = self._quantile(n, comparisons=active.sum(1, keepdim=True) * rounds)
        return active & (estimate > t * error)

    def _quantile(
        self, n: Int64[Tensor, "B D"], comparisons: Int64[Tensor, "B 1"]
    ) -> Float[Tensor, "B D"]:
        """t_{n-1}: Student's, one-sided, of the error that is left to one comparison."""
        from scipy import stats

        degrees = np.maximum(n.cpu().numpy() - 1, 1)
        quantile = stats.t.isf(self.error / comparisons.cpu().numpy(), degrees)
        return torch.as_tensor(quantile).to(n.device)


def _most_promising(evaluations: Evaluations, active: Bool[Tensor, "B D"]) -> Bool[Tensor, "N B D"]:
    """The candidate that could still be best: a high one known well drops many others."""
    bound = evaluations.eig_bound.where(active, -torch.inf)
    one = torch.zeros_like(active).scatter(1, bound.argmax(1, keepdim=True), True)
    return (one & active).expand_as(evaluations.done)


def _certainly_beaten(
    evaluations: Evaluations, active: Bool[Tensor, "B D"], keep: int
) -> Bool[Tensor, "B D"]:
    """The active candidates that cannot come up to the `keep`-th best finished one."""
    finished = evaluations.finished_eig
    mark = finished.topk(min(keep, finished.shape[1])).values[:, -1:]
    return active & (evaluations.eig_bound < mark - TIE * mark.abs().clamp(min=1))
