"""Conventions on labels that all readers share."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from boed.foundation.registry import check_known

if TYPE_CHECKING:
    from boed.data.dataset import Dataset

SPLITS = ("train", "val", "test")
SUMMARY_NAMES = {"any", "no finding", "no_finding", "normal"}
"""Columns that say of the other findings whether there is one."""


def check_split(split: str) -> None:
    """Refuse anything but train, val and test.

    Raises:
        ValueError: naming what was given.
    """
    check_known("split", split, SPLITS)


def absent_or_present(finding: str) -> tuple[str, str]:
    """The two class names of a single finding: label 0 and label 1."""
    return (f"no {finding}", finding)


def with_any(labels: np.ndarray, names: tuple[str, ...]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Findings `[N, L]` with a last column `any`: 1 where at least one finding is present.

    Left as they are if a column already says so, or says "no finding".
    """
    if {name.lower() for name in names} & SUMMARY_NAMES:
        return labels, names
    return np.concatenate([labels, labels.max(1, keepdims=True)], axis=1), (*names, "any")


def split_of(identity: str) -> str:
    """The split of a patient or file: 80 % train, 10 % val, 10 % test, always the same answer."""
    tenth = int(hashlib.sha256(identity.encode()).hexdigest(), 16) % 10
    return "train" if tenth < 8 else "val" if tenth == 8 else "test"


def deal(identities: Iterable[str]) -> dict[str, str]:
    """The split of each patient or file by `split_of`, with at least one in each where it can be.

    The order of their checksums deals them where, of three or more, chance has left a split empty.
    """
    dealt = {each: split_of(each) for each in identities}
    if len(dealt) < 3 or set(dealt.values()) == set(SPLITS):
        return dealt
    order = sorted(dealt, key=lambda each: hashlib.sha256(each.encode()).hexdigest())
    few = max(len(order) // 10, 1)
    held_out = dict.fromkeys(order[:few], "test") | dict.fromkeys(order[few : 2 * few], "val")
    return {each: held_out.get(each, "train") for each in dealt}


def naming_advice(*datasets: Dataset) -> str:
    """What to do about labels that have no names of their own; nothing if all have."""
    for data in datasets:
        if all(re.fullmatch(r"(class|finding) \d+|any", each) for each in data.label_names):
            return f"; if they are the same, give the file of {data.name} the key label_names"
    return ""
