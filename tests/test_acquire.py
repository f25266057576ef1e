"""The loop: what it records, what it refuses, and that nothing depends on how it is batched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from boed.acquire import Trajectory, acquire
from boed.classifiers.densenet_classifier import DenseNetClassifier
from boed.completion.classical.retrieval import Retrieval
from boed.completion.completer import Completions
from boed.completion.vae.aipo import AIPO
from boed.data.dataset import Dataset
from boed.data.observation import Observation
from boed.foundation.randomness import derive
from boed.policies import BOED, CentreOut, Decision, FirstLook, Oracle, Policy, Random
from boed.sensors import PatchSensor
from tests.doubles import (
    ClueClassifier,
    ClueCompleter,
    Clues,
    Constant,
    FindingsClassifier,
    Fixed,
    RowSensor,
    tiny_aipo,
    tiny_classifier,
)

TILED = PatchSensor(16, 0.25, 4)
SCENES = Clues().dataset(4).scenes()


def test_a_trajectory_is_what_was_seen() -> None:
    policy, classifier = Fixed(), ClueClassifier()
    result = acquire(SCENES, TILED, policy, steps=3, classifier=classifier)
    candidates = TILED.designs(Observation.nothing(1, 1, 16))
    assert result.designs.tolist() == [candidates[:3].tolist()] * 4
    assert result.log_beliefs.shape == (4, 4, 3)
    assert len(result.observations) == len(result.decisions) + 1 == 4
    observation = Observation.nothing(4, 1, 16)
    for step in range(4):
        assert torch.equal(result.observations[step].values, observation.values)
        assert torch.equal(result.observations[step].mask, observation.mask)
        assert torch.equal(result.log_beliefs[:, step], classifier.log_probs(observation))
        if step < 3:
            observation = TILED.observe(observation, SCENES, result.designs[:, step])
    assert bool(result.scores.isnan().all())  # this policy has none
    assert (
        acquire(SCENES, TILED, policy, steps=1, classifier=classifier, keep=False).decisions == []
    )


def test_scores_are_those_of_the_chosen_looks() -> None:
    clues = Clues()
    policy = BOED(
        ClueCompleter(clues), ClueClassifier(), estimator="entropy", first_look=FirstLook(n=12)
    )
    result = acquire(SCENES, TILED, policy, steps=2, classifier=ClueClassifier())
    assert torch.allclose(result.scores[:, 0], torch.full((4,), np.log(3)).float())
    assert result.scores[:, 1].tolist() == [0.0] * 4  # nothing left to learn


def test_only_references_see_the_scene() -> None:
    """What is hidden changes nothing until it is looked at."""
    clues = Clues()
    dark, bright = (
        clues.draw((8, 4), answer, torch.Generator().manual_seed(0))[None] for answer in (0, 2)
    )
    for policy in (Random(), CentreOut(), BOED(ClueCompleter(clues), ClueClassifier())):
        one, other = (
            acquire(s, TILED, policy, steps=1, classifier=ClueClassifier()) for s in (dark, bright)
        )
        assert torch.equal(one.designs, other.designs)


def test_multi_label_beliefs() -> None:
    clues = Clues()
    policy = BOED(ClueCompleter(clues), FindingsClassifier(), first_look=FirstLook(n=12))
    result = acquire(
        clues.dataset(5, findings=True).scenes(),
        TILED,
        policy,
        steps=2,
        classifier=FindingsClassifier(),
    )
    assert result.log_beliefs.shape == (5, 3, 2, 2)
    picked = result.log_beliefs[:, 1].argmax(-1)
    assert torch.equal(picked, clues.dataset(5, findings=True).labels)


def test_a_users_own_plain_classes_work() -> None:
    """Sensor, completer, classifier and policy that inherit nothing."""
    clues = Clues()
    policies: list[Policy] = [
        Fixed(),
        BOED(ClueCompleter(clues), ClueClassifier(), first_look=FirstLook(n=12)),
        BOED(
            ClueCompleter(clues), ClueClassifier(), estimator="variance", first_look=FirstLook(n=12)
        ),
        Oracle(ClueClassifier()),
        Random(),
        CentreOut(),
    ]
    for policy in policies:
        result = acquire(SCENES, RowSensor(), policy, steps=2, classifier=ClueClassifier())
        assert result.designs.shape == (4, 2, 1)
        assert not bool((result.designs[:, 0] == result.designs[:, 1]).any())
    rows = acquire(SCENES, RowSensor(), policies[1], steps=1, classifier=ClueClassifier()).designs[
        :, 0, 0
    ]
    assert set(rows.tolist()) <= {8, 9, 10, 11}  # where the clue is


# --- the same results whatever the batch size and the memory bound ---------------------------


def colour(number: int, seed: int) -> Dataset:
    rng = np.random.default_rng(seed)
    images = torch.as_tensor(rng.integers(0, 256, (number, 3, 32, 32), np.uint8))
    labels = torch.as_tensor(rng.integers(0, 3, number))
    return Dataset(
        name="colour", split="train", images=images, labels=labels, label_names=("a", "b", "c")
    )


@pytest.fixture(scope="module")
def classifier() -> DenseNetClassifier:
    return tiny_classifier()


@pytest.fixture(scope="module")
def aipo() -> AIPO:
    return tiny_aipo()


Make = Callable[[AIPO, DenseNetClassifier, int], Policy]
POLICIES: dict[str, Make] = {
    "aipo": lambda c, g, m: BOED(c, g, n=3, first_look=FirstLook(n=5), memory=m),
    "aipo entropy": lambda c, g, m: BOED(
        c, g, estimator="entropy", n=3, first_look=FirstLook(n=5), memory=m
    ),
    "retrieval": lambda c, g, m: BOED(
        Retrieval(colour(20, 1), 0.3), g, n=3, first_look=FirstLook(n=10), memory=m
    ),
    "max variance": lambda c, g, m: BOED(
        c, g, estimator="variance", n=3, first_look=FirstLook(n=5), memory=m
    ),
    "random": lambda c, g, m: Random(),
    "oracle": lambda c, g, m: Oracle(g, memory=m),
}


@pytest.mark.parametrize("name", POLICIES)
def test_same_seed_same_results(name: str, aipo: AIPO, classifier: DenseNetClassifier) -> None:
    sensor, scenes = PatchSensor(32, 0.25, 5), colour(5, 0).scenes()
    seeds = [derive(3, "scene", row) for row in range(5)]

    def run(rows: slice, memory: int, seed: Any) -> Trajectory:
        policy = POLICIES[name](aipo, classifier, memory)
        return acquire(
            scenes[rows], sensor, policy, steps=3, classifier=classifier, seed=seed, memory=memory
        )

    whole = run(slice(None), 512, seeds)
    assert torch.equal(whole.designs, run(slice(None), 512, 3).designs)  # int seed: the same seeds
    if name != "random":
        decision = whole.decisions[1]  # the scores matter: they are not one great tie
        assert decision.scores is not None
        assert float(decision.scores.std(1).mean()) > 1e-3
    variants = [run(slice(None), memory, seeds) for memory in (1, 7)]
    alone = [run(slice(b, b + 1), 512, [seeds[b]]) for b in range(5)]
    designs = torch.cat([each.designs for each in alone])
    beliefs = torch.cat([each.log_beliefs for each in alone])
    for found_designs, found_beliefs in (
        (designs, beliefs),
        *((each.designs, each.log_beliefs) for each in variants),
    ):
        assert torch.equal(found_designs, whole.designs)
        assert (found_beliefs.exp() - whole.log_beliefs.exp()).abs().max() < 1e-6
    other = run(slice(None), 512, 4)
    if name == "random":
        assert not torch.equal(other.designs, whole.designs)


def test_another_seed_gives_other_completions(aipo: AIPO, classifier: DenseNetClassifier) -> None:
    policy, sensor = (
        BOED(aipo, classifier, n=2, first_look=FirstLook(n=5)),
        PatchSensor(32, 0.25, 5),
    )
    scenes = colour(1, 0).scenes()
    drawn = [
        acquire(scenes, sensor, policy, steps=2, classifier=classifier, seed=seed).decisions[1]
        for seed in (0, 1)
    ]
    assert drawn[0].completions is not None
    assert drawn[1].completions is not None
    assert not torch.equal(drawn[0].completions.scenes, drawn[1].completions.scenes)


# --- what is refused -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scene", "message"),
    [
        (torch.full((1, 1, 16, 16), torch.nan), "scene has 256 NaN or infinite pixels"),
        (torch.full((1, 1, 16, 16), 255.0), r"scene spans \[255, 255\]"),
        (torch.rand(1, 16, 16), r"scene must be \[B, C, H, W\]"),
        (torch.rand(1, 1, 16, 12), r"\(16, 12\) pixels; this sensor is for 16 x 16"),
        (torch.rand(0, 1, 16, 16), "at least one scene"),
        (torch.rand(1, 1, 20, 20), r"\(20, 20\) pixels; this sensor is for 16 x 16"),
    ],
)
def test_bad_scenes(scene: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        acquire(scene, TILED, Random(), steps=1, classifier=ClueClassifier())


def test_double_precision_scenes_are_taken(aipo: AIPO, classifier: DenseNetClassifier) -> None:
    scenes = colour(2, 0).scenes()
    policy, sensor = (
        BOED(aipo, classifier, n=2, first_look=FirstLook(n=3)),
        PatchSensor(32, 0.25, 3),
    )
    double = acquire(scenes.double(), sensor, policy, steps=2, classifier=classifier)
    assert torch.equal(
        double.designs, acquire(scenes, sensor, policy, steps=2, classifier=classifier).designs
    )


@pytest.mark.parametrize("steps", [0, -1])
def test_no_steps(steps: int) -> None:
    with pytest.raises(ValueError, match=f"steps is {steps}, expected at least 1"):
        acquire(SCENES, TILED, Random(), steps=steps, classifier=ClueClassifier())


def test_seeds_of_another_number() -> None:
    with pytest.raises(ValueError, match="seed has 2 entries for a batch of 4"):
        acquire(SCENES, TILED, Random(), steps=1, classifier=ClueClassifier(), seed=[1, 2])


def test_nan_from_a_classifier_names_it() -> None:
    with pytest.raises(ValueError, match=r"Constant\.log_probs returned NaN"):
        acquire(SCENES, TILED, Random(), steps=1, classifier=Constant([torch.nan, 0.0]))
    policy = BOED(ClueCompleter(Clues()), Constant([torch.nan, 0.0]))
    with pytest.raises(ValueError, match=r"Constant\.log_probs returned NaN"):
        acquire(SCENES, TILED, policy, steps=1, classifier=ClueClassifier())


def test_one_look_for_each_scene() -> None:
    class OneForAll:
        def choose(
            self, observation: Observation, sensor: Any, seed: Any = 0, truth: Any = None
        ) -> Decision:
            designs = sensor.designs(observation)
            return Decision(designs[0], candidates=designs)

    with pytest.raises(
        ValueError, match=r"OneForAll\.choose returned designs a Tensor, int64 \(2,\)"
    ):
        acquire(SCENES, TILED, OneForAll(), steps=1, classifier=ClueClassifier())


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (torch.zeros(4), r"returned index a Tensor, float32 \(4,\), expected int64 \(4,\)"),
        (torch.zeros(3, dtype=torch.int64), r"returned index a Tensor, int64 \(3,\)"),
        (torch.full((4,), 16), r"index \[16, 16, 16, 16\], expected .* rows of its 16 candidates"),
        (torch.full((4,), -1), r"index \[-1, -1, -1, -1\], expected"),
        (torch.full((4,), 2), r"index \[2, 2, 2, 2\], expected the chosen designs' rows"),
    ],
)
def test_an_index_that_is_not_that_of_the_designs(index: Tensor, message: str) -> None:
    class Mistaken(Fixed):
        def choose(self, observation: Observation, sensor: Any, *_: Any, **__: Any) -> Decision:
            designs = sensor.designs(observation)
            chosen = designs[:1].expand(len(observation), -1)
            return Decision(chosen, candidates=designs, index=index)

    with pytest.raises(ValueError, match=message):
        acquire(SCENES, TILED, Mistaken(), steps=1, classifier=ClueClassifier())


def test_an_observation_of_another_shape() -> None:
    class Cropped(RowSensor):
        def observe(self, observation: Observation, scene: Tensor, design: Tensor) -> Observation:
            return Observation(scene[..., :8, :8], torch.ones(len(scene), 1, 8, 8))

    with pytest.raises(ValueError, match=r"Cropped\.observe returned values \(4, 1, 8, 8\)"):
        acquire(SCENES, Cropped(), Fixed(), steps=1, classifier=ClueClassifier())


def test_gradients_are_not_kept() -> None:
    class Trainable(ClueClassifier):
        def __init__(self) -> None:
            self.weight = torch.nn.Parameter(torch.ones(()))

        def log_probs(self, observation: Observation) -> Tensor:
            return (super().log_probs(observation).exp() * self.weight).log()

    result = acquire(SCENES, TILED, Oracle(Trainable()), steps=1, classifier=Trainable())
    assert not result.log_beliefs.requires_grad


def test_every_step_is_told() -> None:
    told: list[None] = []
    scenes = torch.rand(2, 1, 32, 32)
    acquire(
        scenes,
        PatchSensor(32),
        Random(),
        steps=3,
        classifier=Constant([-0.6931, -0.6931]),
        on_step=lambda: told.append(None),
    )
    assert len(told) == 3


def test_how_much_completions_are_worth_is_recorded() -> None:
    class Unequal(ClueCompleter):
        """Of which the first counts as much as all others."""

        def complete(self, observation: Observation, n: int, seed: Any = 0) -> Completions:
            scenes = self.sample(observation, n, seed)
            weights = torch.full(scenes.shape[:2], 0.5 / (n - 1))
            weights[0] = 0.5
            return Completions(scenes, weights)

    clues = Clues()
    sensor, classifier = PatchSensor(16, 0.25, 4), ClueClassifier()
    scenes = clues.dataset(2).scenes()
    policy = BOED(Unequal(clues), classifier, n=5, first_look=FirstLook(n=5))
    found = acquire(scenes, sensor, policy, steps=2, classifier=classifier)
    expected = 1 / (0.5**2 + 4 * 0.125**2)
    assert torch.allclose(found.effective_sample_sizes, torch.full((2, 2), expected))
    plain = acquire(scenes, sensor, Random(), steps=2, classifier=classifier)
    assert plain.effective_sample_sizes.isnan().all()
