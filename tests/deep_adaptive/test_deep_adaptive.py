"""Deep adaptive design: the network's symmetries, gradients against exact ones, training, files."""

from __future__ import annotations

import math
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
    contrast,
    first_design,
    single_look,
    spce_loss,
    train_policy,
)
from boed.deep_adaptive.experiments import log_likelihood, run_experiments
from boed.deep_adaptive.loss import outcome_score
from boed.deep_adaptive.loss import told as nats
from boed.deep_adaptive.nearby import Nearby
from boed.eig.model.roll_outs import roll_out
from boed.eig.model.sequential import sequential_pce
from boed.foundation.files import load_weights, save_weights
from boed.problems import ConstantElasticity, HyperbolicDiscounting
from boed.problems.linear_gaussian import LinearGaussian
from boed.problems.location_finding import LocationFinding
from boed.training import Recipe
from boed.training.curve import curve_path
from boed.zoo import train_recipe
from tests.deep_adaptive.coins import coin, coin_eig

LINEAR = LinearGaussian.one_dimension()
BOUNDS = torch.tensor([[-2.0], [2.0]])
QUICK = PolicyTrainingConfig(
    steps=60, batch=32, contrasts=31, lr=0.02, warmup=5, ema=0.9, every=20, looks=2, watched=64
)


def network(**changes):
    torch.manual_seed(0)
    return DeepAdaptiveDesign(PolicyConfig(**{"design_dim": 2, "hidden": 16, **changes}))


def bounded():
    torch.manual_seed(0)
    return DeepAdaptiveDesign.from_bounds(BOUNDS, hidden=16, embedding=4)


@pytest.fixture(scope="module")
def trained():
    return train_policy(LINEAR.model, bounded(), QUICK)


@pytest.mark.parametrize(
    "policy", [network(), network(outcome_dim=6), network(embedding=1), network(heads=3)]
)
def test_the_order_of_the_looks_does_not_matter(policy):
    event = (2, 3) if policy.config.outcome_dim == 6 else ()
    designs, outcomes = torch.randn(5, 7, 2), torch.randn(5, 7, *event)
    order = torch.randperm(7)
    chosen = policy(designs, outcomes)
    assert chosen.shape == (5, 2)
    torch.testing.assert_close(chosen, policy(designs[:, order], outcomes[:, order]))
    swapped = torch.cat([outcomes[:, 1:], outcomes[:, :1]], 1)  # other pairs: another history
    assert not torch.allclose(chosen, policy(designs, swapped), atol=1e-4)
    torch.testing.assert_close(chosen[2:3], policy(designs[2:3], outcomes[2:3]))


@pytest.mark.parametrize(("lower", "upper"), [(None, None), ((-3.0, -2.0), (3.0, 2.0))])
def test_a_head_s_mean_is_a_design_s_own_place(lower, upper):
    """With one look, equal shares that add up to 1 and no offset, it is made again."""
    policy = network(heads=2, lower=lower, upper=upper, scale=4.0)
    with torch.no_grad():
        policy.emitter[-1].weight.zero_()
        policy.emitter[-1].bias.copy_(torch.tensor([0.0, 0.0, 0.5, 0.5]))
    designs = torch.tensor([[[1.5, -0.7]], [[-2.0, 1.0]]])
    torch.testing.assert_close(policy(designs, torch.randn(2, 1)), designs[:, 0])


@pytest.mark.parametrize("heads", [0, 2])
def test_the_first_design_is_the_same_for_all_and_learned(heads):
    policy = network(heads=heads)
    first = policy(torch.zeros(3, 0, 2), torch.zeros(3, 0))
    assert torch.equal(first[0], first[1])
    torch.testing.assert_close(first[0], first_design(policy))
    first.sum().backward()
    assert policy.emitter[-1].bias.grad.abs().sum() > 0


def test_bounded_designs_stay_within_their_bounds():
    bounds = torch.tensor([[-1.0, 0.3], [0.1, 0.7]])
    torch.manual_seed(0)
    policy = DeepAdaptiveDesign.from_bounds(bounds)
    with torch.no_grad():
        policy.emitter[-1].weight.mul_(1e3)
    torch.manual_seed(0)
    chosen = policy(bounds[0].expand(200, 3, 2), 10 * torch.randn(200, 3))
    assert (chosen >= bounds[0]).all()
    assert (chosen <= bounds[1]).all()
    assert chosen.unique().numel() > 4


