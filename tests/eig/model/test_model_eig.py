"""Likelihood-side estimators against closed forms, their bounds, and what they refuse."""

from __future__ import annotations

import inspect
import math
import random
import re
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.contrib.oed.eig import nmc_eig
from torch import Tensor

from boed.eig.model.isolation import isolated
from boed.eig.model.model_eig import MODEL_ESTIMATORS, model_eig
from boed.eig.model.nested import group_sums
from boed.eig.model.pyro_model import log_density, site_model
from boed.eig.result import EIGEstimate

THREE = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]])
THREE_EIG = 1.1989477


def line(design: Tensor) -> None:
    batch = design.shape[:-1]
    with pyro.plate_stack("plate", batch):
        theta = pyro.sample("theta", dist.Normal(0.0, 1.0).expand(batch))
        pyro.sample("y", dist.Normal(design[..., 0] * theta, 1.0))


def three_measurements(design: Tensor) -> None:
    batch = design.shape[:-2]
    with pyro.plate_stack("plate", batch):
        prior = dist.Normal(torch.zeros(2), torch.tensor([1.0, 1.5]))
        theta = pyro.sample("theta", prior.expand((*batch, 2)).to_event(1))
        pyro.sample("y", dist.Normal((design @ theta[..., None])[..., 0], 1.0).to_event(1))


def finite(design: Tensor) -> None:
    batch = design.shape[:-1]
    with pyro.plate_stack("plate", batch):
        theta = pyro.sample("theta", dist.Bernoulli(0.4).expand(batch))
        pyro.sample("y", dist.Bernoulli((design[..., 0] + theta) / 2))


def choice(design: Tensor) -> None:
    batch = design.shape[:-1]
    with pyro.plate_stack("plate", batch):
        theta = pyro.sample("theta", dist.Normal(0.0, 1.0).expand(batch))
        pyro.sample("y", dist.Bernoulli(logits=theta - design[..., 0]))


def question(design: Tensor) -> None:
    batch = design.shape[:-1]
    with pyro.plate_stack("plate", batch):
        v = pyro.sample("v", dist.Bernoulli(0.5).expand(batch))
        pyro.sample("y", dist.Normal(v * design[..., 0], 1.0))


def shifted_question(design: Tensor) -> None:
    """`question` with part of its noise as a nuisance: N(0, 1) = 0.6 N(0, 1) + 0.8 N(0, 1)."""
    batch = design.shape[:-1]
    with pyro.plate_stack("plate", batch):
        nuisance = pyro.sample("nuisance", dist.Normal(0.0, 1.0).expand(batch))
        v = pyro.sample("v", dist.Bernoulli(0.5).expand(batch))
        pyro.sample("y", dist.Normal(v * design[..., 0] + 0.6 * nuisance, 0.8))


def column(*values: float) -> Tensor:
    return torch.tensor(values)[:, None]


PROBLEMS: dict[str, tuple[dict[str, Any], list[float]]] = {
    "line": ({"model": line, "designs": column(0.0, 1.0)}, [0.0, 0.346574]),
    "three": ({"model": three_measurements, "designs": THREE, "design_dims": 2}, [THREE_EIG]),
    "finite": ({"model": finite, "designs": column(0.5)}, [0.12580367]),
    "choice": (
        {"model": choice, "designs": column(0.0, 1.0, 2.0)},
        [0.093709, 0.081427, 0.054164],
    ),
    "question": (
        {"model": question, "designs": column(1.0, 2.0), "target": "v"},
        [0.111421, 0.336831],
    ),
}

