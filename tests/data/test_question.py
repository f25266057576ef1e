"""One data set's question asked of another: labels are mapped by their names, or it is refused."""

from __future__ import annotations

import pytest
import torch

from boed.data.dataset import Dataset
from boed.data.question import asked_of


def blank(labels: list, names: tuple[str, ...], name: str = "set") -> Dataset:
    images = torch.arange(len(labels), dtype=torch.uint8)[:, None, None, None].expand(-1, 1, 8, 8)
    return Dataset(
        name=name, split="val", images=images, labels=torch.tensor(labels), label_names=names
    )


FINDINGS = ("Mass", "Pneumonia", "any")
ADULTS = blank([[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 1], [0, 0, 0]], FINDINGS, "adults")
CHILDREN = blank([0, 1, 1], ("no pneumonia", "pneumonia"), "children")
REVERSED = blank([0, 1, 1], ("pneumonia", "clear"), "reversed")


@pytest.mark.parametrize(("data", "answers"), [(CHILDREN, [0, 1, 1, 0]), (REVERSED, [1, 0, 0, 1])])
def test_a_class_is_the_finding_of_its_name_against_no_finding(
    data: Dataset, answers: list[int]
) -> None:
    asked = asked_of(ADULTS, data)
    assert asked.finding is None
    assert asked.data.labels.tolist() == answers
    assert asked.data.label_names == data.label_names
    assert asked.data.images[:, 0, 0, 0].tolist() == [0, 1, 3, 4]  # a mass alone is left out


@pytest.mark.parametrize(("other", "answers"), [(CHILDREN, [0, 1, 1]), (REVERSED, [1, 0, 0])])
def test_the_belief_about_a_finding_is_held_against_two_classes(
    other: Dataset, answers: list[int]
) -> None:
    asked = asked_of(other, ADULTS)
    assert asked.finding == 1
    assert asked.data.labels.tolist() == answers
    assert asked.data.label_names[1] == "pneumonia"


@pytest.mark.parametrize("data", [ADULTS, CHILDREN])
def test_the_same_names_are_taken_as_they_are(data: Dataset) -> None:
    louder = blank(data.labels.tolist(), tuple(each.upper() for each in data.label_names))
    asked = asked_of(louder, data)
    assert asked.data is louder
    assert asked.finding is None


@pytest.mark.parametrize(
    ("other", "data", "words"),
    [
        (blank([0, 1], ("cat", "dog")), CHILDREN, "also is set, which asks cat, dog; children"),
        (blank([0, 1], ("pneumonia", "no pneumonia")), CHILDREN, "expected the same names"),
        (blank([[0, 1]], ("Mass", "any")), CHILDREN, "also is set, which asks Mass, any"),
        (ADULTS, blank([0, 1, 2], ("a", "b", "mass")), "two classes of which one is"),
        (ADULTS, blank([0, 1], ("mass", "pneumonia")), "two classes of which one is"),
        (ADULTS, blank([0, 1], ("healthy", "any")), "two classes of which one is"),
        (blank([[1, 0], [1, 0]], ("Mass", "any")), ADULTS, "also is set"),
        (blank([[0, 1]], ("Mass", "Pneumonia")), CHILDREN, "1 scenes have Pneumonia and 0"),
        (blank([[0, 0]], ("Mass", "Pneumonia")), CHILDREN, "0 scenes have Pneumonia and 1"),
        (blank([[1, 0]], ("Mass", "Pneumonia")), CHILDREN, "0 scenes have Pneumonia and 0"),
    ],
)
def test_questions_that_cannot_be_asked(other: Dataset, data: Dataset, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        asked_of(other, data)
