"""One self-contained HTML file that shows what came out of a benchmark, and what was run."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from boed.foundation.arguments import checked
from boed.foundation.files import atomic
from boed.report.csv_tables import benchmark_tables, link
from boed.report.gains import Gains, eig_and_gains
from boed.report.headline import NAMES, counted, headline, infinite, plain_words
from boed.report.html import png, rounded, rows_of, script, shares, svg, template
from boed.report.results import structured, validate
from boed.report.statistics import Bounded, Summary, exists, first_better
from boed.report.statistics import summary as summarise
from boed.report.stepping import stepping
from boed.report.tables import number, with_interval
from boed.report.unlike import unlike_shares
from boed.report.worked_scenes import negative_share

if TYPE_CHECKING:
    import xarray as xr


@checked
def write_report(
    results: xr.Dataset,
    path: Path | str,
    examples: xr.Dataset | None = None,
    *,
    summary: Summary | None = None,
) -> None:
    """Write the report of a benchmark, atomically.

    Args:
        results: what `benchmark` returned.
        path: HTML file to write; it loads nothing from elsewhere.
        examples: worked scenes for the panels.
        summary: of the results, where it has been computed already.

    Raises:
        ValueError: Results or examples that are not of their form.
        OSError: the file cannot be written.
    """
    validate(results)
    if examples is not None:
        validate(examples, "examples")
    page = render(results, examples, summary)
    with atomic(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def render(
    results: xr.Dataset, examples: xr.Dataset | None = None, summary: Summary | None = None
) -> str:
    """The report as HTML. Everything that comes from the data is escaped."""
    from boed.report import figures
    from boed.report.density import density_figure, shows_pixels

    summary = summarise(results) if summary is None else summary
    attributes = results.attrs
    panels = [] if examples is None else range(examples.sizes["example"])
    steps, cost = stepping(results), costs_differ(results)
    gains = eig_and_gains(results)
    tables = report_tables(results, summary, gains)
    return template("report.html.j2").render(
        summary=summary,
        metrics=[m for m in NAMES if _shown(summary, m)],
        names=NAMES,
        headline=headline(summary),
        infinite=infinite(summary),
        curves=svg(figures.curves_figure(summary)),
        curves_narrow=svg(figures.curves_figure(summary, stacked=True)),
        plain=plain_words(
            summary,
            answers=results.sizes["answer"],
            findings=results.sizes.get("finding", 0),
            seen=_seen_by_a_look(results),
        ),
        against_cost=[
            svg(figures.curves_figure(summary, stacked=stacked, against="cost"))
            for stacked in (False, True)
            if cost
        ],
        csv={name: link(text) for name, text in tables.items()},
        together=summary["together"],
        stepping=steps,
        script=script("stepping.js") if steps else None,
        sides=sides(summary),
        against_baseline=[
            pair for pair in summary["paired"] if pair.endswith(f" - {summary['baseline']}")
        ],
        panels=[png(figures.panel_figure(examples, i)) for i in panels if examples is not None],
        panel_titles=[] if examples is None else panel_titles(examples),
        negative=None if examples is None else negative_share(examples),
        panel_policy="" if examples is None else str(examples.attrs.get("policy", "")),
        looks=png(figures.looks_figure(results)),
        density=png(density_figure(results)) if shows_pixels(results) else "",
        calibration=svg(figures.calibration_figure(results)),
        calibration_narrow=svg(figures.calibration_figure(results, columns=1)),
        gains=gains,
        curses=[number(each.curse) if each.curse == each.curse else "–" for each in gains]
        if "winners_curse" in results
        else [],
        weights=[rounded(each.effective) or "–" for each in gains]
        if "effective" in results
        else [],
        unlike=unlike_shares(results),
        bounded=bounded,
        timing=timing(results),
        run=what_was_run(results),
        described=structured(attributes.get("policies", "{}")),
        checkpoints=structured(attributes.get("checkpoints", "{}")),
        with_interval=with_interval,
        number=number,
        counted=counted,
        joint=partial(joint, summary["primary"]),
        split=str(attributes.get("split", "")),
        seeds=results.sizes["seed"],
        instrument=attributes.get("sessions"),
        clusters="patients" if "patient" in results else "scenes",
    )


def _shown(summary: Summary, metric: str) -> bool:
    """Whether a metric exists: for the whole scene, or is infinite."""
    return exists(summary, metric) or metric == "nll"


def report_tables(
    results: xr.Dataset, summary: Summary, gains: list[Gains] | None = None
) -> dict[str, str]:
    """Every table of the report by name, as CSV."""
    return benchmark_tables(
        summary,
        gains=eig_and_gains(results) if gains is None else gains,
        unlike=unlike_shares(results),
        timing=timing(results),
        run=what_was_run(results),
    )


def panel_titles(examples: xr.Dataset) -> list[str]:
    """What is said above each worked scene: its number, and how it ended."""
    told = {
        "success": "one of the first that ended well",
        "failure": "a failure: among those with the least belief in the truth",
        "unsure": "among those with the least belief in the truth, though right",
        "first": "one of the first",
    }
    if "case" not in examples:
        return [f"Scene {number + 1}" for number in range(examples.sizes["example"])]
    both = zip(examples["row"].values, examples["case"].values, strict=True)
    return [f"Scene {int(row)}, {told[str(case)]}" for row, case in both]


def bounded(figure: Bounded) -> str:
    """A figure with its interval, or a dash where it does not exist."""
    value, low, high = figure
    if value != value:
        return "–"
    return number(value) if low != low else f"{number(value)} [{number(low)}, {number(high)}]"


def costs_differ(results: xr.Dataset) -> bool:
    """Whether looks differ in cost, so that the same number of them is not the same effort."""
    cost = results["cost"]
    return float(cost.max()) - float(cost.min()) > 1e-6 * abs(float(cost.max()))


def _seen_by_a_look(results: xr.Dataset) -> float | None:
    """The fraction of a scene in a look at a patch; None of other sensors."""
    patch, size = (results.attrs.get(key) for key in ("patch", "size"))
    return None if patch is None or not size else (float(patch) / float(size)) ** 2


def sides(summary: Summary) -> dict[str, dict[tuple[str, int], str]]:
    """For each pair the (metric, look) at which the first policy is certainly better or worse."""
    marks: dict[str, dict[tuple[str, int], str]] = {}
    for pair in summary["paired"]:
        a, b = pair.split(" - ", 1)
        marks[pair] = dict.fromkeys(first_better(summary, a, b), "better")
        marks[pair] |= dict.fromkeys(first_better(summary, b, a), "worse")
    return marks


def joint(primary: dict[str, Any], pair: str, *, metric: str, look: int) -> str:
    """The primary outcome's interval, which holds for all rivals at once; nothing elsewhere.

    Args:
        primary: of the summary.
        pair: the difference that is shown, of which the first policy may be either.
        metric: that is shown.
        look: after which.
    """
    a, b = pair.split(" - ", 1)
    rival = b if a == primary["policy"] else a
    difference = primary["differences"].get(rival)
    if difference is None or primary["policy"] not in (a, b):
        return ""
    if (metric, look) != (primary["metric"], primary["looks"]):
        return ""
    ends = [difference["low"], difference["high"]]
    if a == rival:
        ends = [None if end is None else -end for end in reversed(ends)]
    return "[{}, {}]".format(*(number(end, signed=True) for end in ends))


def timing(results: xr.Dataset) -> list[tuple[str, float, float]]:
    """Policy, seconds per run, and seconds per look that was taken of one scene."""
    per_run = results["seconds"].mean("seed").values
    looks = results["looks"].sum("scene").mean("seed").clip(min=1).values
    names = map(str, results["policy"].values)
    return [(n, float(s), float(s / k)) for n, s, k in zip(names, per_run, looks, strict=True)]


def what_was_run(results: xr.Dataset) -> list[tuple[str, str]]:
    """Everything needed to run it again, as rows of a table."""
    attributes = results.attrs
    rows = [
        ("command", attributes.get("command")),
        ("started", attributes.get("started")),
        ("data", _data(attributes)),
        ("checksum of the split", attributes.get("sha256")),
        ("scenes", f"{results.sizes['scene']} of {attributes.get('size')} px"),
        ("question", attributes.get("question")),
        ("primary outcome", _primary(attributes.get("primary"))),
        ("sensor", _sensor(structured(attributes.get("sensor", "{}")))),
        ("sensor", attributes.get("sensor_name")),
        ("classifier", attributes.get("classifier_name")),
        ("decided by", attributes.get("decided")),
        ("budget", _budget(structured(attributes.get("budget", "null")))),
        ("look", _pixels(attributes.get("patch"))),
        ("grid of candidates", _square(attributes.get("grid"))),
        ("search", attributes.get("search")),
        ("precision of the classifier", attributes.get("precision")),
        ("prevalence of the answers", shares(structured(attributes.get("prevalence", "null")))),
        ("finished at a probability of", attributes.get("until")),
        ("completions per decision", attributes.get("completions")),
        ("completions kept by", attributes.get("kept")),
        ("completions for the first look", attributes.get("first_completions")),
        ("looks taken, mean", _each(results["looks"].mean(("seed", "scene")))),
        ("cost of a scene, mean", _each(results["cost"].sum("step").mean(("seed", "scene")))),
        ("seeds", ", ".join(str(int(seed)) for seed in results["seed"].values)),
        ("engine", attributes.get("engine")),
        ("seconds in all", rounded(attributes.get("seconds"))),
    ]
    return rows_of(rows, structured(attributes.get("versions", "{}")))


def _data(attributes: dict[str, Any]) -> str:
    split = attributes.get("split")
    return f"{attributes.get('data')}, {split} split" if split else str(attributes.get("data"))


def _primary(stated: Any) -> str | None:
    return None if structured(stated) is None else f"{stated}, stated before the run"


def _sensor(sensor: Any) -> str | None:
    if not isinstance(sensor, dict) or "kind" not in sensor:
        return None
    noise = f", noise {sensor['noise']:g}" if sensor.get("noise") else ""
    travel = f", travel {sensor['travel']}" if "travel" in sensor else ""
    return f"{sensor['kind']}, {sensor['candidates']} candidates{noise}{travel}"


def _budget(budget: Any) -> str | None:
    if not isinstance(budget, dict):
        return None
    return ", ".join(f"{name} {limit:g}" for name, limit in budget.items() if limit is not None)


def _each(values: xr.DataArray) -> str:
    """A number for each policy, or one if it is the same for all."""
    found = {str(name): f"{float(values.sel(policy=name)):.3g}" for name in values["policy"].values}
    if len(set(found.values())) == 1:
        return next(iter(found.values()))
    return ", ".join(f"{name} {value}" for name, value in found.items())


def _pixels(value: Any) -> str | None:
    return None if value is None else f"{value} x {value} px"


def _square(value: Any) -> str | None:
    return None if value is None else f"{value} x {value}"
