"""Design problems with known answers: what every estimator is checked on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from boed.problems.class_information import ClassInformation
from boed.problems.constant_elasticity import ConstantElasticity
from boed.problems.death_process import DeathProcess
from boed.problems.finite_space import FiniteSpace
from boed.problems.hyperbolic_discounting import HyperbolicDiscounting
from boed.problems.linear_gaussian import LinearGaussian
from boed.problems.location_finding import LocationFinding, LocationFindingUnitSquare
from boed.problems.problem import Problem
from boed.problems.two_alternative_choice import TwoAlternativeChoice


@dataclass(frozen=True, eq=False, kw_only=True)
class Reference:
    """One design of one problem and its EIG.

    Attributes:
        problem: the model.
        design: one design, without a batch.
        truth: its EIG in nats.
        standard_error: of the truth in nats; 0 where it is exact to the digits given.
        tolerance: how far an unbiased estimate may be off beyond three standard errors, in nats.
    """

    problem: Problem
    design: Float[Tensor, "*K"]
    truth: float
    standard_error: float = 0.0
    tolerance: float = 0.02


def _row(
    problem: Problem,
    design: Sequence[float] | Sequence[Sequence[float]],
    truth: float,
    standard_error: float = 0.0,
    tolerance: float = 0.02,
) -> Reference:
    return Reference(
        problem=problem,
        design=torch.tensor(design, dtype=torch.float32),
        truth=truth,
        standard_error=standard_error,
        tolerance=tolerance,
    )


def references() -> list[Reference]:
    """Problems with a known EIG at one look; the last three reveal nothing.

    Constant elasticity's is the mean of 24 scrambled quadratures; all others are closed forms,
    sums or quadratures. `Problem.exact_eig` gives the EIG of other designs.
    """
    three, death = LinearGaussian.three_measurements(), DeathProcess()
    choice, classes = TwoAlternativeChoice(), ClassInformation()
    return [
        _row(three, [[1, 0], [0, 1], [0, 1]], 1.1989476),
        _row(LinearGaussian.one_dimension(), [1.0], 0.346574),
        _row(FiniteSpace(), [0.5], 0.12580367),
        _row(choice, [0.0], 0.093709),
        _row(choice, [1.0], 0.081427),
        _row(choice, [2.0], 0.054164),
        _row(classes, [1.0], 0.111421),
        _row(classes, [2.0], 0.336831),
        _row(death, [0.5], 1.1952),
        _row(death, [1.0], 1.3424),
        _row(death, [1.28], 1.3559),
        _row(death, [2.0], 1.3022),
        _row(LocationFinding(), [0.0, 0.0], 0.826737),
        _row(LocationFinding(), [2.0, 2.0], 0.321492),
        _row(LocationFindingUnitSquare(), [0.5, 0.5], 0.700811),
        _row(LocationFindingUnitSquare(), [0.25, 0.25], 0.882761),
        _row(ConstantElasticity(), [50, 50, 50, 30, 70, 40], 3.1742, 0.0001),
        _row(HyperbolicDiscounting(), [50, 70], 0.609838),
        _row(HyperbolicDiscounting(), [95, 3], 0.481224),
        _row(LinearGaussian.one_dimension(), [0.0], 0.0),
        _row(classes, [0.0], 0.0),
        _row(death, [0.0], 0.0),
    ]


PROBLEMS: dict[str, Problem] = {
    problem.name: problem
    for problem in (
        LinearGaussian.three_measurements(),
        LinearGaussian.one_dimension(),
        FiniteSpace(),
        TwoAlternativeChoice(),
        ClassInformation(),
        DeathProcess(),
        LocationFinding(),
        LocationFindingUnitSquare(),
        ConstantElasticity(),
        HyperbolicDiscounting(),
    )
}
"""One problem of each kind, by name, in its textbook setting."""
