"""Posteriors by sequential Monte Carlo against closed forms, and the greedy policy upon them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import Tensor

from boed.eig.model.design_space import DesignSpace
from boed.eig.model.greedy import Greedy
from boed.eig.model.posterior import Posterior, sample_posterior
from boed.eig.model.sequence_model import sequence_model
from boed.problems import FiniteSpace, LinearGaussian

PLANE = LinearGaussian(prior_covariance=torch.diag(torch.tensor([1.0, 2.25])))
ROWS = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
SEEN = torch.tensor([0.5, -1.0, -0.5])


def plane(noise: float = 1.0, **changes: Any) -> Posterior:
    problem = LinearGaussian(prior_covariance=PLANE.prior_covariance, noise=noise)
    given = {"example": ROWS[0], "particles": 1000} | changes
    return sample_posterior(problem.model, ROWS, SEEN, **given)


@pytest.mark.parametrize("noise", [1.0, 0.005])
def test_a_gaussian_posterior_has_its_moments_and_evidence(noise: float) -> None:
    """From mild looks to ones that leave one particle in millions."""
    result = plane(noise)
    precision = torch.diag(torch.tensor([1.0, 1 / 2.25])) + ROWS.mT @ ROWS / noise**2
    covariance = torch.linalg.inv(precision.double())
    mean = covariance @ (ROWS.mT @ SEEN).double() / noise**2
    marginal = torch.distributions.MultivariateNormal(
        torch.zeros(3).double(),
        (ROWS @ PLANE.prior_covariance @ ROWS.mT + noise**2 * torch.eye(3)).double(),
    )
    sd = covariance.diagonal().sqrt()
    assert ((result.mean("theta").double() - mean).abs() < 0.25 * sd + 1e-6).all()
    ratio = result.standard_deviation("theta").double() / sd
    assert ((ratio > 0.85) & (ratio < 1.15)).all()
    expected = float(marginal.log_prob(SEEN.double()))
    assert result.log_evidence == pytest.approx(expected, rel=0.01, abs=0.3)
    assert 200 < result.effective <= 1000.5


def test_nothing_seen_is_the_prior() -> None:
    result = sample_posterior(
        PLANE.model, ROWS[:0], SEEN[:0], example=ROWS[0], particles=2000, seed=3
    )
    assert result.log_evidence == 0
    assert result.effective == pytest.approx(2000, rel=1e-4)
    assert result.standard_deviation("theta").tolist() == pytest.approx([1.0, 1.5], rel=0.1)


def coin(design: Tensor) -> None:
    with pyro.plate_stack("plate", design.shape[:-1]):
        theta = pyro.sample("theta", dist.Beta(design.new_ones(()), design.new_ones(())))
        pyro.sample("y", dist.Bernoulli(theta))


def test_a_bounded_latent_stays_within_its_bounds() -> None:
    tosses = torch.tensor([1.0] * 10 + [0.0] * 2)
    result = sample_posterior(
        coin, torch.zeros(12, 1), tosses, example=torch.zeros(1), particles=1000, moves=5
    )
    beta = torch.distributions.Beta(11.0, 3.0)
    assert float(result.mean("theta")) == pytest.approx(float(beta.mean), abs=0.02)
    assert float(result.standard_deviation("theta")) == pytest.approx(float(beta.stddev), rel=0.2)
    assert ((result.latents["theta"] > 0) & (result.latents["theta"] < 1)).all()


def test_discrete_latents_are_weighed() -> None:
    """theta ~ Bernoulli(0.4), y ~ Bernoulli((d + theta) / 2): by Bayes' rule."""
    result = sample_posterior(
        FiniteSpace().model,
        torch.full((3, 1), 0.5),
        torch.ones(3),
        example=torch.tensor([0.5]),
        particles=4000,
    )
    odds = 0.4 * 0.75**3 / (0.6 * 0.25**3)
    assert float(result.mean("theta")) == pytest.approx(odds / (1 + odds), abs=0.02)


