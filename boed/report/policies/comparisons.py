"""The first policy of a run against a baseline and the strongest fixed scan, under each shift."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from boed.benchmark.shifted import SCANS, of_condition
from boed.classifiers.evaluation.metrics import HIGHER_IS_BETTER, METRICS
from boed.data.shifts import CLEAN
from boed.report.headline import NAMES, counted
from boed.report.results import structured
from boed.report.statistics import Summary, summary

if TYPE_CHECKING:
    import xarray as xr

STRONGEST = "the strongest fixed scan"
"""What the fixed scan is called that is best by the primary outcome, under each condition."""

BETTER, UNSURE, WORSE = "better", "not certain", "worse"
"""Whether an interval says which of two is better."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The first policy less another one, under one condition, by one metric after some looks.

    Attributes:
        condition: as results call it.
        against: whom the first policy is compared with: a name, or `STRONGEST`.
        rival: which policy that is there.
        metric: of `METRICS`.
        look: number of looks.
        mean, low, high: of the difference, with its 95 % interval; None where there is none.
    """

    condition: str
    against: str
    rival: str
    metric: str
    look: int
    mean: float | None
    low: float | None
    high: float | None

    @property
    def verdict(self) -> str:
        """`better`, `worse`, or `not certain` where the interval holds zero."""
        if self.low is None or self.high is None or self.low <= 0 <= self.high:
            return UNSURE
        return BETTER if (self.low > 0) == HIGHER_IS_BETTER[self.metric] else WORSE


def summaries(results: xr.Dataset, resamples: int = 2000) -> dict[str, Summary]:
    """The summary of the run under each condition; see `boed.report.statistics.summary`.

    All conditions see the same resamples.

    Args:
        results: what `boed.benchmark.shifted.benchmark_shifted` returned.
        resamples: of the bootstrap.
    """
    names = map(str, results["condition"].values)
    return {name: summary(of_condition(results, name), resamples) for name in names}


def comparisons(results: xr.Dataset, found: dict[str, Summary]) -> list[Comparison]:
    """Every comparison: by condition, rival, metric and number of looks.

    The strongest fixed scan is picked under each condition by what came out, which favours it.

    Args:
        results: what `boed.benchmark.shifted.benchmark_shifted` returned.
        found: their `summaries`.
    """
    scans = structured(results.attrs.get(SCANS, "[]"))
    made: list[Comparison] = []
    for condition, one in found.items():
        first = one["primary"]["policy"]
        rivals: dict[str, str] = {}
        if one["baseline"] not in (None, first):
            rivals[one["baseline"]] = one["baseline"]
        others = [name for name in one["policies"] if name in scans and name != first]
        if others:
            rivals[STRONGEST] = _strongest(one, others)
        for against, rival in rivals.items():
            made += _of_a_pair(one, condition, against=against, rival=rival)
    return made


def _strongest(one: Summary, names: list[str]) -> str:
    metric, look = one["primary"]["metric"], one["primary"]["looks"]
    sign = 1 if HIGHER_IS_BETTER[metric] else -1

    def strength(name: str) -> float:
        mean = one["policies"][name][metric]["mean"][look]
        return float("-inf") if mean is None else sign * mean

    return max(names, key=strength)


def _of_a_pair(one: Summary, condition: str, *, against: str, rival: str) -> Iterable[Comparison]:
    first = one["primary"]["policy"]
    for metric in METRICS:
        mean, low, high = _difference(one, first, rival, metric)
        for look in range(1, one["looks"] + 1):
            yield Comparison(
                condition=condition,
                against=against,
                rival=rival,
                metric=metric,
                look=look,
                mean=mean[look],
                low=low[look],
                high=high[look],
            )


Curve = list[float | None]
"""A number after 0, 1, ... T looks."""


def _difference(one: Summary, a: str, b: str, metric: str) -> tuple[Curve, Curve, Curve]:
    """Mean and bounds of the first less the second; the summary may hold the second less it."""
    pair = one["paired"].get(f"{a} - {b}")
    if pair is not None:
        return pair[metric]["mean"], pair[metric]["low"], pair[metric]["high"]
    curve = one["paired"][f"{b} - {a}"][metric]
    mean, high, low = (
        [None if each is None else -each for each in curve[key]] for key in ("mean", "low", "high")
    )
    return mean, low, high


def counts(made: Iterable[Comparison], **of: object) -> dict[str, int]:
    """How many shifts give each verdict.

    Args:
        made: comparisons.
        of: what they are to be of, such as `metric="nll"`.
    """
    chosen = [
        each.verdict
        for each in made
        if each.condition != CLEAN and all(getattr(each, key) == value for key, value in of.items())
    ]
    return {verdict: chosen.count(verdict) for verdict in (BETTER, UNSURE, WORSE)}


def verdicts(made: list[Comparison], one: Summary) -> list[str]:
    """A line for each rival: over how many shifts the first policy is certainly better, or worse.

    By the primary outcome; where it loses more often than it wins, that rival comes first.

    Args:
        made: all comparisons.
        one: the summary of any condition, which says what is judged.
    """
    primary = one["primary"]
    first, metric, look = primary["policy"], primary["metric"], primary["looks"]
    lines = []
    for against in dict.fromkeys(each.against for each in made):
        of = {"against": against, "metric": metric, "look": look}
        number = counts(made, **of)
        clean = next(
            each.verdict
            for each in made
            if each.condition == CLEAN and all(getattr(each, k) == v for k, v in of.items())
        )
        said = (
            f"{first} against {against}, {NAMES[metric]} after {counted(look, 'look')}: certainly "
            f"better under {number[BETTER]} of {counted(sum(number.values()), 'shift')}, not "
            f"certain under {number[UNSURE]}, certainly worse under {number[WORSE]}; on clean "
            f"scenes {clean if clean == UNSURE else f'certainly {clean}'}."
        )
        lines.append((number[BETTER] - number[WORSE], said))
    return [said for _, said in sorted(lines, key=lambda line: line[0])]
