"""Every method of training a policy, on problems whose best designs and EIG are known."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace

import pyro
import pyro.distributions as dist
import pytest
import torch

from boed.deep_adaptive import (
    DeepAdaptiveDesign,
    PolicyConfig,
    PolicyTrainingConfig,
    StaticDesign,
    architecture_for,
    train_policy,
)
from boed.deep_adaptive.experiments import log_likelihood, run_experiments
from boed.deep_adaptive.loss import contrast, single_look, spce_loss
from boed.deep_adaptive.objectives import Critic, Posterior
from boed.eig.model.design_space import DesignSpace
from boed.eig.model.fused import FusedLikelihood
from boed.eig.model.roll_outs import roll_out, roll_out_log_likelihood
from boed.eig.model.sequential import sequential_pce
from boed.problems import (
    HyperbolicDiscounting,
    LinearGaussian,
    LocationFinding,
    PreyPopulation,
    TwoAlternativeChoice,
)
from boed.training.checkpoints import best_path

LINEAR = LinearGaussian.one_dimension()
BOUNDS = torch.tensor([[-2.0], [2.0]])
QUICK = PolicyTrainingConfig(
    steps=60, batch=64, contrasts=31, lr=0.03, warmup=5, ema=0.8, every=60, looks=2, watched=64,
    precision="fp32",
)  # fmt: skip
GRADIENT = ("dad", "idad", "vsoed")


def network(**changes):
    torch.manual_seed(0)
    lower, upper = (None, None) if "designs" in changes else ((-2.0,), (2.0,))
    sizes = {"design_dim": 1, "hidden": 16, "embedding": 4, "lower": lower, "upper": upper}
    return DeepAdaptiveDesign(PolicyConfig(**{**sizes, **changes}))


def policy_of(method):
    if method == "fixed":
        return StaticDesign(torch.tensor([[0.7], [0.9]]), BOUNDS)
    return network()


@pytest.mark.parametrize("method", ["dad", "fixed", "idad", "vsoed", "rl"])
def test_each_method_finds_the_ends_of_a_bounded_linear_problem(method):
    """Two looks at +-2 give 1/2 ln(1 + 8) nats."""
    changes = {"fixed": {"lr": 0.1}, "rl": {"steps": 120}}.get(method, {})
    settings = replace(QUICK, **changes)
    policy = train_policy(LINEAR.model, policy_of(method), settings, method=method)
    result = sequential_pce(
        LINEAR.model, policy, 2, samples=1000, contrasts=300, example=torch.zeros(1)
    )
    assert result.designs.abs().min() > 1.7
    assert result.designs.abs().max() <= 2
    assert result.lower == pytest.approx(0.5 * math.log(9), abs=4 * result.lower_error + 0.05)


@pytest.mark.parametrize("heads", [0, 2])
def test_reinforcement_learns_designs_of_a_finite_set(heads):
    policy = network(designs=((-1.0,), (0.0,), (2.0,), (0.5,)), heads=heads)
    policy = train_policy(LINEAR.model, policy, QUICK, method="rl")
    result = sequential_pce(
        LINEAR.model, policy, 2, samples=50, contrasts=50, example=torch.zeros(1)
    )
    assert (result.designs == 2).all()


def test_a_set_of_many_designs_is_learned_as_a_whole():
    """Each of 201 designs is tried twenty times; what is learned of one serves those beside it."""
    rows = tuple((each,) for each in torch.linspace(-2, 2, 201).tolist())
    policy = network(designs=rows)
    policy = train_policy(LINEAR.model, policy, QUICK, method="rl")
    result = sequential_pce(
        LINEAR.model, policy, 2, samples=50, contrasts=50, example=torch.zeros(1)
    )
    assert result.designs.abs().min() > 1.7


def test_designs_of_a_set_may_count_in_powers():
    policy = network(designs=tuple((float(each),) for each in range(1, 101)), logarithmic=(1.0,))
    numbers = policy.scale.numbers(torch.tensor([[1.0], [10.0], [100.0]]))
    torch.testing.assert_close(numbers, torch.tensor([[-1.0], [0.0], [1.0]]))
    policy = PreyPopulation()
    assert architecture_for(policy).logarithmic == policy.logarithmic


@pytest.mark.parametrize("method", ["dad", "vsoed", "idad"])
def test_a_finite_set_has_no_gradient(method):
    policy = network(designs=((-1.0,), (0.0,), (2.0,)))
    with pytest.raises(ValueError, match=r"finite set, so that no gradient.*'rl' needs none"):
        train_policy(LINEAR.model, policy, QUICK, method=method)


def simulator(design):
    """No likelihood: the outcome is a function of the unknown and of noise of its own."""
    with pyro.plate_stack("plate", design.shape[:-1]):
        theta = pyro.sample("theta", dist.Normal(torch.tensor(0.0), 1.0))
        noise = pyro.sample("noise", dist.Normal(torch.tensor(0.0), 1.0))
        return pyro.deterministic("y", theta * design[..., 0] + noise)


@pytest.mark.parametrize("method", ["idad", "vsoed"])
def test_no_likelihood_is_needed(method):
    policy = train_policy(simulator, network(), QUICK, method=method)
    assert policy(torch.zeros(1, 0, 1), torch.zeros(1, 0)).abs() > 1.7
    assert policy.provenance["history"][-1]["val_bound"] > 0.6


@pytest.mark.parametrize("method", ["dad", "rl"])
def test_where_a_likelihood_is_needed_it_is_said(method):
    with pytest.raises(ValueError, match=r"needs a likelihood|nuisance"):
        train_policy(simulator, network(), QUICK, method=method)


def test_unknown_methods_and_policies_that_do_not_fit():
    with pytest.raises(ValueError, match="method is 'dda': did you mean 'dad'"):
        train_policy(LINEAR.model, network(), QUICK, method="dda")
    for method in ("idad", "rl", "vsoed"):
        with pytest.raises(ValueError, match="policy a StaticDesign, expected a DeepAdaptive"):
            train_policy(LINEAR.model, policy_of("fixed"), QUICK, method=method)


def test_a_prior_that_nuisances_move_is_refused():
    """Its density at the target is another one with each draw of sigma."""

    def spread(design):
        with pyro.plate_stack("plate", design.shape[:-1]):
            sigma = pyro.sample("sigma", dist.LogNormal(design.new_zeros(()), 1.0))
            theta = pyro.sample("theta", dist.Normal(0.0, sigma))
            pyro.sample("y", dist.Normal(design[..., 0] * theta, 1.0))

    with pytest.raises(ValueError, match=r"depends on nuisances \['sigma'\].*method 'idad' can"):
        train_policy(spread, network(), QUICK, method="vsoed")


@pytest.mark.parametrize("method", ["idad", "vsoed"])
def test_the_model_is_tried_where_designs_are_allowed(method):
    def walled(design):
        assert bool((design.abs() > 0.5).all()), "the wall"
        return LINEAR.model(design)

    space = DesignSpace(bounds=BOUNDS, allowed=lambda design: design[:, 0].abs() > 0.5)
    trained = train_policy(walled, network(), replace(QUICK, steps=2), method=method, space=space)
    assert trained.provenance["steps"] == 2


def rounded(design):
    return LINEAR.model(design.round())


def sharp(design):
    with pyro.plate_stack("plate", design.shape[:-1]):
        theta = pyro.sample("theta", dist.Normal(design.new_zeros(()), 1.0))
        middle = 5 * design[..., 0] * theta
        pyro.sample("y", dist.Uniform(middle - 0.1, middle + 0.1))


@pytest.mark.parametrize(
    ("model", "method"),
    [(rounded, "dad"), (rounded, "idad"), (rounded, "vsoed"), (sharp, "dad"), (sharp, "fixed")],
)
def test_a_gradient_that_is_zero_everywhere_is_none(model, method):
    with pytest.raises(ValueError, match="has no gradient in the design"):
        train_policy(model, policy_of(method), QUICK, method=method)


def test_certainty_has_no_slope():
    """The other hypotheses are impossible, which is infinitely less likely, times nothing."""
    policy = network()
    problem = single_look(sharp, policy, "y", target="theta")
    torch.manual_seed(0)
    assert math.isfinite(spce_loss(problem, policy, 2, batch=64, contrasts=1))


def test_a_posterior_of_choices_is_refused():
    def coin(design):
        with pyro.plate_stack("plate", design.shape[:-1]):
            theta = pyro.sample("theta", dist.Bernoulli(torch.tensor(0.4)))
            return pyro.sample("y", dist.Normal(design[..., 0] * theta, 1.0))

    with pytest.raises(ValueError, match="'theta' is not continuous"):
        train_policy(coin, network(), QUICK, method="vsoed")
    policy = train_policy(coin, network(), replace(QUICK, steps=3), method="idad")
    assert policy.provenance["steps"] == 3


@pytest.mark.parametrize("judge", [Critic, Posterior])
def test_bounds_of_judges_are_below_the_eig(judge):
    """Whatever their weights, in expectation: here of one look at 2, EIG 1/2 ln 5."""
    policy = StaticDesign(torch.tensor([[2.0]]))
    problem = single_look(LINEAR.model, policy, "y", target="theta")
    torch.manual_seed(0)
    asked = network()
    bound = judge(problem, asked)
    roll = run_experiments(problem, policy, 1, batch=2000)
    with torch.no_grad():
        gains = bound(roll.latents, asked.in_units(roll.designs, roll.outcomes))
    assert gains.shape == (2000,)
    assert gains.mean() < 0.5 * math.log(5) + 4 * gains.std() / 2000**0.5


@pytest.mark.parametrize(
    ("problem", "dim"), [(LocationFinding(), 2), (LINEAR, 1), (TwoAlternativeChoice(), 1)]
)
def test_likelihoods_are_the_sums_of_the_looks(problem, dim):
    policy = StaticDesign(torch.randn(3, dim, generator=torch.Generator().manual_seed(0)))
    looked = single_look(problem.model, policy, "y", target="theta")
    torch.manual_seed(0)
    roll = run_experiments(looked, policy, 3, batch=5)
    others = looked.draw_latents(torch.zeros(7, 5, dim))
    others = {name: torch.cat([roll.latents[name][None], each]) for name, each in others.items()}
    looks = [
        looked.log_likelihood(
            others,
            {"y": roll.outcomes[:, look].expand(8, 5)},
            roll.designs[:, look].expand(8, 5, dim),
        )
        for look in range(3)
    ]
    expected = sum(looks)
    torch.testing.assert_close(roll_out_log_likelihood(looked, roll, others), expected)
    torch.testing.assert_close(roll.log_likelihood, expected[0])
    common = {name: each[:, :1] for name, each in others.items()}
    together = roll_out_log_likelihood(looked, roll, common)
    torch.testing.assert_close(together[:, 0], expected[:, 0])
    torch.testing.assert_close(log_likelihood(looked, roll, common), together)


@pytest.mark.parametrize("method", ["dad", "fixed", "rl"])
def test_a_likelihood_that_does_not_broadcast_is_refused_before_training(method):
    """A pooling layer takes two or three dimensions, not contrasts, looks and experiments."""

    def pooled(design):
        with pyro.plate_stack("plate", design.shape[:-1]):
            theta = pyro.sample("theta", dist.Normal(torch.zeros(design.shape[:-1]), 1.0))
            slope = torch.nn.functional.avg_pool1d(design, 1)[..., 0]
            return pyro.sample("y", dist.Normal(theta * slope, 1.0))

    policy = StaticDesign(torch.ones(2, 1)) if method == "fixed" else network()
    with pytest.raises(ValueError, match=r"batch shape \(2, 3, 4\).*broadcasts"):
        train_policy(pooled, policy, QUICK, method=method)


def test_a_look_costs_the_same_however_long_the_history(monkeypatch):
    """The summary grows by one look at a time, to what the whole history gives."""
    policy = network(design_dim=2, lower=None, upper=None)
    problem = single_look(LocationFinding().model, policy, "y", target="theta")
    seen = []
    policy.encoder.register_forward_hook(lambda _, __, out: seen.append(len(out)))
    torch.manual_seed(0)
    roll = run_experiments(problem, policy, 4, batch=6)
    assert seen == [6] * 4
    torch.manual_seed(0)
    theta = problem.draw_latents(torch.zeros(6, 2))
    again = roll_out(problem, policy, torch.zeros(2), steps=4, batch=6)
    assert again.designs.shape == roll.designs.shape
    assert set(theta) == set(roll.latents)
    torch.testing.assert_close(
        policy(roll.designs[:, :3], roll.outcomes[:, :3]), roll.designs[:, 3]
    )


def test_the_limit_bounds_what_one_experiment_says():
    """With the limit every coordinate of a design's gradient is at most limit / B."""
    for limit, most in ((0.01, 0.01), (math.inf, math.inf)):
        policy = StaticDesign(torch.full((1, 2), 0.3))
        problem = single_look(LocationFinding().model, policy, "y", target="theta")
        torch.manual_seed(0)
        spce_loss(problem, policy, 1, batch=64, contrasts=31, limit=limit).backward()
        assert policy.numbers.grad.abs().max() <= most
        assert policy.numbers.grad.abs().max() > 0


