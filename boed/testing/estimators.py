"""What every estimator of information from completions fulfils."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from boed.completion.completer import Completions
from boed.data.observation import Observation
from boed.eig.completions.estimate import design_problem
from boed.eig.completions.estimators import (
    AdditiveEstimator,
    Estimator,
    Utility,
    check_utility,
    named,
)
from boed.eig.completions.problem import DesignProblem
from boed.sensors.lines import Lines
from boed.testing.properties import Check, checks_of, expect, random_scenes, run_all

SHAPE = (1, 6, 6)
ROUNDING = 1e-4


@dataclass(frozen=True)
class EstimatorCase:
    """An estimator, and how many findings are asked for; None is three classes."""

    estimator: Estimator
    findings: int | None = None

    def utility(self, problem: DesignProblem) -> Utility:
        with torch.no_grad():
            return check_utility(self.estimator(problem), self.estimator, problem.shape)

    def problem(self) -> DesignProblem:
        """Two scenes of which two of six rows were seen, with five weighted completions."""
        scenes = random_scenes(SHAPE, 2)
        sensor, seen = Lines(SHAPE[1:]), Observation.nothing_of(scenes)
        for row in (1, 4):
            seen = sensor.observe(seen, scenes, torch.full((2, 1), row))
        drawn = seen.composite(random_scenes(SHAPE, 10, seed=1).unflatten(0, (5, 2)))
        weights = torch.tensor([[0.1, 0.3], [0.2, 0.1], [0.3, 0.2], [0.15, 0.2], [0.25, 0.2]])
        classifier = Projected(self.findings)
        return design_problem(seen, Completions(drawn, weights), sensor, classifier=classifier)


class Projected:
    """A classifier: a fixed random projection of what was seen."""

    def __init__(self, findings: int | None) -> None:
        self.findings = findings
        logits = 3 if findings is None else 2 * findings
        generator = torch.Generator().manual_seed(2)
        self.weight = torch.randn(2 * SHAPE[1] * SHAPE[2], logits, generator=generator)

    def log_probs(self, observation: Observation) -> Tensor:
        read = torch.cat([observation.values, observation.mask], dim=1).flatten(1)
        logits = read @ self.weight
        shaped = logits if self.findings is None else logits.unflatten(1, (-1, 2))
        return shaped.log_softmax(-1)


def close(one: Tensor, other: Tensor) -> bool:
    """The same but for rounding, relative to the largest."""
    scale = max(float(other.abs().max()), 1.0)
    return bool(((one - other).abs() <= ROUNDING * scale).all())


def it_says_what_it_is(case: EstimatorCase) -> None:
    named(case.estimator)


def it_gives_every_candidate_its_utility(case: EstimatorCase) -> None:
    eig, gains = case.utility(case.problem())
    expect(bool(eig.isfinite().all() and gains.isfinite().all()), "utilities are infinite")


def the_utility_is_the_weighted_mean_of_the_gains(case: EstimatorCase) -> None:
    problem = case.problem()
    eig, gains = case.utility(problem)
    mean = torch.einsum("nb,nbd->bd", problem.completions.weights, gains)
    expect(close(eig, mean), "eig is not the weighted mean of gains over completions")


def the_same_is_estimated_again(case: EstimatorCase) -> None:
    one, other = (case.utility(case.problem())[0] for _ in range(2))
    expect(torch.equal(one, other), "the same problem has another utility the second time")


def the_order_of_candidates_makes_no_difference(case: EstimatorCase) -> None:
    problem = case.problem()
    backwards = replace(problem, designs=problem.designs.flip(0))
    one, other = case.utility(problem)[0], case.utility(backwards)[0].flip(1)
    expect(close(other, one), "candidates in another order have other utilities")


def the_order_of_completions_makes_no_difference(case: EstimatorCase) -> None:
    problem = case.problem()
    drawn = problem.completions
    backwards = replace(
        problem, completions=Completions(drawn.scenes.flip(0), drawn.weights.flip(0))
    )
    one, other = case.utility(problem)[0], case.utility(backwards)[0]
    expect(close(other, one), "completions in another order give other utilities")


def a_scene_does_not_depend_on_its_batch(case: EstimatorCase) -> None:
    problem = case.problem()
    drawn, together = problem.completions, case.utility(problem)[0]
    for b in range(2):
        one = slice(b, b + 1)
        alone = replace(
            problem,
            observation=problem.observation[one],
            completions=Completions(drawn.scenes[:, one], drawn.weights[:, one]),
        )
        expect(close(case.utility(alone)[0], together[one]), "a scene alone has other utilities")


def a_look_that_shows_nothing_new_is_worth_nothing(case: EstimatorCase) -> None:
    """Of estimators whose bound says that they are of the information about the answer."""
    if case.estimator.bound == "none":
        return
    eig = case.utility(case.problem())[0][:, [1, 4]]
    expect(close(eig, torch.zeros_like(eig)), f"rows seen before have utility {eig[0].tolist()}")


def completions_can_be_evaluated_one_by_one(case: EstimatorCase) -> None:
    """Of additive estimators."""
    if not isinstance(case.estimator, AdditiveEstimator):
        return
    problem = case.problem()
    _, gains = case.utility(problem)
    whole = problem.whole_scene if case.estimator.needs_whole_scene else None
    for n in range(len(gains)):
        one = case.estimator.from_log_beliefs(
            problem.prior,
            problem.posterior[n : n + 1],
            whole_scene=None if whole is None else whole[n : n + 1],
        )[1]
        expect(close(one[0], gains[n]), "a completion alone has another gain than among others")


PROPERTIES: list[Callable[[EstimatorCase], None]] = [
    it_says_what_it_is,
    it_gives_every_candidate_its_utility,
    the_utility_is_the_weighted_mean_of_the_gains,
    the_same_is_estimated_again,
    the_order_of_candidates_makes_no_difference,
    the_order_of_completions_makes_no_difference,
    a_scene_does_not_depend_on_its_batch,
    a_look_that_shows_nothing_new_is_worth_nothing,
    completions_can_be_evaluated_one_by_one,
]


def estimator_checks(estimator: Estimator, *, findings: int | None = None) -> list[Check]:
    """The checks of an estimator, one by one; see `check_estimator`."""
    return checks_of(PROPERTIES, EstimatorCase(estimator, findings))


def check_estimator(estimator: Estimator, *, findings: int | None = None) -> None:
    """Make sure that an estimator from completions fulfils what searches and policies rely on.

    >>> from boed.eig import ValueOfInformation
    >>> check_estimator(ValueOfInformation())

    Args:
        estimator: of your own; called with a `DesignProblem`.
        findings: how many findings are asked at once; three classes if not given.

    Raises:
        AssertionError: the properties that do not hold, and how.
    """
    run_all(estimator, estimator_checks(estimator, findings=findings))
