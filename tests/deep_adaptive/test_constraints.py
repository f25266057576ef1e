"""Policies trained for designs of which some are forbidden, and some cost more than others."""

from __future__ import annotations

import sys
from dataclasses import replace

import pyro
import pyro.distributions as dist
import pytest
import torch

from boed.deep_adaptive import (
    DeepAdaptiveDesign,
    PolicyTrainingConfig,
    architecture_for,
    design_policy,
    refine,
    train_design_policy,
    train_policy,
)
from boed.eig import DesignSpace, sequential_pce
from boed.problems.linear_gaussian import LinearGaussian
from boed.problems.names import OwnModel, problem_named
from boed.training.config import POLICY_METHODS

QUICK = PolicyTrainingConfig(
    steps=60, batch=64, contrasts=31, lr=0.03, warmup=5, ema=0.8, every=60, looks=2, watched=64,
    precision="fp32",
)  # fmt: skip
FEW = replace(QUICK, steps=2, every=2, batch=8, watched=4)
BOUNDS = torch.tensor([[-2.0], [2.0]])
RING = DesignSpace(bounds=BOUNDS, allowed=lambda design: (design.abs() < 1.2).all(-1))
SET = DesignSpace(
    designs=torch.tensor([[-2.0], [-0.5], [1.0], [2.0]]), allowed=lambda design: design[..., 0] < 2
)


def line(space):
    """The gain is 1/2 ln(1 + the sum of the squared designs): the farther out, the more."""
    return OwnModel(program=LinearGaussian.one_dimension().model, name="a line", space=space)


def small(problem):
    return architecture_for(problem, hidden=16, embedding=4)


def judged(problem, policy, **options):
    return sequential_pce(
        problem.model, policy, 2, samples=300, contrasts=100, example=torch.zeros(1),
        space=problem.space, **options,
    )  # fmt: skip


@pytest.mark.parametrize("method", POLICY_METHODS)
def test_every_method_goes_to_the_end_of_what_is_allowed(method):
    """Unconstrained they go to 2: `sequential_pce` would refuse a design outside the space."""
    problem = line(RING)
    settings = replace(QUICK, lr=0.1) if method == "fixed" else QUICK
    policy = train_design_policy(problem, method, settings=settings, architecture=small(problem))
    found = judged(problem, policy)
    assert found.designs.abs().min() > 1.0
    assert found.designs.abs().max() < 1.2


def test_reinforcement_never_takes_what_a_set_forbids():
    problem = line(SET)
    policy = train_design_policy(problem, "rl", settings=QUICK, architecture=small(problem))
    assert (judged(problem, policy).designs == -2).all()


@pytest.mark.parametrize(
    "method",
    [
        "fixed",
        "rl",
        *(pytest.param(each, marks=pytest.mark.slow) for each in ("dad", "idad", "vsoed")),
    ],
)
def test_a_price_keeps_looks_at_home(method):
    """1/2 ln(1 + 2 d^2) less p |d| for each of two looks is best at d = 0, if p is 2."""
    problem = line(DesignSpace(bounds=BOUNDS, cost=lambda design: design[..., 0].abs()))
    settings = replace(QUICK, lr=0.1 if method == "fixed" else 0.03)
    dear, cheap = (
        train_design_policy(
            problem, method, settings=replace(settings, price=price), architecture=small(problem)
        )
        for price in (2.0, 0.0)
    )
    assert judged(problem, dear).costs.mean() < 0.4
    assert judged(problem, cheap).costs.mean() > 3
    history = dear.network.provenance["history"][-1]
    if "val_spce" in history:
        paid = 2 * history["val_cost"] - history["val_spce"]
        assert history["val_loss"] == pytest.approx(paid)


def test_travel_makes_looks_keep_together():
    """A second look at the other end is worth as much; where the way costs, it stays."""
    travel = DesignSpace(bounds=BOUNDS, travel=lambda here, there: (here - there)[..., 0].abs())
    problem = line(travel)
    policy = train_design_policy(
        problem, settings=replace(QUICK, price=0.5), architecture=small(problem)
    )
    designs = judged(problem, policy).designs[..., 0]
    assert (designs[:, 0] - designs[:, 1]).abs().max() < 0.5
    assert designs.abs().min() > 1.5


