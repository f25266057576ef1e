"""Constraints on designs: what may be taken, what it costs, and when a budget is spent."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import Tensor

from boed.eig.model.design_space import DesignSpace
from boed.eig.model.sequential import fixed_policy, random_policy, sequential_pce

UNIT = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
CORNERS = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])


def scaled(design: Tensor) -> None:
    """theta ~ N(0, 1), y ~ N(d theta, 1): EIG = 1/2 ln(1 + sum d^2)."""
    with pyro.plate_stack("plate", design.shape[:-1]):
        theta = pyro.sample("theta", dist.Normal(torch.zeros(design.shape[:-1]), 1.0))
        pyro.sample("y", dist.Normal(design[..., 0] * theta, 1.0))


def bounds(policy: Any, **changes: Any) -> Any:
    arguments: dict[str, Any] = {"samples": 1000, "contrasts": 200, "example": torch.ones(1)}
    return sequential_pce(scaled, policy, **({"steps": 3} | arguments | changes))


def beyond(design: Tensor) -> Tensor:
    return design.norm(dim=-1) > 0.5


def length(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).norm(dim=-1)


SPACES = {
    "anything": (DesignSpace(), [True, True, True, True, False]),
    "bounds": (DesignSpace(bounds=UNIT), [True, True, True, False, False]),
    "a set": (DesignSpace(designs=CORNERS), [False, True, False, False, False]),
    "a region": (DesignSpace(bounds=UNIT, allowed=beyond), [False, True, True, False, False]),
    "a set, less": (
        DesignSpace(designs=CORNERS, allowed=beyond),
        [False, True, False, False, False],
    ),
}
POINTS = torch.tensor([[0.1, 0.1], [1.0, 0.0], [0.5, 0.6], [2.0, 0.5], [math.nan, 0.5]])


@pytest.mark.parametrize(("space", "inside"), SPACES.values(), ids=SPACES)
def test_a_space_says_what_it_contains(space: DesignSpace, inside: list[bool]) -> None:
    assert space.contains(POINTS).tolist() == inside
    assert space.contains(POINTS.expand(3, 5, 2)).shape == (3, 5)
    with pytest.raises(ValueError, match=r"here \[.*outside the design space"):
        space.check(POINTS, "here")


@pytest.mark.parametrize("name", [name for name in SPACES if name != "anything"])
def test_random_designs_are_in_the_space(name: str) -> None:
    space = SPACES[name][0]
    drawn = space.draw(500)
    assert drawn.shape == (500, 2)
    assert space.contains(drawn).all()
    assert drawn.std(0).min() > 0.2


def test_costs_add_the_way_from_the_look_before_or_the_start() -> None:
    space = DesignSpace(cost=lambda d: 2 + d[..., 0], travel=length)
    here, there = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 4.0]])
    assert space.costs(there).tolist() == [3.0]
    assert space.costs(there, here).tolist() == [7.0]
    begun = DesignSpace(travel=length, start=torch.zeros(2))
    assert begun.costs(torch.tensor([[3.0, 4.0]])).tolist() == [6.0]


@pytest.mark.parametrize(("budget", "looks"), [(1.0, 1), (2.5, 2), (3.0, 3), (math.inf, 3)])
def test_a_budget_ends_a_roll_out(budget: float, looks: int) -> None:
    result = bounds(fixed_policy(2 * torch.ones(3, 1)), budget=budget)
    assert (result.looks == looks).all()
    assert (result.costs == looks).all()
    truth = 0.5 * math.log(1 + 4 * looks)
    assert result.lower == pytest.approx(truth, abs=4 * result.lower_error + 0.01)
    assert result.upper == pytest.approx(truth, abs=4 * result.upper_error + 0.01)


def test_each_scene_spends_its_own_budget() -> None:
    """Half of the scenes take dear looks and can pay for one, the others for three."""

    def policy(designs: Tensor, outcomes: Tensor) -> Tensor:
        return 1 + (torch.arange(len(designs)) % 2)[:, None].float()

    space = DesignSpace(cost=lambda design: 2 * design[..., 0] - 1)  # 1 and 3
    result = bounds(policy, space=space, budget=3.0)
    assert result.looks.tolist() == [3, 1] * 500
    assert (result.costs == 3).all()
    truth = (0.5 * math.log(1 + 3) + 0.5 * math.log(1 + 4)) / 2
    assert result.lower == pytest.approx(truth, abs=4 * result.lower_error + 0.01)


def test_travel_is_paid_between_looks_also_of_one_batch() -> None:
    space = DesignSpace(travel=length, start=torch.zeros(1))
    walk = torch.tensor([[1.0], [3.0], [0.0]])
    each = bounds(fixed_policy(walk), space=space, samples=10)
    once = bounds(
        lambda d, y: walk.expand(len(d), 3, 1), steps=1, at_once=3, space=space, samples=10
    )
    assert each.costs.tolist() == once.costs.tolist() == [3 + 1 + 2 + 3] * 10


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DesignSpace(bounds=torch.ones(3, 2)), r"bounds must be \[2, K\]"),
        (lambda: DesignSpace(bounds=UNIT.flip(0)), "lowest values first"),
        (lambda: DesignSpace(bounds=UNIT * math.inf), "bounds must be 2-dimensional, finite"),
        (lambda: DesignSpace(designs=torch.zeros(0, 2)), "designs must be 2-dimensional, finite"),
        (lambda: DesignSpace(designs=CORNERS, start=torch.zeros(3)), "different numbers of coord"),
        (lambda: DesignSpace(designs=CORNERS + 2, bounds=UNIT), "none of the 4"),
        (
            lambda: DesignSpace(designs=CORNERS, allowed=lambda d: d[..., 0] > 1),
            "none of the 4 is within bounds and allowed",
        ),
        (lambda: DesignSpace().draw(2), "got neither"),
        (
            lambda: DesignSpace(bounds=UNIT, allowed=lambda d: d[..., 0] > 2).draw(2),
            "refuses 2 of 2",
        ),
        (lambda: DesignSpace(bounds=UNIT).contains(torch.zeros(5, 3)), r"must be \[\*batch, 2\]"),
        (lambda: DesignSpace(allowed=lambda d: True).contains(UNIT), "returned bool for designs"),
        (lambda: DesignSpace(allowed=lambda d: d).contains(UNIT), r"returned \(2, 2\) for designs"),
        (
            lambda: DesignSpace(cost=lambda d: -d[..., 0]).costs(UNIT),
            "expected finite ones of at lea",
        ),
        (
            lambda: DesignSpace(travel=lambda a, b: 1.0).costs(UNIT, UNIT),
            "travel: .*returned float",
        ),
    ],
)
def test_a_bad_space_is_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"space": DesignSpace(bounds=torch.tensor([[0.0], [1.0]]))},
            r"look 1: .*\[2.0\] is outside",
        ),
        ({"space": DesignSpace(designs=torch.ones(1, 1))}, r"look 1: .*expected one of 1 designs"),
        ({"space": DesignSpace(allowed=lambda d: d[..., 0] < 2)}, "look 1: .*allowed by <lambda>"),
        ({"budget": 0.5}, "budget is 0.5, and the first look costs at least 1"),
        (
            {"space": DesignSpace(travel=length, start=torch.full((1,), 9.0)), "budget": 5.0},
            "budget is 5.0, and the first look costs at least 9",
        ),
        ({"budget": -1.0}, "budget is -1.0, expected more than 0"),
    ],
)
def test_infeasible_designs_and_budgets_are_refused(changes: dict[str, Any], message: str) -> None:
    policy = fixed_policy(torch.tensor([[1.0], [2.0], [1.0]]))
    with pytest.raises(ValueError, match=message):
        bounds(policy, samples=10, **changes)


def test_random_looks_of_a_space_are_a_policy() -> None:
    space = DesignSpace(bounds=torch.tensor([[0.0], [1.0]]), allowed=lambda d: d[..., 0] > 0.3)
    result = bounds(random_policy(space.draw), space=space, samples=50)
    assert result.designs.min() > 0.3


def test_the_nearest_of_a_set_is_taken() -> None:
    space = DesignSpace(designs=torch.tensor([[0.0, 0.0], [1.0, 1.0], [1.0, 0.0]]))
    asked = torch.tensor([[[0.2, -3.0], [0.8, 0.9]], [[5.0, 0.1], [0.4, 0.4]]])
    expected = [[[0.0, 0.0], [1.0, 1.0]], [[1.0, 0.0], [0.0, 0.0]]]
    assert space.nearest(asked).tolist() == expected


def test_designs_leave_forbidden_regions_by_a_short_way() -> None:
    """Out of a disc of radius 1/2 to its rim; what is allowed stays, bit for bit."""
    space = DesignSpace(
        bounds=torch.tensor([[-1.0, -1.0], [1.0, 1.0]]),
        allowed=lambda design: design.norm(dim=-1) >= 0.5,
    )
    torch.manual_seed(0)
    asked = 1.5 * torch.randn(500, 2)
    state = torch.get_rng_state()
    found = space.nearest(asked)
    assert torch.equal(torch.get_rng_state(), state)
    assert bool(space.contains(found).all())
    inside = asked.norm(dim=-1) < 0.5
    assert inside.sum() > 20
    assert found[inside].norm(dim=-1).max() < 0.501
    assert (found - asked)[inside].norm(dim=-1).max() < 0.6
    clamped = asked.clamp(-1, 1)
    assert torch.equal(found[~inside], clamped[~inside])
    for each, other in zip(asked, found, strict=True):  # alone as in a batch
        assert torch.equal(space.nearest(each), other)


def test_the_gradient_passes_what_was_moved() -> None:
    space = DesignSpace(
        bounds=torch.tensor([[0.0], [1.0]]), allowed=lambda design: design[..., 0] > 0.4
    )
    asked = torch.tensor([[0.1], [0.7], [3.0]], requires_grad=True)
    (space.nearest(asked) * torch.tensor([[1.0], [2.0], [3.0]])).sum().backward()
    assert asked.grad is not None
    assert asked.grad.tolist() == [[1.0], [2.0], [3.0]]


def test_a_way_out_needs_bounds() -> None:
    space = DesignSpace(allowed=lambda design: design[..., 0] > 0.4)
    assert space.nearest(torch.tensor([0.7])).tolist() == pytest.approx([0.7])
    with pytest.raises(ValueError, match="the design space has no bounds"):
        space.nearest(torch.tensor([0.1]))
