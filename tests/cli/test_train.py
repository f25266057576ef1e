"""`boed train`: what it starts from, on how many machines, and what it leaves on record."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from boed.classifiers import DenseNetClassifier
from boed.classifiers.training import preset
from boed.cli import app
from boed.data import load
from boed.foundation.files import load_weights

ROOT = Path(__file__).parents[2]


def boed(*arguments):
    return CliRunner().invoke(app, [str(each) for each in arguments])


@pytest.mark.slow
def test_the_command_is_recorded_and_training_starts_from_a_checkpoint(tmp_path, monkeypatch):
    out = tmp_path / "completer.safetensors"
    arguments = ("train", "completer", "--steps", "1", "--batch", "2", "--out", str(out))
    monkeypatch.setattr(sys, "argv", ["/somewhere/boed", *arguments])
    result = boed(*arguments)
    assert result.exit_code == 0, result.output
    typed = f"boed train completer --steps 1 --batch 2 --out {out}"
    assert load_weights(out)[1]["command"] == typed
    again = tmp_path / "again.safetensors"
    result = boed(*arguments[:-1], again, "--init", out)
    assert result.exit_code == 0, result.output
    assert load_weights(again)[1]["init"]["command"] == typed


@pytest.mark.slow
def test_a_classifier_starts_from_a_classifier(tmp_path):
    out, again = tmp_path / "one.safetensors", tmp_path / "again.safetensors"
    digits = load("digits", 32, "train")
    DenseNetClassifier(preset(digits)[0], digits.label_names).save(out, {"steps": 7})
    few = ("--steps", "1", "--batch", "8", "--out")
    result = boed("train", "classifier", *few, again, "--init", out)
    assert result.exit_code == 0, result.output
    init = load_weights(again)[1]["init"]
    assert (init["steps"], init["size"]) == (7, 32)
    result = boed("train", "classifier", *few, again, "--init", out, "--kind", "densenet121")
    assert result.exit_code == 2
    assert "has kind small, the model to train densenet121" in " ".join(result.output.split())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--device", "gpu"), "--device is 'gpu', expected cpu or cuda"),
        (("--devices", "3", "--batch", "8"), "batch is 8, expected a multiple of the 3 devices"),
        (("--nodes", "0"), "nodes is 0, expected at least 1"),
    ],
)
@pytest.mark.parametrize("what", ["completer", "classifier"])
def test_devices_that_make_no_sense(what, options, words, tmp_path):
    result = boed("train", what, *options, "--out", tmp_path / "x.safetensors")
    assert result.exit_code == 2, result.output
    assert words in " ".join(result.output.split())


@pytest.mark.slow
def test_two_machines_train_one_completer(tmp_path):
    """The same command on both, told apart by their environment; the first one writes."""
    pytest.importorskip("lightning_fabric")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = []
    for machine in (0, 1):
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            "NODE_RANK": str(machine),
        }
        command = [sys.executable, "-m", "boed.cli", "train", "completer", "--nodes", "2"]
        command += ["--steps", "2", "--batch", "8", "--out", "m.safetensors"]
        folder = tmp_path / str(machine)
        folder.mkdir()
        started.append(
            subprocess.Popen(
                command, cwd=folder, env=environment, text=True,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )
        )  # fmt: skip
    said = [each.communicate(timeout=600) for each in started]
    assert [each.returncode for each in started] == [0, 0], said
    assert "checkpoint: m.safetensors" in said[0][0]
    assert said[1][0] == ""
    left = sorted(path.name for path in (tmp_path / "0").iterdir())
    assert left == ["m.curve.csv", "m.safetensors", "m.samples.png", "m.toml"]
    assert not list((tmp_path / "1").iterdir())
    header = load_weights(tmp_path / "0" / "m.safetensors")[1]
    assert header["steps"] == 2
    assert header["fit"]["nodes"] == 2
    assert header["command"].startswith("boed train completer --nodes 2")


def test_a_policy_for_a_problem_is_trained_and_read(tmp_path):
    out = tmp_path / "policy.safetensors"
    few = ("--steps", "2", "--batch", "4", "--contrasts", "3", "--looks", "2")
    asked = ("train", "policy", "dad", "--problem", "location_finding,sources=1", *few)
    result = boed(*asked, "--out", out)
    assert result.exit_code == 0, result.output
    assert "location_finding,sources=1: val_spce" in result.output
    header = load_weights(out)[1]
    assert (header["method"], header["experiment"]["sources"], header["settings"]["looks"]) == (
        "dad",
        1,
        2,
    )
    again = boed("train", "recipe", out.with_suffix(".toml"), "--out", tmp_path / "b.safetensors")
    assert again.exit_code == 0, again.output
    other = boed(*asked[:4], "location_finding,sources=2", *few, "--out", out)
    assert other.exit_code == 2
    assert "location_finding,sources=" in " ".join(other.output.split())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("dad", "--problem", "location_findin"), "did you mean 'location_finding'"),
        (("dad", "--data", "digits"), "--data is for the policy value"),
        (("rl", "--sensor", "patch"), "--sensor is for the policy value"),
        (("value", "--problem", "location_finding"), "--problem is for the policy dad"),
        (("dad", "--target", "map"), "--target is for the policy value"),
        (("value", "--contrasts", "3"), "--contrasts is for the policy dad"),
        (("ddad",), "did you mean 'dad'"),
        (("dad", "--looks", "0"), "looks"),
    ],
)
def test_options_of_other_policies_are_refused(options, words, tmp_path):
    result = boed("train", "policy", *options, "--out", tmp_path / "a.safetensors")
    assert result.exit_code == 2
    assert words in " ".join(result.output.replace("│", " ").split())