def test_outcomes_of_any_size_look_alike_once_standardised():
    designs, outcomes = torch.randn(20, 4, 2), torch.randn(20, 4)
    policy, other = network(), network()
    policy.standardise(outcomes.flatten())
    other.standardise(1000 * outcomes.flatten() + 7)
    torch.testing.assert_close(
        policy(designs, outcomes), other(designs, 1000 * outcomes + 7), atol=1e-4, rtol=1e-4
    )
    policy.standardise(torch.full((9,), 3.0))  # outcomes that never vary
    assert policy.outcome_std == 1


@pytest.mark.parametrize(
    ("designs", "outcomes", "message"),
    [
        (torch.zeros(3, 2), torch.zeros(3, 2), r"designs must be \(B, t, 2\), got \(3, 2\)"),
        (torch.zeros(3, 4, 1), torch.zeros(3, 4), r"designs must be \(B, t, 2\)"),
        (torch.zeros(3, 4, 2), torch.zeros(3, 5), r"outcomes must be \(3, 4\)"),
        (torch.zeros(3, 4, 2), torch.zeros(3, 4, 2), "1 numbers each"),
        (torch.zeros(3, 4, 2), torch.full((3, 4), math.nan), "outcomes has NaN"),
        (torch.full((3, 4, 2), math.nan), torch.zeros(3, 4), "designs has NaN"),
    ],
)
def test_bad_histories_are_named(designs, outcomes, message):
    with pytest.raises(ValueError, match=message):
        network()(designs, outcomes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"design_dim": 0}, "design_dim is 0"),
        ({"scale": 0.0}, "scale is 0"),
        ({"scale": math.nan}, "scale is nan"),
        ({"lower": (0.0, 0.0)}, "only one of them"),
        ({"lower": (0.0,), "upper": (1.0, 1.0)}, "lower has 1 entries"),
        ({"lower": (0.0, 1.0), "upper": (1.0, 1.0)}, "not below"),
    ],
)
def test_bad_configurations_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        network(**changes)


def test_bad_designs_settings_and_looks_are_named():
    with pytest.raises(ValueError, match=r"bounds must be \(2, K\), got \(3, 2\)"):
        DeepAdaptiveDesign.from_bounds(torch.zeros(3, 2))
    with pytest.raises(ValueError, match=r"finite \(T, K\), got \(4,\)"):
        StaticDesign(torch.zeros(4))
    with pytest.raises(ValueError, match="has 2 looks, asked for one more"):
        StaticDesign(torch.zeros(2, 1))(torch.zeros(5, 2, 1), torch.zeros(5, 2))
    for name in ("looks", "contrasts", "watched"):
        with pytest.raises(ValueError, match=f"{name} is 0"):
            PolicyTrainingConfig(**{name: 0})


@pytest.mark.parametrize("looks", [1, 2])
def test_gradient_through_the_outcomes_is_that_of_the_exact_eig(looks):
    """EIG = 1/2 ln(1 + sum_t d_t^2) with unit prior and noise; its derivative is d / (1 + sum)."""
    start = torch.tensor([[0.5], [1.0]])[:looks]
    policy = StaticDesign(start)
    problem = single_look(LINEAR.model, policy, "y", target="theta")
    torch.manual_seed(1)
    result = []
    for _ in range(10):
        policy.numbers.grad = None
        spce_loss(problem, policy, looks, batch=600, contrasts=400).backward()
        result.append(-policy.numbers.grad)
    error = torch.stack(result).std(0) / 10**0.5
    assert error.max() < 0.03
    exact = start / (1 + start.square().sum())
    assert ((torch.stack(result).mean(0) - exact).abs() < 4 * error).all()


@pytest.mark.parametrize("designs", [(0.7,), (0.8, 0.3)])
def test_score_function_gradient_of_discrete_outcomes_is_that_of_the_exact_eig(designs):
    exact = torch.tensor(designs, dtype=torch.double, requires_grad=True)
    eig = coin_eig(exact)
    eig.backward()
    policy = StaticDesign(torch.tensor(designs)[:, None])
    problem = single_look(coin, policy, "y", target="theta")
    torch.manual_seed(1)
    loss = spce_loss(problem, policy, len(designs), batch=40_000, contrasts=40)
    loss.backward()
    assert -loss.item() == pytest.approx(eig.item(), abs=0.01)
    result = -policy.numbers.grad[:, 0].double()
    torch.testing.assert_close(result, exact.grad, atol=0.02, rtol=0)


