"""What a training tells where no bar is drawn, as in a log file."""

from __future__ import annotations

import logging
import math
import re

import pytest

from boed.cli import console
from boed.cli.console import counted, ends_with_finished, training_bar
from boed.foundation.interruption import Interrupted
from boed.training import TrainingConfig
from boed.training.config import PolicyTrainingConfig


def lines(training, capsys, steps, *, seconds=math.inf, monkeypatch):
    """What is printed of some steps, the figures of a validation logged at each 4th."""
    monkeypatch.setattr(console, "SECONDS_A_LINE", seconds)
    with training_bar() as (on_start, on_step):
        on_start(training)
        for step in steps:
            on_step(step, 1 / step)
            if step % training.every == 0:
                logging.getLogger("boed.training.loop").info("step %s: val_loss [0.1]", step)
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    ("training", "unit"),
    [
        (TrainingConfig(steps=10, batch=8, every=4), "images"),
        (PolicyTrainingConfig(steps=10, batch=8, every=4), "experiments"),
    ],
)
def test_a_line_at_each_validation_and_at_the_end(training, unit, capsys, monkeypatch):
    found = lines(training, capsys, range(3, 11), monkeypatch=monkeypatch)
    rate = rf", [\d,]+ {unit}/s, 0:00:0\d left"
    expected = [
        r"step 3 of 10: loss 0\.3333",
        rf"step 4 of 10: loss 0\.2500{rate}",
        r"step 4: val_loss \[0\.1\]",
        rf"step 8 of 10: loss 0\.1250{rate}",
        r"step 8: val_loss \[0\.1\]",
        rf"step 10 of 10: loss 0\.1000{rate}",
    ]
    assert len(found) == len(expected)
    for line, pattern in zip(found, expected, strict=True):
        assert re.fullmatch(pattern, line), line


def test_a_line_whenever_enough_time_has_passed(capsys, monkeypatch):
    training = TrainingConfig(steps=1000, every=500)
    found = lines(training, capsys, range(1, 6), seconds=0, monkeypatch=monkeypatch)
    assert [line.split(" of ")[0] for line in found] == [f"step {step}" for step in range(1, 6)]


@pytest.mark.parametrize(("seconds", "lines_of_a"), [(math.inf, [0, 10]), (0, [0, 3, 6, 9, 10])])
def test_what_is_counted_is_told_at_once_at_the_end_and_at_a_moderate_rate(
    seconds, lines_of_a, capsys, monkeypatch
):
    monkeypatch.setattr(console, "SECONDS_A_LINE", seconds)
    with counted(10, "looks") as advance:
        advance("a", 0)
        assert capsys.readouterr().out == "a: 0 of 10 looks\n"
        for number in (3, 3, 3, 1):
            advance("a", number)
        advance("b", 10)
    found = capsys.readouterr().out.splitlines()
    expected = [f"a: {done} of 10 looks" for done in lines_of_a[1:]] + ["b: 10 of 10 looks"]
    assert [line.partition(", ")[0] for line in found] == expected
    assert re.fullmatch(r"a: 10 of 10 looks, [\d.]+ looks/s, 0:00:00 left", found[-2])


@pytest.mark.parametrize("finished", [False, True])
def test_an_interrupted_run_says_whether_anything_is_kept(tmp_path, finished):
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / f"{'' if finished else '.'}a.npz").touch()
    said = rf"^interrupted; what was finished is kept in {tmp_path}, and the same command goes on$"
    said = said if finished else "^interrupted; nothing was finished yet$"
    with pytest.raises(Interrupted, match=said), ends_with_finished(tmp_path):
        raise KeyboardInterrupt


def test_afterwards_the_logger_is_as_it_was(capsys, monkeypatch):
    logger = logging.getLogger("boed.training")
    before = logger.level, list(logger.handlers)
    with pytest.raises(KeyError), training_bar():
        raise KeyError
    assert (logger.level, logger.handlers) == before


def test_names_are_printed_as_they_are(capsys):
    with counted(2, "looks") as advance:
        advance("mine:Key", 2)
        advance("mine:key: [red]x", 2)
    told = capsys.readouterr().out
    assert "mine:Key: 2 of 2 looks" in told
    assert "mine:key: [red]x: 2 of 2 looks" in told
