"""The map of EIG on problems with known answers (nats), and what it refuses."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from boed.completion.completer import Completions
from boed.data.observation import Observation
from boed.eig import eig_map, posterior_entropy_eig, variational_eig
from boed.eig.completions import beliefs as beliefs_module
from boed.eig.completions.beliefs import CandidateBeliefs, images_within, log_beliefs
from boed.search import Racing
from boed.sensors import PatchSensor
from tests.doubles import (
    ClueClassifier,
    ClueCompleter,
    Clues,
    Constant,
    FindingsClassifier,
    GaussianPixels,
)
from tests.eig.completions.test_formulas import loop_entropy

INFORMATION = ("entropy", "mixture", "information", "variational")
"""Estimators of the EIG about v."""


CLASS_INFORMATION = {0: 0.111421, 1: 0.336831, 2: 0.0, 3: 0.0}
"""EIG of looking at one of the GaussianPixels: mu = 1, mu = 2, and two empty pixels."""


@pytest.mark.parametrize("estimator", INFORMATION)
def test_class_information(estimator: Any) -> None:
    number, toy, sensor = 20_000, GaussianPixels(), PatchSensor(2, 0.5, 2)
    scenes, _ = toy.draw(number)
    drawn = Completions(scenes[:, None], torch.full((number, 1), 1 / number))
    result = eig_map(
        Observation.nothing(1, 1, 2), drawn, sensor, classifier=toy, estimator=estimator
    )
    for design, known in CLASS_INFORMATION.items():
        if known == 0 and estimator != "variational":
            assert abs(float(result.eig[0, design])) < 1e-6
            continue
        error = float(result.gains[:, 0, design].std()) / number**0.5
        assert abs(float(result.eig[0, design]) - known) < 4 * error + 1e-6, (design, error)


def test_class_information_from_labels() -> None:
    """The same with the true labels in place of the classifier's answer, which is noisier."""
    number, toy = 20_000, GaussianPixels()
    scenes, answers = toy.draw(number, seed=1)
    weights = torch.full((number, 1), 1 / number)
    result = eig_map(
        Observation.nothing(1, 1, 2),
        Completions(scenes[:, None], weights, answers[:, None]),
        PatchSensor(2, 0.5, 2),
        classifier=toy,
        estimator="variational",
    )
    for design, known in CLASS_INFORMATION.items():
        error = float(result.gains[:, 0, design].std()) / number**0.5
        assert abs(float(result.eig[0, design]) - known) < 4 * error + 1e-6


@pytest.mark.parametrize("estimator", INFORMATION)
def test_seeing_more_is_never_worth_less(estimator: Any) -> None:
    """With an exact classifier, a larger patch that contains a smaller one tells no less."""
    number, toy = 20_000, GaussianPixels()
    scenes, _ = toy.draw(number)
    drawn = Completions(scenes[:, None], torch.full((number, 1), 1 / number))
    blank = Observation.nothing(1, 1, 2)
    one = eig_map(blank, drawn, PatchSensor(2, 0.5, 2), classifier=toy, estimator=estimator)
    whole = eig_map(blank, drawn, PatchSensor(2, 1.0), classifier=toy, estimator=estimator)
    assert float((whole.eig - one.eig).min()) > 0.02  # the second pixel is worth more than that


def clue_map(estimator: Any, classifier: Any, memory: int = 512, seen: bool = False) -> Any:
    clues, sensor = Clues(), PatchSensor(16, 0.25, 4)
    observation = Observation.nothing(2, 1, 16)
    if seen:  # the corner, which says nothing
        observation = sensor.observe(
            observation, clues.dataset(2).scenes(), torch.zeros(2, 2).int()
        )
    scenes = ClueCompleter(clues).sample(observation, 12)
    drawn = Completions(scenes, torch.full((12, 2), 1 / 12))
    return eig_map(
        observation, drawn, sensor, classifier=classifier, estimator=estimator, memory=memory
    )


