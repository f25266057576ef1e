"""The literature's sequences of experiments, each through every property."""

from __future__ import annotations

import math

import numpy as np
import pyro
import pytest
import torch
from pyro import poutine
from scipy.integrate import solve_ivp

from boed.eig.model.model_eig import model_eig
from boed.eig.model.sequential import random_policy, sequential_pce
from boed.problems import (
    LITERATURE,
    ConstantElasticity,
    HyperbolicDiscounting,
    PreyPopulation,
    Problem,
    Task,
)

tasks = pytest.mark.parametrize("task", LITERATURE.values(), ids=LITERATURE)
HORIZONS = {
    "location-finding-10": 10,
    "location-finding-30": 30,
    "location-finding-square-2": 30,
    "location-finding-square-1": 30,
    "constant-elasticity": 10,
    "hyperbolic-discounting": 20,
    "prey-population": 10,
    "death-process": 4,
}


def test_all_that_circulate_are_there_with_their_horizons() -> None:
    assert {name: task.looks for name, task in LITERATURE.items()} == HORIZONS


@tasks
def test_example_and_random_designs_are_legal(task: Task) -> None:
    state = torch.random.get_rng_state()
    example = task.example
    assert torch.equal(state, torch.random.get_rng_state())
    drawn = task.random(300)
    assert drawn.dtype == example.dtype
    assert task.space.contains(example)
    assert task.space.contains(drawn).all()
    assert drawn.std(0).min() > 0
    with poutine.block():
        assert task.problem.model(drawn).shape == (300,)
    if task.problem.bounds is not None:
        low, high = task.problem.bounds
        assert ((drawn >= low) & (drawn <= high)).all()


@tasks
@pytest.mark.filterwarnings("ignore:contrasts is 30")
def test_roll_outs_have_both_bounds(task: Task) -> None:
    result = sequential_pce(
        task.problem.model,
        random_policy(task.random),
        task.looks,
        samples=20,
        contrasts=30,
        example=task.example,
        target=task.problem.target,
        space=task.space,
    )
    assert result.designs.shape[:2] == (20, task.looks)
    assert 0.2 < result.lower < result.upper
    assert result.lower <= result.ceiling == math.log(31)


@tasks
def test_marks_say_where_they_are_from(task: Task) -> None:
    assert task.source
    assert task.settings.endswith(".")
    for mark in task.marks:
        assert mark.source
        assert mark.upper is None or mark.upper > mark.lower
        assert not mark.confirmed or "code of" in mark.source


def test_a_task_needs_looks() -> None:
    task = LITERATURE["death-process"]
    with pytest.raises(ValueError, match="looks is 0"):
        Task(
            problem=task.problem,
            asked=task.asked,
            looks=0,
            space=task.space,
            random=task.random,
            source="",
            settings="",
        )


@pytest.mark.parametrize("log_a", [-6.0, -1.4, 3.0])
@pytest.mark.parametrize("log_h", [-6.0, -1.4, 3.0])
@pytest.mark.parametrize("number", [1.0, 20.0, 300.0])
def test_prey_left_solve_the_differential_equation(
    log_a: float, log_h: float, number: float
) -> None:
    a, h = math.exp(log_a), math.exp(log_h)
    solution = solve_ivp(
        lambda _, n: -a * n**2 / (1 + a * h * n**2),
        (0, 24),
        [number],
        method="LSODA",
        rtol=1e-9,
        atol=1e-12,
    )
    left = PreyPopulation().left(*torch.tensor([log_a, log_h, number]).double())
    assert float(left) == pytest.approx(solution.y[0, -1], rel=1e-5)


def test_prey_have_the_exact_eig_that_sampling_finds() -> None:
    prey = PreyPopulation()
    designs = torch.tensor([[5.0], [12.0]])
    exact = prey.exact_eig(designs[None])
    assert exact.shape == (1, 2)
    sampled = model_eig(prey.model, designs, "nmc", target=prey.target, samples=1000, contrasts=500)
    assert ((sampled.eig - exact[0]).abs() < 4 * sampled.standard_error + 0.01).all()
    with pytest.raises(ValueError, match="expected within"):
        prey.exact_eig(torch.tensor([0.0]))


@pytest.mark.parametrize("number", [0.5, 20.5, 301.0])
def test_prey_come_in_whole_numbers(number: float) -> None:
    with pytest.raises(ValueError, match="prey population: design"):
        PreyPopulation().model(torch.tensor([number]))


def test_prey_are_as_likely_in_float32() -> None:
    """Rates far out in the prior, where what is eaten is a difference of large numbers."""
    sites = {name: torch.tensor([-6.0, -1.4, 3.0]) for name in ("log_a", "log_h")}
    sites["y"] = torch.tensor([1.0, 5.0, 1.0])
    values = []
    for dtype in (torch.float32, torch.float64):
        given = {name: value.to(dtype) for name, value in sites.items()}
        model = poutine.condition(PreyPopulation().model, given)
        trace = poutine.trace(model).get_trace(torch.full((3, 1), 200.0, dtype=dtype))
        trace.compute_log_prob()
        values.append(trace.nodes["y"]["log_prob"].double())
    torch.testing.assert_close(*values, rtol=1e-4, atol=1e-4)


def log_likelihood(problem: Problem, design: list[float], **sites: torch.Tensor) -> torch.Tensor:
    model = poutine.condition(problem.model, sites)
    with pyro.validation_enabled(False):
        trace = poutine.trace(model).get_trace(torch.tensor(design).double().expand(3, -1))
    trace.compute_log_prob()
    value = trace.nodes["y"]["log_prob"]
    assert isinstance(value, torch.Tensor)
    return value


def test_the_least_elasticity_moves_the_exponent() -> None:
    rho = torch.tensor([0.0, 0.3, 1.0]).double()
    rest = {
        "alpha": torch.full((3, 3), 1 / 3).double(),
        "log_u": torch.full((3,), -2.0).double(),
        "y": torch.full((3,), 0.6).double(),
    }
    design = [1.0, 2.0, 3.0, 2.0, 2.5, 1.0]
    variant = log_likelihood(ConstantElasticity(least_elasticity=0.2), design, rho=rho, **rest)
    plain = log_likelihood(ConstantElasticity(), design, rho=0.2 + 0.8 * rho, **rest)
    torch.testing.assert_close(variant, plain)
    where = torch.tensor(design)
    exact = [
        float(ConstantElasticity(least_elasticity=least).exact_eig(where, points=2**9))
        for least in (0.0, 0.99)
    ]
    assert exact[0] != exact[1]  # the same quadrature


def test_steepness_scales_the_noise_of_a_choice() -> None:
    sites = {
        "log_k": torch.full((3,), -4.0).double(),
        "y": torch.ones(3).double(),
    }
    alpha = torch.tensor([0.5, 2.0, 9.0]).double()
    steep = log_likelihood(HyperbolicDiscounting(steepness=2.0), [50.0, 60.0], alpha=alpha, **sites)
    plain = log_likelihood(HyperbolicDiscounting(), [50.0, 60.0], alpha=alpha / 2, **sites)
    torch.testing.assert_close(steep, plain)


def test_bounds_of_goods_follow_the_least_one() -> None:
    with pytest.raises(ValueError, match="design reaches from"):
        ConstantElasticity(least_good=0.01).model(torch.zeros(6))
    assert np.allclose(ConstantElasticity(least_good=0.01).bounds[0], 0.01)
