"""Contrasts near the truth."""

import math

import pyro
import pyro.distributions as dist
import pytest
import torch

from boed.deep_adaptive import PolicyTrainingConfig, train_policy
from boed.deep_adaptive.experiments import run_experiments
from boed.deep_adaptive.loss import contrast, single_look, spce_loss
from boed.deep_adaptive.nearby import IMAGINED, Nearby, imagined
from boed.deep_adaptive.static_design import StaticDesign
from boed.eig.model.roll_outs import roll_out_log_likelihood
from boed.eig.model.sequential import fixed_policy, sequential_pce

NOISE = 1e-3


def line(design):
    """theta ~ N(0, 1) is read with noise of 1e-3 over the design."""
    with pyro.plate_stack("plate", design.shape[:-1]):
        theta = pyro.sample("theta", dist.Normal(torch.zeros(()), 1.0))
        return pyro.sample("y", dist.Normal(theta * design[..., 0], NOISE))


def shares(design):
    """Targets on a simplex and above zero."""
    with pyro.plate_stack("plate", design.shape[:-1]):
        alpha = pyro.sample("alpha", dist.Dirichlet(torch.ones(3)))
        rate = pyro.sample("rate", dist.LogNormal(torch.zeros(()), 1.5))
        mean = rate * (alpha[..., 0] - alpha[..., 1] * design[..., 0])
        return pyro.sample("y", dist.Normal(mean, 0.01))


def choice(design):
    """A target of two values."""
    with pyro.plate_stack("plate", design.shape[:-1]):
        theta = pyro.sample("theta", dist.Bernoulli(torch.full((), 0.5)))
        return pyro.sample("y", dist.Normal(theta * design[..., 0], 1.0))


def prepared(model, target, *, looks=2, batch=2000, at=1.0):
    """The model, a fixed policy, and experiments."""
    torch.manual_seed(0)
    policy = StaticDesign(torch.full((looks, 1), at))
    problem = single_look(model, policy, "y", target=target)
    roll = run_experiments(problem, policy, looks, batch=batch)
    return problem, policy, roll


def test_the_gain_is_not_held_down_by_the_number_of_contrasts():
    problem, policy, roll = prepared(line, "theta")
    exact = 0.5 * math.log1p(2 / NOISE**2)  # 7.25 nats, far below those of a billion contrasts
    held = contrast(problem, roll, 31)
    free = contrast(problem, roll, 31, nearby=Nearby(problem, policy.designs[0].detach()))
    assert float(held.gains.mean()) < math.log(32) + 1e-4
    error = float(free.gains.std()) / 2000**0.5
    assert float(free.gains.mean()) == pytest.approx(exact, abs=4 * error + 0.1)


def test_the_marginal_likelihood_is_unbiased():
    """Without the truth, 1/L sum_l w_l p(h | theta_l) has the mean p(h)."""
    problem, policy, roll = prepared(line, "theta", batch=500)
    nearby = Nearby(problem, policy.designs[0].detach())
    theta, log_weights = nearby.draw(roll, 999)
    assert theta["theta"].shape == (999, 500)
    assert log_weights.shape == (1000, 500)
    each = roll_out_log_likelihood(problem, roll, theta) + log_weights[1:]
    total = (each.logsumexp(0) - math.log(999)).detach()
    variance = NOISE**2
    outcomes = roll.outcomes.detach().double()
    both = outcomes.sum(1)
    exact = (
        -math.log(2 * math.pi)
        - 0.5 * math.log(variance * (variance + 2))
        - 0.5 * (outcomes.square().sum(1) - both**2 / (variance + 2)) / variance
    )
    ratio = (total - exact).exp()
    assert float(ratio.mean()) == pytest.approx(1.0, abs=0.02)
    assert float(ratio.std()) < 0.1


@pytest.mark.parametrize("share", [0.25, 0.5, 0.9])
def test_draws_of_bounded_targets_have_the_priors_mean(share):
    problem, policy, roll = prepared(shares, ("alpha", "rate"), batch=1000, at=0.5)
    nearby = Nearby(problem, policy.designs[0].detach(), share=share)
    theta, log_weights = nearby.draw(roll, 2000)
    weights = log_weights[1:].exp()
    assert weights.max() <= 1 / (1 - share) + 1e-4
    assert float(weights.mean()) == pytest.approx(1.0, abs=0.02)
    mean = (weights[..., None] * theta["alpha"]).mean((0, 1))
    assert torch.allclose(mean, torch.full((3,), 1 / 3), atol=0.02)
    assert (theta["rate"] > 0).all()
    assert (theta["alpha"] >= 0).all()


