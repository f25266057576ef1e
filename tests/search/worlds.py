"""Design problems whose gains are known, for all searches."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from boed.completion.completer import Completions, complete
from boed.data.observation import Observation
from boed.eig import design_problem
from boed.eig.completions.problem import DesignProblem
from boed.search import (
    Search,
)
from boed.search.candidates.upper_bounds import upper_bound
from boed.sensors import PatchSensor
from tests.doubles import TILES, ClueClassifier, ClueCompleter, Clues

ADDITIVE = ("variational", "entropy", "information", "accuracy")


class Table:
    """Stands for `DesignProblem`: gains [N, B, D] that are known, for `OfTable`."""

    def __init__(
        self, gains: Tensor, designs: Tensor | None = None, weights: Tensor | None = None
    ) -> None:
        number, batch, candidates = gains.shape
        self.gains, self.shape, self.prior = gains, tuple(gains.shape), torch.zeros(batch, 1)
        self.designs = torch.arange(candidates)[:, None].float() if designs is None else designs
        equal = torch.full((number, batch), 1 / number)
        scenes = torch.zeros(number, batch, 1, 1, 1)
        self.completions = Completions(scenes, equal if weights is None else weights)
        self.posterior = gains[..., None]
        self.fresh = torch.ones(batch, candidates, dtype=torch.bool)

    def posterior_at(self, completion: Tensor, scene: Tensor, candidate: Tensor) -> Tensor:
        return self.gains[completion, scene, candidate][:, None]

    @property
    def eig(self) -> Tensor:
        return torch.einsum("nb,nbd->bd", self.completions.weights, self.gains)


class OfTable:
    """The additive estimator whose gains are those of a `Table`."""

    bound = "none"
    needs_whole_scene = False

    def from_log_beliefs(
        self, prior: Tensor, posterior: Tensor, *, whole_scene: Any = None, weights: Any = None
    ) -> Any:
        return posterior[..., 0].mean(0), posterior[..., 0]

    def __call__(self, table: Table) -> Any:
        return table.eig, table.gains


class Limited(OfTable):
    """The same with an upper bound."""


@upper_bound.register
def _(estimator: Limited, table: Table) -> Tensor:
    return table.gains.amax(2) + 0.1


def search(how: Search, table: Table, limited: bool = True) -> Any:
    return how(table, Limited() if limited else OfTable())  # type: ignore[arg-type]


def clue_problem(grid: int = 7, scenes: int = 6, n: int = 8) -> DesignProblem:
    """After one look at the centre, where there is no clue."""
    clues = Clues(TILES)
    sensor, completer = PatchSensor(16, 0.25, grid), ClueCompleter(clues)
    scene = clues.dataset(scenes, 3).scenes()
    blank = Observation.nothing_of(scene)
    seen = sensor.observe(blank, scene, torch.tensor([[4, 4]]).expand(scenes, -1))
    drawn = complete(completer, seen, n, seed=1)
    weights = torch.rand(n, scenes, generator=torch.Generator().manual_seed(2)) + 0.1
    drawn = Completions(drawn.scenes, weights / weights.sum(0))
    return design_problem(seen, drawn, sensor, classifier=ClueClassifier())


def skewed(batch: int, candidates: int, seed: int = 0) -> Table:
    """Gains as they are: mostly near the top, some of them far below; and unequal weights."""
    draw = torch.Generator().manual_seed(seed)
    gains = -(torch.rand(10, batch, candidates, generator=draw) ** 4) * 5
    gains = gains + torch.rand(batch, candidates, generator=draw)
    weights = torch.rand(10, batch, generator=draw) ** 2 + 1e-3
    return Table(gains, weights=weights / weights.sum(0))
