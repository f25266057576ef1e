"""A part that would make results wrong without a word is refused before a run, by its name."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from boed import BOED, PatchSensor, Random, acquire, benchmark, run, setup
from boed.classifiers import from_module
from boed.data.observation import Observation
from boed.policies import AnyOf, Confident, FirstLook, Until
from tests.doubles import ClueClassifier, ClueCompleter, Clues, RowSensor
from tests.testing.test_mistakes import (
    CLASSIFIERS,
    COMPLETERS,
    POLICIES,
    SENSORS,
    Believe,
    Choose,
    Draw,
    Look,
    at,
)

CLUES = Clues()
DATA = CLUES.dataset(4)
TILES, CLASSIFIER, COMPLETER = PatchSensor(16, 0.25, 4), ClueClassifier(), ClueCompleter(CLUES)
FIRST = FirstLook(n=2, completer=COMPLETER)

CHANCE = {
    "torch": lambda number: torch.rand(number),
    "numpy": lambda number: torch.from_numpy(np.random.rand(number)),  # noqa: NPY002 - the mistake
    "Python": lambda number: torch.tensor([random.random() for _ in range(number)]),
}
FRESH = np.random.default_rng()


def drawing(chance: Any) -> dict[str, Any]:
    """One part of each kind that draws from somewhere else than its seed."""
    return {
        "sensor": Look(
            lambda a, *_: Observation((a.values + 0.1 * chance(1)).float() * a.mask, a.mask)
        ),
        "completer": Draw(lambda d, o: o.composite(chance(d.numel()).float().view(d.shape))),
        "classifier": Believe(
            lambda b, *_: (b + 0.1 * chance(b.numel()).view(b.shape)).log_softmax(1)
        ),
        "policy": Choose(lambda d, *_: at(d, (16 * chance(len(d.designs))).long())),
    }


class FixedGenerator(Draw):
    def sample(self, observation: Observation, n: int, seed: Any = 0) -> Tensor:
        return super().sample(observation, n, [0] * len(observation))


class Entropy(Draw):
    def sample(self, observation: Observation, n: int, seed: Any = 0) -> Tensor:
        seeds = FRESH.integers(2**32, size=len(observation)).tolist()
        return super().sample(observation, n, seeds)


def benchmarked(kind: str, part: Any) -> None:
    parts: dict[str, Any] = {"sensor": TILES, "classifier": CLASSIFIER, "policy": Random()}
    if kind == "completer":
        parts["policy"] = BOED(part, CLASSIFIER, n=2, first_look=FIRST)
    else:
        parts[kind] = part
    benchmark(DATA, parts["sensor"], parts["classifier"], policies={"a": parts["policy"]}, steps=1)


@pytest.mark.parametrize("kind", ["sensor", "completer", "classifier", "policy"])
@pytest.mark.parametrize("library", CHANCE)
def test_global_random_numbers_are_refused(kind: str, library: str) -> None:
    part = drawing(CHANCE[library])[kind]
    words = f"{kind}: {type(part).__name__}: it drew from {library}'s global random numbers"
    state = torch.get_rng_state()
    with pytest.raises(ValueError, match=rf"{words}|differs? by|the scene by|pixels of"):
        benchmarked(kind, part)
    torch.set_rng_state(state)


WRONG: list[tuple[str, str, Any, str]] = [
    *(
        ("sensor", name, SENSORS[name][0], f"{SENSORS[name][1]}|values differ from|a second look")
        for name in ("contrast", "unmasked", "marks nothing", "leaks", "adds up", "forgets",
                     "whole batch", "twice", "moving", "cost of the batch", "unseeded")
    ),
    ("sensor", "input", lambda: Look(lambda after, scene, before: before), "show nothing"),
    *(("completer", name, lambda name=name: COMPLETERS[name][0], words) for name, words in (
        ("one seed", "completed to others in another batch"),
        ("overwrites", "it changed observation.values in place|differ by"),
    )),
    ("completer", "fixed generator", FixedGenerator, "another seed draws the same; is it used"),
    ("completer", "fresh entropy", Entropy, "or when asked again with the same seed"),
    *(("classifier", name, lambda name=name: CLASSIFIERS[name][0], "belief about a scene differs")
      for name in ("drops out", "batch norm")),
    *(("policy", name, lambda name=name: POLICIES[name][0], "a scene has another look in another")
      for name in ("unseeded", "batch")),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "make", "words"), [(k, m, w) for k, _, m, w in WRONG],
                         ids=[f"{k}, {n}" for k, n, _, _ in WRONG])  # fmt: skip
def test_what_breaks_its_contract_is_refused_by_name(kind: str, make: Any, words: str) -> None:
    part = make()
    with pytest.raises(ValueError, match=words) as told:
        benchmarked(kind, part)
    assert type(part).__name__ in str(told.value)


def test_nothing_is_written_and_the_check_is_named(tmp_path: Path) -> None:
    made = setup(DATA, sensor=TILES, classifier=CLASSIFIER, policies={"a": POLICIES["batch"][0]})
    with pytest.raises(ValueError, match=r"policy: Choose: .*boed.testing.check_policy tells all"):
        run(made, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_parts_inside_policies_and_networks_are_tried() -> None:
    sharing = CLASSIFIERS["batch norm"][0]
    for policy in (
        BOED(COMPLETER, sharing, n=2, first_look=FIRST),
        Until(Random(), Confident(sharing, 0.9)),
        Until(Random(), AnyOf((Confident(CLASSIFIER, 0.9), Confident(sharing, 0.9)))),
        Until(POLICIES["batch"][0], Confident(CLASSIFIER, 0.9)),
    ):
        with pytest.raises(ValueError, match=r"in another batch"):
            benchmark(DATA, TILES, CLASSIFIER, policies={"a": policy}, steps=1)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(512, 3),
                                  torch.nn.BatchNorm1d(3, track_running_stats=False))  # fmt: skip
    with pytest.raises(ValueError, match=r"classifier: ModuleClassifier: the belief about a scene"):
        benchmark(DATA, TILES, from_module(network), policies={"a": Random()}, steps=1)


def test_parts_that_keep_their_word_pass_and_may_know_no_chance() -> None:
    class Nearest(FixedGenerator):
        deterministic = True

    for completer in (COMPLETER, Nearest()):
        benchmarked("completer", completer)
    benchmarked("sensor", RowSensor())


@pytest.mark.parametrize("call", ["setup", "acquire", "benchmark"])
def test_a_candidate_that_is_there_twice_is_refused(call: str) -> None:
    sensor = SENSORS["twice"][0]()
    words = r"Doubled.designs returned \[1\] 2 times, expected every candidate once"
    calls = {
        "setup": lambda: setup(
            DATA, sensor=sensor, classifier=CLASSIFIER, policies={"a": Random()}
        ),
        "acquire": lambda: acquire(DATA.scenes(), sensor, Random(), steps=1, classifier=CLASSIFIER),
        "benchmark": lambda: benchmark(DATA, sensor, CLASSIFIER, policies={"a": Random()}),
    }
    with pytest.raises(ValueError, match=words):
        calls[call]()