def test_what_cannot_be_recorded_is_evaluated_as_it_is(caplog):
    """A model that looks at values in Python."""

    def branching(design):
        with pyro.plate_stack("plate", design.shape[:-1]):
            theta = pyro.sample("theta", dist.Normal(torch.tensor(0.0), 1.0))
            sign = -1 if (theta > 100).any() else 1
            return pyro.sample("y", dist.Normal(sign * theta * design[..., 0], 1.0))

    policy = StaticDesign(torch.ones(2, 1))
    problem = single_look(branching, policy, "y", target="theta")
    roll = run_experiments(problem, policy, 2, batch=3)
    others = problem.draw_latents(torch.zeros(5, 1, 1))
    fused = FusedLikelihood(log_likelihood)
    torch.testing.assert_close(fused(problem, roll, others), log_likelihood(problem, roll, others))
    assert "is not compiled, which is slower" in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("problem", "dim"), [(LocationFinding(), 2), (HyperbolicDiscounting(), 2), (LINEAR, 1)]
)
def test_compiled_likelihoods_are_the_same(problem, dim, caplog):
    policy = StaticDesign(torch.rand(3, dim) + 1)
    looked = single_look(problem.model, policy, problem.observation, target=problem.target)
    fused = FusedLikelihood(log_likelihood)
    for seed in range(2):
        torch.manual_seed(seed)
        roll = run_experiments(looked, policy, 3, batch=8)
        torch.manual_seed(seed)
        one = contrast(looked, roll, 20, likelihood=fused)
        torch.manual_seed(seed)
        other = contrast(looked, roll, 20)
        torch.testing.assert_close(one.gains, other.gains, atol=1e-4, rtol=1e-4)
    assert not [each for each in caplog.records if each.name.startswith("boed")]


