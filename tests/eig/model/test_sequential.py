"""sPCE and sNMC of roll-outs against closed forms and against one joint design."""

from __future__ import annotations

import math
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import Tensor

from boed.eig.model.sequential import fixed_policy, random_policy, sequential_pce

ROWS = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])


def measurement(design: Tensor) -> None:
    batch = design.shape[:-1]
    with pyro.plate_stack("plate", batch):
        prior = dist.Normal(torch.zeros(2), torch.tensor([1.0, 1.5]))
        theta = pyro.sample("theta", prior.expand((*batch, 2)).to_event(1))
        pyro.sample("y", dist.Normal((design * theta).sum(-1), 1.0))


def run(policy: Any, **changes: Any) -> Any:
    arguments: dict[str, Any] = {"steps": 3, "samples": 2000, "contrasts": 500, "example": ROWS[0]}
    return sequential_pce(measurement, policy, **(arguments | changes))


def test_fixed_looks_have_the_joint_designs_eig() -> None:
    result = run(fixed_policy(ROWS), samples=4000, contrasts=1000)
    assert result.designs.shape == (4000, 3, 2)
    assert torch.equal(result.designs[5], ROWS)
    assert result.outcomes.shape == (4000, 3)
    assert result.lower == pytest.approx(1.1989477, abs=4 * result.lower_error + 0.01)
    assert result.upper == pytest.approx(1.1989477, abs=4 * result.upper_error + 0.01)


@pytest.mark.filterwarnings("ignore:contrasts is 15")
def test_bounds_enclose_the_truth_and_respect_the_ceiling() -> None:
    result = run(fixed_policy(5 * ROWS), contrasts=15)
    truth = 0.5 * math.log((1 + 25.0) * (1 + 2 * 25 * 2.25))
    assert result.lower <= math.log(16)
    assert result.lower + 0.5 < truth < result.upper - 0.5


def test_a_look_that_sees_nothing_adds_nothing() -> None:
    result = run(fixed_policy(0 * ROWS))
    assert result.lower == pytest.approx(0.0, abs=1e-5)
    assert result.upper == pytest.approx(0.0, abs=1e-5)


def test_the_policy_sees_the_past_and_can_use_it() -> None:
    """The first look tells the sign of theta_2; the policy repeats it only where it is positive."""
    shapes = []

    def policy(designs: Tensor, outcomes: Tensor) -> Tensor:
        shapes.append((tuple(designs.shape), tuple(outcomes.shape)))
        if designs.shape[1] == 0:
            return ROWS[1].expand(len(designs), 2)
        return torch.where((outcomes[:, :1] > 0), ROWS[1], 0 * ROWS[1])

    result = run(policy, steps=2, samples=4000)
    assert shapes == [((4000, 0, 2), (4000, 0)), ((4000, 1, 2), (4000, 1))]
    once, twice = 0.5 * math.log(1 + 2.25), 0.5 * math.log(1 + 2 * 2.25)
    truth = (once + twice) / 2
    assert result.lower == pytest.approx(truth, abs=4 * result.lower_error + 0.01)


def test_random_looks_differ_between_scenes_and_repeat_with_the_seed() -> None:
    results = [run(random_policy(lambda n: torch.randn(n, 2)), seed=seed) for seed in (0, 0, 1)]
    assert results[0].designs[:, 0].std() > 0.5
    assert results[0].lower == results[1].lower != results[2].lower


def test_many_contrasts_fit_a_small_memory() -> None:
    result = run(fixed_policy(ROWS), samples=4, contrasts=100_000, memory=4)
    assert result.lower < result.upper < result.lower + 0.01


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "steps must be"),
        ({"samples": 0}, "samples must be"),
        ({"contrasts": 0}, "contrasts must be"),
        ({"observation": "z"}, "observation: the model has no site 'z'"),
        ({"policy": lambda d, y: torch.zeros(1)}, r"policy returned shape \(1,\) at step 0"),
        (
            {"policy": lambda d, y: torch.full((len(d), 2), torch.nan)},
            "policy returned a design that is not finite at step 0",
        ),
    ],
)
def test_bad_input_names_the_culprit(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run(**({"policy": fixed_policy(ROWS), "samples": 10, "contrasts": 10} | changes))