def test_the_same_seed_gives_the_same_draws_and_leaves_the_state() -> None:
    state = torch.random.get_rng_state()
    first, again, other = (plane(particles=50, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first.latents["theta"], again.latents["theta"])
    assert not torch.equal(first.latents["theta"], other.latents["theta"])
    assert torch.equal(state, torch.random.get_rng_state())
    assert first.draw(7)["theta"].shape == (7, 2)


def within(design: Tensor) -> None:
    with pyro.plate_stack("plate", design.shape[:-1]):
        theta = pyro.sample("theta", dist.Uniform(0 * design[..., 0], 1.0))
        pyro.sample("y", dist.Uniform(theta - 1, theta + 1, validate_args=False))


def bad(**changes: Any) -> Callable[[], Any]:
    given: dict[str, Any] = {"example": torch.zeros(1), "particles": 20}
    designs, outcomes = changes.pop("designs", torch.zeros(2, 1)), changes.pop("outcomes", None)
    seen = torch.zeros(2) if outcomes is None else outcomes
    return lambda: sample_posterior(coin, designs, seen, **(given | changes))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (bad(particles=1), "particles is 1, expected at least 2"),
        (bad(moves=-1), "moves is -1, expected at least 0"),
        (bad(outcomes=torch.zeros(3)), "2 designs and 3 outcomes"),
        (bad(target="other"), "no site 'other'"),
        (
            lambda: sample_posterior(
                within, torch.ones(1, 1), torch.tensor([7.0]), example=torch.ones(1)
            ),
            r"outcome 0 \(7.0\) is impossible for all 4096 particles",
        ),
    ],
)
def test_bad_input_names_the_culprit(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def greedy(**changes: Any) -> Greedy:
    problem = sequence_model(PLANE.model, ROWS[0], "y", target="theta", estimator="greedy")
    given: dict[str, Any] = {"number": 2, "candidates": lambda number: ROWS[:number]}
    return Greedy(problem=problem, example=ROWS[0], **(given | changes))


def test_greedy_looks_where_least_is_known() -> None:
    """The second coordinate at first, and the first one where the second was looked at."""
    policy = greedy(samples=256, contrasts=256, particles=512)
    nothing = policy(torch.zeros(1, 0, 2), torch.zeros(1, 0))
    assert nothing.tolist() == [[0.0, 1.0]]
    seen = ROWS[1].expand(2, 4, 2)
    after = policy(seen, torch.tensor([[0.1, 0.3, 0.2, -0.2], [2.0, 2.2, 1.9, 2.1]]))
    assert after.tolist() == [[1.0, 0.0]] * 2


def test_a_greedy_policy_needs_candidates_and_draws() -> None:
    for name in ("number", "samples", "contrasts"):
        with pytest.raises(ValueError, match=f"{name} is 0, expected at least 1"):
            greedy(**{name: 0})
    with pytest.raises(ValueError, match="particles is 1, expected at least 2"):
        greedy(particles=1)


def test_greedy_climbs_to_where_no_candidate_is() -> None:
    """Of a linear look within a square its corners tell most."""
    bounds = torch.tensor([[-1.0, -1.0], [1.0, 1.0]])
    given: dict[str, Any] = {"number": 6, "samples": 128, "contrasts": 64, "particles": 256}
    policy = climbing(PLANE.model, DesignSpace(bounds=bounds), **given)
    (before,) = replace(policy, ascent=0)(torch.zeros(1, 0, 2), torch.zeros(1, 0))
    (after,) = policy(torch.zeros(1, 0, 2), torch.zeros(1, 0))
    assert before.abs().min() < 0.9
    assert after.abs().min() > 0.97
    assert after.abs().max() <= 1


def test_it_climbs_where_outcomes_are_answers() -> None:
    """A question of yes or no tells most if both are as likely: at the prior's median, 1."""
    policy = climbing(
        threshold, DesignSpace(bounds=torch.tensor([[-2.0], [4.0]])), samples=512, number=3
    )
    (found,) = policy(torch.zeros(1, 0, 1), torch.zeros(1, 0))
    assert float(found) == pytest.approx(1, abs=0.25)


def threshold(design: Tensor) -> None:
    with pyro.plate_stack("plate", design.shape[:-1]):
        theta = pyro.sample("theta", dist.Normal(design.new_ones(()), design.new_ones(())))
        pyro.sample("y", dist.Bernoulli(logits=8 * (theta - design[..., 0])))


def climbing(model: Callable[[Tensor], Any], space: DesignSpace, **changes: Any) -> Greedy:
    torch.manual_seed(0)
    example = space.draw(1)[0]
    problem = sequence_model(model, example, "y", target="theta", estimator="greedy")
    given: dict[str, Any] = {"ascent": 60, "starts": 3, "candidates": space.draw}
    return Greedy(problem=replace(problem, space=space), example=example, **(given | changes))


def test_an_ascent_needs_two_samples() -> None:
    with pytest.raises(ValueError, match="samples is 1, expected at least 2"):
        climbing(
            PLANE.model, DesignSpace(bounds=torch.tensor([[-1.0], [1.0]]).expand(2, 2)), samples=1
        )


def rounded(design: Tensor) -> None:
    PLANE.model(design.detach().round())


def test_where_nothing_climbs_is_told() -> None:
    with pytest.raises(ValueError, match="ascent is 60, but designs are a set of 3"):
        climbing(PLANE.model, DesignSpace(designs=ROWS))
    policy = climbing(rounded, DesignSpace(bounds=torch.tensor([[-3.0, -3.0], [3.0, 3.0]])))
    with pytest.raises(ValueError, match="ascent is 60, but the model's log-likelihood has no"):
        policy(torch.zeros(1, 0, 2), torch.zeros(1, 0))
