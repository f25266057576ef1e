"""Completers by metrics, in the style of Table 1 of Harvey et al. 2021.

Table 1 is split into sections of a few columns. A section is made of columns, whose values are
worked out from results; cells say how numbers are written and which are the best.
"""

from __future__ import annotations

import html
import math
import re

import xarray as xr

from boed.completion.evaluation.results import RESULTS, by_condition, deterministic
from boed.report.completers.cells import Better, Column, Row, Section, cells_of
from boed.report.completers.sections import CONTENTS

SAME = "†"
"""Marks deterministic completers."""


def table(results: xr.Dataset) -> list[Section]:
    """Table 1: completers by metrics, in sections of a few columns each.

    Each number is a mean over sampling seeds with its 95 % interval (`over_seeds`); a metric of
    single scenes is averaged over them first, and over the numbers of squares 0 to 5. A column
    that no completer has is left out, and so is a section without columns. Best and second best are
    told by the numbers as they are written; equal numbers share a place.

    Raises:
        ValueError: they are not of the form of `RESULTS`.
    """
    RESULTS.check(results)
    sections = []
    for content in CONTENTS:
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
    found = [cells_of(column, names, results.sizes["seed"]) for column in known]
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
