"""Every candidate with every completion, and the protocol of searches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from boed.eig.completions.estimate import estimate
from boed.eig.completions.estimators import Estimator
from boed.eig.completions.problem import DesignProblem
from boed.eig.result import EIGEstimate


@runtime_checkable
class Search(Protocol):
    """Finds the candidate of highest EIG, by all or fewer evaluations."""

    def __call__(self, problem: DesignProblem, estimator: Estimator) -> EIGEstimate:
        """The estimates; `finished` says which candidates the choice is among."""
        ...


@dataclass(frozen=True)
class Exhaustive:
    """All candidates with all completions."""

    def __call__(self, problem: DesignProblem, estimator: Estimator) -> EIGEstimate:
        """The full map."""
        return estimate(problem, estimator)
