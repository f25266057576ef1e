"""Looks that are chosen together, before any of them has an outcome, and budgets in training."""

from __future__ import annotations

import csv
import io
import math
import re
from base64 import b64decode
from dataclasses import replace

import pyro
import pyro.distributions as dist
import pytest
import torch

from boed.deep_adaptive import (
    DeepAdaptiveDesign,
    PolicyConfig,
    PolicyTrainingConfig,
    StepDAD,
    architecture_for,
    design_policy,
    refine,
    single_look,
    train_design_policy,
    train_policy,
)
from boed.deep_adaptive.experiments import log_likelihood, run_experiments
from boed.deep_adaptive.reinforced import ActorCritic
from boed.eig import DesignSpace, sequential_pce
from boed.eig.model.fused import FusedLikelihood
from boed.eig.model.roll_outs import roll_out
from boed.eig.model.sequential import fixed_policy
from boed.problems.linear_gaussian import LinearGaussian
from boed.problems.names import OwnModel
from boed.session import ModelSession
from boed.session.experiment_report import experiment_page
from boed.session.waiting import Waiting

QUICK = PolicyTrainingConfig(
    steps=150, batch=64, contrasts=31, lr=0.02, warmup=5, ema=0.8, every=150, looks=2, watched=64
)
FEW = replace(QUICK, steps=2, every=2, batch=8, watched=4)


def plane(design):
    """Noisy length of theta ~ N(0, I) along an angle: two looks are best at right angles.

    EIG of both = 1/2 ln(4 - cos^2 of the angle between them); 0.69 nats, 0.55 for the same twice.
    """
    shape = design.shape[:-1]
    with pyro.plate_stack("plate", shape):
        theta = pyro.sample("theta", dist.Normal(torch.zeros(2), 1.0).to_event(1))
        along = design.cos()[..., 0] * theta[..., 0] + design.sin()[..., 0] * theta[..., 1]
        return pyro.sample("y", dist.Normal(along, 1.0))


PLANE = OwnModel(program=plane, name="a plane")
FOUR = DesignSpace(designs=torch.tensor([[0.0], [0.5], [1.0], [1.5]]))


def small(problem):
    return architecture_for(problem, hidden=32, embedding=16)


def random_network(**changes):
    torch.manual_seed(1)
    config = {"design_dim": 1, "hidden": 8, "embedding": 4, "at_once": 2} | changes
    return DeepAdaptiveDesign(PolicyConfig(**config)).eval()


@pytest.mark.parametrize("heads", [0, 2])
def test_looks_of_a_group_wait_for_no_outcome(heads):
    """Designs of a group depend on the outcomes of earlier groups, not on each other's."""
    network = random_network(heads=heads)
    designs, outcomes = torch.randn(3, 2, 1), torch.randn(3, 2)
    after = network(designs, outcomes)
    assert after.shape == (3, 2, 1)
    assert not torch.allclose(after[:, 0], after[:, 1])
    assert not torch.allclose(network(designs, outcomes + 1), after)

    def noisy(at, scale):
        def program(design):
            with pyro.plate_stack("plate", design.shape[:-1]):
                theta = pyro.sample("theta", dist.Normal(design.new_zeros(()), 1.0))
                return pyro.sample("y", dist.Normal(theta + design[..., 0] * scale, 1.0))

        torch.manual_seed(at)
        problem = single_look(program, network, "y", target="theta")
        return run_experiments(problem, network, 4, batch=3)

    one, other = noisy(0, 1.0), noisy(0, 2.0)
    assert torch.equal(one.designs[:, :2], other.designs[:, :2])
    assert not torch.allclose(one.outcomes[:, :2], other.outcomes[:, :2])
    assert not torch.allclose(one.designs[:, 2:], other.designs[:, 2:])


def test_training_and_evaluation_make_the_same_experiments():
    network = random_network()
    problem = single_look(plane, network, "y", target="theta")
    torch.manual_seed(0)
    ours = run_experiments(problem, network, 4, batch=5)
    torch.manual_seed(0)
    theirs = roll_out(problem, network, torch.zeros(1), steps=2, batch=5, at_once=2)
    assert torch.equal(ours.designs[:, :2], theirs.designs[:, :2])
    torch.testing.assert_close(
        network(ours.designs[:, :2], ours.outcomes[:, :2]), ours.designs[:, 2:]
    )


