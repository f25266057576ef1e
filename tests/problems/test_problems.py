"""The textbook problems against the reference table, scipy's densities and brute-force sampling."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyro
import pytest
import scipy.stats as st
import torch
from numpy.typing import NDArray
from pyro import poutine
from scipy.special import expit, logit
from torch import Tensor

from boed.problems import (
    PROBLEMS,
    CensoredSigmoidNormal,
    ClassInformation,
    ConstantElasticity,
    DeathProcess,
    FiniteSpace,
    HyperbolicDiscounting,
    LinearGaussian,
    LocationFinding,
    LocationFindingUnitSquare,
    LowerTruncatedNormal,
    PreyPopulation,
    Problem,
    Reference,
    TwoAlternativeChoice,
    references,
)

Array = NDArray[np.float64]
Sites = dict[str, Array]


@dataclass(frozen=True, eq=False)
class Case:
    """A problem, a legal design and what scipy says of both.

    `prior` draws n values of every latent site, `log_prior` and `log_likelihood` give their
    densities, `[n]`; y and the latents broadcast.
    """

    problem: Problem
    design: list[Any]
    prior: Callable[[np.random.Generator, int], Sites]
    log_prior: Callable[[Sites], Array]
    log_likelihood: Callable[[Sites, Array, Array], Array]
    inner: int = 2000

    def __str__(self) -> str:
        return f"{self.problem.name}, {'one' if self.problem.design_dims == 1 else 'joint'}"


def gaussian(sd: list[float], noise: float, joint: bool) -> dict[str, Any]:
    def signal(sites: Sites, design: Array) -> Array:
        return np.einsum("...k,tk->...t" if joint else "...k,k->...", sites["theta"], design)

    def likelihood(sites: Sites, y: Array, design: Array) -> Array:
        terms = st.norm.logpdf(y, signal(sites, design), noise)
        return terms.sum(-1) if joint else terms

    return {
        "prior": lambda rng, n: {"theta": rng.normal(size=(n, len(sd))) * sd},
        "log_prior": lambda sites: st.norm.logpdf(sites["theta"], 0, sd).sum(-1),
        "log_likelihood": likelihood,
    }


def bernoulli(probability: Callable[[Sites, Array], Array]) -> Callable[..., Array]:
    return lambda sites, y, design: st.bernoulli.logpmf(y, probability(sites, design))


def location(sources: int, joint: bool, square: bool = False) -> dict[str, Any]:
    def likelihood(sites: Sites, y: Array, design: Array) -> Array:
        theta = sites["theta"][..., None, :, :] if joint else sites["theta"]
        squared = ((theta - design[..., None, :]) ** 2).sum(-1)
        signal = np.log(0.1 + (1 / (1e-4 + squared)).sum(-1))
        terms = st.norm.logpdf(y, signal, 0.5)
        return terms.sum(-1) if joint else terms

    law = st.uniform(0, 1) if square else st.norm(0, 1)
    return {
        "prior": lambda rng, n: {"theta": law.rvs((n, sources, 2), random_state=rng)},
        "log_prior": lambda sites: law.logpdf(sites["theta"]).sum((-2, -1)),
        "log_likelihood": likelihood,
    }


def later(sites: Sites, design: Array) -> Array:
    value = 100 / (1 + np.exp(sites["log_k"]) * design[1])
    return 0.01 + 0.98 * st.norm.cdf((value - design[0]) / sites["alpha"])


def survivors(sites: Sites, number: float) -> Array:
    """The root of Holling's type III response in its implicit form, by bisection of ln N."""
    a, h = np.exp(sites["log_a"]), np.exp(sites["log_h"])
    low, high = np.full(a.shape, -30.0), np.full(a.shape, math.log(number))
    for _ in range(60):
        middle = (low + high) / 2
        left = np.exp(middle)
        hours = (1 / left - 1 / number) / a + h * (number - left)
        low, high = np.where(hours > 24, middle, low), np.where(hours > 24, high, middle)
    return np.exp(middle)


def eaten(sites: Sites, y: Array, design: Array) -> Array:
    probability = 1 - survivors(sites, design[0]) / design[0]
    return st.binom.logpmf(y, design[0], probability)


