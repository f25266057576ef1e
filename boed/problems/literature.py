"""The sequences of experiments that policies are compared on, with the numbers published."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from boed.eig.model.design_space import DesignSpace
from boed.foundation.checks import at_least
from boed.foundation.registry import Registry
from boed.problems.constant_elasticity import ConstantElasticity
from boed.problems.death_process import DeathProcess
from boed.problems.hyperbolic_discounting import HyperbolicDiscounting
from boed.problems.location_finding import LocationFinding, LocationFindingUnitSquare
from boed.problems.prey_population import PreyPopulation
from boed.problems.problem import Problem

DAD = "Foster et al. 2021, arXiv 2103.02438"
IDAD = "Ivanova et al. 2021, arXiv 2111.02329"
RL = "Blau et al. 2022, arXiv 2202.00821"
VSOED = "Shen et al. 2023, arXiv 2306.10430"
ALINE = "Huang et al. 2025, arXiv 2506.07259"


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A published number.

    Attributes:
        method: whose it is, in the paper's words.
        lower: sPCE in nats, as printed.
        upper: sNMC in nats, if printed.
        source: where it stands.
        confirmed: it was read in that source; else it is quoted from other texts.
        note: what to know of it.
    """

    method: str
    lower: float
    upper: float | None = None
    source: str
    confirmed: bool = False
    note: str = ""


