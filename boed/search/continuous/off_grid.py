"""The EIG of any design of a sensor, for searches that need no grid."""

from __future__ import annotations

from dataclasses import replace

from jaxtyping import Float
from torch import Tensor

from boed.eig.completions.estimate import estimate
from boed.eig.completions.estimators import Estimator, named
from boed.eig.completions.problem import Imagined
from boed.search.continuous.optimum import Objective


def off_grid(imagined: Imagined, estimator: str | Estimator = "variational") -> Objective:
    """An objective over designs within the sensor's `bounds`, for one scene.

    Example:
        `bayesian_optimisation(off_grid(imagined), imagined.sensor.bounds)`

    Raises:
        ValueError: a situation of more than one scene.
    """
    chosen = named(estimator)
    if imagined.shape[1] != 1:
        raise ValueError(f"imagined has {imagined.shape[1]} scenes, expected one")

    def worth(designs: Float[Tensor, "S K"]) -> Float[Tensor, " S"]:
        return estimate(replace(imagined, designs=designs), chosen).eig[0]

    return worth