COST: dict[str, dict[str, int]] = {
    "nmc": {"samples": 2000, "contrasts": 500},
    "pce": {"samples": 2000, "contrasts": 500},
    "snmc": {"samples": 2000, "contrasts": 500},
    "ace": {"samples": 1000, "contrasts": 30, "steps": 80},
    "vnmc": {"samples": 1000, "contrasts": 30, "steps": 80},
    "infonce": {"samples": 2000, "contrasts": 500, "steps": 100, "batch": 128},
    "pyro_nmc": {"samples": 2000, "contrasts": 500},
    "posterior": {"samples": 2000, "steps": 80},
    "marginal": {"samples": 2000, "steps": 80},
    "marginal_likelihood": {"samples": 2000, "steps": 80},
    "pyro_vnmc": {"samples": 800, "contrasts": 30, "steps": 60},
    "lfire": {"samples": 48, "contrasts": 100, "steps": 80},
    "laplace": {"samples": 200, "steps": 60},
    "donsker_varadhan": {"samples": 4000, "steps": 80},
}
"""Enough for the tolerances below."""

SLACK = {
    "infonce": 0.03,
    "lfire": 0.05,
    "posterior": 0.03,
    "marginal": 0.02,
    "marginal_likelihood": 0.03,
    "laplace": 0.02,
    "donsker_varadhan": 0.04,
}
"""Bias allowed for few training steps, nats; 0.005 elsewhere. Laplace's is that of a Gaussian."""

WHERE = {
    "nmc": list(PROBLEMS),
    "pce": list(PROBLEMS),
    "snmc": list(PROBLEMS),
    "pyro_nmc": list(PROBLEMS),
    "ace": ["line", "finite"],
    "vnmc": ["line", "finite"],
    "infonce": ["line", "question"],
    "posterior": ["line", "finite"],
    "marginal": ["choice", "question"],
    "marginal_likelihood": ["finite"],
    "pyro_vnmc": ["line"],
    "lfire": ["finite"],
    "laplace": ["line", "three", "choice"],
    "donsker_varadhan": ["finite"],
}
"""Trained estimators take seconds each, so each is tested on problems that tell most about it."""

OUTCOMES_ALONE = {"infonce", "posterior", "lfire", "donsker_varadhan", "marginal_likelihood"}
"""Estimators that never ask for a likelihood."""

CASES = [(problem, estimator) for estimator in MODEL_ESTIMATORS for problem in WHERE[estimator]]


@pytest.mark.parametrize(("problem", "estimator"), CASES)
def test_agrees_with_the_closed_form(problem: str, estimator: str) -> None:
    arguments, truth = PROBLEMS[problem]
    result = model_eig(**arguments, estimator=estimator, **COST[estimator])
    assert result.eig.shape == result.standard_error.shape == (len(truth),)
    assert result.bound == MODEL_ESTIMATORS[estimator].bound
    tolerance = 4 * result.standard_error + SLACK.get(estimator, 0.005)
    assert ((result.eig - torch.tensor(truth)).abs() < tolerance).all(), result


@pytest.mark.parametrize("estimator", ["posterior", "marginal_likelihood", "infonce"])
def test_nuisances_are_integrated_out(estimator: str) -> None:
    result = model_eig(shifted_question, column(2.0), estimator, target="v", **COST[estimator])
    tolerance = 4 * result.standard_error + 0.03
    assert ((result.eig - 0.336831).abs() < tolerance).all()


@pytest.mark.parametrize(
    "estimator", ["nmc", "pce", "snmc", "ace", "vnmc", "pyro_nmc", "marginal", "pyro_vnmc"]
)
def test_nuisances_are_refused_where_they_hide_the_likelihood(estimator: str) -> None:
    with pytest.raises(ValueError, match=rf"{estimator}.*nuisance.*marginal_likelihood"):
        model_eig(shifted_question, column(2.0), estimator, target="v", samples=16)


def test_laplace_takes_the_targets_share_of_the_posterior() -> None:
    def model(design: Tensor) -> None:
        batch = design.shape[:-1]
        with pyro.plate_stack("plate", batch):
            theta = pyro.sample("theta", dist.Normal(0.0, 1.0).expand(batch))
            nuisance = pyro.sample("nuisance", dist.Normal(0.0, 0.6).expand(batch))
            pyro.sample("y", dist.Normal(design[..., 0] * theta + nuisance, 0.8))

    result = model_eig(model, column(1.0), "laplace", samples=50, steps=200)
    assert float(result.eig) == pytest.approx(0.346574, abs=1e-3)


