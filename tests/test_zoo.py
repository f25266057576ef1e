"""The shipped models do what is said of them, and their recipes, headers and cards agree."""

import math
import os
import shutil
import tomllib

import pytest
import torch

from boed.classifiers import DenseNetClassifier
from boed.classifiers.evaluation.scoring import score
from boed.completion import AIPO
from boed.data import Observation, load
from boed.data.readers.digits import bordered, without_shipped_test
from boed.foundation.files import load_weights
from boed.foundation.shipped import shipped, shipped_folder, shipped_names
from boed.training import Recipe, TrainingConfig
from boed.zoo import recipe_named, train_recipe
from boed.zoo.cards import card_facts

ROOT = os.environ.get("BOED_DATA")
needs_data = pytest.mark.skipif(not ROOT, reason="needs $BOED_DATA")


@pytest.mark.parametrize("name", ["digits-32", "kermany-64"])
def test_checkpoints_say_where_they_come_from(name):
    for model in (
        AIPO.load(shipped(f"aipo-{name}")),
        DenseNetClassifier.load(shipped(f"densenet-{name}")),
    ):
        for key in ("data", "fit", "steps", "scores", "command"):
            assert model.provenance[key], key


def test_all_weights_together_are_small():
    files = [shipped(name) for name in shipped_names()]
    assert files
    assert sum(each.stat().st_size for each in files) < 40e6


@pytest.mark.parametrize("name", shipped_names())
def test_recipe_and_header_agree(name):
    recipe, folder = recipe_named(name)
    header = load_weights(shipped(name))[1]
    assert folder == shipped_folder(name)
    as_trained = Recipe.read(shipped(name))
    assert as_trained == Recipe.of(header["recipe"])
    assert as_trained.training.pop("precision") in ("auto", "fp32", "bf16")
    assert recipe.training.pop("precision") == "auto"  # it is for any machine
    assert as_trained == recipe
    fitted = {**header["fit"], "skip": float(header["fit"]["skip"])}
    assert recipe.training["steps"] == fitted["steps"]
    all_steps = fitted["steps"] * (recipe.members or 1)
    assert header["steps"] in (all_steps, header.get("best", {}).get("step"))
    assert recipe.seed == fitted.pop("seed")
    where = {"minutes", "device", "bf16", "precision"}
    for key, value in fitted.items():
        if key not in where:
            assert recipe.training.get(key, math.inf) == value, key
    if recipe.kind == "policy":
        return
    config = header["config"].get("encoder", header["config"])
    config = config if isinstance(config, dict) else header["config"]
    config = config.get("members", [config])[0]
    assert (recipe.data, recipe.size) == (header["data"]["name"], config["size"])
    assert recipe.patch == header.get("look_fraction")
    if recipe.kind == "completer" and recipe.sensor is None:
        assert recipe.masks == header.get("masks", "squares")
    assert ("looking" in header) == (recipe.kind == "classifier" and recipe.sensor is not None)
    for key, value in (recipe.architecture or {}).items():
        assert config[key] == value, key