@pytest.mark.parametrize(
    ("method", "changes", "contrasts"),
    [
        ("dad", {"contrasts": 1}, 1),
        ("rl", {"contrasts": 1}, 1),
        ("fixed", {"contrasts": 1}, 1),
        ("idad", {"batch": 2}, 1),
        ("vsoed", {"contrasts": 1, "batch": 2}, None),
        ("dad", {}, None),
    ],
)
def test_too_few_contrasts_for_the_information_are_told(method, changes, contrasts):
    policy = policy_of(method)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.fill_(1.9)  # looks near the ends
    few = replace(QUICK, steps=1, **changes)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        train_policy(LINEAR.model, policy, few, method=method)
    said = [str(each.message) for each in told if "ln(L + 1)" in str(each.message)]
    assert len(said) == (contrasts is not None)
    assert all(f"contrasts is {contrasts}: what training maximises is at" in each for each in said)


class Interrupt(Exception):
    pass


@pytest.mark.parametrize("method", ["fixed", "idad", "vsoed", "rl"])
def test_each_method_resumes_bit_for_bit(method, tmp_path):
    few = replace(QUICK, steps=4, every=2, batch=8, watched=8)
    whole = train_policy(LINEAR.model, policy_of(method), few, method=method)

    def interrupt(step, loss):
        if step == 3:
            raise Interrupt

    out = tmp_path / "policy.safetensors"
    with pytest.raises(Interrupt):
        train_policy(
            LINEAR.model, policy_of(method), few, method=method, out=out, on_step=interrupt
        )
    resumed = train_policy(LINEAR.model, policy_of(method), few, method=method, out=out)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("method", ["dad", "fixed", "idad", "vsoed", "rl"])