def utility(sites: Sites, basket: Array) -> Array:
    rho = sites["rho"]
    return (sites["alpha"] * basket ** rho[..., None]).sum(-1) ** (1 / rho)


def preference(sites: Sites, y: Array, design: Array) -> Array:
    u = np.exp(sites["log_u"])
    mean = u * (utility(sites, design[:3]) - utility(sites, design[3:]))
    sd = u * 0.005 * (1 + np.linalg.norm(design[:3] - design[3:]))
    inside = st.norm.logpdf(logit(y), mean, sd) - np.log(y * (1 - y))
    end = logit(2.0**-22)
    inside = np.where(y == 2.0**-22, st.norm.logcdf(end, mean, sd), inside)
    return np.where(y == 1 - 2.0**-22, st.norm.logsf(-end, mean, sd), inside)


TWO_IN_THE_SQUARE = "location finding, two in the square"
TRUNCATED = st.truncnorm(-1, np.inf, 1, 1)
THREE = [[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]
CASES = [
    Case(LinearGaussian.three_measurements(), THREE, **gaussian([1, 1.5], 1, True)),
    Case(
        LinearGaussian(prior_covariance=torch.diag(torch.tensor([1.0, 4.0])), noise=0.5),
        [0.5, -1.0],
        **gaussian([1, 2], 0.5, False),
    ),
    Case(
        FiniteSpace(),
        [0.5],
        lambda rng, n: {"theta": rng.binomial(1, 0.4, n).astype(float)},
        lambda sites: st.bernoulli.logpmf(sites["theta"], 0.4),
        bernoulli(lambda sites, design: (design[0] + sites["theta"]) / 2),
    ),
    Case(
        TwoAlternativeChoice(prior_sd=2.0),
        [1.0],
        lambda rng, n: {"theta": rng.normal(0, 2, n)},
        lambda sites: st.norm.logpdf(sites["theta"], 0, 2),
        bernoulli(lambda sites, design: expit(sites["theta"] - design[0])),
    ),
    Case(
        ClassInformation(),
        [2.0],
        lambda rng, n: {"v": rng.binomial(1, 0.5, n).astype(float)},
        lambda sites: np.full(sites["v"].shape, math.log(0.5)),
        lambda sites, y, design: st.norm.logpdf(y, sites["v"] * design[0], 1),
    ),
    Case(
        DeathProcess(),
        [1.28],
        lambda rng, n: {"theta": TRUNCATED.rvs(n, random_state=rng)},
        lambda sites: TRUNCATED.logpdf(sites["theta"]),
        lambda sites, y, design: st.binom.logpmf(y, 50, -np.expm1(-design[0] * sites["theta"])),
    ),
    Case(LocationFinding(), [0.5, -0.5], **location(2, False)),
    Case(LocationFinding(sources=1), [1.0, 0.0], **location(1, False)),
    Case(LocationFinding(looks=3), [[0.0, 0.0], [1.0, 1.0], [-1.0, 0.0]], **location(2, True)),
    Case(LocationFindingUnitSquare(), [0.3, 0.8], **location(1, False, True)),
    Case(LocationFindingUnitSquare(looks=2), [[0.2, 0.2], [0.8, 0.5]], **location(1, True, True)),
    Case(
        ConstantElasticity(),
        [50.0, 50.0, 50.0, 30.0, 70.0, 40.0],
        lambda rng, n: {
            "rho": rng.uniform(size=n),
            "alpha": rng.dirichlet(np.ones(3), n),
            "log_u": rng.normal(1, 3, n),
        },
        lambda sites: st.norm.logpdf(sites["log_u"], 1, 3) + math.log(2),
        preference,
        inner=10_000,
    ),
    Case(
        HyperbolicDiscounting(),
        [50.0, 70.0],
        lambda rng, n: {
            "log_k": rng.normal(-4.25, 1.5, n),
            "alpha": np.abs(rng.normal(0, 2, n)),
        },
        lambda sites: (
            st.norm.logpdf(sites["log_k"], -4.25, 1.5) + st.halfnorm.logpdf(sites["alpha"], 0, 2)
        ),
        bernoulli(later),
    ),
    Case(
        PreyPopulation(),
        [20.0],
        lambda rng, n: {name: rng.normal(-1.4, 1.35, n) for name in ("log_a", "log_h")},
        lambda sites: sum(st.norm.logpdf(sites[name], -1.4, 1.35) for name in ("log_a", "log_h")),
        eaten,
    ),
    Case(
        LocationFindingUnitSquare(sources=2, name=TWO_IN_THE_SQUARE),
        [0.3, 0.8],
        **location(2, False, True),
    ),
]
ONE_LOOK = [
    case
    for case in CASES
    if (isinstance(case.problem, LinearGaussian) or case.problem.design_dims == 1)
    and case.problem.name not in (TWO_IN_THE_SQUARE, "prey population")
]
REFERENCES = references()
cases = pytest.mark.parametrize("case", CASES, ids=str)


def run(case: Case, batch: tuple[int, ...], seed: int = 0, **sites: Tensor) -> poutine.Trace:
    """One traced run in float64, with log-probabilities."""
    design = torch.tensor(case.design, dtype=torch.float64)
    design = design.expand(*batch, *design.shape)
    with torch.random.fork_rng():
        pyro.set_rng_seed(seed)
        model = poutine.condition(case.problem.model, sites)
        trace = poutine.trace(model).get_trace(design)
    trace.compute_log_prob()
    return trace


def values(trace: poutine.Trace, case: Case) -> tuple[Sites, Array]:
    latents = {name: trace.nodes[name]["value"].numpy() for name in case.problem.target}
    return latents, trace.nodes[case.problem.observation]["value"].numpy()


@pytest.mark.parametrize("row", REFERENCES, ids=lambda row: f"{row.problem.name} {row.truth}")
def test_exact_values_have_the_tables_digits(row: Reference) -> None:
    digits = len(str(row.truth).split(".")[1])
    allowed = 0.5 * 10**-digits + 10 * row.standard_error  # one quadrature of the 24 in the mean
    assert row.problem.exact_eig(row.design).item() == pytest.approx(row.truth, abs=allowed)


def test_the_best_time_to_look_at_the_death_process_is_1_28() -> None:
    times = torch.linspace(1.2, 1.4, 21)[:, None]
    eig = DeathProcess().exact_eig(times)
    assert times[eig.argmax()].item() == pytest.approx(1.28)
    assert eig.max().item() == pytest.approx(1.3559, abs=5e-5)


@cases
@pytest.mark.parametrize("batch", [(), (5,), (4, 3), (2, 1, 3)])
def test_every_site_has_the_designs_batch_shape(case: Case, batch: tuple[int, ...]) -> None:
    trace = run(case, batch)
    for name in (*case.problem.target, case.problem.observation):
        assert trace.nodes[name]["fn"].batch_shape == batch
        assert trace.nodes[name]["log_prob"].shape == batch
        assert trace.nodes[name]["value"].dtype == torch.float64
    looks = getattr(case.problem, "looks", None)
    y = trace.nodes[case.problem.observation]["value"]
    assert y.shape == (batch if looks is None else (*batch, looks))


@cases
def test_log_probabilities_are_scipys(case: Case) -> None:
    trace = run(case, (200,))
    sites, y = values(trace, case)
    prior = sum(trace.nodes[name]["log_prob"] for name in case.problem.target)
    np.testing.assert_allclose(prior, case.log_prior(sites), rtol=1e-9, atol=1e-9)
    expected = case.log_likelihood(sites, y, np.array(case.design))
    got = trace.nodes[case.problem.observation]["log_prob"].numpy()
    np.testing.assert_allclose(got, expected, rtol=1e-7, atol=1e-7)
    assert np.isfinite(expected).all()


@cases
def test_prior_draws_follow_the_prior(case: Case) -> None:
    sites, _ = values(run(case, (4000,)), case)
    expected = case.prior(np.random.default_rng(1), 4000)
    assert set(sites) == set(expected)
    for name, value in sites.items():
        assert value.shape == expected[name].shape
        drawn, wanted = value.reshape(4000, -1), expected[name].reshape(4000, -1)
        for a, b in zip(drawn.T, wanted.T, strict=True):
            assert st.ks_2samp(a, b, method="asymp").pvalue > 1e-3


@pytest.mark.parametrize("case", ONE_LOOK, ids=str)
def test_exact_eig_is_what_brute_force_sampling_finds(case: Case) -> None:
    outer = 1000 if case.inner <= 2000 else 300
    trace = run(case, (outer,), seed=3)
    sites, y = values(trace, case)
    contrasts = case.prior(np.random.default_rng(4), case.inner)
    design = np.array(case.design)
    gains = []
    for n in range(outer):
        own = case.log_likelihood({k: v[n] for k, v in sites.items()}, y[n], design)
        marginal = case.log_likelihood(contrasts, y[n], design)
        gains.append(own - np.logaddexp.reduce(marginal) + math.log(case.inner))
    exact = case.problem.exact_eig(torch.tensor(case.design)).item()
    error = np.std(gains) / math.sqrt(outer)
    assert abs(np.mean(gains) - exact) < 4 * error + 0.005  # bias of the inner mean: below 0.005
    assert exact > 8 * error  # so the comparison means something


@pytest.mark.parametrize("case", ONE_LOOK, ids=str)
def test_exact_eig_is_batched_and_leaves_the_random_state(case: Case) -> None:
    design = torch.tensor(case.design)
    other = design * 0.9
    before = torch.random.get_rng_state()
    together = case.problem.exact_eig(torch.stack([design, other]).expand(2, 2, *design.shape))
    assert together.shape == (2, 2)
    assert together.dtype == torch.float64
    one_by_one = torch.stack([case.problem.exact_eig(each) for each in (design, other)])
    torch.testing.assert_close(together, one_by_one.expand(2, 2))
    assert torch.equal(before, torch.random.get_rng_state())


@cases
def test_same_seed_same_draws(case: Case) -> None:
    first, second, third = (values(run(case, (30,), seed), case)[1] for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, second)
    assert (first != third).any()


@cases
def test_a_design_of_another_shape_is_refused(case: Case) -> None:
    wrong = torch.zeros(4, *np.shape(case.design)[:-1], np.shape(case.design)[-1] + 1)
    for call in (case.problem.model, case.problem.exact_eig):
        with pytest.raises(ValueError, match=rf"{case.problem.name}: design must be \[\*batch"):
            call(wrong)
    with pytest.raises(ValueError, match="floating"):
        case.problem.model(torch.tensor(case.design).long())
    nan = torch.tensor(case.design)
    nan[(0,) * nan.ndim] = torch.nan
    with pytest.raises(ValueError, match="not finite"):
        case.problem.model(nan)


BOUNDED = [case for case in CASES if case.problem.bounds is not None]


@pytest.mark.parametrize("case", BOUNDED, ids=str)
@pytest.mark.parametrize("side", [0, 1])
def test_a_design_out_of_bounds_is_refused(case: Case, side: int) -> None:
    bounds = case.problem.bounds
    assert bounds is not None
    assert (bounds[0] < bounds[1]).all()
    design = torch.tensor(case.design)
    coordinates = design.shape[-1]
    assert bounds.shape == (2, coordinates)
    for k in range(coordinates):
        edge = design.clone()
        edge[..., k] = bounds[side, k]
        assert torch.isfinite(case.problem.model(edge)).all()
        edge[..., k] += 0.1 * (2 * side - 1)
        with pytest.raises(ValueError, match=f"{case.problem.name}: design reaches from"):
            case.problem.model(edge)
    with pytest.raises(ValueError, match="expected within"):
        case.problem.exact_eig(edge)


@pytest.mark.parametrize(
    ("make", "culprit"),
    [
        (lambda: LinearGaussian(prior_covariance=torch.eye(2), noise=0.0), "noise"),
        (lambda: LinearGaussian(prior_covariance=torch.eye(2), looks=-1), "looks"),
        (
            lambda: LinearGaussian(prior_covariance=torch.tensor([[1.0, 2.0], [2.0, 1.0]])),
            "prior_covariance",
        ),
        (
            lambda: LinearGaussian(prior_covariance=torch.tensor([[1.0, 0.5], [0.0, 1.0]])),
            "prior_covariance",
        ),
        (lambda: LinearGaussian(prior_covariance=torch.ones(2)), "prior_covariance"),
        (lambda: FiniteSpace(prior=1.0), "prior"),
        (lambda: TwoAlternativeChoice(prior_sd=math.nan), "prior_sd"),
        (lambda: DeathProcess(population=0), "population"),
        (lambda: DeathProcess(latest=-1.0), "latest"),
        (lambda: LocationFinding(sources=0), "sources"),
        (lambda: LocationFinding(noise=-0.5), "noise"),
        (lambda: LocationFindingUnitSquare(max_signal=0.0), "max_signal"),
        (lambda: ConstantElasticity(response_sd=0.0), "response_sd"),
        (lambda: ConstantElasticity(low=0.5), "low"),
        (lambda: HyperbolicDiscounting(epsilon=0.5), "epsilon"),
        (lambda: HyperbolicDiscounting(longest=0.0), "longest"),
        (lambda: HyperbolicDiscounting(steepness=-1.0), "steepness"),
        (lambda: ConstantElasticity(least_elasticity=1.0), "least_elasticity"),
        (lambda: ConstantElasticity(least_good=-0.1), "least_good"),
        (lambda: LocationFindingUnitSquare(sources=0), "sources"),
        (lambda: PreyPopulation(most=0), "most"),
        (lambda: PreyPopulation(hours=math.inf), "hours"),
    ],
)
def test_a_bad_setting_is_named(make: Callable[[], Problem], culprit: str) -> None:
    with pytest.raises(ValueError, match=culprit):
        make()


@pytest.mark.parametrize(
    "problem",
    [
        LocationFinding(looks=2),
        LocationFinding(sources=3),
        LocationFindingUnitSquare(looks=2),
        LocationFindingUnitSquare(sources=2),
    ],
    ids=lambda problem: f"{problem.name} {problem.looks}",
)
def test_location_finding_says_where_it_has_no_exact_value(problem: Problem) -> None:
    shape = (2, 2) if problem.design_dims == 2 else (2,)
    with pytest.raises(NotImplementedError, match=problem.name):
        problem.exact_eig(torch.zeros(shape))


def test_problems_have_distinct_names_and_fit_the_protocol() -> None:
    assert [problem.name for problem in PROBLEMS.values()] == list(PROBLEMS)
    assert len(PROBLEMS) == 10
    assert {row.problem.name for row in REFERENCES} == set(PROBLEMS)
    assert all(isinstance(problem, Problem) for problem in PROBLEMS.values())


def test_a_users_class_fits_the_protocol_without_inheriting() -> None:
    class Mine:
        name, observation, target, design_dims, bounds = "mine", "y", ("x",), 1, None

        def model(self, design: Tensor) -> Tensor:
            return design

        def exact_eig(self, design: Tensor) -> Tensor:
            return design

    assert isinstance(Mine(), Problem)
    assert not isinstance(object(), Problem)


def test_a_further_look_never_lowers_the_eig_of_a_linear_gaussian() -> None:
    rng = np.random.default_rng(0)
    root = rng.normal(size=(4, 4))
    covariance = torch.tensor(root @ root.T, dtype=torch.float32)
    rows = torch.tensor(rng.normal(size=(50, 6, 4)), dtype=torch.float32)
    eig = [
        LinearGaussian(prior_covariance=covariance, looks=t).exact_eig(rows[:, :t])
        for t in range(1, 7)
    ]
    assert (torch.stack(eig).diff(dim=0) > 0).all()


def test_joint_rows_equal_single_rows_where_only_one_looks() -> None:
    single = LinearGaussian(prior_covariance=torch.eye(3)).exact_eig(torch.tensor([1.0, 2.0, 3.0]))
    joint = LinearGaussian(prior_covariance=torch.eye(3), looks=2)
    rows = torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])
    torch.testing.assert_close(joint.exact_eig(rows), single)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradients_reach_the_design(case: Case) -> None:
    design = torch.tensor(case.design, dtype=torch.float64).expand(50, *np.shape(case.design))
    design = design.clone().requires_grad_()
    with torch.random.fork_rng():
        pyro.set_rng_seed(0)
        trace = poutine.trace(case.problem.model).get_trace(design)
    trace.compute_log_prob()
    y = trace.nodes[case.problem.observation]
    (gradient,) = torch.autograd.grad(y["log_prob"].sum() + y["value"].sum(), design)
    assert torch.isfinite(gradient).all()
    assert (gradient != 0).any()


