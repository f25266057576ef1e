"""Counts and sizes are refused in one way of saying it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from boed.data import Observation
from boed.foundation.checks import at_least, attributes, check_fits, more_than


def test_counts():
    at_least(1, n=1, m=2.5)
    more_than(0, lr=1e-9)
    with pytest.raises(ValueError, match=r"^n is 0, expected at least 1$"):
        at_least(1, m=3, n=0)
    with pytest.raises(ValueError, match=r"^lr is 0, expected more than 0$"):
        more_than(0, lr=0)


def test_nan_is_neither_large_nor_small_enough():
    with pytest.raises(ValueError, match="n is nan, expected at least 1"):
        at_least(1, n=float("nan"))
    with pytest.raises(ValueError, match="std is nan, expected more than 0"):
        more_than(0, std=float("nan"))


def test_fields_are_checked_by_their_names():
    settings = SimpleNamespace(steps=3, batch=0)
    with pytest.raises(ValueError, match="batch is 0, expected at least 1"):
        at_least(1, **attributes(settings, "steps", "batch"))


def test_images_that_fit():
    check_fits(
        "model", SimpleNamespace(size=4, channels=3), Observation.nothing(2, 3, 4), name="it"
    )
    wide = Observation.nothing(1, 1, (1, 7))
    check_fits("model", SimpleNamespace(size=7, channels=1, shape=(1, 7)), wide, name="row")


@pytest.mark.parametrize(
    ("channels", "size", "has"), [(1, 4, "1 of 4"), (3, 5, "3 of 5"), (3, (2, 4), "3 of 2 x 4")]
)
def test_images_that_do_not_fit(channels, size, has):
    seen = Observation(
        torch.zeros(1, channels, *((size, size) if isinstance(size, int) else size)),
        torch.zeros(1, 1, *((size, size) if isinstance(size, int) else size)),
    )
    message = f"^model is for 3 channels of 4 pixels; observation has {has}$"
    with pytest.raises(ValueError, match=message):
        check_fits("model", SimpleNamespace(size=4, channels=3), seen, name="observation")
