"""Racing: who is dropped, and how often wrongly."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from boed.acquire import acquire
from boed.completion.classical.retrieval import Retrieval
from boed.data.observation import Observation
from boed.policies import BOED, FirstLook
from boed.search import (
    Exhaustive,
    Racing,
)
from boed.sensors import PatchSensor
from tests.doubles import TILES, Clues
from tests.search.worlds import Table, search, skewed


@pytest.mark.parametrize("scouts", [1, 5])
def test_racing_by_limits_never_loses_the_best(scouts: int) -> None:
    table = skewed(400, 40)
    result = search(Racing(scouts=scouts), table)
    best = table.eig.argmax(1)
    assert torch.equal(result.eig.where(result.finished, -torch.inf).argmax(1), best)
    assert result.evaluations < 0.7 * table.gains.numel()


def test_racing_keeps_ties() -> None:
    """Policies choose among ties at random, and must be offered all of them."""
    table = skewed(50, 20)
    twice = Table(table.gains.repeat(1, 1, 2), weights=table.completions.weights)
    result = search(Racing(), twice)
    best = table.eig.argmax(1, keepdim=True)
    assert result.finished.gather(1, torch.cat([best, best + 20], dim=1)).all()


def test_t_intervals_keep_their_promise_for_gaussian_gains() -> None:
    """The best of 10 is dropped in at most 20 % of 2,000 races, + 3 standard errors."""
    draw = torch.Generator().manual_seed(0)
    common = torch.randn(12, 2000, 1, generator=draw) * 3  # cancels in differences
    gains = common + torch.randn(12, 2000, 10, generator=draw)
    gains = gains + torch.linspace(0, 3, 10)
    weights = torch.rand(12, 2000, generator=draw) + 0.2
    table = Table(gains, weights=weights / weights.sum(0))
    result = search(Racing(first=4, error=0.2), table, limited=False)
    share = result.finished.gather(1, table.eig.argmax(1, keepdim=True)).float().mean()
    assert share > 0.8 - 3 * (0.16 / 2000) ** 0.5
    assert result.evaluations < 0.75 * gains.numel()


def test_horses_that_finish_level_are_parted_as_often_as_the_error_says() -> None:
    """Half of the run seen; the t-interval is exact for Gaussian gains. 4 standard errors."""
    draw = torch.Generator().manual_seed(1)
    gains = torch.randn(8, 40000, 2, generator=draw)
    gains = gains - gains.mean(0)
    result = search(Racing(first=4, growth=2, error=0.3), Table(gains), limited=False)
    parted = float((~result.finished).any(1).float().mean())
    assert parted == pytest.approx(0.3, abs=4 * (0.21 / 40000) ** 0.5)


def test_racing_schedule_ends_with_all() -> None:
    assert Racing().schedule(10) == list(range(1, 11))
    assert Racing(first=4, growth=2).schedule(10) == [4, 8, 10]
    assert Racing(first=4).schedule(3) == [3]


def test_racing_without_a_limit_needs_an_error() -> None:
    with pytest.raises(ValueError, match="error is 0, but no limit of a gain of OfTable is known"):
        search(Racing(), skewed(3, 5), limited=False)


class Opinionated:
    """A belief that every pixel moves."""

    def log_probs(self, observation: Observation) -> Tensor:
        weights = torch.randn(256, 3, generator=torch.Generator().manual_seed(0))
        return (observation.values.flatten(1) @ weights).log_softmax(1)


@pytest.mark.parametrize("estimator", ["variational", "entropy", "information"])
def test_retrieved_completions_are_raced_with_their_weights(estimator: str) -> None:
    clues = Clues(TILES)
    scene = clues.dataset(6, 3).scenes()
    sensor, policies = PatchSensor(16, 0.25, 7), []
    for how in (Exhaustive(), Racing()):
        completer = Retrieval(clues.dataset(40, 8), bandwidth=0.3)
        policies.append(
            BOED(
                completer,
                Opinionated(),
                estimator=estimator,
                n=8,
                first_look=FirstLook(n=20),
                search=how,
            )
        )
    runs = [
        acquire(scene, sensor, each, steps=3, classifier=Opinionated(), seed=2) for each in policies
    ]
    assert torch.equal(runs[0].designs, runs[1].designs)
    assert torch.allclose(runs[0].scores, runs[1].scores, atol=1e-6)
