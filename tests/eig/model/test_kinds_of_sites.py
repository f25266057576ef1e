"""Every estimator on every kind of site, type of design and unit, against known EIG."""

from __future__ import annotations

import math
import re
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import Tensor

from boed.eig.model.model_eig import MODEL_ESTIMATORS, model_eig
from boed.eig.result import EIGEstimate
from tests.eig.model.known_models import KINDS, Known

DESIGNS = torch.tensor([[0.5], [2.0]])

CHEAP = ("nmc", "pce", "snmc", "pyro_nmc")
"""Estimators that learn nothing, so that their values are checked in every run."""

LEARNED = tuple(name for name in MODEL_ESTIMATORS if name not in CHEAP)

RUN_THROUGH = [
    pytest.param(
        estimator,
        kind,
        marks=[]
        if estimator in ("ace", "infonce") or estimator in KINDS[kind].refused
        else [pytest.mark.slow],
    )
    for estimator in LEARNED
    for kind in KINDS
]
"""One estimator with a guide and one with a critic in every run, the others in slow ones."""

SHORT: dict[str, int] = {"samples": 32, "contrasts": 8, "steps": 2, "batch": 16}
"""Enough to run through."""


def settings(estimator: str, cost: dict[str, int]) -> dict[str, int]:
    """What of the cost the estimator takes."""
    if estimator in (*CHEAP, "laplace"):
        return {name: value for name, value in cost.items() if name != "batch"}
    return cost


def named(message: str) -> set[str]:
    """Estimators that a message names."""
    return {name for name in MODEL_ESTIMATORS if re.search(rf"\b{name}\b", message)}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("estimator", CHEAP)
def test_right_on_every_kind_of_site(estimator: str, kind: str) -> None:
    check_value(KINDS[kind], estimator, 0.02, samples=400, contrasts=200)


SLOWLY_LEARNED = ("uniform, uniform from it", "poisson, normal", "poisson, binomial of it")
"""Kinds for which some guides need more steps and reach less."""


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("estimator", LEARNED)
def test_learned_estimators_are_right_on_every_kind_of_site(estimator: str, kind: str) -> None:
    case = KINDS[kind]
    if estimator in case.refused:
        pytest.skip("refused; see below")
    cost = {"samples": 600, "contrasts": 60, "steps": 150}
    if estimator in ("posterior", "marginal_likelihood"):  # after 150 steps guides still learn
        cost["steps"] = 1500 if kind in SLOWLY_LEARNED else 600
    if estimator == "lfire":
        cost |= {"samples": 60}
    slack = 0.15 if estimator == "laplace" else 0.1 if kind in SLOWLY_LEARNED else 0.07
    check_value(case, estimator, slack, **cost)


def check_value(case: Known, estimator: str, slack: float, **cost: int) -> None:
    result = model_eig(case.model, DESIGNS, estimator, **cost)
    truth = torch.tensor([case.truth(float(at)) for at in DESIGNS])
    error = 4 * result.standard_error
    assert ((result.eig - truth).abs() < error + slack).all(), (result, truth)


@pytest.mark.parametrize(("estimator", "kind"), RUN_THROUGH)
def test_every_kind_of_site_is_done_or_refused_by_name(estimator: str, kind: str) -> None:
    """float64 and a single design, so that a batch of one and a type that is not the default."""
    case, designs = KINDS[kind], DESIGNS[:1].double()
    arguments: Any = {"estimator": estimator, **settings(estimator, SHORT)}
    if estimator not in case.refused:
        result = model_eig(case.model, designs, **arguments)
        assert result.eig.shape == result.standard_error.shape == (1,)
        assert result.eig.dtype == torch.float64
        assert torch.isfinite(result.eig).all()
        return
    with pytest.raises(ValueError, match=f"site '(theta|y)' .*'{estimator}'") as error:
        model_eig(case.model, designs, **arguments)
    able = named(str(error.value)) - {estimator}
    assert able
    assert not able & case.refused


def line(design: Tensor) -> None:
    batch = design.shape[:-1]
    with pyro.plate_stack("plate", batch):
        theta = pyro.sample("theta", dist.Normal(0.0, 1.0).expand(batch))
        pyro.sample("y", dist.Normal(design[..., 0] * theta, 1.0))


