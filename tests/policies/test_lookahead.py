"""Two-step look-ahead on scenes where the best first look says nothing of the class."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from boed.acquire import Trajectory, acquire
from boed.data.observation import Observation
from boed.foundation.randomness import derive, per_scene
from boed.policies import BOED, FirstLook, TwoStep
from boed.sensors import PatchSensor
from tests.doubles import BACKGROUND, LEVELS, PATCH, ClueClassifier, ClueCompleter, Clues

TILED = PatchSensor(16, 0.25, 4)
CLASSIFIER = ClueClassifier()
POINTER = (0, 0)
PLACES = [(4, 0), (4, 4), (4, 8), (4, 12), (8, 0), (8, 4), (8, 8), (8, 12)]
SIGNS = torch.linspace(0.7, 1, len(PLACES))


class Pointers:
    """Scenes with a clue at one of eight places; a tile at POINTER says at which, not its level.

    The completer is exact. One look at the pointer is worth nothing by itself, and ln 3 with the
    look after it; a look at a place is worth ln 3 / 8.
    """

    def __init__(self) -> None:
        self.every = torch.stack([self.draw(p, v) for p in range(len(PLACES)) for v in range(3)])

    def draw(self, place: int, level: int) -> Tensor:
        scene = torch.full((1, 16, 16), BACKGROUND)
        for (row, column), value in ((POINTER, SIGNS[place]), (PLACES[place], LEVELS[level])):
            scene[0, row : row + PATCH, column : column + PATCH] = value
        return scene

    def scenes(self, number: int) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        places = torch.randint(len(PLACES), (number,), generator=generator).tolist()
        levels = torch.randint(3, (number,), generator=generator).tolist()
        return torch.stack([self.draw(*each) for each in zip(places, levels, strict=True)])

    def sample(self, observation: Observation, n: int, seed: int | Sequence[int] = 0) -> Tensor:
        drawn = []
        for b, each in enumerate(per_scene(seed, len(observation))):
            possible = self.possible(observation, b)
            generator = torch.Generator().manual_seed(each)
            drawn.append(possible[torch.randint(len(possible), (n,), generator=generator)])
        return torch.stack(drawn, dim=1)

    def possible(self, observation: Observation, b: int) -> Tensor:
        """All scenes that look like that, as likely each."""
        differs = (self.every - observation.values[b]).abs() * observation.mask[b] > 0.01
        return self.every[~differs.flatten(1).any(1)]


def nll(result: Trajectory, scenes: Tensor) -> list[float]:
    whole = CLASSIFIER.log_probs(Observation(scenes, torch.ones_like(scenes))).argmax(1)
    picked = result.log_beliefs.gather(
        2, whole[:, None, None].expand(-1, len(result.observations), 1)
    )
    return (-picked[..., 0].mean(0)).tolist()


def test_greedy_is_wrong_and_looking_ahead_is_right() -> None:
    world, scenes = Pointers(), Pointers().scenes(60)
    greedy = BOED(world, CLASSIFIER, n=12, first_look=FirstLook(n=100))
    one = acquire(scenes, TILED, greedy, steps=2, classifier=CLASSIFIER)
    two = acquire(
        scenes[:6], TILED, TwoStep(greedy, m=16, n_after=4), steps=2, classifier=CLASSIFIER
    )
    assert tuple(one.designs[0, 0].tolist()) in PLACES
    assert two.designs[:, 0].tolist() == [list(POINTER)] * 6
    assert nll(two, scenes[:6]) == pytest.approx([math.log(3), math.log(3), 0], abs=1e-6)
    # two of eight places: found with probability 1/4, within 4 standard errors of 60 scenes
    assert nll(one, scenes)[2] == pytest.approx(0.75 * math.log(3), abs=4 * 1.1 * 0.433 / 60**0.5)


def test_values_are_those_of_the_best_two_looks() -> None:
    """After an empty place the pointer leads to ln 3, another place to 1/7 of it and then 1/6."""

    class Enumerated(Pointers):
        def sample(self, observation: Observation, n: int, seed: int | Sequence[int] = 0) -> Tensor:
            each = [self.possible(observation, b) for b in range(len(observation))]
            return torch.stack([some[torch.arange(n) % len(some)] for some in each], dim=1)

    world = Enumerated()
    scene, empty = world.draw(3, 1)[None], torch.tensor([PLACES[0]])
    seen = TILED.observe(Observation.nothing(1, 1, 16), scene, empty)
    decision = TwoStep(BOED(world, CLASSIFIER, n=21), m=16, n_after=18).choose(seen, TILED, 1)
    assert decision.scores is not None
    value = dict(zip(map(tuple, decision.candidates.tolist()), decision.scores[0], strict=True))
    assert float(value[POINTER]) == pytest.approx(math.log(3), abs=1e-5)
    for place in PLACES[1:]:
        expected = math.log(3) * (1 / 7 + 6 / 7 / 6)
        assert float(value[place]) == pytest.approx(expected, abs=1e-5)
    assert decision.designs.tolist() == [list(POINTER)]


def test_only_the_most_promising_are_followed() -> None:
    """As many as asked for, those of highest EIG; the calls that they cost are bounded."""

    class Counted(Pointers):
        asked = 0

        def sample(self, observation: Observation, n: int, seed: int | Sequence[int] = 0) -> Tensor:
            self.asked += len(observation) * n
            return super().sample(observation, n, seed)

    world = Counted()
    seen = TILED.observe(
        Observation.nothing(2, 1, 16), world.scenes(2), torch.tensor([[12, 0]] * 2)
    )
    policy = BOED(world, CLASSIFIER, n=6)
    eig = policy.choose(seen, TILED, 0).scores
    world.asked = 0
    decision = TwoStep(policy, m=3, n_after=2).choose(seen, TILED, 0)
    assert world.asked == 2 * 6 + 2 * 3 * 6 * 2
    assert decision.scores is not None
    assert eig is not None
    followed = ~decision.scores.isnan()
    assert followed.sum(1).tolist() == [3, 3]
    lowest = eig.masked_fill(~followed, torch.inf).amin(1)
    others = eig.masked_fill(followed, -torch.inf).amax(1)
    assert bool((lowest >= others - 1e-4).all())
    assert bool((decision.scores >= eig - 1e-5)[followed].all())


def test_one_by_one_as_batched() -> None:
    scenes = Pointers().scenes(4)
    seeds = [derive(0, "scene", row) for row in range(4)]
    policy = TwoStep(BOED(Pointers(), CLASSIFIER, n=3, first_look=FirstLook(n=10)), m=4, n_after=2)
    whole = acquire(scenes, TILED, policy, steps=3, classifier=CLASSIFIER, seed=seeds)
    again = acquire(scenes, TILED, policy, steps=3, classifier=CLASSIFIER, seed=seeds)
    assert torch.equal(whole.designs, again.designs)
    for b, seed in enumerate(seeds):
        alone = acquire(
            scenes[b : b + 1], TILED, policy, steps=3, classifier=CLASSIFIER, seed=[seed]
        )
        assert torch.equal(alone.designs[0], whole.designs[b])
        torch.testing.assert_close(alone.scores[0], whole.scores[b], rtol=0, atol=1e-6)


def test_sensor_with_noise() -> None:
    clues = Clues()
    sensor = PatchSensor(16, 0.25, 4, noise=1e-4)
    policy = TwoStep(BOED(ClueCompleter(clues), CLASSIFIER, n=3, first_look=FirstLook(n=12)), m=3)
    result = acquire(clues.dataset(2).scenes(), sensor, policy, steps=2, classifier=CLASSIFIER)
    assert bool(CLASSIFIER.levels_seen(result.observations[2]).any(1).all())
    assert not policy.deterministic


def test_refused() -> None:
    boed = BOED(Pointers(), CLASSIFIER)
    with pytest.raises(ValueError, match="m is 0, expected at least 1"):
        TwoStep(boed, m=0)
    with pytest.raises(ValueError, match="n_after is 0, expected at least 1"):
        TwoStep(boed, n_after=0)
    with pytest.raises(ValueError, match="policy has per_cost=True"):
        TwoStep(BOED(Pointers(), CLASSIFIER, per_cost=True))
