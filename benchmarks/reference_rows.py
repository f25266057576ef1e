"""The lines of the reference table: each estimator against the truth, nats."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from reference_plans import Plan
from torch import Tensor

from boed.eig.model.model_eig import MODEL_ESTIMATORS, model_eig
from boed.eig.model.sequential import random_policy, sequential_pce
from boed.foundation.randomness import derive
from boed.problems import LocationFinding, Problem, Reference, references

FLOAT_NOISE = 2e-6
"""Rounding of a float32 log-likelihood in nats, beyond any standard error."""


@dataclass(frozen=True)
class Row:
    """One line of the table; nats, and seconds of processor time."""

    problem: str
    design: str
    estimator: str
    bound: str
    value: float
    standard_error: float
    truth: float
    truth_error: float
    tolerance: float
    seconds: float
    within: bool

    def __str__(self) -> str:
        verdict = "yes" if self.within else "NO"
        if math.isinf(self.tolerance):
            verdict = "shown only" if self.bound == "none" else f"{self.bound}: {verdict}"
        truth = f"{self.truth:.4f}" + (f" ± {self.truth_error:.4f}" if self.truth_error else "")
        return (
            f"| {self.problem} | {self.design} | {self.estimator} | {self.bound} "
            f"| {round(self.value, 4) + 0.0:.4f} ± {self.standard_error:.4f} | {truth} "
            f"| {self.seconds:.2f} | {verdict} |"
        )


HEADER = """\
| problem | design | estimator | bound | value ± s.e. | truth | seconds | within |
|---|---|---|---|---|---|---|---|"""


def judge(
    value: float, error: float, truth: float, truth_error: float, tolerance: float, bound: str
) -> bool:
    """Whether an estimate agrees with the truth, as the module says."""
    noise = 4 * math.hypot(error, truth_error) + FLOAT_NOISE
    if bound == "lower":
        return truth - tolerance - noise <= value <= truth + noise
    if bound in ("upper", "biased up"):
        return truth - noise <= value <= truth + tolerance + noise
    return abs(value - truth) <= tolerance + noise


def written(design: Tensor) -> str:
    """A design as text."""
    if design.ndim == 2:
        return "; ".join(written(row) for row in design)
    return ", ".join(f"{value:g}" for value in design.tolist())


def by_problem(rows: list[Reference]) -> Iterator[tuple[Problem, list[Reference]]]:
    """The references of each problem, so that its designs are estimated together."""
    names = dict.fromkeys(row.problem.name for row in rows)
    for name in names:
        group = [row for row in rows if row.problem.name == name]
        yield group[0].problem, group


def table(plans: list[Plan], seed: int) -> Iterator[Row]:
    """Every plan on every problem that it can handle; a plan that fails is a row of NaN."""
    for problem, group in by_problem(references()):
        for plan in plans:
            if problem.name not in plan.skip:
                yield from planned(problem, group, plan, seed)


def planned(problem: Problem, group: list[Reference], plan: Plan, seed: int) -> Iterator[Row]:
    """One plan on the designs of one problem."""
    designs = torch.stack([row.design for row in group])
    if problem.name == "constant elasticity":
        designs = designs.double()  # float32 rounds its answers: see the problem
    began = time.process_time()
    try:
        result = model_eig(
            problem.model,
            designs,
            plan.estimator,
            observation=problem.observation,
            target=problem.target,
            samples=plan.samples,
            contrasts=plan.contrasts,
            steps=plan.steps,
            seed=derive(seed, problem.name, plan.estimator),
            design_dims=problem.design_dims,
        )
        eig, errors = result.eig.tolist(), result.standard_error.tolist()
    except ValueError as error:
        print(f"{plan.estimator} on {problem.name}: {error}", file=sys.stderr)
        eig = errors = [math.nan] * len(group)
    seconds = (time.process_time() - began) / len(group)
    bound = MODEL_ESTIMATORS[plan.estimator].bound
    for row, value, deviation in zip(group, eig, errors, strict=True):
        loose = problem.name in plan.loose
        tolerance = math.inf if loose else row.tolerance + plan.tolerance
        yield Row(
            problem=problem.name,
            design=written(row.design),
            estimator=plan.estimator,
            bound=bound,
            value=value,
            standard_error=deviation,
            truth=row.truth,
            truth_error=row.standard_error,
            tolerance=tolerance,
            seconds=seconds,
            within=judge(value, deviation, row.truth, row.standard_error, tolerance, bound),
        )


LOCATION = {30: ((8.39, 0.11), (8.64, 0.14)), 10: ((4.92, 0.09), (4.97, 0.10))}
"""sPCE and sNMC of T random looks at L = 1e5, each with its standard error, nats."""


def location_rows(seed: int, quick: bool) -> Iterator[Row]:
    """Location finding A with looks drawn from N(0, I)."""
    problem = LocationFinding()
    contrasts = 2_000 if quick else 100_000
    for looks, known in LOCATION.items():
        if quick and looks > 10:
            continue  # ln(2001) = 7.6 is below its EIG
        began = time.process_time()
        result = sequential_pce(
            problem.model,
            random_policy(lambda batch: torch.randn(batch, 2)),
            steps=looks,
            samples=300 if quick else 1_000,
            contrasts=contrasts,
            example=torch.zeros(2),
            seed=derive(seed, "location", looks),
        )
        seconds = time.process_time() - began
        measured = {
            "sPCE": (result.lower, result.lower_error, "lower"),
            "sNMC": (result.upper, result.upper_error, "upper"),
        }
        for (name, (value, error, bound)), (truth, truth_error) in zip(
            measured.items(), known, strict=True
        ):
            tolerance = 0.3 if quick else 0.0  # fewer contrasts: looser bounds
            yield Row(
                problem=problem.name,
                design=f"{looks} random looks, L = {contrasts:g}",
                estimator=name,
                bound=bound,
                value=value,
                standard_error=error,
                truth=truth,
                truth_error=truth_error,
                tolerance=tolerance,
                seconds=seconds,
                within=judge(value, error, truth, truth_error, tolerance, "consistent"),
            )


BIAS = {(1_000, 32): 1.29, (10_000, 100): 1.24, (10_000, 1_000): 1.197}
"""Nested Monte Carlo on the three measurements with N outer and M inner samples, one run, nats."""


def bias_rows(seed: int) -> Iterator[Row]:
    """The bias of nested Monte Carlo, against single runs of the same size."""
    row = references()[0]
    for (samples, contrasts), known in BIAS.items():
        began = time.process_time()
        result = model_eig(
            row.problem.model,
            row.design[None],
            "nmc",
            samples=samples,
            contrasts=contrasts,
            seed=derive(seed, "bias", samples, contrasts),
            design_dims=2,
            reuse=False,
        )
        value, error = float(result.eig), float(result.standard_error)
        yield Row(
            problem=row.problem.name,
            design=f"bias at {samples:g} / {contrasts:g}",
            estimator="nmc",
            bound="biased up",
            value=value,
            standard_error=error,
            truth=known,
            truth_error=error,
            tolerance=0.005,
            seconds=time.process_time() - began,
            within=judge(value, error, known, error, 0.005, "consistent"),
        )
