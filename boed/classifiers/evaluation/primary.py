"""The primary outcome: the one metric and number of looks that a run is judged by.

It is stated before the run, so that what the report says first cannot be picked from what came out.
"""

from __future__ import annotations

from dataclasses import dataclass

from boed.classifiers.evaluation.metrics import METRICS
from boed.foundation.registry import check_known


@dataclass(frozen=True)
class Primary:
    """A metric after a number of looks, written as `accuracy@2`.

    >>> Primary.read("accuracy@2", steps=3)
    Primary(metric='accuracy', looks=2)
    >>> Primary.read("accuracy@4", steps=3)
    Traceback (most recent call last):
    ValueError: primary is 'accuracy@4', expected METRIC@LOOKS with 1 to 3 looks, such as accuracy@2
    """

    metric: str
    looks: int

    def __str__(self) -> str:
        return f"{self.metric}@{self.looks}"

    @classmethod
    def read(cls, text: str, *, steps: int) -> Primary:
        """From what was typed.

        Raises:
            ValueError: it has another form, or names an unknown metric or a look that is not taken.
        """
        metric, at, looks = str(text).partition("@")
        if at:
            check_known("primary: metric", metric, METRICS)
        if not at or not looks.isdecimal() or not 1 <= int(looks) <= steps:
            example = cls("accuracy", -(-steps // 2))
            raise ValueError(
                f"primary is {text!r}, expected METRIC@LOOKS with 1 to {steps} looks, such as "
                f"{example}"
            )
        return cls(metric, int(looks))

    @classmethod
    def usual(cls, *, answers: int, multi_label: bool, steps: int) -> Primary:
        """Where none is stated: after half the looks AUROC, of more than two answers accuracy."""
        return cls("auroc" if multi_label or answers == 2 else "accuracy", -(-steps // 2))
