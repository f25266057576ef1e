"""Coarse to fine: evaluate a few candidates far apart, then those around the best."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from boed.eig.completions.estimators import Estimator
from boed.eig.completions.problem import DesignProblem
from boed.eig.result import EIGEstimate
from boed.foundation.arguments import checked
from boed.foundation.checks import at_least
from boed.search.candidates.design_geometry import farthest_points, scaled
from boed.search.candidates.evaluations import Evaluations
from boed.search.candidates.racing import Racing
from boed.search.candidates.refining import Refining


@checked
@dataclass(frozen=True, kw_only=True)
class CoarseToFine:
    """A part of the candidates with all completions, then the neighbours of the best of them.

    Candidates are taken as points, each entry of the design scaled to its range, so that any
    regular or irregular tensor of designs will do; near designs should have a similar EIG. The
    coarse part is chosen by farthest-point sampling (Gonzalez 1985), and neighbours are the
    candidates no farther away than the coarse part leaves any candidate. On a regular grid of
    2^k + 1 positions and a quarter of the candidates, that is every other position, and the 8
    around it.

    Attributes:
        coarse: fraction of the candidates that is evaluated first.
        around: how many of the best candidates are refined.
        rounds: how often: after the first time the best may be among the newly evaluated.
        then: evaluates every set of candidates by racing rather than with all completions.

    Raises:
        ValueError: `coarse` not in (0, 1], or `around` or `rounds` below 1.
    """

    coarse: float = 0.25
    around: int = 8
    rounds: int = 1
    then: Racing | None = None

    def __post_init__(self) -> None:
        if not 0 < self.coarse <= 1:
            raise ValueError(f"coarse is {self.coarse}, expected a fraction above 0, at most 1")
        at_least(1, around=self.around, rounds=self.rounds)

    def __call__(self, problem: DesignProblem, estimator: Estimator) -> EIGEstimate:
        """The candidates evaluated; the others are NaN.

        Raises:
            ValueError: racing with an estimator that cannot race.
        """
        if self.then is not None:
            self.then.check(estimator)
        evaluations = Evaluations(problem, estimator)
        points, active = scaled(problem.designs), torch.zeros_like(evaluations.done[0])
        everywhere = torch.ones_like(active[0])
        chosen, gap = farthest_points(points, everywhere, round(self.coarse * len(points)))
        near = torch.cdist(points, points) <= gap * (1 + 1e-4)
        active[:, chosen] = True
        Refining(self.around, self.rounds, self.then)(evaluations, active, near)
        return evaluations.estimate()
