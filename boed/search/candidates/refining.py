"""Judging some candidates, then the neighbours of the best of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor

from boed.search.candidates.design_geometry import neighbours
from boed.search.candidates.evaluations import Ledger
from boed.search.candidates.racing import Racing


@dataclass(frozen=True)
class Refining:
    """What searches share that judge a part of the candidates first.

    Attributes:
        around: how many of the best candidates are refined; 0 refines none.
        rounds: how often: after the first time the best may be among the newly judged.
        then: judges every set of candidates by racing rather than with all completions.
    """

    around: int
    rounds: int
    then: Racing | None

    def __call__(
        self, ledger: Ledger, first: Bool[Tensor, "B D"], near: Bool[Tensor, "D D"]
    ) -> None:
        """Judges them.

        Args:
            ledger: what has been judged, which grows.
            first: candidates to start with.
            near: which candidates are each one's neighbours.
        """
        active = self._judge(ledger, first, max(self.around, 1))
        for left in reversed(range(self.rounds if self.around else 0)):
            known = ledger.eig.where(ledger.judged.all(0), -torch.inf)
            new = neighbours(known, near, self.around) & ~ledger.judged.any(0)
            if not new.any():
                break
            active = self._judge(ledger, active | new, self.around if left else 1)

    def _judge(self, ledger: Ledger, active: Bool[Tensor, "B D"], keep: int) -> Bool[Tensor, "B D"]:
        """Judges the candidates; returns those still in question."""
        if self.then is not None:
            return self.then.race(ledger, active, keep)
        ledger.judge(active.expand_as(ledger.judged))
        return active
