"""`complete` on any class that samples, and what it refuses."""

from __future__ import annotations

import math

import pytest
import torch

from boed.completion import Completer, Completions, complete
from boed.data.observation import Observation
from boed.foundation.randomness import per_scene


class Noise:
    """A user's own completer: inherits nothing."""

    def __init__(self, change=lambda scenes: scenes):
        self.change = change

    def sample(self, observation, n, seed=0):
        generator = torch.Generator().manual_seed(per_scene(seed, len(observation))[0])
        shape = (n, *observation.values.shape)
        return self.change(observation.composite(torch.rand(shape, generator=generator)))


class Weighted(Noise):
    def complete(self, observation, n, seed=0):
        scenes = self.sample(observation, n, seed)
        weights = torch.full(scenes.shape[:2], 0.0)
        weights[0], weights[1] = 0.75, 0.25
        return Completions(scenes, weights)


OBSERVATION = Observation.of(torch.full((2, 1, 4, 4), 0.5), torch.eye(4).expand(2, 1, 4, 4))


def test_a_plain_class_gets_equal_weights():
    completions = complete(Noise(), OBSERVATION, 4, seed=1)
    assert torch.equal(completions.scenes, Noise().sample(OBSERVATION, 4, 1))
    assert torch.equal(completions.weights, torch.full((4, 2), 0.25))
    assert completions.labels is None
    assert completions.effective_sample_size.tolist() == [4, 4]


def test_own_weights_are_kept():
    completions = complete(Weighted(), OBSERVATION, 3)
    assert completions.weights[:, 0].tolist() == [0.75, 0.25, 0]
    assert completions.effective_sample_size[0] == pytest.approx(1.6)


def test_moments_are_weighted():
    scenes = torch.tensor([0.0, 0.4, 1.0]).view(3, 1, 1, 1, 1)
    completions = Completions(scenes, torch.tensor([[0.5], [0.5], [0.0]]))
    assert completions.mean.item() == pytest.approx(0.2)
    assert completions.variance.item() == pytest.approx(0.04)


def test_protocol():
    assert isinstance(Noise(), Completer)
    assert not isinstance(torch.nn.Linear(1, 1), Completer)


@pytest.mark.parametrize("kind", [Noise, Weighted])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda scenes: scenes[:, :1], r"returned \(3, 1, 1, 4, 4\), expected \(3, 2, 1, 4, 4\)"),
        (lambda scenes: scenes[:2], r"returned \(2, 2, 1, 4, 4\), expected \(3, 2, 1, 4, 4\)"),
        (lambda scenes: scenes * math.nan, "returned NaN or infinite pixels"),
    ],
)
def test_wrong_samples_are_named_after_the_class(kind, change, message):
    with pytest.raises(ValueError, match=rf"{kind.__name__}\.(sample|complete) {message}"):
        complete(kind(change), OBSERVATION, 3)


@pytest.mark.parametrize("n", [0, -2])
def test_at_least_one(n):
    with pytest.raises(ValueError, match=f"n is {n}, expected at least 1"):
        complete(Noise(), OBSERVATION, n)


def test_completions_check_themselves():
    scenes, weights = torch.rand(2, 3, 1, 4, 4), torch.full((2, 3), 0.5)
    with pytest.raises(ValueError, match=r"scenes must be \[n, B, C, H, W\], got \(3, 1, 4, 4\)"):
        Completions(scenes[0], weights)
    with pytest.raises(ValueError, match=r"weights must be \(2, 3\), got \(3, 2\)"):
        Completions(scenes, weights.T)
    for wrong in (weights * 2, weights * math.nan):
        with pytest.raises(ValueError, match="weights must sum to 1"):
            Completions(scenes, wrong)
    with pytest.raises(ValueError, match=r"labels must be \(2, 3\)"):
        Completions(scenes, weights, torch.zeros(3, 2, dtype=torch.int64))