@pytest.mark.parametrize("estimator", INFORMATION)
@pytest.mark.parametrize("kind", ["single", "multi"])
def test_map_peaks_where_the_class_shows(estimator: Any, kind: str) -> None:
    classifier = ClueClassifier() if kind == "single" else FindingsClassifier()
    result = clue_map(estimator, classifier, seen=True)
    clue = result.designs.tolist().index([8, 4])
    assert result.eig.argmax(1).tolist() == [clue, clue]
    others = torch.arange(16) != clue
    known = math.log(3) if kind == "single" else 2 * loop_entropy([1 / 3, 2 / 3])
    if estimator == "entropy":
        assert torch.equal(result.eig[:, others], torch.zeros(2, 15))
        assert torch.allclose(result.eig[:, clue], torch.tensor(known))
    elif estimator in ("mixture", "information"):
        assert result.eig[:, others].abs().max() < 1e-6
    if kind == "multi":
        assert result.gains.shape == (12, 2, 16)


@pytest.mark.parametrize("labelled", [False, True])
def test_map_asks_the_estimator_it_was_told(labelled: bool) -> None:
    """Each estimator with its first term, the weights, and the labels where there are any."""
    toy, sensor, blank = GaussianPixels(), PatchSensor(2, 0.5, 2), Observation.nothing(1, 1, 2)
    scenes, answers = toy.draw(7)
    scenes, weights = scenes[:, None], torch.arange(1.0, 8)[:, None] / 28
    designs, now = sensor.designs(blank), toy.log_probs(blank)
    after = CandidateBeliefs(
        observation=blank, completions=scenes, designs=designs, sensor=sensor, classifier=toy
    ).all()
    whole = toy.log_probs(Observation(scenes[:, 0], torch.ones(7, 1, 2, 2)))
    if labelled:
        whole = torch.eye(2)[answers].log()
    expected = {
        "entropy": posterior_entropy_eig(now, after, weights, first="belief"),
        "mixture": posterior_entropy_eig(now, after, weights, first="mixture"),
        "information": posterior_entropy_eig(now, after, weights, first="cross"),
        "variational": variational_eig(now, after, whole[:, None], weights=weights, first="belief"),
    }
    drawn = Completions(scenes, weights, answers[:, None] if labelled else None)
    for estimator in INFORMATION:
        result = eig_map(blank, drawn, sensor, classifier=toy, estimator=estimator)  # type: ignore[arg-type]
        assert torch.allclose(result.eig, expected[estimator][0], atol=1e-6)
        assert torch.allclose(result.gains, expected[estimator][1], atol=1e-6)
    # the current belief is even: its entropy is its cross-entropy with any other
    assert torch.allclose(expected["entropy"][0], expected["information"][0], atol=1e-6)
    different = torch.stack([eig for name, (eig, _) in expected.items() if name != "information"])
    assert float((different[:, None] - different).abs().amax((2, 3)).fill_diagonal_(1).min()) > 0.01


def test_map_does_not_depend_on_the_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = clue_map("variational", ClueClassifier())
    for piece in (1, 7):
        monkeypatch.setattr(beliefs_module, "images_within", lambda *_, piece=piece: piece)
        assert torch.equal(clue_map("variational", ClueClassifier()).eig, whole.eig)


def test_beliefs_are_those_of_each_candidate_alone() -> None:
    toy, sensor = GaussianPixels(), PatchSensor(2, 0.5, 2)
    scenes = toy.draw(15)[0].clamp(0, 1).unflatten(0, (5, 3))
    observation = Observation.nothing(3, 1, 2)
    observation = sensor.observe(
        observation, toy.draw(3, 9)[0].clamp(0, 1), torch.tensor([[0, 0]] * 3)
    )
    designs = sensor.designs(observation)
    result = CandidateBeliefs(
        observation=observation, completions=scenes, designs=designs, sensor=sensor, classifier=toy
    ).all()
    for n, b, d in np.ndindex(5, 3, 4):
        one = slice(b, b + 1)
        after = sensor.observe(observation[one], scenes[n, one], designs[d : d + 1])
        assert torch.allclose(result[n, b, d], toy.log_probs(after)[0], atol=1e-6)