@pytest.mark.parametrize("method", ["dad", pytest.param("rl", marks=pytest.mark.slow)])
def test_a_group_is_not_twice_the_same(method):
    """Both looks of one group are at right angles though neither knows the other's outcome."""
    settings = replace(QUICK, at_once=2, steps=250)
    if method == "rl":
        settings = replace(settings, lr=0.005, batch=256, steps=400)
    policy = train_design_policy(PLANE, method, settings=settings, architecture=small(PLANE))
    pair = policy.next([])
    assert pair.shape == (2, 1)
    assert abs(float((pair[0] - pair[1]).cos())) < 0.35
    found = sequential_pce(
        plane, policy, 1, at_once=2, samples=2000, contrasts=500, example=torch.zeros(1)
    )
    assert found.lower == pytest.approx(math.log(2), abs=0.08)


@pytest.mark.parametrize("method", ["idad", "vsoed", "rl"])
def test_every_method_trains_groups(method):
    problem = OwnModel(program=plane, name="a plane", space=FOUR) if method == "rl" else PLANE
    settings = replace(FEW, looks=4, at_once=2)
    policy = train_design_policy(problem, method, settings=settings, architecture=small(problem))
    assert policy.at_once == 2
    assert policy.next([]).shape == (2, 1)


def test_a_policy_for_groups_is_stored_refined_and_asked(tmp_path):
    out = tmp_path / "policy.safetensors"
    settings = replace(FEW, looks=4, at_once=2)
    trained = train_design_policy(PLANE, settings=settings, architecture=small(PLANE), out=out)
    policy = design_policy(out, PLANE, 4)
    assert policy.about == "a plane, T = 4, 2 at once"
    first = policy.next([])
    assert torch.equal(first, trained.next([]))
    history = [(each, torch.tensor(0.5)) for each in first]
    assert policy.next(history).shape == (2, 1)
    assert policy.next([*history, (first[0], torch.tensor(0.1))]).shape == (1, 1)  # one is left
    refined = refine(policy, PLANE, history, settings=replace(FEW, looks=4), particles=64)
    assert refined.next(history).shape == (2, 1)
    with pytest.raises(ValueError, match=r"1 looks of 4, of which policy dad chooses 2 at once"):
        refine(policy, PLANE, history[:1], settings=replace(FEW, looks=4), particles=64)
    with pytest.raises(ValueError, match=r"at is \(1,\), expected .* from 0 to 2, .* 2 at once"):
        StepDAD(policy=policy, problem=PLANE, settings=FEW, at=(1,), particles=64)
    one_by_one = replace(settings, at_once=1)
    with pytest.raises(ValueError, match="chooses 2 looks at once, expected 1"):
        train_design_policy(PLANE, settings=one_by_one, architecture=small(PLANE), init=out)
    with pytest.raises(ValueError, match="another training"):
        train_design_policy(PLANE, settings=one_by_one, architecture=small(PLANE), out=out)


def test_groups_that_cannot_be():
    with pytest.raises(ValueError, match="looks is 5, expected a multiple of at_once, 2"):
        replace(FEW, looks=5, at_once=2)
    with pytest.raises(ValueError, match="at_once is 2, and the policy, a StaticDesign, chooses 1"):
        train_design_policy(PLANE, "fixed", settings=replace(FEW, at_once=2))
    with pytest.raises(ValueError, match=r"at_once is 1, and the policy, .* chooses 2 at once"):
        train_policy(plane, random_network(), FEW)
    with pytest.raises(ValueError, match="it chooses 2 looks at once, give at_once"):
        sequential_pce(plane, random_network(), 2, samples=4, contrasts=4, example=torch.zeros(1))
    with pytest.raises(ValueError, match="at_once is"):
        PolicyConfig(design_dim=1, at_once=2.5)
    with pytest.raises(ValueError, match=r"at_once is 1, and the policy, .* chooses 3 at once"):
        train_design_policy(PLANE, settings=FEW, architecture=replace(small(PLANE), at_once=3))
    alone = random_network(at_once=1)
    with pytest.raises(ValueError, match="at_once is 1: the policy chooses a look when"):
        alone.expect(alone.start(1), torch.zeros(1, 1))


def test_a_session_suggests_the_group_and_takes_outcomes_in_any_order(tmp_path):
    settings = replace(FEW, looks=4, at_once=2)
    policy = train_design_policy(PLANE, settings=settings, architecture=small(PLANE))

    def opened():
        return ModelSession(plane, policy, torch.zeros(1), path=tmp_path / "log")

    with opened() as session:
        pair = session.suggest()
        assert pair.shape == (2, 1)
        session.ingest(0.2, pair[1])
    with opened() as session:
        assert torch.equal(session.suggest(), pair[:1])
        session.ingest(0.4)
        assert torch.equal(session.designs, pair.flip(0))
        assert session.outcomes.tolist() == pytest.approx([0.2, 0.4])
        other = session.suggest()
        assert other.shape == (2, 1)
        assert not torch.equal(other, pair)
        session.ingest(0.1, torch.tensor([0.5]))  # of one's own: asked anew, for what is left
        assert session.suggest().shape == (1, 1)
        session.ingest(0.3)
        assert session.suggest() is None
        assert session.reason == "all 4 looks are made"


