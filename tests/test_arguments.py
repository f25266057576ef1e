"""An argument of another kind is refused in one line that names it, by every public callable."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch

import boed
from boed import policies, sensors
from boed.completion import GaussianMixture, Retrieval
from boed.completion.completer import Completions
from boed.data.observation import Observation
from boed.foundation.arguments import checked
from boed.search import CoarseToFine
from tests.doubles import ClueClassifier, ClueCompleter, Clues

DATA = Clues().dataset(6)
TILES, CLASSIFIER, COMPLETER = (
    boed.PatchSensor(16, 0.25, 4),
    ClueClassifier(),
    ClueCompleter(Clues()),
)
SCENES = DATA.scenes(slice(0, 2))
BLANK = Observation.nothing_of(SCENES)
DRAWN = Completions(COMPLETER.sample(BLANK, 2, 0), torch.full((2, 2), 0.5))
BELIEF = torch.full((2, 3), 1 / 3).log()
BELIEFS = BELIEF[None, :, None].expand(2, 2, 4, 3)
NAMED = {"policies": {"a": boed.Random()}, "steps": 1}
PARTS = {"sensor": TILES, "classifier": CLASSIFIER}


def model(design: torch.Tensor) -> None:
    with pyro.plate_stack("designs", design.shape[:-1]):
        theta = pyro.sample("theta", dist.Normal(0.0, 1.0))
        pyro.sample("y", dist.Normal(theta * design[..., 0], 1.0))


def of(thing: Any) -> dict[str, Any]:
    """What a dataclass was made with."""
    return {name: getattr(thing, name) for name in inspect.signature(type(thing)).parameters}


MADE = boed.setup(DATA, **PARTS, **NAMED)  # type: ignore[arg-type]
VALID: dict[Any, dict[str, Any]] = {
    boed.acquire: {"scene": SCENES, "policy": boed.Random(), "steps": 1, **PARTS},
    boed.benchmark: {"dataset": DATA, **PARTS, **NAMED},
    boed.run: {"setup": MADE, "out": "never"},
    boed.setup: {"data": DATA, **PARTS, **NAMED},
    boed.Setup: of(MADE),
    boed.Budget: {"cost": 1.0},
    boed.Session: {"policy": boed.Random(), **PARTS},
    boed.PatchSensor: {"size": 16},
    boed.BOED: of(boed.BOED(COMPLETER, CLASSIFIER)),
    boed.Oracle: of(boed.Oracle(CLASSIFIER)),
    boed.Decision: of(boed.Random().choose(BLANK, TILES, 0)),
    boed.EIGEstimate: of(boed.eig_map(BLANK, DRAWN, TILES, classifier=CLASSIFIER)),
    boed.Trajectory: of(boed.acquire(SCENES, TILES, boed.Random(), steps=1, classifier=CLASSIFIER)),
    boed.eig_map: {"observation": BLANK, "completions": DRAWN, **PARTS},
    boed.model_eig: {
        "model": model, "designs": torch.ones(2, 1), "observation": "y", "target": "theta",
        "samples": 4,
    },
    boed.posterior_entropy_eig: {"prior": BELIEF, "posterior": BELIEFS},
    boed.variational_eig: {"prior": BELIEF, "posterior": BELIEFS, "whole_scene": BELIEFS[:, :, 0]},
    policies.FixedDesign: {"designs": torch.zeros(1, 2)},
    policies.FirstLook: {},
    policies.TwoStep: {"policy": boed.BOED(COMPLETER, CLASSIFIER)},
    policies.Confident: {"classifier": CLASSIFIER},
    policies.EIGBelow: {"threshold": 0.1},
    policies.AnyOf: {"rules": (policies.EIGBelow(0.1),)},
    policies.Until: {"policy": boed.Random(), "rule": policies.EIGBelow(0.1)},
    policies.SplitConformal: {"threshold": 0.5, "alpha": 0.1},
    policies.optimise_fixed_design: {"train": DATA, "looks": 1, "scenes": 2, **PARTS},
    sensors.Lines: {"shape": 16},
    sensors.PixelBlocks: {"shape": 16},
    sensors.KSpaceLines: {"shape": 16},
    sensors.Projections: {"shape": 16},
    sensors.Foveated: {"shape": 16},
    Retrieval: {"library": DATA},
    GaussianMixture: {"library": DATA},
    CoarseToFine: {},
}  # fmt: skip
WRONG: dict[str, Any] = {"an object": object(), "an array": np.zeros((2, 2)), "a set": {3}}
ARGUMENTS = [
    (call, name)
    for call in VALID
    for name, each in inspect.signature(call).parameters.items()
    if each.annotation not in ("Any", inspect.Parameter.empty)
]


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize(
    ("call", "argument"), ARGUMENTS, ids=[f"{c.__name__}({a})" for c, a in ARGUMENTS]
)
def test_an_argument_of_another_kind_is_named(call: Any, argument: str, wrong: str) -> None:
    words = rf"^[^\n]*{argument}[^\n]* (expected|called as) [^\n]*$"
    with pytest.raises(ValueError, match=words):
        call(**{**VALID[call], argument: WRONG[wrong]})
    assert not Path("never").exists()


@pytest.mark.parametrize(
    ("call", "given", "words"),
    [
        (boed.run, {"scenes": [3, 1]}, "scenes is a list, expected a whole number or None"),
        (boed.Budget, {"cost": "a"}, "cost is a str, 'a', expected a number or None"),
        (boed.acquire, {"budget": 2.0}, "budget is a float, 2.0, expected a Budget or None"),
        (
            boed.acquire,
            {"scene": np.zeros((1, 1, 16, 16))},
            "scene is a ndarray, float64",
        ),
        (boed.acquire, {"steps": True}, "steps is a bool, True, expected a whole number"),
        (boed.acquire, {"keep": 1}, "keep is an int, 1, expected true or false"),
        (boed.run, {"seeds": "01"}, "seeds is a str, '01', expected a list"),
        (boed.benchmark, {"device": "tpu"}, "device is 'tpu', expected cpu or cuda"),
        (boed.benchmark, {"seeds": [0.5]}, r"one of seeds is 0.5, expected a whole number"),
        (
            boed.BOED,
            {"classifier": ClueClassifier},
            "classifier is the class ClueClassifier",
        ),
    ],
)
def test_what_was_given_and_expected(call: Any, given: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call(**{**VALID[call], **given})


def test_numbers_of_any_library_are_numbers() -> None:
    boed.Budget(cost=np.float32(1), seconds=3)
    path = boed.acquire(
        SCENES, TILES, boed.Random(), steps=np.int64(1), classifier=CLASSIFIER,
        seed=np.array([1, 2]),
    )  # fmt: skip
    assert path.designs.shape[1] == 1


def test_every_public_name_is_tried() -> None:
    without = {boed.Random, boed.CentreOut}  # take no arguments
    for module in (boed, policies):
        for name in module.__all__:
            thing = getattr(module, name)
            if callable(thing) and not getattr(thing, "_is_protocol", False):
                assert thing in VALID.keys() | without | {policies.ConformalSingle}, name


def test_a_checked_function_keeps_its_name_and_signature() -> None:
    def look(steps: int, *, rest: list[int] | None = None) -> int:
        """Words."""
        return steps

    other = checked(look)
    assert (other.__name__, other.__doc__) == ("look", "Words.")
    assert inspect.signature(other) == inspect.signature(look)
    assert other(3, rest=[1]) == 3


@pytest.mark.parametrize("call", VALID, ids=lambda call: str(call.__name__))
def test_what_is_missing_is_said_as_python_says_it(call: Any) -> None:
    needed = [
        name
        for name, each in inspect.signature(call).parameters.items()
        if each.default is each.empty and each.kind is not each.VAR_KEYWORD
    ]
    for name in needed:
        rest = {key: value for key, value in VALID[call].items() if key != name}
        with pytest.raises(TypeError, match=rf"^{call.__name__}(\.__init__)?\(\) missing.*{name}"):
            call(**rest)


class Forgetful:
    """A policy whose decisions say no candidates."""

    def choose(self, observation: Observation, sensor: Any, seed: Any = 0, *, truth: Any = None):  # type: ignore[no-untyped-def]
        return boed.Decision(torch.zeros(len(observation), 2))  # type: ignore[call-arg]


def test_an_incomplete_decision_is_told_with_the_policy() -> None:
    words = (
        r"^Forgetful\.choose: TypeError: Decision.*\(\) missing 1 required .*'candidates' "
        r"\(test_arguments.py, line \d+\)$"
    )
    with pytest.raises(ValueError, match=words):
        boed.acquire(SCENES, TILES, Forgetful(), steps=1, classifier=CLASSIFIER)
