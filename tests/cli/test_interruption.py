"""Ctrl-C and SIGTERM in `boed train`: what was trained is stored, said, and gone on with."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from boed.cli import app
from boed.foundation.files import load_weights
from boed.foundation.interruption import Interrupted, held_back, sigterm_interrupts
from boed.training import Recipe, updates
from boed.training.checkpoints import running_state

STEPS = 6
FEW = {"steps": STEPS, "batch": 4, "warmup": 1, "every": 4}
NETWORK = {"stem": 2, "width": 8, "growth": [8], "layers": [1]}
VAE = {"encoder": "1x1", "decoder": "1x1", "width": 8, "stem": 8}
POLICY = {"looks": 2, "contrasts": 3, "watched": 2}
RECIPES: dict[str, dict[str, Any]] = {
    "completer": {"name": "aipo", "architecture": VAE},
    "vae": {"architecture": VAE},
    "classifier": {"architecture": NETWORK},
    "screen": {"classifier": "classifier.safetensors"},
    "policy": {"name": "fixed", "problem": "location-finding", "training": {**FEW, **POLICY}},
}
SIGNALS = [signal.SIGINT, signal.SIGTERM]


def boed(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(each) for each in arguments])


@pytest.fixture
def recipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with images, a recipe of each kind, and the classifier that a screen is made of."""
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    arrays = {}
    for split in ("train", "val", "test"):
        labels = np.arange(20) % 2
        images = generator.integers(0, 50, (20, 8, 8)).astype(np.uint8)
        images[labels == 0, :, :4] += 150
        arrays |= {f"{split}_images": images, f"{split}_labels": labels}
    np.savez("halves.npz", **arrays)
    for kind, own in RECIPES.items():
        table = {"kind": kind, "training": FEW, **own}
        data = {} if kind == "policy" else {"data": "halves.npz"}
        Recipe.of({**table, **data}).write(f"{kind}-recipe.toml")
    return tmp_path


def train(kind: str, out: str) -> Any:
    if kind == "screen" and not Path("classifier.safetensors").exists():
        train("classifier", "classifier.safetensors")
    return boed("train", "recipe", f"{kind}-recipe.toml", "--out", out)


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("kind", RECIPES)
def test_what_was_trained_is_stored_and_gone_on_with(
    kind: str, number: signal.Signals, recipes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(kind, "whole.safetensors")
    assert whole.exit_code == 0, whole.output
    real = updates._schedule

    def in_the_third_step(step: int, training: Any) -> float:
        if step == 2:
            signal.raise_signal(number)
        return real(step, training)

    with monkeypatch.context() as patched:
        patched.setattr(updates, "_schedule", in_the_third_step)
        cut = train(kind, "cut.safetensors")
    assert cut.exit_code == 128 + number
    assert "boed: interrupted; 3 of 6 steps are stored in cut.training.safetensors" in cut.output
    assert "Traceback" not in cut.output
    assert not Path("cut.safetensors").exists()
    assert load_weights(running_state(Path("cut.safetensors")))[1]["progress"]["step"] == 3
    again = train(kind, "cut.safetensors")
    assert again.exit_code == 0, again.output
    one, other = (load_weights(f"{each}.safetensors")[0] for each in ("whole", "cut"))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("kind", RECIPES)
def test_a_finished_training_is_said_to_be_finished(kind: str, recipes: Path) -> None:
    assert train(kind, "m.safetensors").exit_code == 0
    before = Path("m.safetensors").read_bytes()
    again = train(kind, "m.safetensors")
    assert again.exit_code == 0, again.output
    assert "m.safetensors (was finished before: nothing to do)" in again.output
    other = boed("train", "recipe", f"{kind}-recipe.toml", "--set", "steps=7", "--out",
                 "m.safetensors")  # fmt: skip
    assert other.exit_code == 2, other.output
    assert "holds another training" in other.output
    assert Path("m.safetensors").read_bytes() == before


def test_before_the_first_step_nothing_is_stored(
    recipes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("boed.zoo.job.training_splits", interrupted)
    result = train("classifier", "m.safetensors")
    assert result.exit_code == 130
    assert "interrupted; nothing is stored yet, and the same command goes on" in result.output


def twice() -> None:
    with held_back() as held:
        signal.raise_signal(signal.SIGINT)
        assert held.signal == signal.SIGINT
        signal.raise_signal(signal.SIGTERM)


def terminated() -> None:
    with sigterm_interrupts():
        signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize("what", [twice, terminated])
def test_a_second_signal_does_not_wait_nor_sigterm_elsewhere(what: Callable[[], None]) -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with pytest.raises(Interrupted) as end:
        what()
    assert end.value.signal == signal.SIGTERM
    assert [signal.getsignal(number) for number in SIGNALS] == before


@pytest.mark.slow
@pytest.mark.parametrize("number", SIGNALS)
def test_a_process_that_trains(number: signal.Signals, recipes: Path) -> None:
    arguments = ("train", "recipe", "classifier-recipe.toml", "--set", "steps=400", "--set",
                 "every=1", "--out", "m.safetensors")  # fmt: skip
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, "-m", "boed", *arguments],
        env={**os.environ, "PYTHONPATH": str(root)},
        stderr=subprocess.PIPE,
        text=True,
    )
    state, end = running_state(Path("m.safetensors")), time.monotonic() + 240
    while not state.exists():
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.1)
    process.send_signal(number)
    said = process.communicate(timeout=120)[1]
    assert process.returncode == 128 + number
    step = load_weights(state)[1]["progress"]["step"]
    assert f"interrupted; {step} of 400 steps are stored in m.training.safetensors" in said
