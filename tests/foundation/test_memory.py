"""Sizes from outside are bounded before memory is taken."""

from __future__ import annotations

import math

import pytest

from boed.foundation.memory import GIB, LIMIT, check_memory, memory_limit


def test_the_limit_can_be_raised_and_lowered(monkeypatch):
    monkeypatch.setenv(LIMIT, "0.5")
    assert memory_limit() == GIB / 2
    check_memory("half", GIB / 2)
    with pytest.raises(ValueError, match=r"grid 9 needs about 0\.5 GiB .*the limit is 0\.5 GiB.*"):
        check_memory("grid 9", GIB / 2 + 1)
    monkeypatch.setenv(LIMIT, "1e6")
    check_memory("much", 1e5 * GIB)


@pytest.mark.parametrize("nbytes", [1e30, math.inf, math.nan, 10**400])
def test_without_a_limit_set_no_machine_gives_this(monkeypatch, nbytes):
    monkeypatch.delenv(LIMIT, raising=False)
    with pytest.raises(ValueError, match="raise the limit by BOED_MEMORY_GIB"):
        check_memory("too much", nbytes)


@pytest.mark.parametrize("given", ["much", "0", "-1", "nan"])
def test_a_limit_that_is_no_number_is_refused(monkeypatch, given):
    monkeypatch.setenv(LIMIT, given)
    with pytest.raises(ValueError, match=f"BOED_MEMORY_GIB is '{given}', expected a number of GiB"):
        check_memory("anything", 1)