@pytest.mark.parametrize("name", shipped_names())
def test_card_and_weights_agree(name):
    folder = shipped_folder(name)
    said = tomllib.loads((folder / "card.md").read_text().split("+++")[1])
    header, recipe = load_weights(shipped(name))[1], Recipe.read(folder / "recipe.toml")
    facts = card_facts(folder)
    how = "python -c 'import boed.zoo.cards as c; c.refresh_cards()' writes the cards anew"
    assert {key: said[key] for key in facts} == facts, how
    assert (said["name"], said["kind"]) == (name, header["kind"])
    assert {"licence", "data_licence"} <= set(said)
    if recipe.kind != "policy":
        assert (said["data"], said["size"]) == (recipe.data, recipe.size)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("aipo-digits-32", marks=pytest.mark.slow),
        pytest.param("densenet-digits-32", marks=pytest.mark.slow),
        "screen-digits-32",
        "fixed-location-finding-10",
    ],
)
def test_what_is_shipped_is_trained_again_by_its_recipe(name, tmp_path):
    folder = tmp_path / name
    shutil.copytree(shipped_folder(name), folder, ignore=shutil.ignore_patterns("*.safetensors"))
    few = {"steps": 2, "batch": 4, "warmup": 1}
    first = folder / "recipe-28px.toml"
    if first.exists():
        recipe = Recipe.read(first)
        short = Recipe.of({**recipe.table(), "data": "digits", "training": few})
        short.write(first)
    changes = {**few, **({"watched": 2, "contrasts": 3} if "location" in name else {})}
    if "location" not in name:
        changes["data"] = "digits"  # five thousand of full MNIST
    started: list[TrainingConfig] = []
    out = tmp_path / "out" / "weights.safetensors"
    train_recipe(folder, out, changes=changes, on_start=started.append)
    assert [each.steps for each in started] == [2] * (1 + first.exists())
    tensors, header = load_weights(out)
    there, before = load_weights(shipped(name))
    assert {k: v.shape for k, v in tensors.items()} == {k: v.shape for k, v in there.items()}
    assert header["kind"] == before["kind"]
    again = Recipe.read(out.with_name("recipe.toml"))
    asked = recipe_named(name)[0].table()
    table = again.table()
    wanted = {**asked["training"], **{k: changes[k] for k in few}} | {
        k: v for k, v in changes.items() if k in ("watched", "contrasts")
    }
    # whole, where a recipe may be from before a field
    assert table["training"] == {**table["training"], **wanted}
    built = table.pop("architecture", {})
    assert built == {**built, **asked.pop("architecture", {})}
    for each in (table, asked):
        each.pop("training")
        each.pop("data", None)
    assert table == asked


@pytest.mark.parametrize("name", ["digits-32", "kermany-64"])
def test_completions_differ_where_nothing_was_seen_and_agree_where_something_was(name):
    model = AIPO.load(shipped(f"aipo-{name}"))
    size = model.config.size
    scene = model.sample(Observation.nothing(1, 1, size), 1, seed=3)[0]
    mask = torch.zeros(1, 1, size, size)
    mask[..., : size // 2] = 1
    seen = Observation.of(scene, mask)
    raw = model.sample(seen, 8, seed=1)
    assert torch.equal(raw * mask, scene.expand_as(raw) * mask)
    spread = raw.std(0)[0, 0]
    assert spread[:, : size // 2].max() < 1e-6
    free = model.sample(Observation.nothing(1, 1, size), 8, seed=1).std(0)[0, 0]
    assert free.mean() > 0.05
    assert spread[:, size // 2 :].mean() < free[:, size // 2 :].mean()


def test_digits_classifier_reads_whole_digits():
    model = DenseNetClassifier.load(shipped("densenet-digits-32"))
    scores = score(model, load("digits", 32, "val"), (1, 4))
    assert scores["all"]["accuracy"] > 0.97
    assert scores["1"]["accuracy"] < scores["4"]["accuracy"] < scores["all"]["accuracy"]
    assert scores["4"]["ece"] < 0.08


@pytest.mark.slow
@needs_data
def test_digits_models_never_saw_the_digits_they_are_tested_on():
    kept = bordered(without_shipped_test(load("mnist_28", 28, "train")))
    for model in (
        AIPO.load(shipped("aipo-digits-32")),
        DenseNetClassifier.load(shipped("densenet-digits-32")),
    ):
        assert model.provenance["data"]["sha256"] == kept.sha256
    shown = {image.numpy().tobytes() for image in load("digits", 32, "test").images}
    assert not shown & {image.numpy().tobytes() for image in kept.images}


@needs_data
def test_chest_classifier_reads_whole_x_rays():
    model = DenseNetClassifier.load(shipped("densenet-kermany-64"))
    scores = score(model, load("kermany_pneumonia_128", 64, "val"), (3,))
    assert scores["all"]["auroc"] > 0.98
    assert scores["3"]["auroc"] > 0.95


@pytest.mark.parametrize("name", shipped_names("classifiers"))
def test_a_card_says_that_weights_were_chosen_under_shift_where_they_were(name):
    _, header = load_weights(shipped(name))
    chosen = any("val_shifted_nll" in each for each in header.get("history", []))
    assert ("shift suite" in (shipped_folder(name) / "card.md").read_text()) == chosen
