"""Proposing: a network that reads the observation says which looks are evaluated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from boed.data.observation import Observation
from boed.eig.completions.estimators import Estimator
from boed.eig.completions.problem import DesignProblem
from boed.eig.result import EIGEstimate
from boed.foundation.arguments import checked
from boed.foundation.checks import at_least, calling
from boed.search.candidates.evaluations import Evaluations
from boed.search.candidates.racing import Racing
from boed.sensors.sensor import Sensor


@runtime_checkable
class Proposer(Protocol):
    """What values looks without completions, such as `policies.learned.Value`."""

    def expected_gains(self, observation: Observation, sensor: Sensor) -> Float[Tensor, "B D"]:
        """A value of each candidate; only their order counts."""
        ...


@checked
@dataclass(frozen=True, eq=False, kw_only=True)
class Proposing:
    """Evaluate the looks that a network proposes, and no others.

    One pass of the network for each scene, whatever the number of candidates and completions. What
    is returned is exact for the candidates evaluated, NaN for the others: a bad proposal can miss
    the best look, but never makes a look better than it is.

    Attributes:
        proposer: values the looks.
        propose: candidates of each scene that are evaluated: those of highest value.
        then: evaluates by racing rather than with all completions.

    Raises:
        ValueError: `propose` below 1.
    """

    proposer: Proposer
    propose: int = 8
    then: Racing | None = None

    def __post_init__(self) -> None:
        at_least(1, propose=self.propose)

    def __call__(self, problem: DesignProblem, estimator: Estimator) -> EIGEstimate:
        """The candidates evaluated; the others are NaN.

        Raises:
            ValueError: racing with an estimator that cannot race, or a network for other looks.
        """
        if self.then is not None:
            self.then.check(estimator)
        with calling(self.proposer, "expected_gains"):
            value = self.proposer.expected_gains(problem.observation, problem.sensor)
        value = value.where(problem.fresh, -torch.inf)
        best = value.topk(min(self.propose, value.shape[1]), dim=1)
        proposed = torch.zeros_like(problem.fresh).scatter(
            1, best.indices, best.values > -torch.inf
        )
        evaluations = Evaluations(problem, estimator)
        if self.then is not None:
            self.then.race(evaluations, proposed)
        else:
            evaluations.evaluate(proposed.expand_as(evaluations.done))
        return evaluations.estimate()
