"""The same question asked of another data set, whose labels are mapped to it by their names."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from boed.data.dataset import Dataset
from boed.data.labels import SUMMARY_NAMES


@dataclass(frozen=True, eq=False, kw_only=True)
class Asked:
    """Another data set's scenes, and which part of a belief is about them.

    Attributes:
        data: the scenes that the question can be asked of, with their answers.
        finding: of a belief about several findings, the one that is asked for; None if it is all.
    """

    data: Dataset
    finding: int | None = None


def asked_of(other: Dataset, data: Dataset) -> Asked:
    """The question of a data set, asked of the scenes of another one.

    Labels of the same names are taken as they are. A class such as pneumonia, of two, is the
    finding of its name: scenes that have it are set against those without any finding, and all
    others are left out. The other way round, the belief about that finding is held against the
    two classes. Capitals do not matter.

    Args:
        other: whose scenes are asked about.
        data: whose question it is.

    Raises:
        ValueError: the names do not say how the labels belong together, or a finding is one of
            none of the scenes, or of all.
    """
    if other.multi_label == data.multi_label:
        if _lower(other) != _lower(data):
            raise _unlike(other, data)
        return Asked(data=other)
    classes, findings = (data, other) if other.multi_label else (other, data)
    shared = [name for name in _lower(classes) if name in _lower(findings)]
    if len(classes.label_names) != 2 or len(shared) != 1 or shared[0] in SUMMARY_NAMES:
        raise _unlike(other, data)
    present, finding = _lower(classes).index(shared[0]), _lower(findings).index(shared[0])
    if not other.multi_label:
        labels = (other.labels == present).long()
        names = (other.label_names[1 - present], other.label_names[present])
        return Asked(data=replace(other, labels=labels, label_names=names), finding=finding)
    has = other.labels[:, finding] == 1
    rows = torch.nonzero(has | (other.labels == 0).all(1))[:, 0]
    chosen, answers = other.subset(rows), has[rows]
    if answers.all() or not answers.any():
        raise ValueError(
            f"also: of {other.name} ({other.split}), {int(answers.sum())} scenes have "
            f"{other.label_names[finding]} and {int((~answers).sum())} have no finding; expected "
            "at least one of each"
        )
    labels = torch.where(answers, present, 1 - present)
    single = replace(chosen, labels=labels, label_names=data.label_names)
    return Asked(data=single)


def _lower(data: Dataset) -> list[str]:
    return [name.lower() for name in data.label_names]


def _unlike(other: Dataset, data: Dataset) -> ValueError:
    return ValueError(
        f"also is {other.name}, which asks {', '.join(other.label_names)}; {data.name} asks "
        f"{', '.join(data.label_names)}: expected the same names, or two classes of which one is "
        "a finding of the other"
    )
