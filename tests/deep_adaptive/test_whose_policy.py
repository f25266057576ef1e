"""A policy is for one model and horizon: every part that takes one makes sure of both."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import Tensor

from boed.deep_adaptive import (
    PolicyTrainingConfig,
    architecture_for,
    design_policy,
    train_design_policy,
)
from boed.eig import DesignSpace, fixed_policy, sequential_pce
from boed.foundation.fingerprint import of_function
from boed.problems import LocationFinding
from boed.problems.names import OwnModel, problem_facts
from boed.session import ModelSession

FEW = PolicyTrainingConfig(
    steps=2, batch=8, contrasts=7, looks=3, watched=8, every=2, warmup=0, precision="fp32"
)
START = torch.zeros(1)


def line(noise: float, dtype: torch.dtype = torch.float32) -> Any:
    """y ~ N(d theta, noise^2)."""

    def model(design: Tensor) -> Any:
        with pyro.plate_stack("plate", design.shape[:-1]):
            theta = pyro.sample("theta", dist.Normal(torch.zeros((), dtype=dtype), 1.0))
            return pyro.sample("y", dist.Normal(design[..., 0] * theta, noise))

    return model


def hidden(design: Tensor) -> Any:
    """No likelihood: the noise is added to what is observed."""
    with pyro.plate_stack("plate", design.shape[:-1]):
        theta = pyro.sample("theta", dist.Normal(torch.zeros(()), 1.0))
        noise = pyro.sample("noise", dist.Normal(torch.zeros(()), 0.1))
        return pyro.deterministic("y", design[..., 0] * theta + noise)


SHARP, DULL = line(0.5), line(5.0)


def trained(program: Any = SHARP, method: str = "dad", **more: Any) -> Any:
    problem = OwnModel(program=program, name="a line", lower=-2.0, upper=2.0)
    small = architecture_for(problem, hidden=8, embedding=4)
    return train_design_policy(problem, method, settings=FEW, architecture=small, **more)


POLICY = trained()


def judged(model: Any, looks: int = 3, **more: Any) -> Any:
    return sequential_pce(
        model, POLICY, looks, **{"samples": 20, "contrasts": 20, "example": START, **more}
    )


def test_its_own_model_is_taken_as_function_and_as_problem() -> None:
    own = OwnModel(program=SHARP, name="a line", lower=-2.0, upper=2.0)
    assert judged(SHARP).lower == judged(own.model).lower
    assert judged(SHARP, 2).designs.shape == (20, 2, 1)


@pytest.mark.parametrize(
    ("model", "looks", "words"),
    [
        (DULL, 3, "is for another model .a line, T = 3.: model is '.*' there, now"),
        (OwnModel(program=DULL, name="a line", lower=-2.0, upper=2.0).model, 3, "model is"),
        (LocationFinding().model, 3, "is for another model .*: kind is 'OwnModel' there"),
        (SHARP, 4, "is for a line, T = 3, and 4 looks are asked for; expected at most 3"),
    ],
)
def test_another_model_or_horizon_is_refused(model: Any, looks: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        judged(model, looks)
    with pytest.raises(ValueError, match=words):
        ModelSession(model, POLICY, START, looks=looks)


def test_a_session_ends_at_the_policy_s_horizon() -> None:
    session = ModelSession(SHARP, POLICY, START)
    for outcome in (0.1, -0.4, 0.2):
        assert session.suggest() is not None
        session.ingest(outcome)
    assert session.suggest() is None
    assert session.reason == "all 3 looks are made"


def test_the_network_alone_may_be_tried_on_another_model() -> None:
    found = sequential_pce(DULL, POLICY.network, 3, samples=20, contrasts=20, example=START)
    assert found.lower < judged(SHARP).lower + 1


def test_a_model_is_told_by_its_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And not by its byte code, which each version of Python has another of."""
    source = "def model(design, noise=0.1):\n    return design * noise\n"
    (tmp_path / "bench_one.py").write_text(source)
    (tmp_path / "bench_two.py").write_text(source.replace("0.1", "0.2"))
    (tmp_path / "bench_three.py").write_text("\n\n" + source)
    monkeypatch.syspath_prepend(tmp_path)
    import bench_one
    import bench_three
    import bench_two

    marks = [of_function(each.model) for each in (bench_one, bench_two, bench_three)]
    assert marks[0] == marks[2] != marks[1]
    assert of_function(SHARP) != of_function(DULL)  # of one source, and closed over two noises
    assert "model" not in problem_facts(LocationFinding())
    assert "model" in problem_facts(OwnModel(program=bench_one.model, name="b"))


