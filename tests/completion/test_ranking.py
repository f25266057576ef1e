"""Log-probabilities of completions: against a law that is known, ranks, and what is refused."""

from __future__ import annotations

import math

import pytest
import torch

from boed.completion.log_probability import Meaning, log_prob, meaning
from boed.completion.ranking import extreme_pair, log_probs, order, rank_of_truth
from boed.completion.registry import LEARNED
from boed.completion.vae.vaeac import VAEACConfig
from boed.data.masks import left
from boed.data.observation import Observation

SCORING = [name for name in LEARNED if hasattr(LEARNED[name], "log_prob")]
"""Learned completers with a likelihood."""


class Coins:
    """Hidden pixels are 1 with probability p, the brighter the more is seen of the scene."""

    log_prob_is, levels, counts = "exact", 2, "hidden"

    def chance(self, observation):
        return 0.2 + 0.6 * observation.values.mean((1, 2, 3), keepdim=True)

    def sample(self, observation, n, seed=0):
        generator = torch.Generator().manual_seed(0)
        uniform = torch.rand(n, *observation.values.shape, generator=generator)
        return observation.composite((uniform < self.chance(observation)).float())

    def log_prob(self, scene, observation):
        p = self.chance(observation)
        each = torch.where(scene > 0.5, p, 1 - p).log() * (1 - observation.mask)
        return each.sum((1, 2, 3))


class Alike(Coins):
    def log_prob(self, scene, observation):
        return torch.zeros(len(scene))


@pytest.fixture
def seen():
    scenes = torch.rand(3, 1, 4, 4, generator=torch.Generator().manual_seed(1)).round()
    return scenes, Observation.of(scenes, left(3, 4))


def test_each_completion_by_the_law_of_its_own_observation(seen):
    _, observation = seen
    completions = Coins().sample(observation, 5)
    found = log_probs(Coins(), completions, observation)
    assert found.shape == (5, 3)
    for i in range(5):
        for b in range(3):
            p = 0.2 + 0.6 * float(observation.values[b].mean())
            bright = int(completions[i, b, 0, :, 2:].sum())
            expected = bright * math.log(p) + (8 - bright) * math.log(1 - p)
            assert float(found[i, b]) == pytest.approx(expected, rel=1e-5)


def test_a_model_to_which_all_are_alike_has_the_rank_of_chance(seen):
    scenes, observation = seen
    completions = Alike().sample(observation, 8)
    truth = log_prob(Alike(), scenes, observation)
    rank = rank_of_truth(truth, log_probs(Alike(), completions, observation))
    assert rank.tolist() == [5, 5, 5]  # (n + 2) / 2


def test_the_true_law_has_the_rank_of_chance_on_average():
    generator = torch.Generator().manual_seed(3)
    bright = torch.binomial(torch.full((9, 4000), 8.0), torch.tensor(0.7), generator=generator)
    nats = bright * math.log(0.7) + (8 - bright) * math.log(0.3)  # of 8 pixels, with many ties
    assert float(rank_of_truth(nats[0], nats[1:]).mean()) == pytest.approx(5, abs=0.15)


def test_ranks_orders_and_pairs():
    nats = torch.tensor([[-3.0, -1.0, -2.0], [-1.0, -1.0, -2.0], [-2.0, -5.0, -2.0]])
    truth = torch.tensor([-0.5, -1.0, -9.0])
    assert rank_of_truth(truth, nats).tolist() == [1, 2, 4]
    assert order(nats).T.tolist() == [[1, 2, 0], [0, 1, 2], [0, 1, 2]]
    most, least = extreme_pair(nats)
    assert (most.tolist(), least.tolist()) == ([1, 0, 0], [0, 2, 2])
    impossible = torch.tensor([[-math.inf], [-1.0]])
    assert rank_of_truth(torch.tensor([-math.inf]), impossible).tolist() == [2.5]


@pytest.mark.parametrize("name", SCORING)
def test_learned_completers_with_a_likelihood_say_what_it_is(name):
    said = meaning(LEARNED[name].of(LEARNED[name].preset(28, 1)[0]))
    known = {"aipo": "all", "aipo-r": "all", "vaeac": "hidden"}
    if name in known:
        expected = Meaning(log_prob_is="lower bound", levels=256, counts=known[name])
        assert said == expected


@pytest.mark.parametrize("name", ["log_prob", "log_prob_is", "levels", "counts"])
def test_what_an_attribute_raises_is_told(name):
    def fails(self):
        raise KeyError("lost")

    broken = type("Broken", (Coins,), {name: property(fails)})()
    with pytest.raises(ValueError, match=rf"Broken\.{name}: KeyError: 'lost'"):
        meaning(broken)


def test_levels_are_those_of_the_pixels_likelihood():
    shape = {"size": 8, "channels": 1, "widths": (4,), "latent": 2, "stem": 2}
    binary = LEARNED["vaeac"].of(VAEACConfig(**shape, likelihood="bernoulli"))
    assert meaning(binary).levels == 2


@pytest.mark.parametrize("name", sorted({*LEARNED} - {*SCORING}))
def test_completers_without_a_likelihood_are_refused_by_name(name, seen):
    class Without:
        def sample(self, observation, n, seed=0):
            raise NotImplementedError

    Without.name = name
    _, observation = seen
    said = f"completer {name} has no log_prob; expected one with a likelihood, such as aipo, aipo-r"
    with pytest.raises(ValueError, match=said):
        log_probs(Without(), torch.zeros(2, 3, 1, 4, 4), observation)
    with pytest.raises(ValueError, match=said):
        log_prob(Without(), torch.zeros(3, 1, 4, 4), observation)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c[0], r"completions must be \[n, B, C, H, W\] with n >= 1 and \(3, 1, 4, 4\)"),
        (lambda c: c[:, :2], r"got \(5, 2, 1, 4, 4\)"),
        (lambda c: c[:0], r"got \(0, 3, 1, 4, 4\)"),
        (lambda c: c * math.nan, "completions has NaN"),
        (lambda c: 1 - c, "completions differ by up to 1 from the pixels that were seen"),
    ],
)
def test_completions_of_something_else_are_refused(change, said, seen):
    _, observation = seen
    with pytest.raises(ValueError, match=said):
        log_probs(Coins(), change(Coins().sample(observation, 5)), observation)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (
            lambda: rank_of_truth(torch.zeros(2), torch.zeros(3, 4)),
            r"truth is \(2,\), expected \(4,",
        ),
        (lambda: rank_of_truth(torch.full((1,), math.nan), torch.zeros(3, 1)), "truth has NaN"),
        (lambda: rank_of_truth(torch.zeros(2), torch.zeros(0, 2)), r"n >= 1, got \(0, 2\)"),
        (lambda: order(torch.zeros(3)), r"completions must be log-probabilities \[n, B\]"),
        (lambda: order(torch.full((2, 2), math.nan)), "completions has NaN"),
        (lambda: extreme_pair(torch.zeros(1, 2)), "completions has n = 1, expected 2 or more"),
    ],
)
def test_what_has_no_rank_is_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call()
