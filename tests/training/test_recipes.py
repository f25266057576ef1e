"""What a training needs, in a file: read, written, refused with the key that is wrong."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from boed.deep_adaptive import PolicyTrainingConfig
from boed.foundation.files import save_weights
from boed.training import Recipe, TrainingConfig
from boed.training.recipes import recipe_path

RECIPE = Recipe(
    kind="completer",
    name="flow",
    data="digits",
    size=32,
    sensor={"name": "pixels", "block": 4},
    architecture={"widths": [8, 16], "stem": 2},
    init="recipe-28px.toml",
    seed=3,
    training={"steps": 7, "betas": [0.5, 0.9], "precision": "fp32"},
)
PRESET = TrainingConfig(steps=100, lr=0.5, batch=16)


def test_what_is_written_is_read(tmp_path):
    RECIPE.write(tmp_path / "recipe.toml")
    assert Recipe.read(tmp_path / "recipe.toml") == RECIPE
    assert Recipe.of(RECIPE.table()) == RECIPE
    assert "vae" not in RECIPE.table()


def test_a_policy_for_scenes_has_the_network_that_follows():
    with pytest.raises(ValueError, match="architecture is 'small', expected none: the network of"):
        Recipe(kind="policy", name="value", data="digits", architecture="small")


def test_a_checkpoint_s_header_holds_it(tmp_path):
    path = tmp_path / "a.safetensors"
    save_weights(path, {"a": torch.zeros(1)}, {"recipe": RECIPE.table()})
    assert Recipe.read(path) == RECIPE
    save_weights(path, {"a": torch.zeros(1)}, {"kind": "flow"})
    with pytest.raises(ValueError, match=r"a\.safetensors says no recipe"):
        Recipe.read(path)


def test_settings_are_the_preset_s_but_for_what_is_said():
    training = RECIPE.config(PRESET)
    assert training == replace(PRESET, steps=7, betas=(0.5, 0.9), precision="fp32", seed=3)


def test_the_whole_recipe_trains_alike_whatever_the_preset():
    how = TrainingConfig(steps=9, skip=40.0, seed=5, minutes=3, device="cuda", devices=2)
    whole = RECIPE.trained(how, size=64)
    assert (whole.size, whole.seed, whole.training["skip"]) == (64, 5, 40.0)
    assert not {"minutes", "device", "seed"} & set(whole.training)
    assert whole.config(PRESET) == replace(how, minutes=0.0, device="cpu")
    assert "skip" not in RECIPE.trained(replace(how, skip=math.inf)).training
    assert Recipe.of(whole.table()) == whole


def test_settings_of_policies():
    recipe = Recipe(
        kind="policy", name="fixed", problem="location-finding", training={"contrasts": 5}
    )
    preset = PolicyTrainingConfig()
    assert recipe.config(preset) == replace(preset, contrasts=5)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "kind is missing, expected one of completer, vae"),
        ('kind = "compleeter"', "kind is 'compleeter': did you mean 'completer'"),
        ('kind = "vae"\nsize = 32', "data is missing, which a recipe of kind vae needs"),
        ('kind = "vae"\ndata = "a"\nsiez = 32', "key is 'siez': did you mean 'size'"),
        ('kind = "vae"\ndata = "a"\nsize = "32"', "size is '32', expected a whole number"),
        ('kind = "vae"\ndata = "a"\nsize = 0', "size is 0, expected at least 1"),
        ('kind = "vae"\ndata = "a"\nsize = true', "size is True, expected a whole number"),
        ('kind = "vae"\ndata = "a"\npatch = 0.2', "patch is no key of a recipe of kind vae"),
        ('kind = "vae"\ndata = ["a"]', r"data is \['a'\], expected text"),
        ('kind = "vae"\ndata = "a"\narchitecture = 3', "architecture is 3, expected text or a tab"),
        (
            'kind = "completer"\nname = "a"\ndata = "a"\nmasks = "holes"\nsensor = {name = "b"}',
            "sensor stands in place of masks and patch",
        ),
        ("kind = ", "cannot be read"),
    ],
)
def test_what_is_wrong_is_said_with_the_file(tmp_path, text, words):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"mine\.toml.*{words}"):
        Recipe.read(path)


def test_a_missing_file(tmp_path):
    with pytest.raises(ValueError, match=r"none\.toml does not exist"):
        Recipe.read(tmp_path / "none.toml")


@pytest.mark.parametrize(("held", "precision"), [(True, "bf16"), (False, "fp32")])
def test_a_recipe_from_before_auto_keeps_its_precision(held, precision):
    table = {**RECIPE.table(), "training": {"steps": 7, "bf16": held}}
    assert Recipe.of(table).training == {"steps": 7, "precision": precision}
    with pytest.raises(ValueError, match="training: bf16 is 1, expected true or false"):
        Recipe.of({**table, "training": {"bf16": 1}})


@pytest.mark.parametrize(
    ("training", "words"),
    [
        ({"stpes": 3}, "training is 'stpes': did you mean 'steps'"),
        ({"seed": 3}, "training is 'seed'"),
        ({"steps": 0}, "steps is 0, expected at least 1"),
        ({"steps": "3"}, "training: steps is '3', expected a whole number"),
        ({"precision": True}, "training: precision is True, expected text"),
        ({"precision": "fp8"}, "training: precision is 'fp8'"),
        ({"device": "gpu"}, "device is 'gpu'"),
    ],
)
def test_wrong_settings(training, words):
    with pytest.raises(ValueError, match=words):
        replace(RECIPE, training=training).config(PRESET)


def test_where_recipes_lie(tmp_path):
    assert recipe_path(tmp_path / "a" / "weights.safetensors") == tmp_path / "a" / "recipe.toml"
    assert recipe_path("mine.safetensors").name == "mine.toml"