def test_a_training_does_not_go_on_with_another_model(tmp_path: Path) -> None:
    out = tmp_path / "policy.safetensors"
    trained(out=out)
    with pytest.raises(ValueError, match="holds another training: experiment: model is"):
        trained(DULL, out=out)


def numbered(*values: float, bar: float = 3.0) -> DesignSpace:
    designs = torch.tensor(values)[:, None]
    return DesignSpace(designs=designs, allowed=lambda design: (design < bar).all(-1))


@pytest.mark.parametrize("other", [numbered(1.0, 2.5), numbered(1.0, 2.0, bar=4.0)])
def test_a_space_is_told_by_its_set_and_by_what_its_functions_do(
    other: DesignSpace, tmp_path: Path
) -> None:
    out = tmp_path / "policy.safetensors"
    ours, theirs = (
        OwnModel(program=SHARP, name="a line", space=each) for each in (numbered(1.0, 2.0), other)
    )
    train_design_policy(ours, "rl", settings=FEW, out=out)
    assert design_policy(out, ours, 3).next([]) in (1.0, 2.0)
    with pytest.raises(ValueError, match=r"another experiment: space: (set|allowed) is"):
        design_policy(out, theirs, 3)


@pytest.mark.parametrize("method", ["dad", "idad", "rl", "vsoed"])
def test_a_prior_of_double_precision_serves_training_roll_out_and_session(method: str) -> None:
    program = line(0.5, torch.float64)
    policy = trained(program, method)
    assert not policy.next([]).requires_grad
    example = START.double()
    found = sequential_pce(program, policy, 3, samples=8, contrasts=8, example=example)
    assert found.designs.dtype == torch.float64
    session = ModelSession(program, policy, example)
    session.suggest()
    session.ingest(0.3)
    assert session.suggest().dtype == torch.float64  # type: ignore[union-attr]


def test_the_first_design_of_a_fixed_policy_is_a_plain_tensor() -> None:
    trained(method="fixed").next([]).numpy()


def test_a_model_without_a_likelihood_has_a_session_but_no_posterior() -> None:
    session = ModelSession(hidden, trained(hidden, "idad"), START)
    session.suggest()
    session.ingest(0.2)
    assert session.suggest() is not None
    with pytest.raises(ValueError, match="needs a likelihood"):
        session.posterior()
    with pytest.raises(
        ValueError, match="the methods idad and vsoed of `boed train policy` need none"
    ):
        trained(hidden, "dad")


@pytest.mark.parametrize(
    ("contrasts", "far", "said"),
    [(3, 2.0, "and the upper bound is above"), (7, 50.0, "so near to it"), (2000, 2.0, None)],
)
def test_too_few_contrasts_are_told(contrasts: int, far: float, said: str | None) -> None:
    """1/2 ln(1 + 3 d^2 / 0.5^2), 1.95 nats for 2, of which ln(L + 1) can be said at most."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        sequential_pce(
            SHARP,
            fixed_policy(torch.full((3, 1), far)),
            3,
            samples=1000,
            contrasts=contrasts,
            example=START,
        )
    assert [said in str(each.message) for each in told if said] == ([True] if said else [])
    assert bool(told) == bool(said)


@pytest.mark.parametrize("given", ["a:model", SHARP, 5])
def test_what_is_no_problem_is_refused(given: Any) -> None:
    with pytest.raises(ValueError, match=r"problem is .*without model; expected an object"):
        train_design_policy(given)


@pytest.mark.parametrize("bound", [[0.0], "low", float("inf"), True])
def test_bounds_are_finite_numbers(bound: Any) -> None:
    with pytest.raises(ValueError, match=r"a line: lower is .* expected a finite number"):
        OwnModel(program=SHARP, name="a line", lower=bound, upper=5.0)


@pytest.mark.parametrize("method", ["idad", "rl"])
def test_a_batch_of_one_compares_nothing(method: str) -> None:
    from dataclasses import replace

    problem = OwnModel(program=SHARP, name="a line", lower=-2.0, upper=2.0)
    with pytest.raises(ValueError, match="batch is 1, expected at least 2"):
        train_design_policy(problem, method, settings=replace(FEW, batch=1))