def double_line(design: Tensor) -> None:
    batch = design.shape[:-1]
    with pyro.plate_stack("plate", batch):
        theta = pyro.sample("theta", dist.Normal(torch.zeros(batch).double(), 1.0))
        pyro.sample("y", dist.Normal(design[..., 0] * theta, 1.0))


def indexed(design: Tensor) -> None:
    """Latents, outcomes and designs that are all integers; designs that index a table."""
    batch, chance = design.shape[:-1], torch.tensor([[0.3, 0.7], [0.1, 0.8]])
    with pyro.plate_stack("plate", batch):
        theta = pyro.sample("theta", dist.Categorical(torch.ones(*batch, 2)))
        one = chance[design[..., 0], theta]
        pyro.sample("y", dist.Categorical(torch.stack([1 - one, one], -1)))


def short(model: Any, designs: Tensor, estimator: str) -> EIGEstimate:
    return model_eig(model, designs, estimator, **settings(estimator, SHORT))


@pytest.mark.parametrize(
    "dtype",
    [torch.int64, *(pytest.param(t, marks=pytest.mark.slow) for t in (torch.uint8, torch.bool))],
)
@pytest.mark.parametrize("estimator", MODEL_ESTIMATORS)
def test_integer_designs_give_what_the_same_numbers_do(estimator: str, dtype: torch.dtype) -> None:
    designs = torch.tensor([[0], [1]], dtype=dtype)
    result, expected = (short(line, each, estimator) for each in (designs, designs.float()))
    assert torch.equal(result.eig, expected.eig)
    assert torch.equal(result.standard_error, expected.standard_error)
    assert result.designs.dtype == dtype


@pytest.mark.parametrize("estimator", MODEL_ESTIMATORS)
def test_designs_with_a_gradient_give_what_those_without_do(estimator: str) -> None:
    designs = torch.tensor([[0.5], [2.0]], requires_grad=True)
    result, expected = (short(line, each, estimator) for each in (designs, designs.detach()))
    assert torch.equal(result.eig, expected.eig)
    assert not result.eig.requires_grad
    assert designs.grad is None


@pytest.mark.parametrize("estimator", sorted({*MODEL_ESTIMATORS} - {"laplace", "pyro_vnmc"}))
def test_a_models_tensors_with_a_gradient_are_left_alone(estimator: str) -> None:
    gain = torch.tensor(2.0, requires_grad=True)

    def model(design: Tensor) -> None:
        line(gain * design)

    assert torch.equal(
        short(model, DESIGNS, estimator).eig, short(line, 2 * DESIGNS, estimator).eig
    )
    assert gain.grad is None


@pytest.mark.parametrize("estimator", MODEL_ESTIMATORS)
@pytest.mark.parametrize(
    ("model", "dtype"),
    [(line, torch.float64), pytest.param(double_line, torch.float32, marks=pytest.mark.slow)],
)
def test_types_may_be_mixed(model: Any, dtype: torch.dtype, estimator: str) -> None:
    result = short(model, DESIGNS.to(dtype), estimator)
    assert result.eig.dtype == result.standard_error.dtype == torch.float64
    assert torch.isfinite(result.eig).all()


@pytest.mark.parametrize("estimator", sorted({*MODEL_ESTIMATORS} - {"laplace", "pyro_vnmc"}))
def test_integers_throughout(estimator: str) -> None:
    result = short(indexed, torch.tensor([[0], [1]]), estimator)
    assert result.eig.dtype == torch.float32
    assert torch.isfinite(result.eig).all()


def in_units(first: float, second: float, outcome: float) -> Any:
    """The same experiment, with each parameter and the outcome in a unit of its own."""

    def model(design: Tensor) -> None:
        batch = design.shape[:-1]
        zero = design.new_zeros(batch)
        with pyro.plate_stack("plate", batch):
            theta = pyro.sample("theta", dist.Normal(zero, first)) / first
            shape = pyro.sample("shape", dist.Gamma(zero + 2.0, 1 / second)) / second
            place = pyro.sample("place", dist.Uniform(zero - second, zero + second)) / second
            signal = design[..., 0] * theta + design[..., 1] * shape.log() + place
            pyro.sample("y", dist.Normal(outcome * signal, 0.5 * outcome))

    return model