def test_each_method_trains_on_a_gpu_and_comes_back(method):
    policy = policy_of(method)
    train_policy(LINEAR.model, policy, replace(QUICK, steps=3, device="cuda"), method=method)
    assert next(policy.parameters()).device.type == "cpu"


@pytest.mark.parametrize("method", ["dad", "fixed", "idad", "rl"])
def test_the_best_validation_lies_beside_a_worse_last_one(method, tmp_path, monkeypatch):
    out, settings = tmp_path / "policy.safetensors", replace(QUICK, every=20, lr=0.1)
    losses = iter([-1.0, -3.0, -2.0])
    at_steps = []

    def validated(problem, policy, *rest, **named):
        at_steps.append({name: each.clone() for name, each in policy.state_dict().items()})
        return {"val_loss": next(losses)}

    monkeypatch.setattr("boed.deep_adaptive.training._validated", validated)
    trained = train_policy(LINEAR.model, policy_of(method), settings, method=method, out=out)
    best = type(trained).load(best_path(out))
    for name, value in best.state_dict().items():
        assert torch.equal(value, at_steps[1][name]), name
        assert torch.equal(trained.state_dict()[name], at_steps[2][name]), name
    assert any(not torch.equal(at_steps[1][name], at_steps[2][name]) for name in at_steps[1])
    assert best.provenance["steps"] == 40
    assert trained.provenance["best"]["step"] == 40
    with pytest.raises(ValueError, match=r"best\.safetensors holds another training"):
        train_policy(
            LINEAR.model, policy_of(method), replace(settings, seed=1), method=method, out=out
        )