def test_the_gradient_is_that_of_the_eig_where_spces_is_gone():
    """EIG = 1/2 ln(1 + 2 d^2 / s^2): its gradient at d = 1 is nearly 1, both looks together."""
    problem, policy, _ = prepared(line, "theta")

    def slope(nearby):
        torch.manual_seed(1)
        policy.zero_grad()
        spce_loss(problem, policy, 2, batch=4000, contrasts=31, nearby=nearby).backward()
        return -sum(float(each.grad.sum()) for each in policy.parameters())

    unit = 1.0  # of a design in the policy's own parameters
    assert slope(None) < 0.1 * unit
    assert slope(Nearby(problem, policy.designs[0].detach())) == pytest.approx(unit, abs=0.1)


def test_what_it_cannot_do_is_said():
    settings = PolicyTrainingConfig(looks=1, steps=1, batch=2, contrasts=3, near=0.5)
    with pytest.raises(ValueError, match=r"near is 0.5, and site 'theta' is not continuous"):
        train_policy(choice, StaticDesign(torch.ones(1, 1)), settings, method="fixed")
    with pytest.raises(ValueError, match=r"contrasts is 1, expected at least 2"):
        PolicyTrainingConfig(near=0.5, contrasts=1)
    with pytest.raises(ValueError, match=r"method 'vsoed' draws no contrasts"):
        train_policy(line, StaticDesign(torch.ones(1, 1)), settings, method="vsoed")
    with pytest.raises(ValueError, match=r"^near"):
        PolicyTrainingConfig(near=0.95)


def test_many_targets_are_warned_about():
    def many(design):
        with pyro.plate_stack("plate", design.shape[:-1]):
            theta = pyro.sample("theta", dist.Normal(torch.zeros(11), 1.0).to_event(1))
            return pyro.sample("y", dist.Normal(theta.sum(-1) * design[..., 0], 1.0))

    problem, *_ = prepared(many, "theta", batch=2)
    with pytest.warns(UserWarning, match="the targets are 11 numbers"):
        Nearby(problem, torch.ones(1))


def test_gains_are_those_of_spce_with_a_billion_contrasts():
    most = math.log(IMAGINED + 1)
    held = imagined(torch.tensor([-3.0, 0.0, 8.0, 400.0]))
    assert float(held[0]) == pytest.approx(-3, abs=1e-4)
    assert float(held[1]) == pytest.approx(0, abs=1e-4)
    assert float(held[2]) == pytest.approx(8 - math.exp(8 - most), abs=1e-3)
    assert float(held[3]) == pytest.approx(most, abs=1e-4)


def circle(design):
    """Its density goes round and round on the reals."""
    with pyro.plate_stack("plate", design.shape[:-1]):
        theta = pyro.sample("theta", dist.VonMises(torch.zeros(()), torch.full((), 0.3)))
        return pyro.sample("y", dist.Normal(theta.cos() * design[..., 0], 0.5))


def moving(design):
    """The bounds of one target are another."""
    with pyro.plate_stack("plate", design.shape[:-1]):
        top = pyro.sample("top", dist.LogNormal(torch.zeros(()), 0.5))
        theta = pyro.sample("theta", dist.Uniform(0.0, top))
        return pyro.sample("y", dist.Normal(theta * design[..., 0], 0.5))


def step(design):
    """Its likelihood has no gradient in the target."""
    with pyro.plate_stack("plate", design.shape[:-1]):
        theta = pyro.sample("theta", dist.Normal(torch.zeros(()), 1.0))
        return pyro.sample("y", dist.Bernoulli(torch.where(theta > design[..., 0], 0.9, 0.1)))


@pytest.mark.parametrize(
    ("model", "target", "words"),
    [
        (circle, "theta", "the density of its prior integrates to"),
        (moving, ("top", "theta"), "site 'theta' has bounds that move"),
        (step, "theta", "no gradient in the target"),
    ],
)
def test_priors_and_likelihoods_that_it_cannot_be_right_for_are_refused(model, target, words):
    problem, policy, roll = prepared(model, target, batch=200)

    def drawn():
        return Nearby(problem, policy.designs[0].detach()).draw(roll, 200)

    with pytest.raises(ValueError, match=words):
        drawn()
    with pytest.raises(ValueError, match=words):
        sequential_pce(
            model, fixed_policy(torch.ones(2, 1)), 2, samples=50, contrasts=500,
            example=torch.ones(1), target=target, proposal="posterior",
        )  # fmt: skip


