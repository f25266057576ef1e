"""Policies with the problem that they are for: trained, stored, asked, refined, refused."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from boed.deep_adaptive import (
    DeepAdaptiveDesign,
    PolicyTrainingConfig,
    StepDAD,
    architecture_for,
    design_policy,
    refine,
    train_design_policy,
)
from boed.eig.model.design_space import DesignSpace
from boed.eig.model.sequential import sequential_pce
from boed.foundation.shipped import shipped
from boed.problems import LocationFinding, LocationFindingUnitSquare
from boed.problems.linear_gaussian import LinearGaussian
from boed.problems.names import OwnModel, problem_named
from boed.training.config import POLICY_METHODS
from boed.zoo import train_recipe

FEW = PolicyTrainingConfig(
    steps=2, batch=8, contrasts=7, looks=2, watched=4, every=2, precision="fp32"
)
LINEAR = OwnModel(
    program=LinearGaussian.one_dimension().model, name="a line", lower=-2.0, upper=2.0
)
SMALL = architecture_for(LINEAR, hidden=16, embedding=4)


@pytest.fixture(scope="module")
def policy():
    settings = replace(FEW, steps=30, batch=32, lr=0.03, warmup=3, ema=0.5, looks=3)
    return train_design_policy(LINEAR, settings=settings, architecture=SMALL)


@pytest.mark.parametrize("method", POLICY_METHODS)
def test_every_method_s_policy_is_stored_and_asked(method, tmp_path):
    out = tmp_path / "policy.safetensors"
    state = torch.get_rng_state()
    trained = train_design_policy(LINEAR, method, settings=FEW, architecture=SMALL, out=out)
    assert torch.equal(torch.get_rng_state(), state)
    read = design_policy(out, LINEAR, 2)
    assert (read.name, read.looks, trained.name) == (method, 2, method)
    history = []
    for outcome in (0.3, -1.2):
        design = read.next(history)
        assert design.shape == (1,)
        assert torch.equal(design, trained.next(history))
        history.append((design, torch.tensor(outcome)))
    with pytest.raises(ValueError, match=r"history has 2 looks; policy .* was trained for 2"):
        read.next(history)


def test_it_begins_with_the_weights_of_another(policy, tmp_path):
    init, out = tmp_path / "init.safetensors", tmp_path / "out.safetensors"
    policy.network.save(init, policy.network.provenance)
    still = replace(FEW, steps=1, lr=1e-30, warmup=0)
    how = {"settings": still, "architecture": SMALL, "init": init, "out": out}
    begun = train_design_policy(LINEAR, **how)
    seen = [(torch.tensor([1.0]), torch.tensor(0.7))]
    torch.testing.assert_close(begun.next(seen), policy.next(seen))
    assert begun.network.provenance["init"]["problem"] == "a line, T = 3"
    with pytest.raises(
        ValueError, match=r"init .* has other layers .* is \(16,\), expected \(8,\)"
    ):
        train_design_policy(LINEAR, **how | {"architecture": replace(SMALL, hidden=8)})
    with pytest.raises(ValueError, match="init"):
        train_design_policy(LINEAR, **how | {"init": None})


@pytest.mark.parametrize(
    ("problem", "looks", "words"),
    [
        (replace(LINEAR, upper=3.0), 2, "upper is 2.0 there, now 3.0"),
        (replace(LINEAR, name="another"), 2, "'a line, T = 2' there, now 'another, T = 2'"),
        (LINEAR, 5, "'a line, T = 2' there, now 'a line, T = 5'"),
        (LocationFinding(), 2, "'a line, T = 2' there, now 'location finding A, T = 2'"),
    ],
)
def test_a_policy_of_something_else_is_refused(problem, looks, words, tmp_path):
    out = tmp_path / "policy.safetensors"
    train_design_policy(LINEAR, settings=FEW, architecture=SMALL, out=out)
    with pytest.raises(ValueError, match=words):
        design_policy(out, problem, looks)


@pytest.mark.parametrize(
    ("problem", "settings", "words"),
    [
        (replace(LINEAR, lower=-3.0), FEW, "lower is -2.0 there, now -3.0"),
        (LINEAR, replace(FEW, looks=3), "T = 2' there, now 'a line, T = 3'|looks is 2 there"),
        (LINEAR, replace(FEW, contrasts=9), "contrasts is 7 there, now 9"),
    ],
)
def test_another_training_s_file_is_not_written_over(problem, settings, words, tmp_path):
    out = tmp_path / "policy.safetensors"
    train_design_policy(LINEAR, settings=FEW, architecture=SMALL, out=out)
    with pytest.raises(ValueError, match=words):
        train_design_policy(problem, settings=settings, architecture=SMALL, out=out)
    with pytest.raises(ValueError, match="method is 'dad' there, now 'rl'"):
        train_design_policy(LINEAR, "rl", settings=FEW, architecture=SMALL, out=out)


def test_the_shipped_policy_is_for_its_problem():
    path = shipped("deep-adaptive-location-finding-10")
    read = design_policy(path, LocationFinding(), 10)
    assert read.next([]).shape == (2,)
    with pytest.raises(ValueError, match="'location finding A, T = 10' there"):
        design_policy(path, LocationFinding(), 11)
    with pytest.raises(ValueError, match="'location finding A, T = 10' there"):
        design_policy(path, LocationFindingUnitSquare(), 10)


def test_the_network_fits_the_problem():
    asked = architecture_for(LocationFindingUnitSquare())
    assert (asked.design_dim, asked.outcome_dim, asked.lower) == (2, 1, (0.0, 0.0))
    assert architecture_for(LocationFinding()).lower is None
    assert architecture_for(problem_named("constant_elasticity")).design_dim == 6


def test_refining_goes_on_from_what_was_seen(policy, monkeypatch):
    """After two looks of a line the last look is drawn to an end, and the policy stays."""
    seen = [(torch.tensor([1.0]), torch.tensor(0.5)), (torch.tensor([1.5]), torch.tensor(1.0))]
    before = {name: value.clone() for name, value in policy.network.state_dict().items()}
    weak = replace(policy, network=DeepAdaptiveDesign(SMALL))
    settings = replace(FEW, steps=40, batch=32, lr=0.03, warmup=3, ema=0.5, contrasts=31)
    refined = refine(weak, LINEAR, seen, settings=settings, particles=500)
    assert weak.next(seen).abs() < 1.5
    assert refined.next(seen).abs() > 1.7
    refine(policy, LINEAR, [], settings=FEW)
    for name, value in policy.network.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_refining_draws_from_the_posterior():
    """Of y = 2 theta + noise with unit prior and noise: N(2 y / 5, 1 / 5)."""
    from boed.deep_adaptive.loss import single_look
    from boed.deep_adaptive.refining import _conditioned

    looked = single_look(LINEAR.model, DeepAdaptiveDesign(SMALL), "y", target="theta")
    torch.manual_seed(0)
    history = [(torch.tensor([2.0]), torch.tensor(3.0))]
    given = _conditioned(looked, history, example=torch.zeros(1), particles=5000)
    drawn = given.draw_latents(torch.zeros(5000, 1, 1))["theta"]
    assert drawn.shape[:2] == (5000, 1)
    assert drawn.mean().item() == pytest.approx(1.2, abs=0.05)
    assert drawn.std().item() == pytest.approx(math.sqrt(0.2), abs=0.03)


def test_refining_what_cannot_be_is_refused(policy):
    look = (torch.tensor([1.0]), torch.tensor(0.5))
    with pytest.raises(ValueError, match="history has 3 looks of 3"):
        refine(policy, LINEAR, [look] * 3, settings=FEW)
    with pytest.raises(ValueError, match=r"upper is 2.0 there, now 4.0"):
        refine(policy, replace(LINEAR, upper=4.0), [look], settings=FEW)
    fixed = train_design_policy(LINEAR, "fixed", settings=FEW)
    with pytest.raises(ValueError, match="does not depend on what was seen"):
        refine(fixed, LINEAR, [look], settings=FEW)


def test_step_dad_refines_each_experiment_once(policy):
    """It is a policy as any other; experiments that have seen the same share a refinement."""
    settings = replace(FEW, steps=2, batch=4, contrasts=7)
    stepping = StepDAD(policy=policy, problem=LINEAR, settings=settings, at=(2, 1), particles=64)
    found = sequential_pce(
        LINEAR.model, stepping, 3, samples=4, contrasts=7, example=torch.zeros(1), seed=0
    )
    assert found.roll_outs == 4
    assert len(stepping._refined) == 2 * 4
    designs, outcomes = torch.ones(2, 2, 1), torch.ones(2, 2)
    once = stepping(designs, outcomes)
    assert torch.equal(once[0], once[1])
    assert len(stepping._refined) == 2 * 5
    history = [(torch.ones(1), torch.tensor(1.0))] * 2
    first = refine(policy, LINEAR, history[:1], settings=settings, particles=64)
    second = refine(first, LINEAR, history, settings=settings, particles=64)
    assert torch.equal(once[0], second.next(history))
    assert torch.equal(stepping.of(history[:1]).next(history[:1]), first.next(history[:1]))
    number = [(torch.ones(1), 1.0)]
    assert torch.equal(stepping.of(number).next(number), first.next(number))


def test_step_dad_refuses_what_its_policy_does_before_any_look(policy):
    given = {"policy": policy, "problem": LINEAR, "settings": FEW, "at": (1,)}
    stepping = StepDAD(**given)
    assert stepping.looks == 3
    with pytest.raises(ValueError, match="4 looks are asked for; expected at most 3"):
        sequential_pce(
            LINEAR.model, stepping, 4, samples=4, contrasts=7, example=torch.zeros(1), seed=0
        )
    with pytest.raises(ValueError, match="is for another model"):
        stepping.check_model(LocationFinding().model)
    with pytest.raises(ValueError, match=r"upper is 2.0 there, now 4.0"):
        StepDAD(**{**given, "problem": replace(LINEAR, upper=4.0)})
    with pytest.raises(ValueError, match="particles is 1, expected at least 2"):
        StepDAD(**given, particles=1)
    fixed = train_design_policy(LINEAR, "fixed", settings=FEW)
    with pytest.raises(ValueError, match="does not depend on what was seen"):
        StepDAD(**{**given, "policy": fixed})


def test_the_way_after_a_refinement_begins_at_the_last_look(monkeypatch):
    """Not at the start of the space, from which the first look is reached."""
    told = []

    def travel(here, there):
        told.append(here.detach().clone())
        return (here - there).norm(dim=-1)

    space = DesignSpace(bounds=torch.tensor([[-2.0], [2.0]]), travel=travel, start=torch.ones(1))
    problem = OwnModel(program=LINEAR.model, name="line", space=space)
    settings = replace(FEW, steps=1, batch=4, contrasts=7, looks=2, price=0.1)
    policy = train_design_policy(problem, settings=settings, architecture=SMALL)
    told.clear()
    refine(
        policy, problem, [(torch.tensor([-1.5]), torch.tensor(0.3))], settings=settings, particles=8
    )
    assert told
    assert all((each == -1.5).all() for each in told)


@pytest.mark.parametrize("at", [(), (3,), (-1, 1)])
def test_step_dad_at_no_look_is_refused(policy, at):
    with pytest.raises(ValueError, match=r"expected numbers of looks from 0 to 2, since policy"):
        StepDAD(policy=policy, problem=LINEAR, settings=FEW, at=at)


def test_a_finite_set_of_designs_is_the_problem_s():
    prey = problem_named("prey_population,most=6")
    settings = replace(FEW, steps=1, looks=1)
    policy = train_design_policy(
        prey, "rl", settings=settings, architecture=architecture_for(prey, hidden=8)
    )
    assert policy.next([]) in prey.designs
    with pytest.raises(ValueError, match="'rl' needs none"):
        train_design_policy(prey, "dad", settings=settings)


def test_a_recipe_may_say_what_recipes_leave_unsaid(tmp_path):
    (tmp_path / "mine.toml").write_text(
        'kind = "policy"\nname = "dad"\nproblem = "linear_gaussian"\n'
        '[architecture]\nhidden = 4\nembedding = 2\nactivation = "relu"\n'
        "[training]\nsteps = 1\nbatch = 2\ncontrasts = 3\nlooks = 2\nwatched = 2\n"
        "near = 0.0\nbudget = 0.0\nat_once = 1\n"
    )
    out = tmp_path / "mine.safetensors"
    train_recipe(tmp_path / "mine.toml", out)
    assert out.exists()
    out.unlink()
    changed = (tmp_path / "mine.toml").read_text().replace("near = 0.0", "near = 0.5")
    (tmp_path / "mine.toml").write_text(changed)
    with pytest.raises(ValueError, match=r"training: near is 0\.5 there, now not given"):
        train_recipe(tmp_path / "mine.toml", out, changes={"near": 0.0})
