"""Contrasts from a law like the posterior of each roll-out."""

from __future__ import annotations

import math
from dataclasses import replace

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import Tensor

from boed.eig import fixed_policy, sequential_pce
from boed.eig.model import proposal as proposals
from boed.eig.model.proposal import Proposal
from boed.eig.model.roll_outs import roll_out
from boed.eig.model.sequence_model import sequence_model
from boed.eig.model.targets import Targets

NOISE = 1e-3
LOOKS = torch.ones(2, 1)


def line(design: Tensor) -> Tensor:
    """theta ~ N(0, 1), read with noise of 1e-3."""
    with pyro.plate_stack("plate", design.shape[:-1]):
        theta = pyro.sample("theta", dist.Normal(torch.zeros(()), 1.0))
        return pyro.sample("y", dist.Normal(theta * design[..., 0], NOISE))


def square(design: Tensor) -> Tensor:
    """Of theta only the square is seen: two modes."""
    with pyro.plate_stack("plate", design.shape[:-1]):
        theta = pyro.sample("theta", dist.Normal(torch.zeros(()), 1.0))
        return pyro.sample("y", dist.Normal(theta**2 * design[..., 0], 0.05))


def hills(design: Tensor) -> Tensor:
    """Theta finely through a wave and roughly as it is: many hills, one of which is high."""
    with pyro.plate_stack("plate", design.shape[:-1]):
        theta = pyro.sample("theta", dist.Normal(torch.zeros(()), 1.0))
        seen = torch.stack([(15 * theta).sin() * design[..., 0], theta], -1)
        return pyro.sample("y", dist.Normal(seen, torch.tensor([1e-3, 0.02])).to_event(1))


def shares(design: Tensor) -> Tensor:
    """Targets on a simplex and above zero."""
    with pyro.plate_stack("plate", design.shape[:-1]):
        alpha = pyro.sample("alpha", dist.Dirichlet(torch.ones(3)))
        rate = pyro.sample("rate", dist.LogNormal(torch.zeros(()), 1.0))
        return pyro.sample("y", dist.Normal(rate * alpha[..., 0] * design[..., 0], 0.1))


def choice(design: Tensor) -> Tensor:
    with pyro.plate_stack("plate", design.shape[:-1]):
        theta = pyro.sample("theta", dist.Bernoulli(torch.full((), 0.5)))
        return pyro.sample("y", dist.Normal(theta * design[..., 0], 1.0))


def bounds(model, target="theta", *, samples=128, contrasts=200, proposal="posterior", seed=0):
    return sequential_pce(
        model, fixed_policy(LOOKS), 2, samples=samples, contrasts=contrasts,
        example=LOOKS[0], target=target, proposal=proposal, seed=seed,
    )  # fmt: skip


def test_two_hundred_contrasts_enclose_what_billions_would() -> None:
    """EIG = 1/2 ln(1 + 2 / s^2) = 7.25 nats, above ln(201) = 5.30."""
    exact = 0.5 * math.log1p(2 / NOISE**2)
    found = bounds(line)
    assert found.gap < 0.05
    assert found.lower == pytest.approx(exact, abs=4 * found.lower_error)
    assert found.upper == pytest.approx(exact, abs=4 * found.upper_error)
    assert found.ceiling == math.inf
    assert bounds(line, proposal="prior").lower <= math.log(201)


def test_both_modes_are_found() -> None:
    found, many = bounds(square), bounds(square, contrasts=20_000, proposal="prior")
    assert found.gap < 0.1
    assert torch.equal(found.outcomes, many.outcomes)  # the same experiments
    assert found.lower == pytest.approx(many.lower, abs=0.1)


def test_modes_that_predict_something_else_are_not_the_last_word(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """From few places most climbs end on a low hill, and the upper bound pays for each."""
    monkeypatch.setattr(proposals, "STARTS", proposals.CENTRES)
    found = bounds(hills)
    assert found.gap < 1
    monkeypatch.setattr(proposals, "ROUNDS", 0)
    assert bounds(hills).gap > 30


def test_several_targets_with_bounds() -> None:
    found = bounds(shares, ("alpha", "rate"))
    many = bounds(shares, ("alpha", "rate"), contrasts=20_000, proposal="prior")
    assert found.gap < 0.1
    assert found.lower == pytest.approx(many.lower, abs=0.1)


def test_the_law_does_not_know_the_truth() -> None:
    problem = sequence_model(square, LOOKS[0], "y", target="theta", estimator="tested")
    targets = Targets(problem, LOOKS[0])
    torch.manual_seed(0)
    roll = roll_out(problem, fixed_policy(LOOKS), LOOKS[0], steps=2, batch=8)
    blind = replace(roll, latents={"theta": torch.full((8,), math.nan)})
    laws = []
    for each in (roll, blind):
        torch.manual_seed(1)
        laws.append(Proposal.fitted(problem, targets, each, piece=4096).law)
    assert torch.equal(laws[0].centre, laws[1].centre)
    assert torch.equal(laws[0].root, laws[1].root)


@pytest.mark.parametrize("samples", [2, 130])
def test_few_draws_say_nothing_against_a_prior(samples: int) -> None:
    for seed in range(4):
        found = bounds(line, samples=samples, contrasts=3, seed=seed)
        assert math.isfinite(found.lower)


def test_what_it_cannot_do_is_said() -> None:
    with pytest.raises(ValueError, match=r"proposal is 'posterior', and site 'theta' is not cont"):
        bounds(choice)
    with pytest.raises(ValueError, match=r"proposal is 'posteriors': did you mean 'posterior'"):
        bounds(line, proposal="posteriors")
