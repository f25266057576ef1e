"""`boed train recipe`, and the options that the training commands share."""

from __future__ import annotations

import inspect
import math
from dataclasses import fields

import pytest
import typer
from typer.testing import CliRunner

from boed.cli import app
from boed.cli.recipe import parsed
from boed.cli.training_options import options_of, training_options
from boed.foundation.files import load_weights
from boed.training import Recipe, TrainingConfig


def boed(*arguments):
    return CliRunner().invoke(app, [str(each) for each in arguments])


@pytest.mark.slow
def test_what_was_trained_is_trained_again_by_its_recipe(tmp_path):
    out, again = tmp_path / "one.safetensors", tmp_path / "again.safetensors"
    few = ("--steps", "1", "--batch", "2", "--seed", "3", "--masks", "holes")
    result = boed("train", "completer", *few, "--out", out)
    assert result.exit_code == 0, result.output
    result = boed("train", "recipe", tmp_path / "one.toml", "--out", again)
    assert result.exit_code == 0, result.output
    assert f"checkpoint: {again}" in result.output.replace("\n", "")
    one, other = (Recipe.read(path.with_suffix(".toml")) for path in (out, again))
    assert one == other
    assert (one.seed, one.masks, one.training["batch"]) == (3, "holes", 2)
    assert load_weights(out)[1]["command"].startswith("boed ")
    assert out.read_bytes()[-4096:] == again.read_bytes()[-4096:]  # the same weights


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("flow-kermany",), "did you mean 'flow-kermany-64'?"),
        (("none.toml",), "recipe is 'none.toml', a file that does not exist"),
        (("aipo-digits-32", "--set", "steps"), "--set is 'steps', expected key=value"),
        (("aipo-digits-32", "--set", "stesp=3"), "set is 'stesp': did you mean 'steps'?"),
        (("aipo-digits-32", "--set", "steps=many"), "steps is 'many', expected a whole number"),
    ],
)
def test_what_is_refused(arguments, words, tmp_path):
    result = boed("train", "recipe", *arguments, "--out", tmp_path / "a.safetensors")
    assert result.exit_code == 2
    assert words in " ".join(result.output.split())


def test_changes_are_values_as_toml_has_them():
    changes = parsed(["steps=3", "lr=1e-3", "precision=bf16", "device=cuda", 'data="a=b"'])
    expected = {"steps": 3, "lr": 1e-3, "precision": "bf16", "device": "cuda", "data": "a=b"}
    assert changes == expected


def test_options_come_from_the_fields_with_a_help_text():
    assert set(options_of(TrainingConfig)) == {
        "steps", "batch", "lr", "skip", "minutes", "precision", "seed", "device", "devices",
        "nodes",
    }  # fmt: skip
    assert all(
        each.metadata["help"]
        for each in fields(TrainingConfig)
        if each.name in options_of(TrainingConfig)
    )


@pytest.mark.parametrize("skip", [100.0, math.inf])
def test_a_recipe_keeps_the_norm_above_which_updates_are_skipped(skip, tmp_path):
    asked = Recipe(kind="completer", name="aipo", data="digits", training={"skip": skip})
    preset = TrainingConfig(steps=6000, skip=400.0)
    asked.trained(asked.config(preset)).write(tmp_path / "recipe.toml")
    again = Recipe.read(tmp_path / "recipe.toml")
    assert again.config(TrainingConfig(steps=1)).skip == skip


@pytest.mark.parametrize("typed", ["0", "-1", "nan", "much"])
def test_norms_that_skip_nothing_or_everything(typed, tmp_path):
    result = boed(
        "train", "completer", "aipo", "--skip", typed, "--out", tmp_path / "a.safetensors"
    )
    assert result.exit_code == 2
    assert "--skip is" in " ".join(result.output.split())


def test_a_command_gets_what_was_typed():
    given = []

    @training_options()
    def command(name: str = "a", *, training: dict) -> None:
        """Say what it does."""
        given.append((name, training))

    assert command.__doc__ == "Say what it does."
    assert "training" not in inspect.signature(command).parameters
    small = typer.Typer()
    small.command()(command)
    for typed in (
        [],
        ["--steps", "3", "--precision", "bf16", "--name", "b"],
        ["--lr", "0.1"],
        ["--skip", "1e2"],
    ):
        result = CliRunner().invoke(small, typed)
        assert result.exit_code == 0, result.output
    assert given == [
        ("a", {}), ("b", {"steps": 3, "precision": "bf16"}), ("a", {"lr": 0.1}),
        ("a", {"skip": 100.0}),
    ]  # fmt: skip
    shown = CliRunner().invoke(small, ["--help"]).output
    assert "Highest learning rate" in " ".join(shown.split())
