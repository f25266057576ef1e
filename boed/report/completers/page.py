"""One self-contained HTML file that shows how good the samples of completers are."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from boed.completion.evaluation.results import EXAMPLES, RESULTS, deterministic, squares
from boed.foundation.files import atomic
from boed.report.completers.cells import Better, Cell, Row, Section
from boed.report.completers.table import SAME, over_groups, table
from boed.report.csv_tables import as_csv, link
from boed.report.html import png, rounded, rows_of, svg, template
from boed.report.results import structured

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

_BY_SQUARES: tuple[tuple[str, str, Better], ...] = (
    ("frechet", "Fréchet distance", "lower"),
    ("kernel", "Kernel distance", "lower"),
    ("inception_score", "Inception score", "higher"),
    ("feature_distance", "Feature distance", "higher"),
    ("crps", "CRPS", "lower"),
    ("interval_coverage", "Coverage of intervals", "target"),
    ("decibels", "PSNR (mean of dB)", "higher"),
    ("decibels_best", "PSNR, best of n (mean of dB)", "higher"),
    ("psnr_hidden", "PSNR of hidden pixels", "higher"),
    ("ssim_hidden", "SSIM of hidden pixels", "higher"),
    ("relative_l1", "Relative L1 (%)", "lower"),
    ("relative_l1_best", "Relative L1, best of n (%)", "lower"),
    ("relative_l2", "Relative L2 (%)", "lower"),
    ("relative_l2_best", "Relative L2, best of n (%)", "lower"),
    ("squared_error", "Squared error of hidden pixels, summed over channels", "lower"),
    ("share_within", "Share of hidden pixels within 5 levels", "higher"),
)

_ASKED = (
    ("realism", "Fréchet (all)", "Fréchet distance"),
    ("calibration", "intervals, error", "error of interval coverage"),
    ("agreement with the truth", "CRPS", "CRPS"),
    ("use", "accuracy after", "accuracy"),
    ("use", "label NLL", "label NLL"),
)
"""What the headline asks: the question, how the column's label begins, how it is called."""