def test_a_budget_ends_a_group():
    space = DesignSpace(cost=lambda design: design[..., 0] * 0 + 2)
    policy = train_design_policy(
        PLANE, settings=replace(FEW, looks=4, at_once=4), architecture=small(PLANE)
    )
    session = ModelSession(plane, policy, torch.zeros(1), space=space, budget=7.0)
    assert session.suggest().shape == (3, 1)
    for _ in range(3):
        session.ingest(0.1)
    assert session.suggest() is None
    assert session.reason == "the budget of 7 had no room for all that were suggested"


def test_a_way_that_grew_ends_a_group():
    """Taken in another order than suggested, the way to the last one is no longer paid for."""
    space = DesignSpace(
        travel=lambda here, there: (here - there)[..., 0].abs(), start=torch.zeros(1)
    )
    group = fixed_policy(torch.tensor([[[1.0], [2.0], [3.0]]]))
    session = ModelSession(plane, group, torch.zeros(1), space=space, budget=6.0)
    assert session.suggest()[:, 0].tolist() == [1, 2, 3]
    session.ingest(0.1, torch.tensor([3.0]))
    session.ingest(0.1, torch.tensor([1.0]))
    assert session.spent == 7
    assert session.suggest() is None
    assert session.reason == "the next design costs 2, and -1 of the budget of 6 is left"


def test_fixed_groups_come_one_after_another():
    designs = torch.arange(1.0, 7).view(3, 2, 1)
    session = ModelSession(plane, fixed_policy(designs), torch.ones(1))
    for group in designs:
        assert torch.equal(session.suggest(), group)
        for _ in range(2):
            session.ingest(0.3)
    with pytest.raises(
        ValueError, match="fixed_policy has 3 groups of 2 looks, asked for one more"
    ):
        session.suggest()
    found = sequential_pce(
        plane, fixed_policy(designs), 3, at_once=2, samples=4, contrasts=4, example=torch.ones(1)
    )
    assert torch.equal(found.designs[0], designs.view(6, 1))


def test_outcomes_of_a_group_that_was_put_aside_may_still_come():
    designs = torch.tensor([[[1.0], [1.0], [2.0]], [[3.0], [4.0], [5.0]]])
    session = ModelSession(plane, fixed_policy(designs), torch.ones(1))
    session.suggest()
    session.ingest(0.1)
    assert session.suggest()[:, 0].tolist() == [1, 2]  # one of two that are alike is left
    session.ingest(0.2, torch.tensor([7.0]))
    assert session.suggest()[:, 0].tolist() == [3, 4, 5]
    session.ingest(0.3, torch.tensor([2.0]))
    assert session.suggest()[:, 0].tolist() == [3, 4, 5]
    assert Waiting.after(session._log.events).answers == [1, 0, 1]
    session.ingest(0.4)
    page, _ = experiment_page(session._log.events)
    (data,) = re.findall(r'download="looks.csv" href="data:text/csv;base64,([^"]+)"', page)
    rows = csv.DictReader(io.StringIO(b64decode(data).decode()))
    assert [each["group"] for each in rows] == ["1", "none", "1", "2"]


@pytest.mark.parametrize("shape", [(1,), (2, 1), (1, 0, 1), (1, 2, 3, 1), (1, 2)])
def test_designs_of_another_shape_are_refused(shape):
    session = ModelSession(plane, lambda designs, outcomes: torch.ones(shape), torch.ones(1))
    with pytest.raises(ValueError, match=r"expected a tensor \(1, 1\), or \(1, n, 1\) of n looks"):
        session.suggest()


LINE = LinearGaussian.one_dimension()
FAR = DesignSpace(
    bounds=torch.tensor([[0.0], [3.0]]), cost=lambda design: design[..., 0].square() + 0.05
)
DEAR = OwnModel(program=LINE.model, name="a line", space=FAR)
"""The gain is 1/2 ln(1 + sum d^2), so that only the sum of the costs counts: up to the budget."""