@pytest.mark.parametrize("estimator", MODEL_ESTIMATORS)
@pytest.mark.parametrize(
    "units", [(1e-3, 1e3, 1e3), pytest.param((1e3, 1e-3, 1e-3), marks=pytest.mark.slow)]
)
def test_no_estimate_depends_on_units(units: tuple[float, float, float], estimator: str) -> None:
    designs = torch.tensor([[1.0, 0.0], [0.0, 3.0]], dtype=torch.float64)
    arguments: Any = {"estimator": estimator, "target": ("theta", "shape", "place")}
    arguments |= settings(estimator, SHORT)
    result, expected = (
        model_eig(in_units(*each), designs, **arguments) for each in (units, (1.0, 1.0, 1.0))
    )
    assert torch.allclose(result.eig, expected.eig, rtol=1e-6, atol=1e-6)
    assert torch.allclose(result.standard_error, expected.standard_error, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_laplace_is_right_whatever_the_scales(scale: float) -> None:
    def model(design: Tensor) -> None:
        batch, scales = design.shape[:-1], torch.tensor([scale, 1.0])
        with pyro.plate_stack("plate", batch):
            prior = dist.Normal(torch.zeros(*batch, 2), scales).to_event(1)
            theta = pyro.sample("theta", prior)
            pyro.sample("y", dist.Normal((design * theta / scales).sum(-1), 1.0))

    designs = torch.tensor([[1.0, 0.0], [0.0, 3.0]])
    result = model_eig(model, designs, "laplace", samples=20, steps=20)
    truth = torch.tensor([math.log(2) / 2, math.log(10) / 2])
    assert torch.allclose(result.eig, truth, atol=1e-3)


def test_laplace_keeps_what_a_precise_look_leaves_open() -> None:
    """One direction is known a thousand times as well as the other, which stays as it was."""

    def model(design: Tensor) -> None:
        batch = design.shape[:-1]
        with pyro.plate_stack("plate", batch):
            theta = pyro.sample("theta", dist.Normal(torch.zeros(*batch, 2), 1.0).to_event(1))
            pyro.sample("y", dist.Normal(design[..., 0] * theta[..., 0], 1.0))

    result = model_eig(model, torch.tensor([[1e3]]), "laplace", samples=20, steps=20)
    assert float(result.eig) == pytest.approx(math.log(1e3), abs=0.01)


def test_lfire_works_in_pieces_where_memory_is_short() -> None:
    arguments: Any = {"samples": 64, "contrasts": 512, "steps": 3}
    whole = model_eig(line, DESIGNS, "lfire", **arguments)
    pieces = model_eig(line, DESIGNS, "lfire", memory=1, **arguments)
    assert whole.eig.shape == pieces.eig.shape == (2,)
    assert not torch.equal(whole.eig, pieces.eig)


@pytest.mark.parametrize("estimator", ["laplace", "lfire"])
def test_a_models_own_parameters_are_known_to_each_piece(estimator: str) -> None:
    def model(design: Tensor) -> None:
        line(pyro.param("gain", torch.tensor(1.0)) * design)

    with pyro.get_param_store().scope():
        pyro.param("gain", torch.tensor(2.0))
        result = short(model, DESIGNS, estimator)
        assert list(pyro.get_param_store()) == ["gain"]
    assert torch.equal(result.eig, short(line, 2 * DESIGNS, estimator).eig)


@pytest.mark.parametrize(
    ("designs", "given"),
    [
        (torch.zeros(2, 1, dtype=torch.complex64), "torch.complex64"),
        ([[0.0], [1.0]], "list"),
        (torch.zeros(2, 1).numpy(), "ndarray"),
    ],
)
def test_designs_that_are_no_real_tensor_are_refused(designs: Any, given: str) -> None:
    with pytest.raises(ValueError, match=rf"designs (is a|must be a tensor .*) {given}"):
        model_eig(line, designs)
