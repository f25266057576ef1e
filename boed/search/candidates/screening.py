"""Screening: a small network guesses what every candidate is worth; the best few are verified."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from boed.classifiers.classifier import Classifier
from boed.data.observation import Observation
from boed.eig.completions.beliefs import images_within, log_beliefs
from boed.eig.completions.estimators import AdditiveEstimator, Estimator
from boed.eig.completions.problem import Imagined
from boed.eig.result import EIGEstimate
from boed.search.candidates.evaluations import Ledger, needs_additive
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


@dataclass(frozen=True, eq=False, kw_only=True)
class Screening:
    """Guess all EIGs, judge the best of them exactly, then the neighbours of the best of those.

    The guess takes one pass of a small network for each completion, whatever the number of
    candidates. Those of highest guess are judged, but no two that are near each other, since
    they would say much the same; then, as in `CoarseToFine`, the candidates around the best.
    What is returned is exact for the candidates that were judged, NaN for the others: a bad
    guess can miss the best look, but never makes a look better than it is. How often it does is
    in docs/search.

    Attributes:
        screen: guesses the beliefs; trained for the classifier and the patch.
        keep: candidates of each scene that are judged first.
        apart: how far these are apart, in widths of the patch, as long as others are left.
        around: how many of the best candidates are refined; 0 stops after the first.
        rounds: how often: after the first time the best may be among the newly judged.
        then: judges by racing rather than with all completions.

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
        for name, least in (("keep", 1), ("apart", 0), ("around", 0), ("rounds", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}, expected at least {least}")

    def __call__(self, imagined: Imagined, estimator: Estimator) -> EIGEstimate:
        """The candidates judged; the others are NaN.

        Raises:
            ValueError: an estimator that is not additive, a sensor other than the patch, or a
                screen for another classifier or patch.
        """
        if not isinstance(estimator, AdditiveEstimator):
            raise needs_additive(estimator, "completions from guessed beliefs")
        ledger = Ledger(imagined, estimator)
        guessed = self.screened(imagined, estimator)
        designs = imagined.designs.float()
        distance = torch.cdist(designs, designs)
        gap = distance.where(distance > 0, torch.inf).min()
        near = distance < 1.5 * gap  # on a grid the 8 around it
        lead = torch.zeros_like(ledger.judged[0]).scatter(1, guessed.argmax(1, keepdim=True), True)
        ledger.judge(lead.expand_as(ledger.judged))  # the first mark to race against
        patch: int = imagined.sensor.patch  # type: ignore[attr-defined]
        first = self._first(guessed, distance < self.apart * patch)
        Refining(self.around, self.rounds, self.then)(ledger, first, near)
        return ledger.estimate()

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
    def screened(self, imagined: Imagined, estimator: AdditiveEstimator) -> Float[Tensor, "B D"]:
        """The worth of every candidate by guessed beliefs.

        Raises:
            ValueError: as when called.
        """
        if not isinstance(imagined.sensor, PatchSensor):
            raise ValueError(
                f"sensor is {type(imagined.sensor).__name__}; a screen guesses for patch sensors"
            )
        self.screen.check(imagined.classifier, imagined.sensor.patch / imagined.sensor.size)
        completions = imagined.completions
        number, batch = completions.weights.shape
        every = torch.arange(number * batch, device=imagined.observation.device)
        scenes, whole = completions.scenes.flatten(0, 1), self._whole(imagined)
        looks, parts = imagined.designs[None].float(), []
        for rows in every.split(images_within(imagined.memory, imagined.observation)):
            scene = rows % batch
            seen, belief = imagined.observation[scene], imagined.belief[scene]
            parts.append(
                self.screen.log_beliefs(
                    seen, scenes[rows], belief, answer=whole[rows], corners=looks
                )
            )
        guessed = torch.cat(parts).unflatten(0, (number, batch))
        answers = imagined.answers if estimator.uses_answers else None
        return estimator.of(imagined.belief, guessed, answers, weights=completions.weights)[0]

    def _whole(self, imagined: Imagined) -> Float[Tensor, "P *L K"]:
        """The classifier's belief about each whole completion, also where its label is known."""
        if imagined.completions.labels is None:
            return imagined.answers.flatten(0, 1)
        scenes = imagined.completions.scenes.flatten(0, 1)
        everything = Observation.everything(scenes)
        return log_beliefs(everything, imagined.classifier, imagined.memory)