@pytest.mark.parametrize("near", [None, 0.5])
def test_the_gain_before_each_look_is_that_of_the_looks_so_far(near):
    """By the draws from the prior, whatever the other draws are."""
    policy = StaticDesign(torch.tensor([[0.5], [1.0], [2.0]]))
    problem = single_look(LINEAR.model, policy, "y", target="theta")
    torch.manual_seed(0)
    roll = run_experiments(problem, policy, 3, batch=20)
    nearby = None if near is None else Nearby(problem, torch.zeros(1), share=near)
    whole, told = (
        _seeded(lambda by=by: contrast(problem, roll, 40, nearby=nearby, by_look=by))
        for by in (False, True)
    )
    torch.testing.assert_close(told.gains, whole.gains)
    torch.testing.assert_close(told.weights, whole.weights)
    assert whole.before is None
    assert told.before.shape == (20, 3)
    prior = 40 if near is None else 20
    theta = {name: value[:prior] for name, value in told.others.items()}
    for look in range(3):
        part = roll.part(looks=slice(0, look))
        others = log_likelihood(problem, part, theta) if look else torch.zeros(prior, 20)
        torch.testing.assert_close(told.before[:, look], nats(part.log_likelihood, others))


def _seeded(made):
    torch.manual_seed(1)
    return made()


def test_what_was_gained_before_a_look_quiets_its_gradient(monkeypatch):
    """The score function's of eight looks at a coin, against the mean of the batch alone."""
    policy = StaticDesign(torch.full((8, 1), 0.9))
    problem = single_look(coin, policy, "y", target="theta")

    def noise():
        torch.manual_seed(1)
        drawn = []
        for _ in range(60):
            policy.numbers.grad = None
            spce_loss(problem, policy, 8, batch=32, contrasts=40).backward()
            drawn.append(policy.numbers.grad.clone())
        return float(torch.stack(drawn)[:, -1].var())

    quiet = noise()
    plain = outcome_score
    monkeypatch.setattr(
        "boed.deep_adaptive.loss.outcome_score", lambda roll, gains, _: plain(roll, gains)
    )
    assert quiet < 0.8 * noise()


def test_the_exact_eig_of_the_coin_is_the_reference():
    assert coin_eig(torch.tensor([0.5]).double()).item() == pytest.approx(0.12580367, abs=1e-7)


def test_gains_do_not_depend_on_the_pieces_and_are_bounded(monkeypatch):
    policy = StaticDesign(torch.randn(4, 2, generator=torch.Generator().manual_seed(0)))
    problem = single_look(LocationFinding().model, policy, "y", target="theta")
    torch.manual_seed(0)
    roll = roll_out(problem, policy, torch.zeros(2), steps=4, batch=50)
    result = []
    for tile in (1, 2**17):
        monkeypatch.setattr("boed.deep_adaptive.experiments.CELLS", tile)
        torch.manual_seed(1)
        result.append(contrast(problem, roll, 100))
    torch.testing.assert_close(result[0].gains, result[1].gains)
    assert result[0].gains.max() <= math.log(101) + 1e-5
    torch.testing.assert_close(result[0].truth, result[0].gains.exp() / 101)
    reference = sequential_pce(
        problem.model, policy, 4, samples=2000, contrasts=100, example=torch.zeros(2)
    )
    error = result[0].gains.std() / 50**0.5
    assert result[0].gains.mean() == pytest.approx(reference.lower, abs=4 * error.item())


def test_gradient_reaches_every_parameter():
    policy = network()
    problem = single_look(LocationFinding().model, policy, "y", target="theta")
    spce_loss(problem, policy, looks=3, batch=8, contrasts=15).backward()
    for name, parameter in policy.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_training_learns_the_extreme_of_a_bounded_linear_problem(trained):
    """Two looks at +-2 give 1/2 ln(1 + 8); those of the untrained network next to nothing."""
    before, after = (
        sequential_pce(LINEAR.model, rule, 2, samples=2000, contrasts=1000, example=torch.zeros(1))
        for rule in (bounded(), trained)
    )
    assert after.designs.abs().min() > 1.8
    assert before.lower < 0.5
    assert after.lower == pytest.approx(0.5 * math.log(9), abs=4 * after.lower_error + 0.02)
    history = trained.provenance["history"]
    assert [row["step"] for row in history] == [20, 40, 60]
    assert history[-1]["val_spce"] > 0.9