def test_the_death_process_is_stable_in_float32_from_nothing_to_everybody() -> None:
    death = DeathProcess(latest=200.0)
    design = torch.tensor([[0.0], [1e-6], [1.0], [200.0]])
    with torch.random.fork_rng():
        pyro.set_rng_seed(0)
        trace = poutine.trace(death.model).get_trace(design.expand(500, 4, 1))
    trace.compute_log_prob()
    y = trace.nodes["y"]
    assert torch.isfinite(y["log_prob"]).all()
    assert (y["value"][:, 0] == 0).all()
    assert (y["value"][:, 3] > 45).float().mean() > 0.95


def test_utility_holds_for_small_elasticity_and_empty_baskets() -> None:
    design = torch.tensor([10.0, 20.0, 40.0, 0.0, 0.0, 0.0])
    alpha = torch.tensor([0.2, 0.3, 0.5])
    problem = ConstantElasticity()
    for rho, mean in [(1.0, 28.0), (1e-7, 10**0.2 * 20**0.3 * 40**0.5), (0.0, None)]:
        gain = problem._gain(torch.tensor(rho), alpha, design).item()
        assert gain == pytest.approx(mean or 10**0.2 * 20**0.3 * 40**0.5, rel=1e-4)


def test_truncated_normal_is_scipys() -> None:
    loc, scale = (torch.tensor(x, dtype=torch.float64) for x in ([1.0, -2.0], [1.0, 0.5]))
    law = LowerTruncatedNormal(loc, scale, 0.0)
    theirs = st.truncnorm((0 - loc) / scale, 40.0, loc, scale)
    x = torch.tensor([[0.01, 0.02], [1.0, 0.3], [3.0, 1.0]], dtype=torch.float64)
    np.testing.assert_allclose(law.log_prob(x), theirs.logpdf(x), rtol=1e-6)
    np.testing.assert_allclose(law.entropy(), theirs.entropy(), rtol=1e-6)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        draws = law.sample((4000,))
        float32 = LowerTruncatedNormal(-3.0, 0.5, 0.0).sample((10_000,))
    for k in range(2):
        cdf = st.truncnorm((0 - loc[k]) / scale[k], np.inf, loc[k], scale[k]).cdf
        assert st.kstest(draws[:, k].numpy(), cdf).pvalue > 1e-3
    assert (float32 > 0).all()
    assert torch.isfinite(float32).all()
    assert law.expand(torch.Size([3, 2])).batch_shape == (3, 2)
    with pytest.raises(ValueError, match="support"):
        law.log_prob(torch.tensor([-1.0, 1.0]))
    unchecked = LowerTruncatedNormal(loc, scale, 0.0, validate_args=False)
    assert unchecked.log_prob(torch.tensor([-1.0, 1.0]))[0] == -math.inf


