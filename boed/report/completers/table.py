"""Completers by metrics, in the style of Table 1 of Harvey et al. 2021.

Table 1 is split into sections of a few columns. A section is made of columns, whose values are
worked out from results; cells say how numbers are written and which are the best.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from boed.completion.evaluation.results import (
    REALISM,
    by_condition,
    deterministic,
    mean_known,
    over_seeds,
    over_squares,
    sbc_rejected,
    validate,
)

Better = Literal["lower", "higher", "target", "none"]
"""Which values win; "target" are those nearest to the reference, with "none" nothing does."""

SAME = "†"
"""Marks deterministic completers."""

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


def table(results: xr.Dataset) -> list[Section]:
    """Table 1: completers by metrics, in sections of a few columns each.

    Each number is a mean over sampling seeds with its 95 % interval (`over_seeds`); a metric of
    single scenes is averaged over them first, and over the numbers of squares 0 to 5. A column
    that no completer has is left out, and so is a section without columns. Best and second best are
    told by the numbers as they are written; equal numbers share a place.

    Raises:
        ValueError: see `validate`.
    """
    validate(results)
    contents = (_realism, _fidelity, _diversity, _calibration, _posterior, _use, _cost)
    sections = []
    for content in contents:
        title, note, columns, *reference = content(results)
        sections.append(
            section(results, columns, title=title, note=note, reference="".join(reference))
        )
    return [each for each in sections if each.columns]


def section(
    results: xr.Dataset, columns: list[Column], *, title: str, note: str, reference: str = ""
) -> Section:
    """A table of the columns that somebody has a value in."""
    names = list(map(str, results["completer"].values))
    known = tuple(c for c in columns if bool(c.values.notnull().any()))
    found = [_cells(column, names, results.sizes["seed"]) for column in known]
    same = deterministic(results)
    rows = [
        Row(name=name, cells=tuple(cells[i] for cells in found), deterministic=name in same)
        for i, name in enumerate(names)
    ]
    if any(not math.isnan(column.reference) for column in known):
        rows.append(Row(name=reference, cells=tuple(cells[-1] for cells in found), reference=True))
    return Section(title=title, columns=known, rows=rows, note=note)


def over_groups(
    results: xr.Dataset, name: str, better: Better, *, level: float | None = None
) -> Section:
    """One metric by number of squares, for all groups or conditions it has."""
    values = by_condition(results, name, level)
    axis = "group" if "group" in values.dims else "condition"
    floor = results.get(f"{name}_floor") if axis == "group" else None
    columns = [
        Column(
            label=f"{group} square{'' if group == '1' else 's'}" if group.isdigit() else group,
            better=better,
            values=values.sel({axis: group}),
            reference=float("nan" if floor is None else floor.sel({axis: group}))
            if level is None
            else float(results["implied_level"].sel(level=level)),
        )
        for group in map(str, values[axis].values)
    ]
    return section(
        results,
        columns,
        title=name,
        note="",
        reference="real against real" if level is None else "calibrated",
    )


def markdown(results: xr.Dataset) -> str:
    """The tables of `table` as Markdown, with what they mean below."""
    attributes, seeds = results.attrs, results.sizes["seed"]
    said = (
        f"N = {attributes['scenes']} images for realism, {attributes['deep']} scenes with "
        f"n = {attributes['n']} completions for all else; means over {seeds} sampling "
        f"seed{'' if seeds == 1 else 's'} ± half of the 95 % Student t interval. The best mean is "
        "**bold**, the second best <u>underlined</u>."
    )
    if deterministic(results):
        said += f" {SAME} draws the same completion n times."
    return "\n\n".join([*map(_markdown, table(results)), said]) + "\n"


def _markdown(given: Section) -> str:
    def line(cells: list[str]) -> str:
        return f"| {' | '.join(cells)} |"

    lines = [f"**{given.title}**", ""]
    lines.append(line(["completer", *(_plain(column.heading) for column in given.columns)]))
    lines.append("|---|" + "---:|" * len(given.columns))
    marks = {0: "{}", 1: "**{}**", 2: "<u>{}</u>"}
    for row in given.rows:
        name = _plain(row.name) + (f" {SAME}" if row.deterministic else "")
        name = f"*{name}*" if row.reference else name
        lines.append(line([name, *(marks[cell.place].format(cell.text) for cell in row.cells)]))
    return "\n".join(lines)


def _plain(text: str) -> str:
    """Text that Markdown leaves as it is."""
    return re.sub(r"([\\|*_`\[\]#])", r"\\\1", html.escape(" ".join(text.split())))


Given = tuple[str, str, list[Column], str]


def _scene(
    results: xr.Dataset, label: str, better: Better, name: str, decimals: int | None = None
) -> Iterator[Column]:
    """A metric averaged over scenes and squares, if it was measured."""
    if name in results:
        shown = None if decimals is None else _fixed(decimals)
        yield Column(
            label=label,
            better=better,
            values=over_squares(by_condition(results, name)),
            shown=shown,
        )


def _realism(results: xr.Dataset) -> Given:
    def column(label: str, better: Better, name: str, group: str = "all") -> Column:
        floor = float(results[f"{name}_floor"].sel(group=group))
        return Column(
            label=label, better=better, values=results[name].sel(group=group), reference=floor
        )

    columns = [column("Fréchet (all)", "lower", "frechet")]
    if "holes" in results["group"].values:
        columns.append(column("Fréchet (holes)", "lower", "frechet", "holes"))
    columns.append(column("kernel distance", "lower", "kernel"))
    columns += [column(name, "higher", name) for name in REALISM[2:]]
    note = (
        "Are completed images like real ones? One completion per scene, all numbers of squares "
        "together (FID-agg of the paper) unless it says holes. All depend on the number of images "
        f"and on what describes them: {results.attrs.get('extractor', 'an unnamed extractor')}. "
        "Completions keep what was seen of the very images they are compared with, so they can be "
        "nearer than other real images are. Precision and density also reward images that are all "
        "alike: read them with recall and coverage."
    )
    return "Realism", note, columns, "real against real"


def _fidelity(results: xr.Dataset) -> Given:
    n = int(results.attrs["n"])
    columns = [
        *_scene(results, "observed error", "lower", "observed_error"),
        *_scene(results, "PSNR (dB)", "higher", "psnr", 2),
        *_scene(results, f"PSNR, best of {n}", "higher", "psnr_best", 2),
        *_scene(results, "SSIM", "higher", "ssim"),
        *_scene(results, f"SSIM, best of {n}", "higher", "ssim_best"),
        *_scene(results, "L1", "lower", "l1"),
        *_scene(results, f"L1, best of {n}", "lower", "l1_best"),
    ]
    note = (
        "Do completions agree with the true scene? The observed error is on the seen pixels, "
        "before they are put back in. A blurred mean does well here. PSNR is that of the mean "
        "squared error of each number of squares, since single scenes can be exact."
    )
    return "Fidelity", note, columns, ""


def _diversity(results: xr.Dataset) -> Given:
    columns = [
        *_scene(results, "inception score", "higher", "inception_score"),
        *_scene(results, "feature distance", "higher", "feature_distance"),
        *_scene(results, "pixel std", "higher", "pixel_std"),
    ]
    note = (
        "Do the completions of one observation differ? More is better only of realistic and "
        "calibrated ones: noise is diverse."
    )
    return "Diversity", note, columns, ""


def _calibration(results: xr.Dataset) -> Given:
    implied = results["implied_level"]
    coverage = by_condition(results, "interval_coverage")
    off = abs(coverage - implied).mean("level", skipna=False)
    columns = [
        Column(
            label=f"intervals, {float(level):g}",
            better="target",
            values=over_squares(coverage.sel(level=level)),
            reference=float(implied.sel(level=level)),
            shown=_fixed(3),
        )
        for level in results["level"].values
    ]
    spread = mean_known(results["sbc_spread"], "statistic")
    columns += [
        Column(
            label="intervals, error",
            better="lower",
            values=over_squares(off),
            reference=0.0,
            shown=_fixed(3),
        ),
        Column(
            label="SBC rejected",
            better="lower",
            values=sbc_rejected(results),
            reference=0.0,
            shown=_fixed(2),
        ),
        Column(
            label="SBC spread z",
            better="target",
            values=over_squares(spread),
            reference=0.0,
            shown=_fixed(1),
        ),
        Column(
            label="TARP bias",
            better="target",
            values=over_squares(results["tarp_bias"]),
            reference=0.0,
            shown=_fixed(3),
        ),
    ]
    note = (
        "Do completions spread as the truth does? Hidden pixels inside central intervals, with "
        "the nearest levels that n completions can have in the last row, and how far that is off, "
        "mean over levels and squares; simulation-based calibration, the share of tests that "
        "reject after Holm at 5 % and the mean z of spread (positive: too narrow); the mean error "
        "of TARP's coverage (negative: too narrow). A sampler that ignores what was seen passes: "
        "read with the scores."
    )
    return "Calibration", note, columns, "calibrated"


def _posterior(results: xr.Dataset) -> Given:
    columns = [
        *_scene(results, "CRPS", "lower", "crps"),
        *_scene(results, "energy score", "lower", "energy"),
        *_scene(results, "label NLL (nats)", "lower", "label_nll"),
        *_scene(results, "label accuracy", "higher", "label_correct"),
        *_scene(results, "label ECE", "lower", "label_ece", 3),
        *_scene(results, "ECE if right", "none", "label_ece_floor", 3),
        *_scene(results, "bits/dim", "lower", "bits_per_dim"),
    ]
    note = (
        "Scores that only the true posterior minimises, and the label posterior that the "
        "completions imply. With few scenes the ECE is above 0 for anyone: beside it is what "
        "would be expected of these confidences if they were right."
    )
    said = results.attrs.get("bits_per_dim", "")
    return "Scores of the posterior", f"{note} {said}".strip(), columns, ""


def last_look(results: xr.Dataset) -> int:
    """After how many looks the downstream metrics are told: 3, or all where 3 are not there."""
    looks = [int(look) for look in results["look"].values]
    return 3 if 3 in looks else max(looks)


def _use(results: xr.Dataset) -> Given:
    columns = []
    labels: list[tuple[str, str, Better]] = [
        ("use_accuracy", "accuracy", "higher"),
        ("use_auroc", "AUROC", "higher"),
        ("use_nll", "NLL (nats)", "lower"),
    ]
    for name, label, better in labels:
        if name in results:
            look = last_look(results)
            told = f"{label} after {look} look{'' if look == 1 else 's'}"
            columns.append(Column(label=told, better=better, values=results[name].sel(look=look)))
    note = "Do decisions get better? The same classifier and scenes for every completer."
    return "Use", note, columns, ""


def _cost(results: xr.Dataset) -> Given:
    seconds = results["seconds"].where(results["seconds"] > 0)
    facts = [
        ("training CPU seconds", "training_cpu_seconds"),
        ("training steps", "training_steps"),
        ("parameters", "parameters"),
    ]
    columns = [
        Column(label="completions/s", better="higher", values=results["completions"] / seconds),
        *(
            Column(label=said, better="none", values=results[n], shown=_fixed(0))
            for said, n in facts
            if n in results
        ),
    ]
    return "Cost", "Of drawing on this machine, and of training.", columns, ""


def _cells(column: Column, names: list[str], seeds: int) -> list[Cell]:
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
        return _fixed(3)

    def needed(size: float, figures: int) -> int:
        return figures - 1 - math.floor(math.log10(size))

    most = max(needed(float(np.median(sizes)), 3), needed(float(sizes.min()), 2))
    decimals = min(max(most, 0), 3 if sizes.max() >= 0.1 else 5)
    return _fixed(decimals)


def _number(value: float, shown: Callable[[float], str]) -> str:
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    text = shown(value)
    return text.lstrip("-") if not text.strip("-0.,") else text  # no -0.00


def _fixed(decimals: int) -> Callable[[float], str]:
    return lambda value: f"{value:,.{decimals}f}"
