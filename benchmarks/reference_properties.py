"""What must hold of every estimator, whatever the problem."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from reference_rows import FLOAT_NOISE, Row

from boed.eig.model.model_eig import model_eig
from boed.foundation.randomness import derive
from boed.problems import DeathProcess, LinearGaussian, LocationFinding, references


@dataclass(frozen=True)
class Property:
    """A property that must hold, what was seen of it, and whether it holds."""

    name: str
    seen: str
    holds: bool

    def __str__(self) -> str:
        return f"| {self.name} | {self.seen} | {'yes' if self.holds else 'NO'} |"


def bounds_in_order(rows: list[Row]) -> Property:
    """sPCE <= EIG <= sNMC in expectation."""
    lower = [row for row in rows if row.estimator in ("pce", "ace")]
    upper = [row for row in rows if row.estimator in ("snmc", "vnmc")]
    worst = max(
        [(row.value - row.truth) / (row.standard_error + FLOAT_NOISE) for row in lower]
        + [(row.truth - row.value) / (row.standard_error + FLOAT_NOISE) for row in upper]
    )
    seen = f"{len(lower)} lower and {len(upper)} upper bounds, worst by {worst:.1f} s.e."
    return Property("pce, ace <= EIG <= snmc, vnmc", seen, worst < 3.5)


def ceiling(seed: int) -> Property:
    """sPCE never exceeds ln(L + 1)."""
    row = references()[0]
    seen = []
    for contrasts in (1, 3, 10, 100):
        estimate = model_eig(
            row.problem.model,
            row.design[None],
            "pce",
            samples=20_000,
            contrasts=contrasts,
            seed=seed,
            design_dims=2,
        )
        seen.append((contrasts, float(estimate.eig)))
    text = ", ".join(f"L = {n}: {value:.3f} of {math.log(n + 1):.3f}" for n, value in seen)
    return Property("pce <= ln(L + 1)", text, all(v <= math.log(n + 1) for n, v in seen))


def bias_shrinks(seed: int, repeats: int) -> Property:
    """Nested Monte Carlo is biased upwards, the less the more inner samples."""
    row = references()[0]
    means, errors = [], []
    for contrasts in (32, 100, 1_000):
        runs = torch.cat(
            [
                model_eig(
                    row.problem.model,
                    row.design[None],
                    "nmc",
                    samples=2_000,
                    contrasts=contrasts,
                    seed=derive(seed, "shrink", repeat),
                    design_dims=2,
                    reuse=False,
                ).eig
                for repeat in range(repeats)
            ]
        )
        means.append(float(runs.mean()) - row.truth)
        errors.append(float(runs.std()) / math.sqrt(repeats))
    holds = means[0] > means[1] > means[2] and means[1] > 3 * errors[1]
    text = ", ".join(
        f"M = {m}: {mean:+.4f} ± {error:.4f}"
        for m, mean, error in zip((32, 100, 1_000), means, errors, strict=True)
    )
    return Property("nmc biased up, less with more inner samples", text, holds)


def looks_add(seed: int, samples: int) -> Property:
    """The EIG never decreases when a look is added."""
    spots = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [-1.0, -1.0], [2.0, 0.0]])
    values, errors = [0.0], [0.0]
    for looks in range(1, 6):
        joint = LocationFinding(looks=looks)
        result = model_eig(
            joint.model, spots[None, :looks], samples=samples, seed=seed, design_dims=2
        )
        values.append(float(result.eig))
        errors.append(float(result.standard_error))
    steps = [
        (after - before) / math.hypot(*pair)
        for before, after, *pair in zip(values, values[1:], errors, errors[1:], strict=False)
    ]
    seen = " < ".join(f"{value:.2f}" for value in values)
    return Property("EIG grows with every look (location finding A)", seen, min(steps) > -3)


def nothing_revealed(rows: list[Row]) -> Property:
    """The EIG of a look that reveals nothing is 0."""
    nothing = [row for row in rows if row.truth == 0 and math.isfinite(row.tolerance)]
    worst = max(nothing, key=lambda row: abs(row.value))
    seen = f"{len(nothing)} estimates, largest {worst.value:.4f} ({worst.estimator})"
    return Property("a look that reveals nothing: 0", seen, all(row.within for row in nothing))


def best_time(seed: int, samples: int) -> Property:
    """The best time to look at the death process."""
    death = DeathProcess()
    times = torch.arange(0.5, 2.51, 0.02)[:, None]
    exact = death.exact_eig(times)
    estimate = model_eig(death.model, times, "nmc", samples=samples, contrasts=1_000, seed=seed)
    best, chosen = times[exact.argmax()].item(), estimate.best.item()
    share = float(death.exact_eig(estimate.best[None] if estimate.best.ndim else estimate.best))
    seen = (
        f"exact: t = {best:.2f} with {exact.max():.4f}; nmc chooses t = {chosen:.2f}, "
        f"worth {share:.4f}"
    )
    holds = abs(best - 1.28) < 0.011 and abs(float(exact.max()) - 1.3559) < 5e-5
    return Property("death process: best t", seen, holds and share >= 0.99 * float(exact.max()))


def one_dimension() -> Property:
    """The closed form of the one-dimensional problem."""
    designs = torch.tensor([[0.0], [0.5], [1.0], [3.0]])
    exact = LinearGaussian.one_dimension(prior_sd=2.0, noise=0.7).exact_eig(designs)
    formula = 0.5 * torch.log1p(designs[:, 0].double() ** 2 * 4 / 0.49)
    gap = float((exact - formula).abs().max())
    return Property("1/2 ln(1 + d^2 s^2 / sigma^2)", f"largest gap {gap:.1e}", gap < 1e-6)
