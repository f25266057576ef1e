"""Answers of a survey, read from the files that visitors saved, and how often they agree."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ANSWERS = ("agree", "disagree", "don't know")
"""What a visitor said of a pair: the likelier one looks the more plausible, the other, neither."""

COLUMNS = ["survey", "visitor", "question", "answer"]


@dataclass(frozen=True, kw_only=True)
class Share:
    """How often an answer was given.

    Attributes:
        answer: one of `ANSWERS`.
        count: of it.
        share: of all answers.
        low, high: 95 % Wilson interval of the share.
    """

    answer: str
    count: int
    share: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """The table of a survey (Dupont & Suresha 2019, Sec. 5.4.1).

    The intervals take answers for independent, which those of one visitor, and those about one
    pair, are not quite.

    Attributes:
        survey: its name.
        visitors, questions: how many there are answers of.
        answers: in all.
        shares: of each answer.
    """

    survey: str
    visitors: int
    questions: int
    answers: int
    shares: tuple[Share, ...]


def read_answers(paths: Sequence[Path]) -> Agreement:
    """Count the answers of some files.

    Args:
        paths: CSV files that the survey's page saved; what a visitor saved twice counts once.

    Raises:
        ValueError: no file or none that can be read, one of something else, of another survey than
            the first, without an answer, or with two answers of a visitor to one question.
    """
    from scipy.stats import binomtest

    if not paths:
        raise ValueError("answers is empty, expected at least one CSV file")
    given: dict[tuple[str, str], str] = {}
    survey = ""
    for path in paths:
        for line, row in enumerate(_rows(path), start=2):
            where = f"answers: {path}, line {line}"
            survey = survey or row["survey"]
            if row["survey"] != survey:
                raise ValueError(f"{where} is of survey {row['survey']!r}, expected {survey!r}")
            if row["answer"] not in ANSWERS:
                expected = ", ".join(map(repr, ANSWERS))
                raise ValueError(
                    f"{where}: answer is {row['answer']!r}, expected one of {expected}"
                )
            key = (row["visitor"], row["question"])
            if given.setdefault(key, row["answer"]) != row["answer"]:
                raise ValueError(
                    f"{where}: visitor {key[0]} answered question {key[1]} with "
                    f"{row['answer']!r}, and elsewhere with {given[key]!r}; keep one of the files"
                )
    if not given:
        raise ValueError("answers: the files hold no answer, expected at least one")
    counts = Counter(given.values())
    shares = []
    for answer in ANSWERS:
        found = binomtest(counts[answer], len(given)).proportion_ci(method="wilson")
        shares.append(
            Share(
                answer=answer,
                count=counts[answer],
                share=counts[answer] / len(given),
                low=float(found.low),
                high=float(found.high),
            )
        )
    return Agreement(
        survey=survey,
        visitors=len({visitor for visitor, _ in given}),
        questions=len({question for _, question in given}),
        answers=len(given),
        shares=tuple(shares),
    )


def _rows(path: Path) -> list[dict[str, str]]:
    """The rows of one file."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            header = next(reader, [])
            rows = [row for row in reader if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"answers: {path} cannot be read: {error}") from error
    if header != COLUMNS:
        raise ValueError(
            f"answers: {path} has the columns {', '.join(header)[:80] or 'none'}, expected "
            f"{', '.join(COLUMNS)}"
        )
    for line, row in enumerate(rows, start=2):
        numbers = row[1:3] if len(row) == len(COLUMNS) else []
        if not numbers or not row[0] or not all(each.isdecimal() for each in numbers):
            raise ValueError(
                f"answers: {path}, line {line} is {','.join(row)[:80]!r}, expected a survey, the "
                "numbers of visitor and question, and an answer"
            )
    return [dict(zip(COLUMNS, row, strict=True)) for row in rows]
