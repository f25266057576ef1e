"""Looks that are pending together, with the shipped classifier of digits."""

from __future__ import annotations

import pytest
import torch

from boed.completion.completer import complete
from boed.eig.completions.estimate import design_problem
from boed.policies import BOED
from boed.search import greedy_batch
from boed.sensors.reading import read
from boed.session import Session
from boed.setup import Setup, setup

N = 8
"""Completions; retrieved ones, which are the same for every look of a batch."""


@pytest.fixture(scope="module")
def digits() -> Setup:
    return setup("digits", sensor="patch,grid=5", policies=["boed_retrieval"], completions=N)


@pytest.mark.parametrize("row", [0, 4, 7])
def test_two_pending_looks_are_worth_the_greedy_joint_batch(row: int, digits: Setup) -> None:
    policy = digits.policies["boed_retrieval"]
    assert isinstance(policy, BOED)
    session = Session(digits.sensor, policy, digits.classifier, seed=row)
    middle = torch.tensor([12, 12])
    session.ingest((12, 12), read(digits.sensor, digits.data.scenes([row]), middle))
    looks = session.suggest(2)
    completions = complete(policy.completer, session.observation, N, seed=0)
    problem = design_problem(
        session.observation, completions, digits.sensor, classifier=digits.classifier, seed=0
    )
    batch = greedy_batch(problem, 2)
    worth = [each.eig or 0.0 for each in looks]
    for ours, greedy in zip(worth, batch.eig[0].tolist(), strict=True):
        assert ours >= greedy - 1e-4 * max(1.0, greedy)  # a tie is as good
    assert worth[1] >= worth[0] - 1e-3
    designs = [each.design for each in (*looks, *session.suggest(4))]
    assert len({*designs, (12.0, 12.0)}) == 7