@dataclass(frozen=True, eq=False, kw_only=True)
class Task:
    """T looks at one unknown: a problem, its design space and horizon, and what others reached.

    Attributes:
        problem: the Pyro model of one look.
        asked: the same as `boed train policy --problem` spells it.
        looks: T, as published.
        space: which designs there are.
        random: so many random designs, `[N, K]`, of torch's global generator.
        source: the paper that set it up.
        settings: where papers differ, and what is taken here.
        marks: published numbers.

    Raises:
        ValueError: no looks.
    """

    problem: Problem
    asked: str
    looks: int
    space: DesignSpace
    random: Callable[[int], Float[Tensor, "N K"]]
    source: str
    settings: str
    marks: tuple[Mark, ...] = ()

    def __post_init__(self) -> None:
        at_least(1, looks=self.looks)

    @property
    def example(self) -> Float[Tensor, " K"]:
        """A legal design: the middle of the bounds or set; 0 where there is neither."""
        if self.space.designs is not None:
            return self.space.designs[len(self.space.designs) // 2]
        if self.space.bounds is not None:
            return self.space.bounds.mean(0)
        with torch.random.fork_rng():
            return torch.zeros_like(self.random(1)[0])


def _bounded(problem: Problem, dtype: torch.dtype = torch.float32) -> DesignSpace:
    bounds = problem.bounds
    return DesignSpace(bounds=None if bounds is None else bounds.to(dtype))


def _discounting_offers(number: int) -> Float[Tensor, "N 2"]:
    """DAD's transform of standard normal numbers: 100 sigmoid(x), exp(x + 3.125) days."""
    x = torch.randn(number, 2)
    return torch.stack([100 * x[:, 0].sigmoid(), (x[:, 1] + 3.125).exp().clamp(max=1e4)], -1)


def _death_times(number: int) -> Float[Tensor, "N 1"]:
    """DAD's transform of standard normal numbers: softplus."""
    return torch.nn.functional.softplus(torch.randn(number, 1)).clamp(max=10.0)


def _location(looks: int, marks: tuple[Mark, ...]) -> Task:
    return Task(
        problem=LocationFinding(),
        asked="location_finding",
        looks=looks,
        space=DesignSpace(),
        random=lambda number: torch.randn(number, 2),
        source=f"{DAD}, Sec. 6.1; T = 10 in {IDAD}",
        settings="K = 2, theta ~ N(0, I), b = 0.1, m = 1e-4, sigma = 0.5. Designs are any points "
        "in DAD's code and within [-4, 4]^2 in RL-BOED's; random ones N(0, I). DAD evaluates with "
        "L = 500,000 over 2,048 roll-outs (its README).",
        marks=marks,
    )


def _square(sources: int, source: str, settings: str, marks: tuple[Mark, ...] = ()) -> Task:
    problem = LocationFindingUnitSquare(sources=sources)
    space = _bounded(problem)
    return Task(
        problem=problem,
        asked=f"location_finding_unit_square,sources={sources}",
        looks=30,
        space=space,
        random=space.draw,
        source=source,
        settings=settings,
        marks=marks,
    )


def _constant_elasticity() -> Task:
    problem = ConstantElasticity(least_elasticity=0.01, least_good=0.01)
    space = _bounded(problem, torch.float64)
    return Task(
        problem=problem,
        asked="constant_elasticity,least_elasticity=0.01,least_good=0.01",
        looks=10,
        space=space,
        random=space.draw,
        source=f"Foster et al. 2020 (the experiment); {RL} (T = 10)",
        settings="rho = 0.01 + 0.99 Beta(1, 1), alpha ~ Dirichlet(1, 1, 1), ln u ~ N(1, 3), "
        "tau = 0.005, answers censored at 2^-22, goods from 0.01 to 100, as in the code of RL-BOED "
        "and vsOED, where the text of Foster has rho ~ Beta(1, 1). Float64 here, float32 there, "
        "which rounds answers near 1. Marks above 13.8 take L above a million: ln(1,000,001) = "
        "13.8.",
        marks=(
            Mark(method="random", lower=8.1, source=RL, note="9.1 in later papers"),
            Mark(method="DAD", lower=10.8, source=RL),
            Mark(
                method="DAD",
                lower=11.73,
                source=f"code of {VSOED}",
                confirmed=True,
                note="best of four rows, 8.46 to 11.73, of figures/ces/DAD/limited.txt",
            ),
            Mark(method="RL", lower=13.97, source=RL, note="up to 14.6 in later papers"),
            Mark(method="ALINE", lower=13.5, source=ALINE),
            Mark(method="POLAR", lower=14.3, source="POLAR, no source found"),
        ),
    )


def _discounting() -> Task:
    problem = HyperbolicDiscounting(steepness=math.sqrt(2))
    return Task(
        problem=problem,
        asked=f"hyperbolic_discounting,steepness={problem.steepness}",
        looks=20,
        space=_bounded(problem),
        random=_discounting_offers,
        source=f"{DAD}, Sec. 6.2",
        settings="ln k ~ N(-4.25, 1.5), alpha ~ HalfNormal(2), 1 % slips, 100 later. The code that "
        "the numbers come from has (1 + erf(x)) / 2 where the text has Phi(x): steepness sqrt(2), "
        "taken here. DAD evaluates with L = 5,000 over 10,000 roll-outs (its code).",
        marks=(
            Mark(method="fixed", lower=3.52, source=DAD),
            Mark(method="DAD", lower=5.02, source=DAD),
        ),
    )


def _prey() -> Task:
    problem = PreyPopulation()
    space = DesignSpace(designs=problem.designs)
    return Task(
        problem=problem,
        asked="prey_population",
        looks=10,
        space=space,
        random=space.draw,
        source=f"Moffat et al. 2020; {RL}",
        settings="ln a and ln h ~ N(-1.4, 1.35), 24 h, 1 to 300 prey, as in RL-BOED's code; its "
        "Runge-Kutta of 24 steps is the exact solution here.",
        marks=(
            Mark(method="RL", lower=4.46, source=RL),
            Mark(method="SMC", lower=4.52, source=RL),
        ),
    )


def _death() -> Task:
    problem = DeathProcess()
    return Task(
        problem=problem,
        asked="death_process",
        looks=4,
        space=_bounded(problem),
        random=_death_times,
        source=f"Cook et al. 2008; {DAD}, Sec. 6.3",
        settings="theta ~ N(1, 1) above 0, 50 individuals anew at each look, T = 4 (DAD's README); "
        "times up to 10 here, any in DAD.",
    )


LITERATURE: Registry[Task] = Registry(
    "task",
    {
        "location-finding-10": _location(
            10,
            (
                Mark(method="DAD", lower=7.97, source=IDAD),
                Mark(method="iDAD", lower=7.75, source=IDAD),
            ),
        ),
        "location-finding-30": _location(
            30,
            (
                Mark(method="fixed", lower=8.84, upper=8.91, source=DAD),
                Mark(method="VPCE", lower=7.77, source=RL),
                Mark(
                    method="DAD", lower=10.93, upper=12.38, source=DAD, note="10.97 in later papers"
                ),
                Mark(
                    method="DAD",
                    lower=11.22,
                    source=f"code of {VSOED}",
                    confirmed=True,
                    note="their training, ± 0.05: figures/source/unimodel/DAD/full.txt",
                ),
                Mark(
                    method="iDAD",
                    lower=8.51,
                    source=f"code of {VSOED}",
                    confirmed=True,
                    note="their training, ± 0.04: figures/source/unimodel/iDAD/full.txt",
                ),
                Mark(method="RL", lower=11.73, upper=12.36, source=RL),
            ),
        ),
        "location-finding-square-2": _square(
            2,
            "No source found",
            "K = 2, theta and designs uniform in [0, 1]^2; intensity and noise as for N(0, I). "
            "Which papers take it, and T, could not be confirmed.",
        ),
        "location-finding-square-1": _square(
            1,
            ALINE,
            "K = 1, theta and designs uniform in [0, 1]^2; intensity, noise and T = 30 as quoted "
            "from ALINE, whose text could not be read.",
            (
                Mark(method="random", lower=5.17, source=ALINE),
                Mark(method="VPCE", lower=5.25, source=ALINE),
                Mark(method="vsOED", lower=7.30, source=ALINE),
                Mark(method="DAD", lower=7.33, source=ALINE),
                Mark(method="RL", lower=7.70, source=ALINE),
                Mark(method="ALINE", lower=8.91, source=ALINE),
            ),
        ),
        "constant-elasticity": _constant_elasticity(),
        "hyperbolic-discounting": _discounting(),
        "prey-population": _prey(),
        "death-process": _death(),
    },
)
"""By name, with T at its end where it comes with several."""
