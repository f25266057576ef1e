"""sPCE and sNMC of roll-outs against closed forms and against one joint design."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import Tensor

from boed.eig.model.sequence_model import sequence_model
from boed.eig.model.sequential import (
    contrastive_terms,
    fixed_policy,
    random_policy,
    roll_out,
    roll_out_log_likelihood,
    sequential_pce,
)

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


def test_the_same_designs_see_the_same_however_they_were_chosen() -> None:
    drawn = run(random_policy(lambda n: torch.randn(n, 2)), steps=3)
    again = run(lambda designs, _: drawn.designs[:, designs.shape[1]], steps=3)
    assert torch.equal(again.designs, drawn.designs)
    assert torch.equal(again.outcomes, drawn.outcomes)
    assert again.lower == drawn.lower


def drifting(design: Tensor) -> None:
    """What is far out drifts: a site that only some designs have."""
    with pyro.plate_stack("plate", design.shape[:-1]):
        mean = pyro.sample("theta", dist.Normal(design.new_zeros(()), 1.0)) * design[..., 0]
        if bool((design[..., 0] > 0.5).any()):
            mean = mean + pyro.sample("drift", dist.Normal(design.new_zeros(()), 3.0))
        pyro.sample("y", dist.Normal(mean, 0.5))


@pytest.mark.parametrize("far", [0.0, 1.0])
def test_a_site_of_some_designs_alone_is_refused(far: float) -> None:
    target = ["theta", "drift"] if far else "theta"  # at 1 there is one, at 0 it is gone
    with pytest.raises(ValueError, match=r"one run samples the sites .* the same ones at every"):
        sequential_pce(
            drifting, fixed_policy(torch.full((1, 1), 1 - far)), 1,
            example=torch.full((1,), far), target=target, samples=8, contrasts=8,
        )  # fmt: skip


def test_designs_that_are_single_numbers_are_paid_for() -> None:
    def model(design: Tensor) -> None:
        with pyro.plate_stack("plate", design.shape):
            theta = pyro.sample("theta", dist.Normal(design.new_zeros(()), 1.0))
            pyro.sample("y", dist.Normal(design * theta, 1.0))

    looks = fixed_policy(torch.tensor([1.0, 2.0, 1.0]))
    found = sequential_pce(model, looks, 3, example=torch.zeros(()), samples=8, budget=2.0)
    assert found.looks.tolist() == [2] * 8


def test_many_contrasts_fit_a_small_memory() -> None:
    result = run(fixed_policy(ROWS), samples=4, contrasts=100_000, memory=4)
    assert result.lower < result.upper < result.lower + 0.01
    assert result.gap == result.upper - result.lower
    assert result.ceiling == math.log(100_001)
    assert result.roll_outs == 4


@pytest.mark.parametrize("samples", [7, 3000])
def test_the_answer_does_not_depend_on_the_memory(samples: int) -> None:
    """Few scenes are cut along the contrasts, many along the scenes, too."""
    changes = {"samples": samples, "contrasts": 70_000 // samples}
    least, most = (run(fixed_policy(ROWS), **changes, memory=memory) for memory in (1, 512))
    assert torch.equal(least.outcomes, most.outcomes)
    assert least.lower == pytest.approx(most.lower, rel=1e-6)
    assert least.upper == pytest.approx(most.upper, rel=1e-6)


@pytest.mark.parametrize("scenes", [5, 4000])
def test_no_more_is_evaluated_at_once_than_fits_the_memory(scenes: int) -> None:
    problem = sequence_model(measurement, ROWS[0], "y", target="theta", estimator="tested")
    roll = roll_out(problem, fixed_policy(ROWS), ROWS[0], steps=3, batch=scenes)
    sizes = []

    def watched(problem: Any, roll: Any, latents: Any) -> Tensor:
        sizes.append(len(latents["theta"]) * roll.designs.numel())
        return roll_out_log_likelihood(problem, roll, latents)

    contrastive_terms(
        problem, roll, 100_000 // scenes, example=ROWS[0], memory=1, likelihood=watched
    )
    assert max(sizes) <= 2**20 / (16 * 4)


def test_looks_chosen_together_count_as_that_many() -> None:
    """The policy is asked once for three rows, and sees nothing of them before."""
    asked = []

    def policy(designs: Tensor, outcomes: Tensor) -> Tensor:
        asked.append(designs.shape[1])
        return ROWS.expand(len(designs), 3, 2)

    together = run(policy, steps=1, at_once=3, samples=100)
    assert asked == [0]
    assert torch.equal(together.designs[0], ROWS)
    assert (together.looks == 3).all()
    assert together.lower == run(fixed_policy(ROWS), samples=100).lower


SCALES: dict[str, Any] = {
    "zero at the second look": lambda design: dist.Normal(0.0, design[..., 0]),
    "one point": lambda design: dist.Delta(design[..., 0], log_density=math.inf),
}


def bad_law(law: Any) -> Any:
    def model(design: Tensor) -> None:
        with pyro.plate_stack("plate", design.shape[:-1]):
            pyro.sample("theta", dist.Normal(torch.zeros(design.shape[:-1]), 1.0))
            pyro.sample("y", law(design))

    return model


@pytest.mark.parametrize("law", SCALES.values(), ids=SCALES)
def test_an_infinite_likelihood_of_the_truth_is_refused(law: Any) -> None:
    with pytest.raises(ValueError, match=r"log-likelihood of site 'y' .*is (inf|NaN) in [1-9]"):
        sequential_pce(bad_law(law), fixed_policy(ROWS), 3, samples=5, example=ROWS[0])


def by_first(design: Tensor) -> None:
    """Right for designs of two batch dimensions, wrong for three."""
    with pyro.plate_stack("plate", design.shape[:-1]):
        theta = pyro.sample("theta", dist.Normal(torch.zeros(design.shape[:-1]), 1.0))
        pyro.sample("y", dist.Normal(theta * design[:, :, 0], 1.0))


def by_reshape(design: Tensor) -> None:
    batch = design.shape[:-1]
    with pyro.plate_stack("plate", batch):
        theta = pyro.sample("theta", dist.Normal(torch.zeros(batch), 1.0))
        mean = (theta * design[..., 0]).reshape(batch[0], batch[1], -1).sum(-1)
        pyro.sample("y", dist.Normal(mean, 1.0))


@pytest.mark.parametrize("model", [by_first, by_reshape])
def test_a_likelihood_that_does_not_broadcast_is_refused(model: Any) -> None:
    with pytest.raises(ValueError, match=r"batch shape \(2, 3, 4\).* broadcast"):
        sequential_pce(model, fixed_policy(ROWS), 3, samples=5, example=ROWS[0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "steps is 0, expected at least 1"),
        ({"samples": 0}, "samples is 0, expected at least 1"),
        ({"contrasts": 0}, "contrasts is 0, expected at least 1"),
        ({"contrasts": -3}, "contrasts is -3, expected at least 1"),
        ({"contrasts": 2.5}, "contrasts is a float, 2.5"),
        ({"at_once": 0}, "at_once is 0, expected at least 1"),
        ({"budget": 0.0}, "budget is 0.0, expected more than 0"),
        ({"budget": math.nan}, "budget is nan, expected more than 0"),
        ({"example": torch.zeros(0)}, "model failed"),
        ({"steps": 4}, "fixed_policy has 3 looks, asked for one more"),
        ({"policy": lambda d, y: [0.0, 1.0]}, "policy returned a list at step 0"),
        ({"at_once": 2}, r"policy returned shape \(10, 2\) at step 0, expected \(10, 2, 2\)"),
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


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "steps is 0, expected at least 1"),
        ({"batch": 0}, "batch is 0, expected at least 1"),
    ],
)
def test_a_roll_out_needs_a_horizon_and_scenes(changes: dict[str, int], message: str) -> None:
    problem = sequence_model(measurement, ROWS[0], "y", target="theta", estimator="tested")
    with pytest.raises(ValueError, match=message):
        roll_out(problem, fixed_policy(ROWS), ROWS[0], **({"steps": 2, "batch": 2} | changes))
    roll = roll_out(problem, fixed_policy(ROWS), ROWS[0], steps=2, batch=2)
    with pytest.raises(ValueError, match="contrasts is 0, expected at least 1"):
        contrastive_terms(problem, roll, 0, example=ROWS[0])


def test_compiled_likelihoods_give_the_same_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = run(fixed_policy(ROWS), samples=20, contrasts=50)
    monkeypatch.setattr("boed.eig.model.fused.COMPILED", 0)
    compiled = run(fixed_policy(ROWS), samples=20, contrasts=50)
    assert compiled.lower == pytest.approx(plain.lower, abs=1e-5)
    assert compiled.upper == pytest.approx(plain.upper, abs=1e-5)


def test_a_model_that_leaves_torch_is_not_compiled(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def through_numpy(design: Tensor) -> None:
        with pyro.plate_stack("plate", design.shape[:-1]):
            theta = pyro.sample("theta", dist.Normal(torch.zeros(()), 1.0))
            mean = torch.from_numpy(np.sin((theta * design[..., 0]).detach().numpy()))
            pyro.sample("y", dist.Normal(mean, 0.1))

    given: dict[str, Any] = {"samples": 20, "contrasts": 200, "example": torch.ones(1)}
    plain = sequential_pce(through_numpy, fixed_policy(torch.ones(2, 1)), 2, **given)
    monkeypatch.setattr("boed.eig.model.fused.COMPILED", 0)
    again = sequential_pce(through_numpy, fixed_policy(torch.ones(2, 1)), 2, **given)
    assert again.lower == plain.lower
    assert "is not compiled" in caplog.text