TIED = 0.99 * torch.ones(8, 8) + 0.01 * torch.eye(8)


def tied(design):
    """Eight numbers that the prior ties together, of which the first is read."""
    with pyro.plate_stack("plate", design.shape[:-1]):
        theta = pyro.sample("theta", dist.MultivariateNormal(torch.zeros(8), TIED))
        return pyro.sample("y", dist.Normal(theta[..., 0] * design[..., 0], 0.05))


def test_the_law_is_as_narrow_as_a_prior_that_ties_targets_together():
    problem, policy, roll = prepared(tied, "theta", looks=8, batch=1000)
    exact = 0.5 * math.log1p(8 / 0.05**2)
    found = contrast(problem, roll, 255, nearby=Nearby(problem, policy.designs[0].detach()))
    assert float(found.truth.mean()) < 0.05  # 0.4 with a law of untied targets
    error = float(found.gains.std()) / 1000**0.5
    assert float(found.gains.mean()) == pytest.approx(exact, abs=4 * error + 0.1)
    bounds = sequential_pce(
        tied, fixed_policy(torch.ones(8, 1)), 8, samples=100, contrasts=1000,
        example=torch.ones(1), proposal="posterior",
    )  # fmt: skip
    assert bounds.gap < 0.1
    assert bounds.lower == pytest.approx(exact, abs=4 * bounds.lower_error)


def correlated(design):
    """Of a target far out the covariance cannot be factorised."""
    with pyro.plate_stack("plate", design.shape[:-1]):
        theta = pyro.sample("theta", dist.Normal(torch.zeros(()), 1.0))
        off = theta.tanh() * design[..., 0].clamp(max=1)
        one = torch.ones_like(off)
        covariance = torch.stack([torch.stack([one, off], -1), torch.stack([off, one], -1)], -2)
        return pyro.sample("y", dist.MultivariateNormal(torch.zeros(2), covariance))


def test_the_model_is_not_run_where_nothing_counts():
    problem, policy, roll = prepared(correlated, "theta", batch=500)
    found = contrast(problem, roll, 255, nearby=Nearby(problem, policy.designs[0].detach()))
    plain = contrast(problem, roll, 4095)
    assert float(found.gains.mean()) == pytest.approx(float(plain.gains.mean()), abs=0.05)


def always(design):
    with pyro.plate_stack("plate", design.shape[:-1]):
        theta = pyro.sample("theta", dist.Delta(torch.ones(design.shape[:-1])))
        return pyro.sample("y", dist.Normal(theta * design[..., 0], 1.0))


def matrix(design):
    with pyro.plate_stack("plate", design.shape[:-1]):
        law = dist.Wishart(torch.tensor(4.0), torch.eye(2))
        theta = pyro.sample("theta", law.expand(design.shape[:-1]))
        return pyro.sample("y", dist.Normal(theta[..., 0, 0] * design[..., 0], 1.0))


@pytest.mark.parametrize(
    ("model", "words"),
    [(always, "is always the same"), (matrix, "has no density that can be mapped to the reals")],
)
def test_targets_without_such_a_density_are_named(model, words):
    torch.manual_seed(0)
    policy = StaticDesign(torch.ones(2, 1))
    problem = single_look(model, policy, "y", target="theta")
    with pytest.raises(ValueError, match=f"near is 0.5, and site 'theta' {words}; expected 0"):
        Nearby(problem, policy.designs[0].detach())


def test_a_ceiling_that_is_reached_is_told():
    settings = PolicyTrainingConfig(looks=9, steps=1, batch=8, contrasts=31, near=0.5, watched=32)

    def sharp(design):
        with pyro.plate_stack("plate", design.shape[:-1]):
            law = dist.Normal(torch.zeros(3), 1.0).to_event(1)
            theta = pyro.sample("theta", law)
            place = design[..., :1].round().long().clamp(0, 2)
            seen = theta.expand(*place.shape[:-1], 3).gather(-1, place)[..., 0]
            return pyro.sample("y", dist.Normal(seen * (1 + 1e-3 * design[..., 0]), 1e-4))

    designs = torch.arange(3.0).repeat(3)[:, None]
    with pytest.warns(UserWarning, match=r"near is 0.5: what training maximises is at most 20.79"):
        train_policy(sharp, StaticDesign(designs), settings, method="fixed")