def test_training_on_discrete_outcomes_raises_their_information():
    """sigmoid(d theta) tells the sign of theta the better, the larger d is."""

    def answer(design):
        with pyro.plate_stack("plate", design.shape[:-1]):
            theta = pyro.sample("theta", dist.Normal(torch.tensor(0.0), 1.0))
            return pyro.sample("y", dist.Bernoulli(logits=5 * design[..., 0] * theta))

    policy = train_policy(answer, bounded(), replace(QUICK, steps=40))
    result = sequential_pce(answer, policy, 2, samples=200, contrasts=100, example=torch.zeros(1))
    assert result.designs.abs().min() > 1


class Interrupt(Exception):
    pass


def interrupt(step, loss):
    if step == 35:
        raise Interrupt


def test_resumed_equals_uninterrupted_bit_for_bit(tmp_path, trained):
    out = tmp_path / "policy.safetensors"
    with pytest.raises(Interrupt):
        train_policy(LINEAR.model, bounded(), QUICK, out=out, on_step=interrupt)
    assert not out.exists()
    other = DeepAdaptiveDesign.from_bounds(BOUNDS, hidden=16, embedding=4)  # of other weights
    resumed = train_policy(LINEAR.model, other, QUICK, out=out, provenance={"command": "a test"})
    assert set(tmp_path.iterdir()) == {out, curve_path(out)}
    for name, value in trained.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    assert resumed.provenance["history"] == trained.provenance["history"]
    loaded = DeepAdaptiveDesign.load(out)
    history = torch.randn(6, 1, 1), torch.randn(6, 1)
    assert torch.equal(loaded(*history), resumed(*history))
    assert loaded.provenance["command"] == "a test"
    assert loaded.provenance["fit"]["contrasts"] == QUICK.contrasts


def test_a_run_is_not_resumed_with_other_contrasts(tmp_path):
    out = tmp_path / "policy.safetensors"
    with pytest.raises(Interrupt):
        train_policy(LINEAR.model, bounded(), QUICK, out=out, on_step=interrupt)
    with pytest.raises(ValueError, match="settings: contrasts is 31 there, now 64; give the same"):
        train_policy(LINEAR.model, bounded(), replace(QUICK, contrasts=64), out=out)


def test_training_repeats_itself_and_leaves_the_global_random_state():
    settings = replace(QUICK, steps=5)
    one, other = bounded(), bounded()
    torch.manual_seed(3)
    state = torch.get_rng_state()
    train_policy(LINEAR.model, one, settings)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(4)
    train_policy(LINEAR.model, other, settings)
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name
    differing = train_policy(LINEAR.model, bounded(), replace(settings, seed=1))
    assert not torch.equal(one.emitter[0].weight, differing.emitter[0].weight)


def test_training_goes_on_in_the_units_that_a_policy_has():
    policy = train_policy(LINEAR.model, bounded(), replace(QUICK, steps=3))
    units = policy.outcome_std.clone()
    assert units != 1
    train_policy(LINEAR.model, policy, replace(QUICK, steps=3, seed=1))
    assert torch.equal(policy.outcome_std, units)


def renamed(design):
    with pyro.plate_stack("plate", design.shape[:-1]):
        x = pyro.sample("x", dist.Normal(torch.tensor(0.0), 1.0))
        return pyro.sample("z", dist.Normal(x * design[..., 0], 1.0))


def with_nuisance(design):
    with pyro.plate_stack("plate", design.shape[:-1]):
        theta = pyro.sample("theta", dist.Normal(torch.tensor(0.0), 1.0))
        offset = pyro.sample("offset", dist.Normal(torch.tensor(0.0), 1.0))
        return pyro.sample("y", dist.Normal(theta * design[..., 0] + offset, 1.0))


def noiseless(design):
    with pyro.plate_stack("plate", design.shape[:-1]):
        theta = pyro.sample("theta", dist.Normal(torch.tensor(0.0), 1.0))
        return pyro.deterministic("y", theta * design[..., 0])


def undefined(design):
    with pyro.plate_stack("plate", design.shape[:-1]):
        theta = pyro.sample("theta", dist.Normal(torch.tensor(0.0), 1.0))
        return pyro.sample(
            "y", dist.Normal(theta * design[..., 0] * math.nan, 1.0, validate_args=False)
        )


