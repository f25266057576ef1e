"""A short trial of parts before a run: whether they do what its results rely on.

Where `check_sensor` and its like run the whole list on random scenes, this is a few calls on scenes
of the run itself: four of a classifier, two of a policy, two of a completer with four completions
of three and two scenes, and some fifty looks of the sensor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial

import torch
from jaxtyping import Float
from torch import Tensor

from boed.classifiers.classifier import Classifier
from boed.classifiers.module import ModuleClassifier
from boed.completion.completer import Completer, complete
from boed.data.observation import Observation
from boed.eig.completions.beliefs import log_beliefs
from boed.foundation.checks import attribute, is_ours
from boed.policies.policy import Policy, decide
from boed.sensors.indirect import IndirectSensor
from boed.sensors.sensor import Sensor, candidates, look
from boed.testing import classifiers, completers, sensors
from boed.testing.properties import SEEDS, expect, untouched

TURNED = torch.tensor([1, 0])
"""The first two scenes in the other order, without the third."""

OTHERS = [SEEDS[1], SEEDS[0]]
"""Their seeds."""

LOOKS = 4
"""Candidates of a sensor that are tried."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Trial:
    """Three scenes after a look: one, the same again, and another after another look.

    Attributes:
        scenes: of the run, `[N, C, H, W]`.
        sensor: what a look returns.
        memory: bound on the images held at once, MiB.
    """

    scenes: Float[Tensor, "N C H W"]
    sensor: Sensor
    memory: int = 512

    @cached_property
    def truth(self) -> Float[Tensor, "3 C H W"]:
        return self.scenes[[0, 0, -1]]

    @cached_property
    def observation(self) -> Observation:
        blank = Observation.nothing_of(self.truth)
        designs = candidates(self.sensor, blank)
        number = len(designs)
        design = designs[[number // 2, number // 2, number - 1]]
        return look(self.sensor, blank, self.truth, design=design, seeds=[0, 0, 1])


@torch.no_grad()
def try_parts(
    scenes: Float[Tensor, "N C H W"],
    sensor: Sensor,
    classifier: Classifier,
    *,
    policies: Mapping[str, Policy],
    memory: int = 512,
) -> None:
    """Refuse parts whose results would be wrong without a word.

    Completers and policies of this package are not tried: they take long, and its tests do it.

    Args:
        scenes: one or two of the run.
        sensor: what a look returns.
        classifier: the belief that is scored.
        policies: by name; what they stand on is tried with them.
        memory: bound on the images held at once, MiB.

    Raises:
        ValueError: naming the part, what does not hold, and which check tells everything.
    """
    trial = Trial(scenes=scenes, sensor=sensor, memory=memory)
    _expect_all(sensor, "sensor", partial(_sensor, trial))
    tried: list[tuple[object, str]] = [(classifier, "classifier")]
    for policy in policies.values():
        tried += _own_parts(policy, "policy")
    for part, kind in {id(part): (part, kind) for part, kind in tried}.values():
        if kind in TRIALS and (not is_ours(part) or isinstance(part, ModuleClassifier)):
            _expect_all(part, kind, partial(TRIALS[kind], trial, part))


def _expect_all(part: object, kind: str, run: Callable[[], None]) -> None:
    try:
        run()
    except AssertionError as error:
        raise ValueError(
            f"{kind}: {type(part).__qualname__}: {error} (boed.testing.check_{kind} tells all that "
            "does not hold)"
        ) from error


def _own_parts(part: object, kind: str) -> Iterator[tuple[object, str]]:
    """A policy, and what it decides and stops with."""
    yield part, kind
    if kind in ("policy", "first_look", "rule"):
        for inner in ("policy", "completer", "classifier", "first_look", "rule"):
            held = attribute(part, inner, None)
            if held is not None:
                yield from _own_parts(held, inner)
        for rule in attribute(part, "rules", ()):
            yield from _own_parts(rule, "rule")


def _sensor(trial: Trial) -> None:
    channels, height, width = trial.scenes.shape[1:]
    case = sensors.SensorCase(
        trial.sensor, (channels, height, width), most=LOOKS, device=trial.scenes.device
    )
    with untouched():
        for each in sensors.PROPERTIES:
            unneeded = each is sensors.costs_are_positive  # a run may have looks that cost nothing
            long = each is sensors.nothing_unseen_leaks and isinstance(case.sensor, IndirectSensor)
            if not unneeded and not long:
                each(case)


def _classifier(trial: Trial, classifier: Classifier) -> None:
    for seen in (trial.observation, Observation.everything(trial.truth)):
        with untouched(seen):
            beliefs = [
                log_beliefs(each, classifier, trial.memory).exp() for each in (seen, seen[TURNED])
            ]
        off = float((beliefs[0][TURNED] - beliefs[1]).abs().max())
        expect(
            off <= classifiers.ROUNDING,
            f"the belief about a scene differs by {off:.3g} in another batch, or when asked again",
        )


def _completer(trial: Trial, completer: Completer) -> None:
    seen = trial.observation
    with untouched(seen):
        first = complete(completer, seen, 4, seed=SEEDS).scenes
        turned = complete(completer, seen[TURNED], 4, seed=OTHERS).scenes
    expect(
        completers.alike(first[:, TURNED], turned),
        "a scene is completed to others in another batch, or when asked again with the same seed; "
        "draw each scene's from a torch.Generator with its own seed",
    )
    several = len(first[:, 0].flatten(1).unique(dim=0)) > 1
    expect(
        attribute(completer, "deterministic", False)
        or not several
        or not torch.equal(first[:, 0], first[:, 1]),
        "another seed draws the same; is it used? A completer that knows no chance says so by "
        "deterministic = True",
    )


def _policy(trial: Trial, policy: Policy) -> None:
    seen, truth = trial.observation, trial.truth
    with untouched(seen):
        first = decide(policy, seen, trial.sensor, seeds=SEEDS, truth=truth)
        turned = decide(policy, seen[TURNED], trial.sensor, seeds=OTHERS, truth=truth[TURNED])
    expect(
        torch.equal(first.designs[TURNED], turned.designs),
        "a scene has another look in another batch, or when asked again with the same seed; draw "
        "each scene's from a torch.Generator with its own seed",
    )


TRIALS: dict[str, Callable[..., None]] = {
    "classifier": _classifier,
    "completer": _completer,
    "policy": _policy,
}