def coin(design):
    """Heads with probability sigmoid(5 d theta): no outcome to differentiate through."""
    with pyro.plate_stack("plate", design.shape[:-1]):
        theta = pyro.sample("theta", dist.Normal(torch.tensor(0.0), 1.0))
        return pyro.sample("y", dist.Bernoulli(logits=5 * design[..., 0] * theta))


@pytest.mark.slow
def test_a_price_counts_where_outcomes_are_discrete():
    space = DesignSpace(bounds=BOUNDS, cost=lambda design: design[..., 0].abs())
    problem = OwnModel(program=coin, name="a coin", space=space)
    costs = []
    for price in (0.0, 3.0):
        policy = train_design_policy(
            problem, settings=replace(QUICK, price=price), architecture=small(problem)
        )
        costs.append(judged(problem, policy).costs.mean())
    assert costs[1] < 0.5 * costs[0]


def test_a_policy_is_stored_with_its_space_and_asked_within_it(tmp_path):
    out, problem = tmp_path / "policy.safetensors", line(RING)
    trained = train_design_policy(problem, settings=FEW, architecture=small(problem), out=out)
    with torch.no_grad():
        for each in trained.network.emitter.parameters():
            each.fill_(1.0)  # far outside
    trained.network.save(out, trained.network.provenance)
    policy = design_policy(out, problem, 2)
    first = policy.next([])
    assert problem.space.contains(first)
    assert first > 1.19
    second = policy.next([(first, torch.tensor(1.0))])
    assert problem.space.contains(second)
    with pytest.raises(
        ValueError, match=r"is for a line, T = 2, with designs .*allowed by <lambda"
    ):
        design_policy(out)
    with pytest.raises(ValueError, match="space"):
        design_policy(out, line(None))
    with pytest.raises(ValueError, match="space"):
        design_policy(out, line(DesignSpace(bounds=BOUNDS)))


def test_a_policy_is_refined_within_its_space():
    problem = line(RING)
    policy = train_design_policy(problem, settings=QUICK, architecture=small(problem))
    history = [(policy.next([]), torch.tensor(0.3))]
    refined = refine(policy, problem, history, settings=replace(FEW, looks=2), particles=64)
    assert problem.space.contains(refined.next(history))


def test_a_space_of_one_s_own_by_name(tmp_path, monkeypatch):
    (tmp_path / "fenced.py").write_text(
        "import torch\n"
        "from boed.eig import DesignSpace\n"
        "from boed.problems.linear_gaussian import LinearGaussian\n"
        "model = LinearGaussian.one_dimension().model\n"
        "def inside(design):\n"
        "    return design[..., 0] < 1\n"
        "room = DesignSpace(bounds=torch.tensor([[0.0], [2.0]]), allowed=inside)\n"
        "word = 'room'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    try:
        problem = problem_named("fenced:model,space=room")
        assert problem.bounds.tolist() == [[0.0], [2.0]]
        policy = train_design_policy(problem, settings=FEW, architecture=small(problem))
        assert policy.next([]) < 1
        with pytest.raises(ValueError, match="space is a str, 'room', expected a DesignSpace"):
            problem_named("fenced:model,space=word")
        with pytest.raises(ValueError, match="lower, upper and space are given"):
            problem_named("fenced:model,space=room,lower=0,upper=1")
        with pytest.raises(ValueError, match=r"bounds of its space have 1 .* dimensions is 2"):
            problem_named("fenced:model,space=room,dimensions=2")
        with pytest.raises(ValueError, match=r"space is 'fenced:roof': did you mean 'fenced:room'"):
            problem_named("fenced:model,space=roof")
    finally:
        sys.modules.pop("fenced", None)


def test_a_price_where_nothing_costs_more_is_refused():
    with pytest.raises(ValueError, match=r"price is 0\.5, and no design costs more than another"):
        train_design_policy(
            line(RING), settings=replace(FEW, price=0.5), architecture=small(line(RING))
        )
    with pytest.raises(ValueError, match=r"price is 0\.5"):
        train_policy(
            line(RING).model,
            DeepAdaptiveDesign.from_bounds(BOUNDS, hidden=4, embedding=4),
            replace(FEW, price=0.5),
        )
