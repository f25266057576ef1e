"""What every classifier fulfils."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from boed.classifiers.classifier import Classifier, NearbyClassifier, check_is_classifier
from boed.data.observation import Observation
from boed.eig.completions.beliefs import log_beliefs
from boed.sensors.sensor import Sensor
from boed.testing.properties import (
    Check,
    Shape,
    check_case,
    checks_of,
    expect,
    partly_seen,
    random_scenes,
    run_all,
    untouched,
)

ROUNDING = 1e-3
"""How far probabilities may be apart that were computed in another order."""


@dataclass(frozen=True)
class ClassifierCase:
    """A classifier, the shape of its scenes, and the sensor that looks at them, if it matters."""

    classifier: Classifier
    shape: Shape
    sensor: Sensor | None = None

    @cached_property
    def observation(self) -> Observation:
        return partly_seen(self.shape, self.sensor)

    @torch.no_grad()
    def belief(self, observation: Observation) -> Tensor:
        return log_beliefs(observation, self.classifier).exp()


def it_has_the_methods(case: ClassifierCase) -> None:
    check_is_classifier(case.classifier)


def beliefs_are_log_probabilities_whatever_was_seen(case: ClassifierCase) -> None:
    """Type, shape and sum are checked by `log_beliefs`."""
    partly = case.belief(case.observation)
    whole = case.belief(Observation.everything(random_scenes(case.shape, 2)))
    expect(
        partly.shape[1:] == whole.shape[1:],
        f"answers are {tuple(partly.shape[1:])} of scenes seen in part, and "
        f"{tuple(whole.shape[1:])} of whole ones",
    )


def the_same_is_believed_again(case: ClassifierCase) -> None:
    with untouched(case.observation):
        first = case.belief(case.observation)
    expect(
        torch.equal(first, case.belief(case.observation)),
        "asked again it believes something else; is a network in training mode?",
    )


def a_scene_does_not_depend_on_its_batch(case: ClassifierCase) -> None:
    together = case.belief(case.observation)
    alone = torch.cat([case.belief(case.observation[b : b + 1]) for b in range(3)])
    off = float((together - alone).abs().max())
    expect(off <= ROUNDING, f"the belief about a scene alone differs by {off:.3g} from in a batch")


def no_answer_is_ruled_out(case: ClassifierCase) -> None:
    """A warning: a belief may be certain, but pays for it where it is wrong."""
    seen = (case.observation, Observation.everything(random_scenes(case.shape, 2)))
    if any(bool((case.belief(each) == 0).any()) for each in seen):
        warnings.warn(
            f"{type(case.classifier).__name__}.log_probs gives answers probability 0 (-inf): where "
            "one of them is the truth the negative log-likelihood is infinite",
            stacklevel=2,
        )


def shared_work_changes_nothing(case: ClassifierCase) -> None:
    """Of classifiers with `around`."""
    seen, classifier = case.observation, case.classifier
    if not isinstance(classifier, NearbyClassifier) or seen.readings is not None:
        return
    mask = torch.zeros_like(seen.mask)
    mask[..., : -(-seen.shape[0] // 2), :] = 1
    after = seen.with_seen(random_scenes(case.shape, 3), mask * (1 - seen.mask))
    with torch.no_grad():
        nearby = classifier.around(seen)(after, torch.arange(3)).exp()
    off = float((nearby - case.belief(after)).abs().max())
    expect(off <= ROUNDING, f"around gives beliefs that differ by {off:.3g} from log_probs")


PROPERTIES: list[Callable[[ClassifierCase], None]] = [
    it_has_the_methods,
    beliefs_are_log_probabilities_whatever_was_seen,
    the_same_is_believed_again,
    a_scene_does_not_depend_on_its_batch,
    no_answer_is_ruled_out,
    shared_work_changes_nothing,
]


def classifier_checks(
    classifier: Classifier, shape: Shape = (1, 32, 32), *, sensor: Sensor | None = None
) -> list[Check]:
    """The checks of a classifier, one by one; see `check_classifier`."""
    check_case(shape, sensor)
    return checks_of(PROPERTIES, ClassifierCase(classifier, shape, sensor))


def check_classifier(
    classifier: Classifier, shape: Shape = (1, 32, 32), *, sensor: Sensor | None = None
) -> None:
    """Make sure that a classifier fulfils what policies and results rely on.

    Args:
        classifier: of your own.
        shape: channels, height and width of its scenes.
        sensor: by whose looks the scenes are partly seen; blocks of pixels if not given.

    Raises:
        AssertionError: the properties that do not hold, and how.
        ValueError: an argument of another kind.
    """
    run_all(classifier, classifier_checks(classifier, shape, sensor=sensor))
