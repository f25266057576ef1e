"""One self-contained HTML file that shows how far classifiers hold under shift."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from boed.classifiers.evaluation.evaluate import WHOLE
from boed.data.shifts import CLEAN, MIDDLE
from boed.foundation.files import atomic
from boed.report.classifiers import figures
from boed.report.classifiers.figures import STRENGTH, in_words
from boed.report.classifiers.occlusion import Occlusion, occlusion, occlusion_figure
from boed.report.classifiers.occlusion import in_words as of_the_border
from boed.report.classifiers.place import Place, by_place, unlike
from boed.report.classifiers.statistics import ALL, BETTER_HIGHER, MEASURED, statistics
from boed.report.csv_tables import as_csv, link, write_tables
from boed.report.html import rows_of, shares, svg, template
from boed.report.results import structured
from boed.report.statistics import Bounded
from boed.report.tables import number

if TYPE_CHECKING:
    import xarray as xr

HEADINGS = {"auroc": "AUROC\u00a0↑", "accuracy": "accuracy\u00a0↑", "nll": "NLL (nats)\u00a0↓"}
HEADINGS |= {"ece": "ECE\u00a0↓"}


Numbers = tuple[float | None, ...]
"""A mean and the bounds of its interval."""


class Row(NamedTuple):
    """A row of a table: a condition, a classifier or a difference, a cell for each metric.

    Cells are the mean, its interval, and `better`, `worse` or nothing for a difference.
    """

    condition: str
    first: bool
    name: str
    cells: list[tuple[str, str, str]]


def write_classifier_report(results: xr.Dataset, folder: Path) -> None:
    """Write `report.html` and, in `tables/`, its tables as CSV, each atomically.

    Args:
        results: what `boed.classifiers.evaluation.evaluate` returned.
        folder: of the run.

    Raises:
        ValueError: results that are not of their form.
        OSError: the folder cannot be written.
    """
    found = statistics(results)
    page = render(results, found)
    with atomic(folder / "report.html") as temporary:
        temporary.write_text(page, encoding="utf-8")
    write_tables(tables(results, found), folder / "tables")


def render(results: xr.Dataset, found: xr.Dataset) -> str:
    """The report as HTML. Everything that comes from the data is escaped.

    Args:
        results: what `boed.classifiers.evaluation.evaluate` returned.
        found: its statistics.
    """
    names = [str(each) for each in results["classifier"].values]
    differences = [str(each) for each in found["name"].values if each not in names]
    looks = [str(each) for each in found["look"].values][::-1]
    main = [str(c) for c, s in _conditions(found) if s in (CLEAN, ALL, results.attrs.get("also"))]
    every = [str(c) for c, _ in _conditions(found)]

    def sections(who: list[str], conditions: list[str], signed: bool) -> list[Any]:
        return [
            (in_words(look), rows(found, who, conditions, look=look, signed=signed))
            for look in looks
        ]

    csv = {name: link(text) for name, text in tables(results, found).items()}
    hidden = occlusion(results)
    return template("classifiers.html.j2").render(
        data=str(results.attrs.get("data", "unknown data")),
        headline=headline(found, names),
        scenes=results.sizes["scene"],
        others=_others(results),
        headings=[HEADINGS[metric] for metric in MEASURED],
        main=sections(names, main, False),
        every=sections(names, every, False),
        compared=differences,
        differences=sections(differences, main, True) if differences else [],
        every_difference=sections(differences, every, True) if differences else [],
        nll=svg(figures.nll_figure(found, names)),
        reliability=svg(figures.reliability_figure(results)),
        looks=[in_words(str(look)) for look in results["look"].values],
        places=_places(by_place(results)),
        unlike=[(condition, name, _percent(row)) for condition, name, row in unlike(results)],
        borders=[of_the_border(name, each.border, _size(results)) for name, each in hidden.items()],
        occlusion=svg(occlusion_figure(hidden)) if hidden else "",
        occluded=results.sizes.get("occluded_scene", 0),
        csv=csv,
        run=what_was_run(results),
    )


def _size(results: xr.Dataset) -> int:
    return int(results.attrs["size"])


def _conditions(found: xr.Dataset) -> list[tuple[str, str]]:
    return list(zip(found["condition"].values, found["shift"].values, strict=True))


def _others(results: xr.Dataset) -> str:
    """How many scenes of the other data set there are, and how many have the last answer."""
    if "also_label" not in results:
        return ""
    told = f"{results.sizes['also_scene']} scenes of {results.attrs['also']}"
    if "also_finding" in results["also_label"].dims:
        return told
    answers = results.attrs["also_answers"]
    number_of = int((results["also_label"].values == len(answers) - 1).sum())
    return f"{told}, {number_of} of them {answers[-1]}"


def rows(
    found: xr.Dataset, names: list[str], conditions: list[str], *, look: str, signed: bool
) -> list[Row]:
    """The rows of one table; `signed` for differences."""
    numbers, told = numbers_of(found), _told(found)
    return [
        Row(
            told[condition],
            name == names[0],
            name,
            [_cell(numbers[name, m, condition, look], m, signed) for m in MEASURED],
        )
        for condition in conditions
        for name in names
    ]


def numbers_of(found: xr.Dataset) -> dict[tuple[str, ...], Numbers]:
    """Mean and interval by name, metric, condition and look; None where there is no number."""
    dims = ("name", "metric", "condition", "look")
    values = np.stack([found[key].transpose(*dims).values for key in ("mean", "low", "high")], -1)
    keys = product(*(map(str, found[dim].values) for dim in dims))
    return {
        key: tuple(float(each) if np.isfinite(each) else None for each in row)
        for key, row in zip(keys, values.reshape(-1, 3), strict=True)
    }


def _told(found: xr.Dataset) -> dict[str, str]:
    """The conditions in words."""
    columns = (found[each].values.tolist() for each in ("condition", "shift", "strength"))
    return {
        condition: f"{shift}, {STRENGTH[strength]}" if strength else shift
        for condition, shift, strength in zip(*columns, strict=True)
    }


def _cell(numbers: Numbers, metric: str, signed: bool) -> tuple[str, str, str]:
    mean, low, high = numbers
    if mean is None:
        return number(None), "", ""
    verdict = ""
    if signed and low is not None and high is not None and (low > 0 or high < 0):
        verdict = "better" if (low > 0) == BETTER_HIGHER[metric] else "worse"
    return number(mean, signed), f"[{number(low, signed)}, {number(high, signed)}]", verdict


def headline(found: xr.Dataset, names: list[str]) -> list[str]:
    """What shift costs each classifier, of whole scenes, and which differences are certain."""
    strengths = sorted({int(each) for each in found["strength"].values} - {0})
    strength = min(strengths, key=lambda each: abs(each - MIDDLE))
    said, numbers = [_cost(found, name, strength) for name in names], numbers_of(found)
    for name in (str(each) for each in found["name"].values if each not in names):
        one = numbers[name, "nll", f"{ALL} {strength}", WHOLE]
        mean, interval, verdict = _cell(one, "nll", True)
        sure = {"better": "certainly lower", "worse": "certainly higher"}.get(
            verdict, "no certain difference"
        )
        said.append(f"{name}, NLL under {STRENGTH[strength]} shifts: {mean} {interval}, {sure}.")
    return said


def _cost(found: xr.Dataset, name: str, strength: int) -> str:
    """One sentence on one classifier."""
    numbers = numbers_of(found)
    clean, under = (
        numbers[name, "nll", condition, WHOLE][0] for condition in (CLEAN, f"{ALL} {strength}")
    )
    times = f" ({under / clean:.1f} times)" if clean and under is not None else ""
    of_each = {
        shift: numbers[name, "nll", condition, WHOLE][0]
        for condition, shift in _conditions(found)
        if condition == f"{shift} {strength}" and shift != ALL
    }
    infinite = [shift for shift, value in of_each.items() if value is None]
    worst = infinite[0] if infinite else max(of_each, key=lambda shift: of_each[shift] or 0.0)
    other, of_other = str(found["shift"].values[-1]), ""
    if other != ALL:
        nll, auroc = (number(numbers[name, m, other, WHOLE][0]) for m in ("nll", "auroc"))
        of_other = f"; on {other} {nll}, AUROC {auroc}"
    return (
        f"{name}: NLL of whole scenes {number(clean)} nats clean, {number(under)} over all "
        f"{STRENGTH[strength]} shifts{times}, worst under {worst} "
        f"({number(of_each[worst])}){of_other}."
    )


def tables(results: xr.Dataset, found: xr.Dataset) -> dict[str, str]:
    """The tables of the report by name, as CSV."""
    names = set(map(str, results["classifier"].values))
    header = ("shift", "strength", "looks", "metric", "mean", "low", "high")
    columns = (found[each].values.tolist() for each in ("shift", "strength"))
    of = dict(zip(found["condition"].values, zip(*columns, strict=True), strict=True))
    long = [
        (name, *of[condition], look, metric, *numbers)
        for (name, metric, condition, look), numbers in numbers_of(found).items()
    ]
    parts = {
        "metrics": ("classifier", [row for row in long if row[0] in names]),
        "differences": ("difference", [row for row in long if row[0] not in names]),
    }
    made = {name: as_csv((who, *header), each) for name, (who, each) in parts.items() if each}
    places, far, hidden = by_place(results), unlike(results), occlusion(results)
    if places:
        rows_of_places = [(*each[:4], *each.nll, *each.ece) for each in places]
        made["places"] = as_csv(_PLACES, rows_of_places)
    if far:
        looks = list(map(str, results["look"].values))
        shares = [
            (condition, name, look, share if np.isfinite(share) else None)
            for condition, name, row in far
            for look, share in zip(looks, row, strict=True)
        ]
        made["unlike"] = as_csv(("condition", "classifier", "looks", "share"), shares)
    if hidden:
        made["occlusion"] = as_csv(_OCCLUSION, _occluded(hidden))
    return {**made, "run": as_csv(("what", "value"), what_was_run(results))}


_PLACES = (
    *("classifier", "scenes", "looks", "place"),
    *("nll", "nll_low", "nll_high", "ece", "ece_low", "ece_high"),
)


def _places(places: list[Place]) -> list[tuple[str, ...]]:
    """Rows of a table: scenes, classifier, looks, third, NLL and ECE."""
    return [
        (
            each.scenes,
            each.classifier,
            in_words(each.look),
            each.third,
            _range(each.nll),
            _range(each.ece),
        )
        for each in places
    ]


def _range(numbers: Bounded) -> str:
    value, low, high = (each if np.isfinite(each) else None for each in numbers)
    return f"{number(value)} [{number(low)}, {number(high)}]"


def _percent(row: list[float]) -> list[str]:
    return [f"{100 * each:.1f} %" if np.isfinite(each) else "–" for each in row]


_OCCLUSION = ("classifier", "region", "measure", "mean", "low", "high")


def _occluded(hidden: dict[str, Occlusion]) -> list[tuple[Any, ...]]:
    """Rows of what hiding each cell and the border does."""
    rows: list[tuple[Any, ...]] = []
    for name, each in hidden.items():
        for what, values in (("belief_change", each.belief), ("nll_rise", each.nll)):
            for (r, c), value in np.ndenumerate(values):
                rows.append((name, f"cell {r} {c}", what, float(value), None, None))
        for what, numbers in (("share", each.border.share), ("nll_rise", each.border.nll)):
            known = [value if np.isfinite(value) else None for value in numbers]
            rows.append((name, "border", what, *known))
    return rows


def what_was_run(results: xr.Dataset) -> list[tuple[str, str]]:
    """Everything needed to run it again, as rows of a table."""
    attributes = results.attrs
    facts = [
        ("command", attributes.get("command")),
        ("started", attributes.get("started")),
        ("data", f"{attributes.get('data')}, {attributes.get('split')} split"),
        ("checksum of the scenes", attributes.get("sha256")),
        ("size", f"{attributes.get('size')} x {attributes.get('size')} px"),
        ("scenes", results.sizes["scene"]),
        ("prevalence of the answers", shares(structured(attributes.get("prevalence", "null")))),
        ("other data", attributes.get("also")),
        ("checksum of its scenes", attributes.get("also_sha256")),
        ("seed of looks and shifts", attributes.get("seed")),
    ]
    return rows_of(facts, structured(attributes.get("versions", "{}")))
