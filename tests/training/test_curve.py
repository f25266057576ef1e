"""The curve beside a checkpoint: right numbers, no row twice or lost, whatever ends a training."""

from __future__ import annotations

import csv
import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from boed.training import TrainingConfig, curve, draw_curves, fit
from boed.training.curve import COLUMNS, Curve, curve_path

SETTINGS = TrainingConfig(steps=12, batch=4, lr=0.05, warmup=3, every=4)
TIMES = ("seconds", "images_per_second")


class Killed(Exception):
    pass


def train(folder, *, kill=None, spoilt=(), settings=SETTINGS):
    """A short training, perhaps ended after the step `kill` as SIGKILL would."""
    torch.manual_seed(0)
    model, losses = nn.Linear(3, 2), []

    def loss(step):
        value = (model(torch.randn(4, 3)) - 1).square().mean()
        return value * math.nan if step in spoilt else value

    def on_step(step, amount):
        losses.append(amount)
        if step == kill:
            raise Killed

    def validate(_):
        return {"val_loss": float(sum(p.abs().sum() for p in model.parameters()))}

    state = folder / "m.training.safetensors"
    fit(model, loss, settings, state=state, validate=validate, merit="val_loss", on_step=on_step)
    return losses


def rows(folder):
    with open(folder / "m.curve.csv", newline="") as file:
        return [{k: v for k, v in row.items() if k not in TIMES} for row in csv.DictReader(file)]


def test_where_it_lies(tmp_path):
    expected = tmp_path / "a.b.curve.csv"
    for name in ("a.b.safetensors", "a.b.training.safetensors"):
        assert curve_path(tmp_path / name) == expected


def test_rows_have_means_since_the_last_and_the_validation_figures(tmp_path, monkeypatch):
    monkeypatch.setattr(curve, "ROWS", 4)
    losses = train(tmp_path, spoilt=(1, 6, 7, 8))
    found = rows(tmp_path)
    assert list(found[0]) == [*(each for each in COLUMNS if each not in TIMES), "val_loss"]
    assert [(row["step"], row["images"]) for row in found] == [
        ("3", "12"), ("4", "16"), ("6", "24"), ("8", "32"), ("9", "36"), ("12", "48"),
    ]  # fmt: skip
    assert float(found[0]["loss"]) == pytest.approx((losses[0] + losses[2]) / 2, rel=1e-5)
    assert float(found[1]["loss"]) == pytest.approx(losses[3], rel=1e-5)
    assert found[3]["loss"] == found[3]["gradient_norm"] == ""  # no update was made
    assert float(found[5]["loss"]) == pytest.approx(sum(losses[9:]) / 3, rel=1e-5)
    assert all(float(row["gradient_norm"]) > 0 for row in found if row["loss"])
    rate = 0.05 * 0.5 * (1 + math.cos(math.pi * 11 / 12))
    assert float(found[5]["learning_rate"]) == pytest.approx(rate, rel=1e-5)
    assert [bool(row["val_loss"]) for row in found] == [False, True, False, True, False, True]


@pytest.mark.parametrize("ROWS", [3, 200])
def test_no_row_is_lost_or_doubled_whenever_it_is_killed(tmp_path, monkeypatch, ROWS):
    monkeypatch.setattr(curve, "ROWS", ROWS)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(whole)
    for kill in (3, 6, 10, 11):
        with pytest.raises(Killed):
            train(parts, kill=kill)
    train(parts)
    assert rows(parts) == rows(whole)
    (parts / "m.training.safetensors").unlink()  # begun anew
    train(parts)
    assert rows(parts) == rows(whole)


def test_a_training_stopped_by_the_clock_has_a_row_where_it_was_stopped(tmp_path):
    for _ in range(12):
        train(tmp_path, settings=replace(SETTINGS, minutes=1e-9))
    assert [row["step"] for row in rows(tmp_path)] == [str(step) for step in range(1, 13)]


@pytest.mark.parametrize("content", ["", "patient,age\n1,70\n", "step,images\n1,2\n"])
def test_another_file_in_its_place_is_not_lost(tmp_path, content):
    (tmp_path / "m.curve.csv").write_text(content)
    with pytest.raises(ValueError, match=r"m\.curve\.csv is no training curve of boed"):
        train(tmp_path)
    assert (tmp_path / "m.curve.csv").read_text() == content


def test_long_trainings_have_few_rows(tmp_path):
    long = Curve(tmp_path / "m.curve.csv", step=0, steps=100_000)
    assert sum(long.due(step) for step in range(1, 100_001)) == curve.ROWS


@pytest.mark.slow
def test_curves_are_drawn_side_by_side(tmp_path):
    for name in ("one", "two"):
        train(tmp_path / name)
    one, two = tmp_path / "one" / "m.curve.csv", tmp_path / "two" / "n.safetensors"
    (tmp_path / "two" / "m.curve.csv").rename(curve_path(two))
    figure = draw_curves(one, two)
    assert [each.get_ylabel() for each in figure.axes] == ["loss", "val_loss"]
    lines = {line.get_label(): line for line in figure.axes[1].lines}
    assert lines.keys() == {"m", "n"}
    assert list(lines["m"].get_xdata()) == [16, 32, 48]
    with pytest.raises(ValueError, match=r"curve .*x\.curve\.csv does not exist"):
        draw_curves(tmp_path / "x.safetensors")
