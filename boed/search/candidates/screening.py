"""Screening: a small network guesses the EIG of every candidate; the best few are evaluated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from boed.classifiers.classifier import Classifier
from boed.data.observation import Observation
from boed.eig.completions.beliefs import images_within
from boed.eig.completions.estimators import AdditiveEstimator, Estimator
from boed.eig.completions.problem import DesignProblem
from boed.eig.result import EIGEstimate
from boed.foundation.arguments import checked
from boed.foundation.checks import at_least, calling
from boed.search.candidates.design_geometry import neighbours_on_grid
from boed.search.candidates.evaluations import Evaluations, needs_additive
from boed.search.candidates.racing import Racing
from boed.search.candidates.refining import Refining
from boed.sensors.patch import PatchSensor


@runtime_checkable
class Screen(Protocol):
    """What guesses beliefs, such as `classifiers.ScreenNet`."""

    def check(self, classifier: Classifier, patch: float) -> None:
        """Raises a ValueError for a classifier or a width of the patch that it is not for."""
        ...

    def log_beliefs(
        self,
        observation: Observation,
        completion: Float[Tensor, "P C H W"],
        belief: Float[Tensor, "P *L K"],
        *,
        answer: Float[Tensor, "P *L K"],
        corners: Float[Tensor, "#P D 2"],
    ) -> Float[Tensor, "P D *L K"]:
        """Guesses of log g(v | f_c(I)), one row for each completion I, from the beliefs known."""
        ...


@checked
@dataclass(frozen=True, eq=False, kw_only=True)
class Screening:
    """Guess all EIGs, evaluate the best of them, then the neighbours of the best of those.

    The guess takes one pass of a small network for each completion, whatever the number of
    candidates. Those of highest guess are evaluated, but no two that are near each other, since
    they would say much the same; then, as in `CoarseToFine`, the candidates around the best.
    What is returned is exact for the candidates evaluated, NaN for the others: a bad
    guess can miss the best look, but never makes a look better than it is. How often it does is
    in docs/search.

    Attributes:
        screen: guesses the beliefs; trained for the classifier and the patch.
        keep: candidates of each scene that are evaluated first.
        apart: how far these are apart, in widths of the patch, as long as others are left.
        around: how many of the best candidates are refined; 0 stops after the first.
        rounds: how often: after the first time the best may be among the newly evaluated.
        then: evaluates by racing rather than with all completions.

    Raises:
        ValueError: `keep` or `rounds` below 1, or `apart` or `around` below 0.
    """

    screen: Screen
    keep: int = 12
    apart: float = 0.45
    around: int = 4
    rounds: int = 2
    then: Racing | None = None

    def __post_init__(self) -> None:
        at_least(1, keep=self.keep, rounds=self.rounds)
        at_least(0, apart=self.apart, around=self.around)

    def __call__(self, problem: DesignProblem, estimator: Estimator) -> EIGEstimate:
        """The candidates evaluated; the others are NaN.

        Raises:
            ValueError: an estimator that is not additive, a sensor other than the patch, or a
                screen for another classifier or patch.
        """
        if not isinstance(estimator, AdditiveEstimator):
            raise needs_additive(estimator, "completions from guessed beliefs")
        patch = patch_sensor(problem).patch
        evaluations = Evaluations(problem, estimator)
        guessed = self.screened(problem, estimator).where(problem.fresh, -torch.inf)
        lead = torch.zeros_like(guessed, dtype=torch.bool)
        lead = lead.scatter(1, guessed.argmax(1, keepdim=True), True)
        evaluations.evaluate(lead.expand_as(evaluations.done))  # the first mark to race against
        designs = problem.designs.float()
        first = self._first(guessed, torch.cdist(designs, designs) < self.apart * patch)
        Refining(self.around, self.rounds, self.then)(
            evaluations, first, neighbours_on_grid(designs)
        )
        return evaluations.estimate()

    def _first(
        self, guessed: Float[Tensor, "B D"], close: Bool[Tensor, "D D"]
    ) -> Bool[Tensor, "B D"]:
        """The candidates of highest guess, none close to another as long as there are such."""
        chosen, crowded = torch.zeros_like(guessed, dtype=torch.bool), torch.zeros_like(guessed)
        for _ in range(min(self.keep, guessed.shape[1])):
            free = guessed.masked_fill(chosen, -torch.inf)
            apart = free.masked_fill(crowded > 0, -torch.inf)
            left = apart.amax(1, keepdim=True) > -torch.inf
            best = torch.where(left, apart, free).argmax(1)
            chosen[torch.arange(len(best)), best] = True
            crowded += close[best]
        return chosen

    @torch.no_grad()
    def screened(
        self, problem: DesignProblem, estimator: AdditiveEstimator
    ) -> Float[Tensor, "B D"]:
        """The EIG of every candidate by guessed beliefs.

        Raises:
            ValueError: as when called.
        """
        sensor, completions = patch_sensor(problem), problem.completions
        self.screen.check(problem.classifier, sensor.patch / sensor.size)
        number, batch = completions.weights.shape
        every = torch.arange(number * batch, device=problem.observation.device)
        scenes, whole = (
            each.flatten(0, 1) for each in (completions.scenes, problem.classified_whole)
        )
        corners, parts = problem.designs[None].float(), []
        for rows in every.split(images_within(problem.memory, problem.observation)):
            scene = rows % batch
            seen, belief = problem.observation[scene], problem.prior[scene]
            parts.append(
                self.screen.log_beliefs(
                    seen, scenes[rows], belief, answer=whole[rows], corners=corners
                )
            )
        with calling(estimator, "from_log_beliefs"):
            eig, _ = estimator.from_log_beliefs(
                problem.prior,
                torch.cat(parts).unflatten(0, (number, batch)),
                whole_scene=problem.whole_scene if estimator.needs_whole_scene else None,
                weights=completions.weights,
            )
        return eig


def patch_sensor(problem: DesignProblem) -> PatchSensor:
    """The problem's sensor, which has to show patches: screens are trained on their corners.

    Raises:
        ValueError: it is another sensor.
    """
    if not isinstance(problem.sensor, PatchSensor):
        raise ValueError(
            f"sensor is {type(problem.sensor).__name__}; a screen guesses for patch sensors"
        )
    return problem.sensor
