"""The EIG of any design of a sensor, for searches that need no grid."""

from __future__ import annotations

from dataclasses import replace

from jaxtyping import Float
from torch import Tensor

from boed.eig.completions.estimate import estimate
from boed.eig.completions.estimators import Estimator, named
from boed.eig.completions.problem import DesignProblem
from boed.foundation.arguments import checked
from boed.search.continuous.optimum import Objective


@checked
def off_grid(problem: DesignProblem, estimator: str | Estimator = "variational") -> Objective:
    """An objective over designs within the sensor's `bounds`, for one scene.

    Example:
        `bayesian_optimisation(off_grid(problem), problem.sensor.bounds)`

    Raises:
        ValueError: a design problem of more than one scene.
    """
    chosen = named(estimator)
    if problem.shape[1] != 1:
        raise ValueError(f"problem has {problem.shape[1]} scenes, expected one")

    def eig(designs: Float[Tensor, "S K"]) -> Float[Tensor, " S"]:
        return estimate(replace(problem, designs=designs), chosen).eig[0]

    return eig
