"""Columns of the table of completers, and cells: how numbers are written, which are the best."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from boed.completion.evaluation.results import over_seeds

Better = Literal["lower", "higher", "target", "none"]
"""Which values win; "target" are those nearest to the reference, with "none" nothing does."""

ARROWS: dict[Better, str] = {"lower": "↓", "higher": "↑", "target": "→", "none": ""}


@dataclass(frozen=True, eq=False, kw_only=True)
class Column:
    """One metric of all completers.

    Attributes:
        values: `[completer]` or `[completer, seed]`.
        reference: what real images or a calibrated sampler have.
        shown: how a number is written; by default with the decimals that the column needs.
    """

    label: str
    better: Better
    values: xr.DataArray
    reference: float = math.nan
    shown: Callable[[float], str] | None = None

    @property
    def heading(self) -> str:
        return f"{self.label}\u00a0{ARROWS[self.better]}".strip()


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A number in a table.

    Attributes:
        mean: over seeds.
        half: half the width of the interval, NaN where there is none.
        number: the mean as it is written.
        spread: what is written after it: the interval, seeds without a value.
        place: 1 for the best of its column, 2 for the second best.
    """

    mean: float
    half: float
    number: str
    spread: str = ""
    place: int = 0

    @property
    def text(self) -> str:
        return f"{self.number} {self.spread}".strip()


@dataclass(frozen=True, kw_only=True)
class Row:
    """A completer, or with `reference` what it is compared with."""

    name: str
    cells: tuple[Cell, ...]
    deterministic: bool = False
    reference: bool = False


@dataclass(frozen=True, kw_only=True)
class Section:
    """One of the tables that Table 1 is split into."""

    title: str
    columns: tuple[Column, ...]
    rows: list[Row] = field(default_factory=list)
    note: str = ""


def cells_of(column: Column, names: list[str], seeds: int) -> list[Cell]:
    """The cells of a column, the reference last."""
    mean, half, known = (each.sel(completer=names) for each in over_seeds(column.values))
    shown = column.shown or _decimals(mean.values)
    expected = seeds if "seed" in column.values.dims else 1
    places = _places(column, mean.values.tolist(), shown)
    cells = []
    for m, h, k, place in zip(mean.values, half.values, known.values, places, strict=True):
        spread = f"± {_number(h, shown)}" if math.isfinite(h) else ""
        if 0 < k < expected:
            spread = f"{spread} ({k} of {expected} seeds)".strip()
        cells.append(
            Cell(
                mean=float(m),
                half=float(h),
                number=_number(float(m), shown),
                spread=spread,
                place=place,
            )
        )
    return [*cells, _reference_cell(column.reference, shown)]


def _reference_cell(value: float, shown: Callable[[float], str]) -> Cell:
    """With more decimals than the column if it would be written as 0 without being that."""
    text = _number(value, shown)
    if value and not text.strip("0."):
        text = _number(value, _decimals(np.array([value])))
    return Cell(mean=value, half=math.nan, number=text)


def _places(column: Column, means: list[float], shown: Callable[[float], str]) -> list[int]:
    """1 for the best, 2 for the second best, 0 for all others.

    A place that more than half of the completers share is no distinction.
    """
    written = [_loss(column, float(f"{m:.12g}"), shown) for m in means]
    known = [value for value in written if not math.isnan(value)]
    if column.better == "none" or len(known) < 2:
        return [0] * len(means)
    ranks = [
        0 if math.isnan(value) else 1 + sum(other < value for other in known) for value in written
    ]
    return [rank if rank <= 2 and 2 * ranks.count(rank) <= len(known) else 0 for rank in ranks]


def _loss(column: Column, mean: float, shown: Callable[[float], str]) -> float:
    """How bad a mean is as it is written."""
    if math.isnan(mean):
        return math.nan
    written = mean if math.isinf(mean) else float(shown(mean).replace(",", ""))
    if column.better == "target":
        return abs(round(written - column.reference, 9))
    return -written if column.better == "higher" else written


def _decimals(means: NDArray[Any]) -> Callable[[float], str]:
    """As many as give the median three figures and the smallest two, at most five."""
    sizes = np.abs(means[np.isfinite(means)])
    sizes = sizes[sizes > 0]
    if len(sizes) == 0:
        return fixed(3)

    def needed(size: float, figures: int) -> int:
        return figures - 1 - math.floor(math.log10(size))

    most = max(needed(float(np.median(sizes)), 3), needed(float(sizes.min()), 2))
    decimals = min(max(most, 0), 3 if sizes.max() >= 0.1 else 5)
    return fixed(decimals)


def _number(value: float, shown: Callable[[float], str]) -> str:
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    text = shown(value)
    return text.lstrip("-") if not text.strip("-0.,") else text  # no -0.00


def fixed(decimals: int) -> Callable[[float], str]:
    return lambda value: f"{value:,.{decimals}f}"