def one_for_all(design):
    theta = pyro.sample("theta", dist.Normal(torch.tensor(0.0), 1.0))
    return pyro.sample("y", dist.Normal(theta * design[..., 0], 1.0))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (renamed, "no site 'y'"),
        (with_nuisance, "offset"),
        (noiseless, "'y'.* deterministic"),
        (undefined, "outcome of site 'y' is NaN"),
        (one_for_all, "'theta' has batch shape"),
        (LocationFinding().model, r"design must be \[\*batch, 2\]"),
    ],
)
def test_models_that_do_not_fit_are_named(model, message):
    with pytest.raises(ValueError, match=message):
        train_policy(model, bounded(), QUICK)


def test_sites_may_have_other_names():
    trained = train_policy(
        renamed, bounded(), replace(QUICK, steps=3), out=None, observation="z", target="x"
    )
    assert trained.provenance["steps"] == 3


def test_an_outcome_may_be_several_numbers():
    def readings(design):
        with pyro.plate_stack("plate", design.shape[:-1]):
            theta = pyro.sample("theta", dist.Normal(torch.tensor(0.0), 1.0))
            signal = (theta * design[..., 0])[..., None].expand(*theta.shape, 3)
            return pyro.sample("y", dist.Normal(signal, 1.0).to_event(1))

    policy = DeepAdaptiveDesign.from_bounds(BOUNDS, outcome_dim=3)
    policy = train_policy(readings, policy, replace(QUICK, steps=3))
    result = sequential_pce(readings, policy, 2, samples=100, contrasts=50, example=torch.zeros(1))
    assert result.outcomes.shape == (100, 2, 3)


def test_the_score_function_needs_more_than_one_experiment():
    policy = StaticDesign(torch.tensor([[0.5]]))
    problem = single_look(coin, policy, "y", target="theta")
    with pytest.raises(ValueError, match="batch is 1, expected at least 2"):
        spce_loss(problem, policy, looks=1, batch=1, contrasts=5)


def test_fixed_designs_are_saved_and_read(tmp_path):
    policy = StaticDesign(torch.randn(3, 2))
    policy.save(tmp_path / "fixed.safetensors", {"command": "a test"})
    loaded = StaticDesign.load(tmp_path / "fixed.safetensors")
    assert torch.equal(loaded.designs, policy.designs)
    assert loaded.provenance["command"] == "a test"


def test_checkpoints_of_something_else_are_refused(tmp_path):
    path = tmp_path / "weights.safetensors"
    network().save(path, {})
    with pytest.raises(ValueError, match="expected 'fixed design'"):
        StaticDesign.load(path)
    tensors, header = load_weights(path)
    save_weights(path, tensors, {**header, "config": {**header["config"], "hidden": 17}})
    with pytest.raises(ValueError, match="does not fit its configuration"):
        DeepAdaptiveDesign.load(path)
    save_weights(path, tensors, {"kind": "aipo"})
    with pytest.raises(ValueError, match="holds 'aipo', expected 'deep adaptive design'"):
        DeepAdaptiveDesign.load(path)
    with pytest.raises(ValueError, match="does not exist"):
        DeepAdaptiveDesign.load(tmp_path / "none.safetensors")


def test_the_shipped_policy_beats_random_designs():
    policy = DeepAdaptiveDesign.shipped()
    assert policy.provenance["problem"] == "location finding A, T = 10"
    assert policy.provenance["history"][-1]["val_spce"] > 6
    problem = LocationFinding()
    result = sequential_pce(
        problem.model, policy, 10, samples=200, contrasts=5000, example=torch.zeros(2)
    )
    assert result.lower - 4 * result.lower_error > 5.1  # random: 4.92 ± 0.09


def test_an_unknown_shipped_policy_is_named():
    with pytest.raises(ValueError, match="'none'"):
        DeepAdaptiveDesign.shipped("none")