class Counting(ClueClassifier):
    """Remembers the largest batch that it was given."""

    largest = 0

    def log_probs(self, observation: Observation) -> Tensor:
        self.largest = max(self.largest, len(observation))
        return super().log_probs(observation)


def test_memory_bounds_the_pieces() -> None:
    blank = Observation.nothing(1, 3, 32)  # one MiB each
    assert [images_within(memory, blank) for memory in (1, 7, 512)] == [1, 7, 256]
    with pytest.raises(ValueError, match=r"memory is 0 MiB; one image alone needs 1\.0"):
        images_within(0, blank)
    counting = Counting()
    clue_map("entropy", counting, memory=1)
    assert counting.largest == 8
    log_beliefs(Observation.nothing(20, 1, 16), counting, memory=2)
    assert counting.largest == 16


BAD: list[tuple[list[float], str]] = [
    ([math.nan, 0.0], r"Constant\.log_probs returned NaN"),
    ([0.5, 0.5], "sum to 3.3, not 1; expected log-probabilities"),  # probabilities
    ([-math.inf, -math.inf], "sum to 0, not 1"),
]


@pytest.mark.parametrize(("value", "message"), BAD)
def test_answers_that_are_no_beliefs_are_refused(value: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        clue_map("entropy", Constant(value))


def test_map_refuses_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match=r"estimator is 'other'.*one of entropy, mixture"):
        clue_map("other", ClueClassifier())
    scenes = torch.rand(4, 3, 1, 16, 16)
    drawn = Completions(scenes, torch.full((4, 3), 0.25))
    sensor, classifier = PatchSensor(16), ClueClassifier()
    with pytest.raises(ValueError, match=r"completions must be \(N, 2, 1, 16, 16\)"):
        eig_map(Observation.nothing(2, 1, 16), drawn, sensor, classifier=classifier)

    class Nowhere(PatchSensor):
        def designs(self, observation: Observation) -> Any:
            return super().designs(observation)[:0]

    with pytest.raises(ValueError, match=r"Nowhere\.designs returned no candidate"):
        eig_map(Observation.nothing(3, 1, 16), drawn, Nowhere(16), classifier=classifier)

    class OneForAll:
        def log_probs(self, observation: Observation) -> Any:
            return torch.zeros(1, 1)

    with pytest.raises(ValueError, match=r"OneForAll\.log_probs returned \(1, 1\) for 3"):
        eig_map(Observation.nothing(3, 1, 16), drawn, sensor, classifier=OneForAll())


def test_no_gradients_are_kept() -> None:
    class Trainable(GaussianPixels):
        weight = torch.nn.Parameter(torch.ones(()))

        def log_probs(self, observation: Observation) -> Tensor:
            return (super().log_probs(observation) * self.weight).log_softmax(1)

    scenes = GaussianPixels().draw(4)[0][:, None]
    drawn = Completions(scenes, torch.full((4, 1), 0.25))
    result = eig_map(
        Observation.nothing(1, 1, 2), drawn, PatchSensor(2, 0.5, 2), classifier=Trainable()
    )
    assert not result.eig.requires_grad


def test_a_search_may_take_the_place_of_the_whole_map() -> None:
    blank, sensor = Observation.nothing(1, 1, 16), PatchSensor(16, 0.25, 7)
    scenes = ClueCompleter(Clues()).sample(blank, 12)
    drawn = Completions(scenes, torch.full((12, 1), 1 / 12))
    whole, raced = (
        eig_map(blank, drawn, sensor, classifier=ClueClassifier(), search=search)
        for search in (None, Racing())
    )
    assert whole.finished is None
    assert raced.finished is not None
    assert not raced.finished.all()
    assert torch.allclose(raced.finished_eig.amax(1), whole.finished_eig.amax(1), atol=1e-6)
    assert torch.equal(whole.finished_eig, whole.eig)