def write_completer_report(
    results: xr.Dataset, path: Path | str, examples: xr.Dataset | None = None
) -> None:
    """Write the report of an evaluation of completers, atomically.

    Args:
        results: what `boed.completion.evaluation.evaluate` returned.
        path: HTML file to write; it loads nothing from elsewhere.
        examples: pictures: a sheet of completions, free-form masks, images of other kinds.

    Raises:
        ValueError: results or examples that are not of their form.
        OSError: the file cannot be written.
    """
    page = render(results, examples)
    with atomic(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def render(results: xr.Dataset, examples: xr.Dataset | None = None) -> str:
    """The report as HTML. Everything that comes from the data is escaped.

    Raises:
        ValueError: results or examples that are not of their form.
    """
    from boed.report.completers import figures as figures

    RESULTS.check(results)
    if examples is not None:
        EXAMPLES.check(examples)

    def picture(name: str, draw: Any) -> str:
        return "" if examples is None or name not in examples else png(draw(examples))

    def pair(draw: Any, **narrow: Any) -> tuple[str, str]:
        wide: Figure = draw(results)
        return svg(wide), svg(draw(results, **narrow))

    sections, squared = table(results), by_squares(results)
    rows = what_was_run(results)
    csv = {title: link(section_csv(section)) for title, section in squared}
    csv |= {each.title: link(section_csv(each)) for each in sections}
    used = any(name in results for name in ("use_accuracy", "use_auroc", "use_nll"))
    return template("completers.html.j2").render(
        data=str(results.attrs.get("data", "unknown data")),
        headline=headline(sections),
        attributes=results.attrs,
        sections=sections,
        by_squares=squared,
        csv={**csv, "run": link(as_csv(("what", "value"), rows))},
        squares=squares(results),
        seeds=results.sizes["seed"],
        same=SAME if deterministic(results) else "",
        curves=pair(figures.curves_figure, stacked=True),
        ranks=pair(figures.ranks_figure, columns=2),
        tarp=pair(figures.tarp_figure, columns=2),
        use=svg(figures.use_figure(results)) if used else "",
        sheet=picture("sheet_sample", figures.sheet_figure),
        free=picture("free_sample", figures.free_figure),
        foreign=picture("foreign_reconstruction", figures.foreign_figure),
        run=rows,
        checkpoints=structured(results.attrs.get("checkpoints", "{}")),
    )


def section_csv(section: Section) -> str:
    """A table as CSV: a row for each completer and metric, means in full, half the intervals."""
    rows = [
        (row.name, column.label, cell.mean, None if math.isnan(cell.half) else cell.half)
        for row in section.rows
        for column, cell in zip(section.columns, row.cells, strict=True)
        if math.isfinite(cell.mean)
    ]
    return as_csv(("completer", "metric", "mean", "half_interval"), rows)


def by_squares(results: xr.Dataset) -> list[tuple[str, Section]]:
    """The numbers behind the curves, a section for each metric that was measured."""
    found = []
    for name, title, better in _BY_SQUARES:
        if name not in results:
            continue
        levels: list[float | None] = [None]
        if name == "interval_coverage":
            levels = [float(level) for level in results["level"].values]
        for level in levels:
            told = title if level is None else f"{title}, {level:g}"
            found.append((told, over_groups(results, name, better, level=level)))
    return [(title, section) for title, section in found if section.columns]


def headline(sections: list[Section]) -> list[str]:
    """Who is best in what, a sentence each, honest where intervals over seeds overlap."""
    said = []
    answered: set[str] = set()
    for question, label, called in _ASKED:
        for section in sections:
            for index, column in enumerate(section.columns):
                if column.label.startswith(label) and question not in answered:
                    answered.add(question)
                    told = column.label if label == "accuracy after" else called
                    said.append(_verdict(question, told, section.rows, index, column.better))
    return [sentence for sentence in said if sentence]


def _verdict(question: str, called: str, rows: list[Row], index: int, better: Better) -> str:
    """One sentence on one column."""
    known = [row for row in rows if not row.reference and math.isfinite(row.cells[index].mean)]
    if len(known) < 2:
        return ""
    sign, most = (-1, "highest") if better == "higher" else (1, "lowest")
    known.sort(key=lambda row: sign * row.cells[index].mean)
    first, second = known[0], known[1]
    best = first.cells[index]
    start = f"{question[0].upper()}{question[1:]}: "
    told = f"{first.name} {best.text}, {second.name} {second.cells[index].text}"
    told = told.replace(" ± ", "\u00a0±\u00a0")
    if any(not math.isfinite(row.cells[index].half) for row in known):
        return (
            f"{start}{first.name} has the {most} {called} ({told}), but without several seeds no "
            "difference is certain."
        )
    rivals = [row.name for row in known[1:] if _overlap(best, row.cells[index])]
    if not rivals:
        return f"{start}{first.name} has the {most} {called} ({told})."
    if len(rivals) == len(known) - 1:
        return f"{start}no difference in {called} is certain ({told})."
    tied = _listed(first.name, rivals)
    return f"{start}no difference in {called} is certain between {tied} ({told})."


def _overlap(a: Cell, b: Cell) -> bool:
    return bool(abs(a.mean - b.mean) <= a.half + b.half)


def _listed(first: str, rest: list[str]) -> str:
    return f"{', '.join([first, *rest[:-1]])} and {rest[-1]}"


def what_was_run(results: xr.Dataset) -> list[tuple[str, str]]:
    """Everything needed to run it again, as rows of a table."""
    attributes = results.attrs
    size = attributes.get("size")
    rows = [
        ("command", attributes.get("command")),
        ("started", attributes.get("started")),
        ("data", f"{attributes.get('data')}, {attributes.get('split')} split"),
        ("checksum of the split", attributes.get("sha256")),
        ("size", None if size is None else f"{size} x {size} px"),
        ("images for realism (N)", attributes["scenes"]),
        ("scenes with n completions", attributes["deep"]),
        ("completions of each (n)", attributes["n"]),
        ("extractor of features", attributes.get("extractor")),
        ("squares seen, and other masks", ", ".join(map(str, results["condition"].values))),
        ("sampling seeds", ", ".join(str(int(seed)) for seed in results["seed"].values)),
        ("the same completion n times", ", ".join(sorted(deterministic(results)))),
        ("seconds in all", rounded(attributes.get("seconds"))),
    ]
    return rows_of(rows, structured(attributes.get("versions", "{}")))
