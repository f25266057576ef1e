"""The report of a session, from its log alone: neither sensor nor models are needed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from boed.data.readers.sessions import seen_after
from boed.foundation.events import Event, read_events
from boed.foundation.files import atomic
from boed.foundation.identity import claim_picture
from boed.report.beliefs import belief_in_words, truth_in_words
from boed.report.csv_tables import as_csv, link
from boed.report.html import png, rows_of, svg, template
from boed.report.tables import number
from boed.session.account import Account, account_of
from boed.session.experiment_report import experiment_page
from boed.session.figures import beliefs_figure, seen_figure

COLUMNS = (
    *("look", "design", "suggested", "status", "EIG", "standard error", "winner's curse"),
    *("cost", "cost so far", "belief after it", "log loss after it"),
)
"""Of the table of looks; EIG and log loss in nats."""


def report_log(log: Path, figures: Path | None = None) -> Path:
    """Write `report.html` into the folder of a session's log.

    Args:
        log: the folder; another process may be going on with the session.
        figures: folder for the figures as PNG; none are written if not given.

    Returns:
        The page.

    Raises:
        ValueError: the log is damaged, or a picture that is not boed's lies where a figure would.
        OSError: a file cannot be written.
    """
    events, _ = read_events(log)
    if events and events[0].facts.get("session") == "model":
        page, drawn = experiment_page(events)
    else:
        page, drawn = _page(events, (), where=f"log {log}")
    if figures is not None:
        records = {
            name: claim_picture(figures / f"{name}.png", f"figure {name}", {}, name="figures")
            for name in drawn
        }
        for name, figure in drawn.items():
            with atomic(figures / f"{name}.png") as temporary:
                figure.savefig(temporary, dpi=130, metadata=records[name])
    with atomic(log / "report.html") as temporary:
        temporary.write_text(page, encoding="utf-8")
    return log / "report.html"


def write_session_report(
    events: Sequence[Event], path: Path | str, *, answers: Sequence[str] = ()
) -> None:
    """Write the page, atomically.

    Args:
        events: of the session, from its beginning.
        path: HTML file to write; it loads nothing from elsewhere.
        answers: names of the answers, or of the findings; they are numbered if not given.

    Raises:
        ValueError: another number of names, or the events are of no session.
        OSError: the file cannot be written.
    """
    page, _ = _page(events, answers, where="log")
    with atomic(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _page(
    events: Sequence[Event], answers: Sequence[str], *, where: str
) -> tuple[str, dict[str, Figure]]:
    """The page, and its figures by name."""
    account = account_of(events, where)
    names = _names(account, answers)
    figures = _figures(events, account, names)
    rows, begin = _rows(account, names), events[0].facts
    run = _what_was_run(account, begin)
    page = template("session/session.html.j2").render(
        headline=_headline(account, names, budget=begin["budget"]["cost"]),
        seen=png(figures["seen"]) if "seen" in figures else None,
        beliefs=svg(figures["beliefs"]),
        columns=COLUMNS,
        rows=rows,
        csv={
            "looks": link(as_csv(COLUMNS, rows)),
            "run": link(as_csv(("what", "value"), run)),
        },
        run=run,
    )
    return page, figures


def _names(account: Account, given: Sequence[str]) -> list[str]:
    findings = account.beliefs[0].ndim == 2
    expected = len(account.beliefs[0])
    if given and len(given) != expected:
        raise ValueError(f"answers are {len(given)} names, expected {expected}")
    what = "finding" if findings else "answer"
    return [str(each) for each in given] or [f"{what} {k}" for k in range(expected)]


def _figures(events: Sequence[Event], account: Account, names: Sequence[str]) -> dict[str, Figure]:
    """By name; no picture of what was seen by a sensor that reads no pixels."""
    probabilities = np.stack([each.exp().double().numpy() for each in account.beliefs])
    if probabilities.ndim == 3:
        probabilities = probabilities[..., 1]
    figures = {"beliefs": beliefs_figure(probabilities, names, label=_true(account))}
    if all("shown" in each.arrays for each in events if each.kind == "reading"):
        titles = [_belief(account, names, each) for each in range(len(account.beliefs))]
        figures["seen"] = seen_figure(seen_after(events, "log"), titles)
    return figures


def _rows(account: Account, names: Sequence[str]) -> list[tuple[Any, ...]]:
    """The looks: those that were read in the order of their readings, then the others."""
    read = [account.looks[each] for each in account.taken]
    others = [each for each in account.looks if each.status != "taken"]
    rows: list[tuple[Any, ...]] = []
    spent = 0.0
    for position, look in enumerate([*read, *others]):
        spent += look.cost if look.status in ("taken", "failed") else 0.0
        after = position + 1 if position < len(read) else None
        rows.append(
            (
                look.id,
                ", ".join(f"{each:g}" for each in look.design),
                "yes" if look.suggested else "no",
                look.status,
                *map(_told, (look.eig, look.standard_error, look.winners_curse, look.cost)),
                number(spent) if look.status in ("taken", "failed") else "",
                "" if after is None else _belief(account, names, after),
                "" if after is None else _told(_loss(account, after)),
            )
        )
    return rows


def _headline(account: Account, names: Sequence[str], *, budget: float | None) -> list[str]:
    """What came out, in sentences."""
    counts = {
        status: sum(each.status == status for each in account.looks)
        for status in ("taken", "failed", "vetoed", "pending")
    }
    spent = sum(each.cost for each in account.looks if each.status in ("taken", "failed"))
    told = [f"{count} {status}" for status, count in counts.items() if count or status == "taken"]
    limit = "" if budget is None else f" of {budget:g}"
    sentences = [
        f"Looks: {', '.join(told)}, at a cost of {number(spent)}{limit}.",
        f"Belief now: {_belief(account, names, -1)}.",
    ]
    loss = _loss(account, -1)
    if loss is not None:
        label, before = np.asarray(account.label), number(_loss(account, 0))
        truth = truth_in_words(label, names, findings=_findings(account, names))
        sentences.append(f"The truth is {truth}: log loss {before} before, {number(loss)} now.")
    if account.stopped is not None:
        sentences.append(f"It was stopped: {account.stopped}.")
    return sentences


def _belief(account: Account, names: Sequence[str], after: int) -> str:
    """The likeliest answer after so many readings; of several findings, those that matter."""
    belief = account.beliefs[after].double().numpy()
    findings = _findings(account, names)
    truth = None if account.label is None or not findings else np.asarray(account.label)
    answers = ["absent", "present"] if findings else list(names)
    return belief_in_words(belief, answers, findings=findings, truth=truth)


def _findings(account: Account, names: Sequence[str]) -> list[str]:
    return list(names) if account.beliefs[0].ndim == 2 else []


def _true(account: Account) -> list[int]:
    """Which answers or findings hold; none if the truth is not known."""
    if isinstance(account.label, list):
        return np.flatnonzero(account.label).tolist()
    return [] if account.label is None else [account.label]


def _loss(account: Account, after: int) -> float | None:
    """-log g(truth), the mean over findings; None if the truth is not known."""
    if account.label is None:
        return None
    belief: NDArray[np.float64] = account.beliefs[after].double().numpy()
    picked = np.take_along_axis(belief, np.asarray(account.label)[..., None], -1)
    return float(-picked.mean())


def _told(value: float | None) -> str:
    return "" if value is None else number(value)


def _what_was_run(account: Account, begin: dict[str, Any]) -> list[tuple[str, str]]:
    budget = {name: limit for name, limit in begin["budget"].items() if limit is not None}
    return rows_of(
        [
            ("scene", " x ".join(map(str, begin["shape"]))),
            *((role, begin[role]) for role in ("sensor", "policy", "classifier")),
            ("budget", ", ".join(f"{name} {limit:g}" for name, limit in budget.items())),
            ("seed", begin["seed"]),
            ("seconds of deciding", f"{account.seconds:.2f}"),
        ],
        None,
    )