def test_censored_response_has_its_mass_inside_and_at_the_ends() -> None:
    loc, scale, low = torch.tensor(0.5, dtype=torch.float64), 2.0, 0.01
    law = CensoredSigmoidNormal(loc, scale, low)
    eta = torch.linspace(-math.log(99) + 1e-9, math.log(99) - 1e-9, 20_001, dtype=torch.float64)
    y = eta.sigmoid()
    inside = torch.trapezoid(law.log_prob(y).exp(), y).item()
    ends = law.log_prob(torch.tensor([low, 1 - low], dtype=torch.float64)).exp()
    assert inside + ends.sum().item() == pytest.approx(1, abs=1e-6)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        draws = law.sample((40_000,))
    assert (draws == low).double().mean().item() == pytest.approx(ends[0].item(), abs=0.002)
    assert (draws == 1 - low).double().mean().item() == pytest.approx(ends[1].item(), abs=0.004)
    assert law.expand(torch.Size([3])).batch_shape == (3,)


def test_censored_ends_are_exact_in_float32() -> None:
    law = CensoredSigmoidNormal(torch.tensor([-40.0, 40.0]), torch.tensor([1.0, 1.0]), 2.0**-22)
    y = law.sample()
    assert y.tolist() == [2.0**-22, 1 - 2.0**-22]
    torch.testing.assert_close(law.log_prob(y), torch.zeros(2))
