"""What the report says first: the primary outcome, and the same in plain words."""

from __future__ import annotations

from typing import Any

from boed.classifiers.evaluation.metrics import HIGHER_IS_BETTER
from boed.report.results import INSTRUMENT
from boed.report.statistics import Summary
from boed.report.tables import number

NAMES = {"auroc": "AUROC", "accuracy": "accuracy", "nll": "NLL"}


def headline(summary: Summary) -> str:
    """The first policy against its strongest rival and the baseline, by the primary outcome.

    Where it is not better, that comes first. The intervals hold together for all rivals.
    """
    primary, names = summary["primary"], list(summary["policies"])
    ours, metric, look = primary["policy"], primary["metric"], primary["looks"]
    outcome = f"{NAMES[metric]} after {counted(look, 'look')}"
    stated = "the outcome stated before the run" if primary["stated"] else (
        "which was not stated before the run"
    )  # fmt: skip
    if primary["strongest"] is None:
        mean = summary["policies"][ours][metric]["mean"][look]
        if names == [INSTRUMENT]:
            told = "does not exist" if mean is None else f"is {mean:.3f}"
            return f"{counted(summary['scenes'], 'session')}: {outcome} {told}."
        told = "does not exist on these scenes" if mean is None else f"is {mean:.3f} under {ours}"
        count = f"{len(names)} polic{'y' if len(names) == 1 else 'ies'}"
        return (
            f"{count} on {counted(summary['scenes'], 'scene')}: {outcome}, {stated}, {told}. No "
            f"policy to compare {ours} with was run."
        )
    strongest, baseline = primary["strongest"], summary["baseline"]
    shown = [strongest]
    if baseline != strongest and baseline in primary["differences"]:
        shown.append(baseline)
    shown.sort(key=lambda name: ("worse", "undecided", "better").index(verdict(primary, name)))
    sentences = [
        _sentence(summary, rival, outcome=f"{outcome}, {stated}," if n == 0 else outcome)
        for n, rival in enumerate(shown)
    ]
    number = len(primary["differences"])
    if number > 1:
        sentences.append(f"The intervals hold together for all {number} rivals.")
    return " ".join(sentences)


def verdict(primary: dict[str, Any], rival: str) -> str:
    """Whether the first policy is better, worse, or neither for certain: undecided."""
    difference = primary["differences"][rival]
    sign = 1 if HIGHER_IS_BETTER[primary["metric"]] else -1
    bounds = [difference[key] for key in ("low", "high")]
    if any(each is None for each in bounds):
        return "undecided"
    low, high = sorted(sign * each for each in bounds)
    return "better" if low > 0 else "worse" if high < 0 else "undecided"


def _sentence(summary: Summary, rival: str, *, outcome: str) -> str:
    primary = summary["primary"]
    ours, metric, look = primary["policy"], primary["metric"], primary["looks"]
    how = {
        "better": f"{ours} is better than {rival}",
        "worse": f"{ours} is worse than {rival}",
        "undecided": f"{ours} is not shown to be better than {rival}",
    }[verdict(primary, rival)]
    if rival == primary["strongest"] and len(primary["differences"]) > 1:
        how += ", its strongest rival"
    values = [summary["policies"][name][metric]["mean"][look] for name in (ours, rival)]
    difference = primary["differences"][rival]
    low, high = (number(difference[key], signed=True) for key in ("low", "high"))
    return (
        f"{how}: {outcome} is {values[0]:.3f} against {values[1]:.3f}, difference "
        f"{difference['mean']:+.3f} [{low}, {high}]."
    )


def plain_words(summary: Summary, *, answers: int, findings: int, seen: float | None) -> str:
    """What was done and what came out, for a reader who knows none of the words.

    Args:
        summary: of the run.
        answers: how many answers there are to each question.
        findings: how many questions are asked at once; 0 for one.
        seen: mean fraction of a scene that a look shows, where a look shows pixels.
    """
    primary = summary["primary"]
    ours, look = primary["policy"], primary["looks"]
    question = (
        f"for each of {findings} findings whether it is there"
        if findings
        else f"which of {answers} answers is right"
    )
    if list(summary["policies"]) == [INSTRUMENT]:
        right = summary["policies"][INSTRUMENT]["accuracy"]["mean"][look]
        return (
            f"In plain words: an instrument looked up to {counted(summary['looks'], 'time')} at "
            f"each of {counted(summary['scenes'], 'scene')}, and after each look a classifier said "
            f"{question}. After {counted(look, 'look')} the likeliest answer was right in "
            f"{_percent(right)}; where a session had ended before, its last answer counts."
        )
    part = "" if seen is None else f", each of which showed {_percent(seen)} of it"
    right = {name: curve["accuracy"]["mean"][look] for name, curve in summary["policies"].items()}
    told = [f"where {ours} looked, the likeliest answer was right in {_percent(right[ours])}"]
    rivals = [primary["strongest"], summary["baseline"]]
    for name in dict.fromkeys(rivals):
        if name is not None and name != ours and name in right:
            told.append(f"under {name} in {_percent(right[name])}")
    whole = summary["full_image"]["accuracy"]
    if whole is not None:
        told.append(f"with the whole scene in view in {_percent(whole)}")
    cases = "of the findings" if findings else "of the scenes"
    return (
        f"In plain words: {counted(summary['scenes'], 'scene')} "
        f"{'was' if summary['scenes'] == 1 else 'were'} hidden and uncovered look by look, up to "
        f"{counted(summary['looks'], 'look')} at each{part}. A policy chose where to look; after "
        f"each a classifier said {question}. After {counted(look, 'look')}, {', '.join(told)} "
        f"{cases}."
    )


def infinite(summary: Summary) -> str | None:
    """Why a negative log-likelihood is missing; nothing where none is."""
    counts = {name: max(row) for name, row in summary["ruled_out"].items() if max(row)}
    if not counts:
        return None
    told = ", ".join(f"{name} in {counted(number, 'scene')}" for name, number in counts.items())
    return (
        f"The NLL is infinite, shown as a dash, where the truth had probability 0: under {told} of "
        f"{summary['scenes']}. A classifier that rules nothing out has a finite one."
    )


def counted(number: int, what: str) -> str:
    """A number of things: `1 look`, `2 looks`."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.0f} %" if fraction >= 0.1 else f"{100 * fraction:.1f} %"