def test_laplace_and_guides_serve_bounded_latents() -> None:
    """theta = exp(N(0, 1)), y ~ N(ln theta, 1): the EIG does not change with the scale."""

    def model(design: Tensor) -> None:
        batch = design.shape[:-1]
        with pyro.plate_stack("plate", batch):
            theta = pyro.sample("theta", dist.LogNormal(0.0, 1.0).expand(batch))
            pyro.sample("y", dist.Normal(theta.log(), 1.0))

    for estimator in ("laplace", "posterior", "vnmc"):
        result = model_eig(model, column(1.0), estimator, **COST[estimator])
        error = 4 * float(result.standard_error) + 0.02
        assert float(result.eig) == pytest.approx(0.346574, abs=error), estimator


def test_outcomes_without_a_density() -> None:
    def simulator(design: Tensor) -> None:
        batch = design.shape[:-1]
        with pyro.plate_stack("plate", batch):
            theta = pyro.sample("theta", dist.Normal(0.0, 1.0).expand(batch))
            noise = pyro.sample("noise", dist.Normal(0.0, 1.0).expand(batch))
            pyro.deterministic("y", design[..., 0] * theta + noise)

    for estimator in ("infonce", "posterior"):
        result = model_eig(simulator, column(1.0), estimator, **COST[estimator])
        error = 4 * float(result.standard_error) + 0.03
        assert float(result.eig) == pytest.approx(0.346574, abs=error), estimator
    with pytest.raises(ValueError, match="needs a likelihood"):
        model_eig(simulator, column(1.0), "pce")


def test_several_observation_sites_may_depend_on_one_another() -> None:
    def model(design: Tensor) -> None:
        batch = design.shape[:-1]
        with pyro.plate_stack("plate", batch):
            theta = pyro.sample("theta", dist.Normal(0.0, 1.0).expand(batch))
            first = pyro.sample("first", dist.Normal(theta, 1.0))
            pyro.sample("second", dist.Normal(theta + 0.5 * first, 1.0))

    truth = 0.5 * math.log(3)
    for estimator in ("nmc", "pce", "posterior"):
        result = model_eig(
            model, column(0.0), estimator, observation=("first", "second"), **COST[estimator]
        )
        error = 4 * float(result.standard_error) + 0.02
        assert float(result.eig) == pytest.approx(truth, abs=error), estimator


@pytest.mark.filterwarnings("ignore:contrasts is 15")
@pytest.mark.parametrize("reuse", [True, False])
def test_bounds_enclose_the_truth(reuse: bool) -> None:
    """With few contrasts the bounds are far apart, and pce stays below its ceiling."""
    arguments: dict[str, Any] = {
        "designs": 5 * THREE,
        "design_dims": 2,
        "samples": 4000,
        "contrasts": 15,
        "reuse": reuse,
    }
    lower = model_eig(three_measurements, estimator="pce", **arguments)
    upper = model_eig(three_measurements, estimator="snmc", **arguments)
    truth = 0.5 * math.log((1 + 25.0) * (1 + 2 * 25 * 2.25))
    assert float(lower.eig) <= math.log(16)
    assert float(lower.eig) + 0.5 < truth < float(upper.eig) - 0.5


def test_nested_bias_is_upwards_and_shrinks() -> None:
    def mean(samples: int, contrasts: int, repeats: int) -> float:
        runs = [
            model_eig(
                three_measurements,
                THREE,
                "nmc",
                design_dims=2,
                samples=samples,
                contrasts=contrasts,
                seed=seed,
                reuse=False,
            )
            for seed in range(repeats)
        ]
        return float(torch.stack([run.eig for run in runs]).mean())

    assert mean(1000, 32, 10) == pytest.approx(1.29, abs=0.045)
    assert mean(10_000, 100, 2) == pytest.approx(1.235, abs=0.03)
    assert mean(4_000, 1000, 1) == pytest.approx(THREE_EIG, abs=0.075)