def test_entries_that_count_in_powers_do_so():
    config = PolicyConfig(
        design_dim=2, lower=(0.0, 5.0), upper=(100.0, 10_005.0), logarithmic=(0.0, 1.0)
    )
    network = DeepAdaptiveDesign(config)
    raw = torch.tensor([[0.0, 0.0], [50.0, 50.0], [-50.0, -50.0]])
    chosen = network.within(raw)
    assert chosen[0].tolist() == pytest.approx([50, 5 + math.sqrt(10_001) - 1], rel=1e-4)
    assert chosen[1].tolist() == [100, 10_005]
    assert chosen[2].tolist() == [0, 5]
    read = network.in_units(chosen, torch.zeros(3, 1))[:, :2]
    assert torch.allclose(read, torch.tensor([[0.0, 0.0], [1.0, 1.0], [-1.0, -1.0]]), atol=1e-3)
    step = 1e-3  # of the network's numbers within [-1, 1]
    there = network.scale.designs(network.scale.numbers(chosen[:1]) + step)
    assert torch.allclose((there - chosen[:1]) / step, network.unit_at(chosen[:1]), rtol=0.01)
    raw.requires_grad_()
    network.within(raw).sum().backward()
    assert raw.grad.isfinite().all()


def test_delays_count_in_powers_unless_something_else_is_asked(tmp_path):
    assert architecture_for(HyperbolicDiscounting()).logarithmic == (0.0, 1.0)
    network = DeepAdaptiveDesign(architecture_for(HyperbolicDiscounting(), hidden=4))
    network.save(tmp_path / "policy.safetensors", {})
    assert DeepAdaptiveDesign.load(tmp_path / "policy.safetensors").config == network.config
    recipe = {
        "kind": "policy", "name": "dad", "problem": "hyperbolic_discounting",
        "architecture": {"hidden": 4, "logarithmic": [0.0, 0.0]},
        "training": {"looks": 2, "steps": 1, "batch": 4, "contrasts": 3},
    }  # fmt: skip
    trained = train_recipe(Recipe.of(recipe), tmp_path / "linear.safetensors")
    assert trained.config.logarithmic == (0.0, 0.0)


def test_powers_without_bounds_are_refused():
    with pytest.raises(ValueError, match=r"logarithmic is \(1.0,\), which is for designs with"):
        PolicyConfig(design_dim=1, logarithmic=(1.0,))
    with pytest.raises(ValueError, match=r"logarithmic is -1\.0, expected at least 0"):
        PolicyConfig(design_dim=1, lower=(0.0,), upper=(1.0,), logarithmic=(-1.0,))
    with pytest.raises(ValueError, match=r"logarithmic has 2 entries, expected one for each of"):
        PolicyConfig(design_dim=1, lower=(0.0,), upper=(1.0,), logarithmic=(1.0, 1.0))


def test_a_sliders_answers_are_read_as_logits() -> None:
    assert architecture_for(ConstantElasticity()).outcome_scale == "logit"
    assert architecture_for(LocationFinding()).outcome_scale == "linear"
    network = DeepAdaptiveDesign(PolicyConfig(design_dim=1, outcome_scale="logit"))
    answers = torch.tensor([[0.0], [0.5], [1 - 2.0**-22], [1.0]])
    read = network.in_units(torch.zeros(4, 1), answers)[:, 1]
    assert read.isfinite().all()
    assert read[1] == 0
    assert float(read[2]) == pytest.approx(22 * math.log(2), abs=0.01)
    assert read[3] > read[2]
    rates = DeepAdaptiveDesign(PolicyConfig(design_dim=1, outcome_scale="log"))
    assert float(rates.in_units(torch.zeros(1, 1), torch.ones(1, 1))[0, 1]) == 0
    with pytest.raises(ValueError, match=r"outcome_scale is 'logits': did you mean 'logit'"):
        PolicyConfig(design_dim=1, outcome_scale="logits")


def test_a_sliders_model_has_a_gradient() -> None:
    """Far beyond its ends the mass there has none in floating point, and is not asked for."""
    problem = ConstantElasticity(least_elasticity=0.01, least_good=0.01)
    network = DeepAdaptiveDesign(architecture_for(problem, hidden=8, embedding=4))
    looked = single_look(problem.model, network, "y", target=problem.target)
    torch.manual_seed(0)
    spce_loss(looked, network, 4, batch=64, contrasts=15).backward()
    assert all(each.grad.isfinite().all() for each in network.parameters())


def test_designs_without_bounds_do_not_run_away() -> None:
    """What a network makes of a far design may be farther, thirty times over."""
    network = DeepAdaptiveDesign(PolicyConfig(design_dim=1, hidden=4, embedding=2, scale=2.0))
    with torch.no_grad():
        for each in network.parameters():
            each.fill_(50.0)
    looked = single_look(LINEAR.model, network, "y", target="theta")
    roll = run_experiments(looked, network, 30, batch=4)
    assert roll.designs.abs().max() == 200