def test_experiments_end_where_the_budget_does():
    policy = random_network(design_dim=1, lower=(0.0,), upper=(3.0,), at_once=1)
    problem = single_look(LINE.model, policy, "y", target="theta", space=FAR)
    torch.manual_seed(0)
    free = run_experiments(problem, policy, 3, batch=6)
    torch.manual_seed(0)
    bound = run_experiments(
        problem, policy, 3, batch=6, budget=float(free.costs.detach().min()) - 0.01
    )
    assert free.made is None
    assert bound.made.sum(1).max() < 3
    assert (bound.costs <= free.costs.min()).all()
    assert torch.equal(bound.designs, free.designs)
    theta = {name: value[None] for name, value in bound.latents.items()}
    truth = log_likelihood(problem, bound, theta)[0]
    torch.testing.assert_close(truth, bound.log_likelihood)
    others = problem.draw_latents(torch.zeros(7, 1, 1))
    fused = FusedLikelihood(log_likelihood)
    torch.testing.assert_close(
        fused(problem, bound, others), log_likelihood(problem, bound, others), rtol=1e-4, atol=1e-4
    )


@pytest.mark.slow
def test_reinforcement_learns_to_spend_a_budget():
    """One look at 2 costs 4.05 of 5, and nothing is left for another; two at 1.5 cost 4.6."""
    settings = replace(QUICK, steps=600, budget=5.0)
    policy = train_design_policy(DEAR, "rl", settings=settings, architecture=small(DEAR))
    found = sequential_pce(
        DEAR.model, policy, 2, samples=500, contrasts=200, example=torch.ones(1), space=FAR,
        budget=5.0,
    )  # fmt: skip
    assert found.costs.max() <= 5
    assert found.costs.mean() > 3.5
    assert found.lower > 0.7  # 1/2 ln 5 = 0.80 for one at 2, 0.86 for all that can be bought


@pytest.mark.parametrize("method", ["dad", "fixed", "idad", "vsoed"])
def test_budgets_have_no_gradient(method):
    with pytest.raises(
        ValueError, match=r"budget is 5, and method .* expected method 'rl', or a p"
    ):
        train_design_policy(DEAR, method, settings=replace(FEW, budget=5.0))


def test_a_budget_that_pays_for_nothing_is_refused():
    with pytest.raises(
        ValueError, match=r"budget is 0\.01, and the cheapest of 1024 first looks costs 0\.05"
    ):
        train_design_policy(DEAR, "rl", settings=replace(FEW, budget=0.01))
    with pytest.warns(UserWarning, match=r"budget is 0\.1: the policy's first look costs more"):
        train_design_policy(
            DEAR, "rl", settings=replace(FEW, budget=0.1, batch=256), architecture=small(DEAR)
        )


def test_what_comes_after_the_budget_is_spent_moves_nothing():
    """The loss does not depend on what the critic says of looks that were never made."""
    torch.manual_seed(0)
    policy = DeepAdaptiveDesign(small(DEAR))
    settings = replace(FEW, looks=6, budget=5.0, batch=32)
    problem = single_look(DEAR.model, policy, "y", target="theta", space=FAR)
    learner = ActorCritic(problem, policy, settings=settings, likelihood=log_likelihood)

    def gradients(late: float) -> list[torch.Tensor]:
        def changed(inputs, _, value):  # of the last looks, none of which is made
            return value + late * (inputs[0][:, -1:] > 0.8)

        hook = learner.value.register_forward_hook(lambda _, i, o: changed(i, None, o))
        torch.manual_seed(1)
        learner.zero_grad()
        learner.loss().backward()
        hook.remove()
        return [each.grad.clone() for each in policy.parameters() if each.grad is not None]

    roll = run_experiments(problem, policy, 6, batch=32, budget=5.0)
    assert roll.made.sum(1).max() <= 4
    for one, other in zip(gradients(0.0), gradients(100.0), strict=True):
        torch.testing.assert_close(one, other)


def test_refinements_know_of_no_budget():
    policy = train_design_policy(PLANE, settings=FEW, architecture=small(PLANE))
    for changes, told in (({"budget": 3.0}, "budget is 3: a ref"), ({"at_once": 2}, "at_once is")):
        with pytest.raises(ValueError, match=told):
            refine(policy, PLANE, [], settings=replace(FEW, **changes), particles=8)
        with pytest.raises(ValueError, match=told):
            StepDAD(
                policy=policy, problem=PLANE, settings=replace(FEW, **changes), at=(0,), particles=8
            )


def test_designs_of_a_set_keep_their_last_digit():
    space = DesignSpace(designs=torch.tensor([[0.1], [0.3], [0.7]], dtype=torch.float64))
    problem = OwnModel(program=plane, name="a plane", space=space)
    policy = train_design_policy(problem, "rl", settings=FEW, architecture=small(problem))
    example = torch.zeros(1, dtype=torch.float64) + 0.3
    session = ModelSession(plane, policy, example, space=space)
    assert space.contains(session.suggest())
