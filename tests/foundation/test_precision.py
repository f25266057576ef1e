"""The faster precision is found by measuring, and a slower one is asked for with a warning."""

from __future__ import annotations

import warnings

import pytest

from boed.foundation import precision
from boed.foundation.precision import PRECISIONS, bf16_speedup, choose

EXPECTED = [
    ("auto", 0.2, "fp32"),
    ("auto", 1.15, "fp32"),  # rounding for nothing
    ("auto", 2.0, "bf16"),
    ("fp32", 2.0, "fp32"),
    ("bf16", 2.0, "bf16"),
]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("asked", "ratio", "expected"), EXPECTED)
def test_auto_is_the_faster_one(monkeypatch, asked, ratio, expected, training):
    monkeypatch.setattr(precision, "bf16_speedup", lambda device, training: ratio)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert choose(asked, training=training) == expected


def test_the_slower_one_warns_with_the_ratio(monkeypatch):
    monkeypatch.setattr(precision, "bf16_speedup", lambda device, training: 0.125)
    with pytest.warns(UserWarning, match=r"precision is 'bf16'.* 8\.0 times slower.*'auto'"):
        assert choose("bf16", training=True) == "bf16"


@pytest.mark.parametrize(("seconds", "expected"), [(3.0, "fp32"), (0.9, "fp32"), (0.5, "bf16")])
def test_auto_asks_what_is_to_be_fast_itself(monkeypatch, seconds, expected):
    """A small block is twice as fast in bf16; the step takes a second, in bf16 `seconds`."""
    spent = {"now": 0.0}
    monkeypatch.setattr(precision, "bf16_speedup", lambda device, training: 2.0)
    monkeypatch.setattr(precision.time, "process_time", lambda: spent["now"])

    def step(rounded: bool) -> None:
        spent["now"] += seconds if rounded else 1.0

    assert choose("auto", training=True, step=step) == expected
    assert spent["now"] < precision.TRIAL_SECONDS[1] + 4.0  # long steps are not repeated


def test_the_slower_one_warns_with_the_ratio_of_the_step_itself(monkeypatch):
    """A small block is twice as fast in bf16, this takes four times as long."""
    spent = {"now": 0.0}
    monkeypatch.setattr(precision, "bf16_speedup", lambda device, training: 2.0)
    monkeypatch.setattr(precision.time, "process_time", lambda: spent["now"])

    def step(rounded: bool) -> None:
        spent["now"] += 0.04 if rounded else 0.01

    with pytest.warns(UserWarning, match=r"precision is 'bf16'.* 4\.0 times slower.*'auto'"):
        assert choose("bf16", training=True, step=step) == "bf16"
    assert spent["now"] >= precision.TRIAL_SECONDS[0]  # short ones are, to be timed well


def test_nothing_is_tried_where_a_small_block_is_slower(monkeypatch):
    monkeypatch.setattr(precision, "bf16_speedup", lambda device, training: 1.1)

    def step(rounded: bool) -> None:
        pytest.fail("tried")

    assert choose("auto", training=True, step=step) == "fp32"


def test_another_is_refused():
    with pytest.raises(ValueError, match=r"precision is 'fp8'.*auto, fp32, bf16"):
        choose("fp8", training=True)
    assert PRECISIONS == ("auto", "fp32", "bf16")


@pytest.mark.parametrize("training", [True, False])
def test_the_probe_measures_and_leaves_random_numbers_alone(monkeypatch, training):
    """A clock by which each round in bf16 takes three times as long."""
    import torch

    bf16_speedup.cache_clear()
    ticks = iter(range(10_000))
    halves = {"now": 0.0}

    def clock() -> float:
        """Rounds in turn: fp32 takes 1, bf16 3; each is timed at its start and its end."""
        call = next(ticks)
        if call % 2:
            halves["now"] += 1.0 if call % 4 == 1 else 3.0
        return halves["now"]

    monkeypatch.setattr(precision.time, "process_time", clock)
    state = torch.get_rng_state()
    try:
        assert bf16_speedup("cpu", training=training) == pytest.approx(1 / 3)
    finally:
        bf16_speedup.cache_clear()
    assert torch.equal(torch.get_rng_state(), state)
