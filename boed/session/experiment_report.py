"""The report of a session with a Pyro model, from its log: designs, outcomes, what they cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from boed.foundation.events import Event
from boed.report.csv_tables import as_csv, link
from boed.report.figures import COLOURS, MARKERS
from boed.report.html import rows_of, svg, template
from boed.report.tables import number
from boed.session.waiting import Waiting

LINES = 6
"""Numbers of a design, an outcome or the latents that are drawn, at most."""

Known = Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]]
"""Mean and standard deviation of each latent number after 0, 1, ... looks, `[T + 1]`, by name."""


@dataclass(frozen=True, kw_only=True)
class Made:
    """The looks of a session in the order of their outcomes.

    Attributes:
        designs: `[T, K]`.
        outcomes: `[T, Y]`, all event dimensions as one.
        answers: which suggestion each is of, from 1; 0 if of none.
        together: whether suggestions were of several looks.
        costs: of each; none where the log does not say.
        pending: suggested last, without an outcome.
    """

    designs: NDArray[np.float64]
    outcomes: NDArray[np.float64]
    answers: tuple[int, ...]
    together: bool
    costs: tuple[float | None, ...]
    pending: int

    @classmethod
    def of(cls, events: Sequence[Event]) -> Made:
        """What the events amount to."""
        looks = [each for each in events if each.kind == "outcome"]
        waiting = Waiting.after(events)
        return cls(
            designs=_rows(looks, "design"),
            outcomes=_rows(looks, "outcome"),
            answers=tuple(waiting.answers),
            together=not waiting.single,
            costs=tuple(each.facts.get("cost") for each in looks),
            pending=len(waiting.current),
        )


def experiment_page(
    events: Sequence[Event], known: Known | None = None
) -> tuple[str, dict[str, Figure]]:
    """The page, and its figures by name.

    Args:
        events: of a session with a Pyro model, from its beginning.
        known: of the latents, where the model is at hand.
    """
    made, begin = Made.of(events), events[0].facts
    figures: dict[str, Figure] = {}
    if len(made.designs):
        figures["designs"] = designs_figure(made)
        figures["outcomes"] = _lines_figure(made.outcomes, "y", label="outcome")
    if known:
        figures["known"] = known_figure(known)
    columns, rows = _table(made)
    run = rows_of(
        [
            *((name, begin[name]) for name in ("model", "policy", "space", "observation")),
            ("target", ", ".join(begin["target"])),
            ("looks, at most", begin["looks"]),
            ("budget", begin["budget"]),
            ("seed", begin["seed"]),
        ],
        None,
    )
    page = template("session/experiment.html.j2").render(
        headline=_headline(made, begin),
        figures={name: svg(each) for name, each in figures.items()},
        columns=columns,
        rows=rows,
        csv={"looks": link(as_csv(columns, rows)), "run": link(as_csv(("what", "value"), run))},
        run=run,
    )
    return page, figures


def designs_figure(made: Made) -> Figure:
    """Designs of two numbers in their plane, in order; others by look."""
    if made.designs.shape[1] != 2:
        return _lines_figure(made.designs, "d", label="design")
    figure = Figure(figsize=(5.2, 4.4), layout="constrained")
    axis = figure.subplots()
    axis.plot(made.designs[:, 0], made.designs[:, 1], color="#b9c2d0", lw=0.9, zorder=1)
    scalar = made.outcomes.shape[1] == 1
    colours: Any = made.outcomes[:, 0] if scalar else COLOURS[0]
    drawn = axis.scatter(made.designs[:, 0], made.designs[:, 1], c=colours, s=46, zorder=2)
    if scalar:
        figure.colorbar(drawn, ax=axis, label="outcome")
    for look, (x, y) in enumerate(made.designs):
        axis.annotate(str(look + 1), (x, y), xytext=(5, 5), textcoords="offset points", fontsize=8)
    axis.set_xlabel("d1")
    axis.set_ylabel("d2")
    _plain(axis, counts=False)
    return figure


def known_figure(known: Known) -> Figure:
    """Mean of each latent number, and one standard deviation, by looks."""
    figure = Figure(figsize=(6.5, 3.4), layout="constrained")
    axis = figure.subplots()
    for each, (name, (mean, std)) in enumerate(list(known.items())[:LINES]):
        looks = np.arange(len(mean))
        axis.plot(looks, mean, color=COLOURS[each], marker=MARKERS[each], ms=4, lw=1.2, label=name)
        axis.fill_between(looks, mean - std, mean + std, color=COLOURS[each], alpha=0.15, lw=0)
    axis.set_xlabel("number of looks")
    axis.set_ylabel("posterior mean ± standard deviation")
    axis.legend(fontsize=8, framealpha=0.8, edgecolor="none")
    _plain(axis)
    return figure


def _lines_figure(rows: NDArray[np.float64], name: str, *, label: str) -> Figure:
    figure = Figure(figsize=(6.5, 3.0), layout="constrained")
    axis = figure.subplots()
    for each, column in enumerate(rows.T[:LINES]):
        axis.plot(
            np.arange(1, len(rows) + 1), column, color=COLOURS[each], marker=MARKERS[each],
            ms=4, lw=1.2, label=_called(name, each, rows.shape[1]),
        )  # fmt: skip
    axis.set_xlabel("look")
    axis.set_ylabel(label)
    axis.legend(fontsize=8, framealpha=0.8, edgecolor="none")
    _plain(axis)
    return figure


def _plain(axis: Axes, *, counts: bool = True) -> None:
    """A quiet axis; along x are whole numbers if it `counts`."""
    if counts:
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(alpha=0.25, lw=0.6)


def _called(name: str, number: int, of: int) -> str:
    return name if of == 1 else f"{name}{number + 1}"


def _rows(looks: Sequence[Event], name: str) -> NDArray[np.float64]:
    rows = [np.asarray(each.arrays[name], float).reshape(-1) for each in looks]
    return np.stack(rows) if rows else np.zeros((0, 1))


def _table(made: Made) -> tuple[list[str], list[tuple[Any, ...]]]:
    """One row a look; a row of many numbers is cut, as a spectrum is."""
    of_design, of_outcome = made.designs.shape[1], made.outcomes.shape[1]
    columns = [
        "look",
        *(_called("d", each, of_design) for each in range(min(of_design, LINES))),
        "group" if made.together else "suggested",
        *(_called("y", each, of_outcome) for each in range(min(of_outcome, LINES))),
        "cost",
        "cost so far",
    ]
    spent, rows = 0.0, []
    for look, cost in enumerate(made.costs):
        spent += np.nan if cost is None else cost  # nothing is known of the sum after that
        rows.append(
            (
                look + 1,
                *(f"{each:.5g}" for each in made.designs[look, :LINES]),
                _suggested(made.answers[look], together=made.together),
                *(f"{each:.5g}" for each in made.outcomes[look, :LINES]),
                "" if cost is None else number(cost),
                "" if np.isnan(spent) else number(spent),
            )
        )
    return columns, rows


def _suggested(answer: int, *, together: bool) -> str:
    """Whether a look was suggested, or in which group."""
    if together:
        return str(answer) if answer else "none"
    return "yes" if answer else "no"


def _headline(made: Made, begin: Mapping[str, Any]) -> list[str]:
    """What came out, in sentences."""
    looks, most = len(made.designs), begin["looks"]
    limit = "" if most is None else f" of {most}"
    waiting = f", {made.pending} without an outcome yet" if made.pending else ""
    sentences = [f"Looks: {looks}{limit}{waiting}."]
    if None not in made.costs:
        budget = "" if begin["budget"] is None else f" of {begin['budget']:g}"
        sentences.append(f"Cost: {number(sum(each or 0.0 for each in made.costs))}{budget}.")
    return sentences