@pytest.mark.parametrize(("reuse", "contrasts"), [(True, 40), (True, 200), (False, 40)])
def test_standard_error_is_the_spread_of_repeats(reuse: bool, contrasts: int) -> None:
    runs = [
        model_eig(
            three_measurements,
            THREE,
            "pce",
            design_dims=2,
            samples=300,
            contrasts=contrasts,
            reuse=reuse,
            seed=seed,
        )
        for seed in range(40)
    ]
    std = torch.stack([run.eig for run in runs]).std()
    claimed = torch.stack([run.standard_error for run in runs]).mean()
    assert 0.65 < float(claimed / std) < 1.5


def test_nested_agrees_with_pyro_on_the_same_model() -> None:
    designs = column(0.5, 1.0, 2.0)
    ours = model_eig(line, designs, "nmc", samples=4000, contrasts=400)
    pyro.set_rng_seed(0)
    theirs = nmc_eig(line, designs, ["y"], ["theta"], N=4000, M=400)
    assert torch.allclose(ours.eig, theirs, atol=6 * float(ours.standard_error.max()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("dims", [0, 2])
def test_normal_densities_are_those_of_the_library(dims: int, dtype: torch.dtype) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        loc, scale = 9 * torch.randn(7, 1, 3, 2, dtype=dtype), torch.rand(7, 1, 3, 2, dtype=dtype)
        value = loc[:1] + 3 * torch.randn(1, 5, 3, 2, dtype=dtype)
    law = dist.Normal(loc, scale + 0.05).to_event(dims)
    tolerance = 1e-5 if dtype == torch.float32 else 1e-12
    assert torch.allclose(log_density(law)(value), law.log_prob(value), rtol=tolerance)


def test_other_densities_are_left_alone() -> None:
    for law in (
        dist.StudentT(3.0),
        dist.Normal(0.0, 1.0).mask(False),
        _Bad(torch.zeros(()), torch.tensor(torch.nan)),
        dist.Bernoulli(torch.full((2,), 0.3)).to_event(1),
    ):
        assert log_density(law) == law.log_prob


def scaled_line(design: Tensor) -> None:
    with pyro.poutine.scale(scale=0.5):
        line(design)


def masked_line(design: Tensor) -> None:
    with pyro.poutine.mask(mask=design[..., 0] > 0.5):
        line(design)


@pytest.mark.parametrize(
    ("model", "designs"),
    [
        (line, column(0.0, 1.0)),
        (three_measurements, THREE),
        (finite, column(0.5)),
        (choice, column(0.0, 2.0)),
        (scaled_line, column(0.0, 1.0)),
        (masked_line, column(0.0, 1.0)),
    ],
)
def test_density_of_a_run_is_what_running_it_on_all_pairs_gives(
    model: Any, designs: Tensor
) -> None:
    with isolated(0):
        problem = site_model(model, designs, "y", target="theta", estimator="pce")
        outcomes = problem.simulate(designs.expand(5, *designs.shape)).outcomes["y"]
        trace = problem.trace(designs.expand(7, 1, *designs.shape), {})
        latents = trace.nodes["theta"]["value"]
        pairs = problem.log_likelihood(
            {"theta": latents.expand(7, 5, *latents.shape[2:])},
            {"y": outcomes.expand(7, *outcomes.shape)},
            designs.expand(7, 5, *designs.shape),
        )
        assert torch.allclose(problem.density(trace)(outcomes[None]), pairs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 20, 37, 100])
@pytest.mark.parametrize("shared", [True, False])
def test_sums_over_groups_are_log_sum_exp(chunk: int, shared: bool) -> None:
    """37 contrasts make 12 groups of 3 and one of 1; scores beyond float32's range are among."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        scores = 10 * torch.randn(37, 4, 6)
    scores[:, 0] -= 300
    scores[5, 1] = -torch.inf
    scores[:, 2] = -torch.inf
    groups = group_sums(lambda inner: scores[inner], 37, chunk, shared=shared)
    size = 3 if shared else 37
    expected = torch.stack([part.logsumexp(0) for part in scores.split(size)])
    total = groups.logsumexp(0)
    assert groups.shape == expected.shape
    assert torch.allclose(total, scores.logsumexp(0), rtol=1e-5, atol=1e-5)
    shares = (expected - total).exp().nan_to_num(0.0)
    assert torch.allclose((groups - total).exp().nan_to_num(0.0), shares, atol=1e-4)


@pytest.mark.parametrize("estimator", ["nmc", "pce"])
def test_model_runs_do_not_grow_with_the_outer_samples(estimator: str) -> None:
    def runs(samples: int) -> int:
        count = 0

        def model(design: Tensor) -> None:
            nonlocal count
            count += 1
            line(design)

        model_eig(model, column(0.0, 1.0), estimator, samples=samples, contrasts=50)
        return count

    assert runs(20_000) == runs(20) == 3


def test_isolated_seeds_what_pyro_seeds() -> None:
    def numbers() -> tuple[float, float, float]:
        return torch.rand(()).item(), random.random(), np.random.random()  # noqa: NPY002

    with isolated(5):
        ours = numbers()
    with isolated(0):
        pyro.set_rng_seed(5)
        assert ours == numbers()


@pytest.mark.parametrize("estimator", list(MODEL_ESTIMATORS))
def test_same_seed_same_answer_and_nothing_left_behind(estimator: str) -> None:
    pyro.get_param_store().clear()
    pyro.param("mine", torch.tensor(1.0))
    cost = {name: min(value, 40) for name, value in COST[estimator].items()} | {"steps": 2}
    before = pyro.util.get_rng_state()

    def run() -> EIGEstimate:
        return model_eig(line, column(0.0, 1.0), estimator, seed=3, **cost)

    first, second = run(), run()
    assert torch.equal(first.eig, second.eig)
    assert torch.equal(first.standard_error, second.standard_error)
    after = pyro.util.get_rng_state()
    assert torch.equal(after["torch"], before["torch"])
    assert after["random"] == before["random"]
    assert str(after["numpy"]) == str(before["numpy"])
    assert list(pyro.get_param_store()) == ["mine"]
    assert pyro.param("mine").item() == 1.0
    pyro.get_param_store().clear()


def test_a_models_own_parameters_are_used_and_not_trained() -> None:
    def model(design: Tensor) -> None:
        gain = pyro.param("gain", torch.tensor(1.0))
        line(gain * design)

    pyro.get_param_store().clear()
    pyro.param("gain", torch.tensor(2.0))
    result = model_eig(model, column(1.0), "marginal", samples=2000, steps=60)
    assert pyro.param("gain").item() == 2.0
    truth = 0.5 * math.log(5)
    assert float(result.eig) == pytest.approx(truth, abs=4 * float(result.standard_error) + 0.02)
    pyro.get_param_store().clear()


def test_answer_does_not_depend_on_memory() -> None:
    results = [
        model_eig(three_measurements, THREE, "pce", design_dims=2, memory=memory)
        for memory in (1, 512)
    ]
    assert torch.allclose(results[0].eig, results[1].eig, atol=1e-4)


def test_one_contrast_is_enough_for_the_lower_bound() -> None:
    result = model_eig(line, column(1.0), "pce", contrasts=1)
    assert 0 < float(result.eig) < math.log(2)
    assert math.isfinite(float(result.standard_error))


@pytest.mark.filterwarnings("ignore:contrasts is 10")
def test_impossible_outcomes_make_the_upper_bound_infinite() -> None:
    def model(design: Tensor) -> None:
        batch = design.shape[:-1]
        with pyro.plate_stack("plate", batch):
            theta = pyro.sample("theta", dist.Uniform(0.0, 1.0).expand(batch))
            pyro.sample("y", dist.Uniform(theta, theta + 1e-4))

    upper = model_eig(model, column(1.0), "snmc", samples=100, contrasts=10)
    lower = model_eig(model, column(1.0), "pce", samples=100, contrasts=10)
    assert float(upper.eig) == math.inf
    assert float(lower.eig) == pytest.approx(math.log(11), abs=0.2)


def nan_likelihood(design: Tensor) -> None:
    batch = design.shape[:-1]
    with pyro.plate_stack("plate", batch):
        theta = pyro.sample("theta", dist.Normal(0.0, 1.0).expand(batch))
        scale = torch.where(theta > 1.0, torch.nan, 1.0)
        pyro.sample(
            "y", dist.Normal(theta, 1.0).mask(True) if batch[0] == 3 else _Bad(theta, scale)
        )


class _Bad(dist.Normal):
    """Draws well, but its density is NaN for some latents."""

    def __init__(self, loc: Tensor, spoil: Tensor) -> None:
        self.spoil = spoil
        super().__init__(loc, 1.0)

    def expand(self, batch_shape: Any, _instance: Any = None) -> _Bad:
        return _Bad(self.loc.expand(batch_shape), self.spoil.expand(batch_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        return super().log_prob(value) * self.spoil


def no_plate(design: Tensor) -> None:
    theta = pyro.sample("theta", dist.Normal(0.0, 1.0))
    pyro.sample("y", dist.Normal(design[..., 0] * theta, 1.0))


def computed(design: Tensor) -> None:
    theta = pyro.sample("theta", dist.Normal(torch.zeros(design.shape[:-1]), 1.0))
    scale = pyro.deterministic("scale", theta.exp())
    pyro.sample("y", dist.Normal(design[..., 0], scale))


def weighted(design: Tensor) -> None:
    theta = pyro.sample("theta", dist.Normal(torch.zeros(design.shape[:-1]), 1.0))
    pyro.factor("favour", -(theta**2))
    pyro.sample("y", dist.Normal(design[..., 0] * theta, 1.0))


def fixed_outcome(design: Tensor) -> None:
    with pyro.plate_stack("plate", design.shape[:-1]):
        theta = pyro.sample("theta", dist.Normal(0.0, 1.0).expand(design.shape[:-1]))
        pyro.sample("y", dist.Normal(theta, 1.0), obs=torch.zeros(design.shape[:-1]))


def undeclared_event(design: Tensor) -> None:
    batch = design.shape[:-1]
    theta = pyro.sample("theta", dist.Normal(torch.zeros(*batch, 2), 1.0))
    pyro.sample("y", dist.Normal(theta.sum(-1), 1.0))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"observation": "z"}, r"observation: the model has no site 'z'.*theta"),
        ({"target": "v"}, r"target: the model has no site 'v'"),
        ({"target": "y"}, r"target: site 'y' is an observation"),
        ({"target": ()}, r"target must be one or several"),
        ({"designs": torch.zeros(0, 1)}, r"designs holds no candidate"),
        ({"designs": torch.zeros(2)}, r"designs must be \[D, \*K\]"),
        ({"designs": column(0.0, math.nan)}, r"designs must be finite.*\[1\]"),
        ({"samples": 0}, r"samples is 0, expected at least 1"),
        ({"contrasts": 0}, "contrasts is 0, expected at least 1"),
        ({"steps": -1}, "steps is -1, expected at least 0"),
        ({"memory": 0}, "memory is 0, expected at least 1"),
        ({"design_dims": 0}, "design_dims is 0, expected at least 1"),
        ({"estimator": "guess"}, r"estimator is 'guess'.*one of nmc, pce"),
        ({"colour": 1}, r"option 'colour' is unknown to 'pce', which takes reuse"),
        ({"model": no_plate}, r"site 'theta' has batch shape \(\).*plate_stack"),
        ({"model": undeclared_event}, r"site 'theta' has batch shape \(3, 2, 2\)"),
        ({"model": fixed_outcome}, r"site 'y' is given a value by obs="),
        ({"model": computed, "target": "scale"}, r"'scale' is deterministic.*of \['theta'\]$"),
        ({"model": weighted}, r"site 'favour' is a factor.*by pyro\.sample"),
        ({"model": lambda design: 1 / 0}, r"model failed on designs of shape \(3, 2, 1\)"),
        ({"model": nan_likelihood}, r"log-likelihood of site 'y' is NaN.*'pce'"),
        ({"memory": 1, "samples": 10**6}, r"memory is 1 MiB; the .* draws for one design need"),
    ],
)
def test_bad_input_names_the_culprit(changes: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"model": line, "designs": column(0.0, 1.0)}
    with pytest.raises(ValueError, match=message):
        model_eig(**(arguments | changes))


WRONG: dict[str, dict[Any, str]] = {
    "batch": {0: "at least 1", -3: "at least 1", 2.5: "a whole number", "8": "a whole number"},
    "inner": {0: "at least 1", True: "a whole number", math.nan: "a whole number"},
    "rate": {
        0.0: "more than 0",
        -0.1: "more than 0",
        math.nan: "more than 0",
        math.inf: "a finite",
    },
    "reuse": {1: "true or false", "no": "true or false"},
}


@pytest.mark.parametrize(
    ("estimator", "option", "value", "expected"),
    [
        (name, option, value, expected)
        for name, entry in MODEL_ESTIMATORS.items()
        for option in inspect.signature(entry.run).parameters
        for value, expected in WRONG.get(option, {}).items()
    ],
)
def test_every_estimator_refuses_wrong_options_before_it_trains(
    estimator: str, option: str, value: Any, expected: str
) -> None:
    def never(design: Tensor) -> None:
        raise AssertionError

    with pytest.raises(ValueError, match=f"{option} is {re.escape(repr(value))}, .*{expected}"):
        model_eig(never, column(0.0), estimator, samples=400, **{option: value})


@pytest.mark.parametrize("estimator", sorted({*MODEL_ESTIMATORS} - OUTCOMES_ALONE))
def test_every_estimator_reports_a_likelihood_that_is_nan(estimator: str) -> None:
    with pytest.raises(ValueError, match=rf"log-likelihood of site 'y' is NaN.*'{estimator}'"):
        model_eig(nan_likelihood, column(0.0), estimator, samples=400, contrasts=400, steps=1)


@pytest.mark.parametrize("estimator", ["laplace", "pyro_vnmc"])
def test_discrete_targets_are_refused_without_a_gradient(estimator: str) -> None:
    with pytest.raises(ValueError, match=rf"'theta' is discrete.*'{estimator}'"):
        model_eig(finite, column(0.5), estimator)


def test_a_prior_that_hangs_on_nuisances_is_refused() -> None:
    def model(design: Tensor) -> None:
        batch = design.shape[:-1]
        with pyro.plate_stack("plate", batch):
            nuisance = pyro.sample("nuisance", dist.Normal(0.0, 1.0).expand(batch))
            theta = pyro.sample("theta", dist.Normal(nuisance, 1.0))
            pyro.sample("y", dist.Normal(theta, 1.0))

    with pytest.raises(ValueError, match="depends on nuisances"):
        model_eig(model, column(1.0), "posterior")


@pytest.mark.parametrize("estimator", ["marginal", "marginal_likelihood"])
def test_outcomes_with_atoms_get_no_default_density(estimator: str) -> None:
    def clipped(design: Tensor) -> None:
        batch = design.shape[:-1]
        with pyro.plate_stack("plate", batch):
            theta = pyro.sample("theta", dist.Normal(0.0, 1.0).expand(batch))
            pyro.sample("y", _Clipped(theta, 1.0))

    with pytest.raises(ValueError, match=rf"'y' repeats single values in 50%.*'{estimator}'"):
        model_eig(clipped, column(1.0), estimator)


class _Clipped(dist.Normal):
    """A normal draw, clipped at 0."""

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        return super().__call__(*args, **kwargs).clamp(min=0)
