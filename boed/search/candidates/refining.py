"""Evaluating some candidates, then the neighbours of the best of them."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Bool
from torch import Tensor

from boed.search.candidates.design_geometry import neighbours
from boed.search.candidates.evaluations import Evaluations
from boed.search.candidates.racing import Racing


@dataclass(frozen=True)
class Refining:
    """What searches share that evaluate a part of the candidates first.

    Attributes:
        around: how many of the best candidates are refined; 0 refines none.
        rounds: how often: after the first time the best may be among the newly evaluated.
        then: evaluates every set of candidates by racing rather than with all completions.
    """

    around: int
    rounds: int
    then: Racing | None

    def __call__(
        self, evaluations: Evaluations, first: Bool[Tensor, "B D"], near: Bool[Tensor, "D D"]
    ) -> None:
        """Evaluates them.

        Args:
            evaluations: so far; they grow.
            first: candidates to start with.
            near: which candidates are each one's neighbours.
        """
        fresh = evaluations.problem.fresh
        known = ~(first & fresh).any(1, keepdim=True)  # nothing new among them: all that is
        active = self._evaluate(evaluations, fresh & (first | known), max(self.around, 1))
        for left in reversed(range(self.rounds if self.around else 0)):
            near_best = neighbours(evaluations.finished_eig, near, self.around)
            new = near_best & fresh & ~evaluations.done.any(0)
            if not new.any():
                break
            active = self._evaluate(evaluations, active | new, self.around if left else 1)

    def _evaluate(
        self, evaluations: Evaluations, active: Bool[Tensor, "B D"], keep: int
    ) -> Bool[Tensor, "B D"]:
        """Evaluates the candidates; returns those still in question."""
        if self.then is not None:
            return self.then.race(evaluations, active, keep)
        evaluations.evaluate(active.expand_as(evaluations.done))
        return active
