"""Whether the information that was expected is the information that was gained."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from boed.policies.names import INFORMED
from boed.report.results import INSTRUMENT
from boed.report.rivals import learned
from boed.report.statistics import Bounded, resampled, with_bounds

IN_NATS = ("variational", "entropy", "mixture", "information")
"""Estimators whose score is an EIG about the answer."""


@dataclass(frozen=True, kw_only=True)
class Gains:
    """One look of one policy, over all scenes and seeds.

    Attributes:
        policy, look: whose, and which one from 1 on.
        expected: mean EIG of the looks that were taken, nats.
        gained: mean rise of the log-belief in the truth, nats: its expectation is the EIG where
            beliefs are calibrated and the completions are posterior samples.
        slope: of the line from EIG to gain, 1 where both hold; NaN where all EIGs are the same, as
            those of the first look are.
        correlation: of the two.
        curse: mean winner's curse of the EIG, nats: how much of it is there since it is the
            highest of many estimates; NaN where results do not hold it.
        effective: mean effective sample size of the completions: how many equal ones they are
            worth; NaN where results do not hold it.
    """

    policy: str
    look: int
    expected: float
    gained: Bounded
    slope: Bounded
    correlation: Bounded
    curse: float = np.nan
    effective: float = np.nan


def eig_and_gains(results: xr.Dataset, resamples: int = 2000, seed: int = 0) -> list[Gains]:
    """EIG against gain for each look of the policies whose score is an EIG about the answer.

    Args:
        results: of a benchmark.
        resamples: of the bootstrap, of scenes or patients.
        seed: of the bootstrap.
    """
    names = [str(name) for name in results["policy"].values]
    known = {*learned(results), INSTRUMENT}
    asked = [name for name in names if name in known or _is_in_nats(name)]
    if not asked:
        return []
    truth = _log_belief_in_truth(results)
    looks: list[tuple[str, int]] = []
    sums: list[NDArray[np.float64]] = []
    for name in asked:
        score = results["score"].sel(policy=name).transpose("step", "seed", "scene").values
        with np.errstate(invalid="ignore"):  # from one impossible truth to another
            gain = np.diff(truth.sel(policy=name).transpose("look", "seed", "scene").values, axis=0)
        for step in range(len(score)):
            known = np.isfinite(score[step]) & np.isfinite(gain[step])
            if known.any():
                looks.append((name, step + 1))
                sums.append(_sums_of_scenes(score[step], gain[step], known))
    if not looks:
        return []
    of_scenes = np.stack(sums)  # [looks, N, 6]
    found = _moments(of_scenes.sum(1))
    pieces = [_moments(weights @ of_scenes) for weights in resampled(results, resamples, seed)]
    many = np.concatenate(pieces, axis=-1)
    return [
        Gains(
            policy=name,
            look=look,
            expected=float(found[0, k]),
            gained=with_bounds(found[1, k], many[1, k]),
            slope=with_bounds(found[2, k], many[2, k]),
            correlation=with_bounds(found[3, k], many[3, k]),
            curse=_mean_of("winners_curse", results, name, look),
            effective=_mean_of("effective", results, name, look),
        )
        for k, (name, look) in enumerate(looks)
    ]


def _is_in_nats(policy: str) -> bool:
    return INFORMED.get(policy, ("", ""))[1] in IN_NATS


def _mean_of(name: str, results: xr.Dataset, policy: str, look: int) -> float:
    """The mean of something that results may hold of a policy's decisions for a look."""
    if name not in results:
        return np.nan
    return float(results[name].sel(policy=policy, step=look).mean())


def _sums_of_scenes(score: NDArray, gain: NDArray, known: NDArray) -> NDArray[np.float64]:
    """Of each scene the sums over seeds of 1, x, y, xx, xy, yy, `[N, 6]`."""
    x, y = (np.where(known, each, 0).astype(np.float64) for each in (score, gain))
    return np.stack([known, x, y, x * x, x * y, y * y]).sum(1).T


def _log_belief_in_truth(results: xr.Dataset) -> xr.DataArray:
    """`[policy, seed, scene, look]`, summed over findings."""
    of_truth = results["log_belief"].isel(answer=results["label"].astype(int))
    return of_truth.sum("finding", skipna=False) if "finding" in of_truth.dims else of_truth


def _moments(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means of both, slope and correlation, from sums of 1, x, y, xx, xy, yy."""
    number, x, y, xx, xy, yy = np.moveaxis(np.asarray(sums, np.float64), -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        x, y = x / number, y / number
        var_x, var_y = xx / number - x * x, yy / number - y * y
        both = xy / number - x * y
        spread = var_x > 1e-10 * np.maximum(xx / number, 1e-12)
        slope = np.where(spread, both / var_x, np.nan)
        correlation = np.where(spread & (var_y > 0), both / np.sqrt(var_x * var_y), np.nan)
    return np.stack([x, y, slope, correlation])
