"""Recipes are run: each kind, with another sensor, from another recipe, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from boed.classifiers import DenseNetClassifier
from boed.classifiers.ensemble import EnsembleClassifier
from boed.completion import AIPO, VDVAE
from boed.foundation.files import load_weights
from boed.training import Recipe
from boed.zoo import recipe_named, train_recipe

FEW = {"steps": 2, "batch": 4, "warmup": 1, "every": 2}
SMALL = {"encoder": "1x1", "decoder": "1x1", "width": 8, "stem": 8}


@pytest.fixture
def halves(tmp_path):
    """A file of 8-pixel images whose left or right half is bright."""
    generator = np.random.default_rng(0)
    arrays = {}
    for split, number in (("train", 40), ("val", 20), ("test", 20)):
        labels = np.arange(number) % 2
        images = generator.integers(0, 50, (number, 8, 8)).astype(np.uint8)
        images[labels == 0, :, :4] += 150
        images[labels == 1, :, 4:] += 150
        arrays |= {f"{split}_images": images, f"{split}_labels": labels}
    np.savez(tmp_path / "halves.npz", **arrays)
    return str(tmp_path / "halves.npz")


def classifier(data, **more):
    shape = {"stem": 2, "width": 8, "growth": [8], "layers": [1]}
    more = {"architecture": shape, "training": FEW, **more}
    return Recipe(kind="classifier", data=data, **more)


def test_a_vae_and_the_completer_that_extends_it(halves, tmp_path):
    Recipe(kind="vae", data=halves, architecture=SMALL, training=FEW).write(tmp_path / "vae.toml")
    asked = Recipe(kind="completer", name="aipo", data=halves, vae="vae.toml", training=FEW)
    asked.write(tmp_path / "aipo.toml")
    out = tmp_path / "out" / "aipo.safetensors"
    train_recipe(tmp_path / "aipo.toml", out)
    trained = {path.name for path in out.parent.iterdir()}
    assert {each for each in trained if ".best." not in each} == {
        "aipo-vae.safetensors", "aipo-vae.toml", "aipo-vae.curve.csv",
        "aipo.safetensors", "aipo.toml", "aipo.curve.csv", "aipo.samples.png",
    }  # fmt: skip
    vae, model = VDVAE.load(out.with_name("aipo-vae.safetensors")), AIPO.load(out)
    for name, tensor in vae.state_dict().items():
        assert torch.equal(tensor, model.vae.state_dict()[name])
    written = Recipe.read(out.with_suffix(".toml"))
    assert (written.vae, written.data, written.size) == ("vae.toml", halves, 8)
    stamp = out.with_name("aipo-vae.safetensors").stat().st_mtime_ns
    train_recipe(tmp_path / "aipo.toml", out)  # the VAE is there already
    assert out.with_name("aipo-vae.safetensors").stat().st_mtime_ns == stamp


def test_a_classifier_goes_on_from_another(halves, tmp_path):
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    train_recipe(classifier(halves), first)
    train_recipe(classifier(halves, init=str(first)), second, changes={"seed": 4})
    header = load_weights(second)[1]
    assert header["init"]["steps"] == 2
    assert header["recipe"]["init"] == str(first)
    assert header["recipe"]["seed"] == header["fit"]["seed"] == 4


def test_one_recipe_trains_members_with_their_own_seeds_and_goes_on(tmp_path, halves):
    recipe = classifier(halves, members=2, training={**FEW, "balanced": True})
    out = tmp_path / "e.safetensors"
    ensemble = train_recipe(recipe, out)
    assert isinstance(ensemble, EnsembleClassifier)
    first, second = (load_weights(tmp_path / f"e.member-{k}.safetensors") for k in range(2))
    assert first[1]["recipe"]["seed"] == 0
    assert second[1]["recipe"]["seed"] == 1
    assert any(not torch.equal(first[0][n], second[0][n]) for n in first[0])
    header = load_weights(out)[1]
    assert header["steps"] == 4
    assert header["recipe"]["members"] == 2
    assert header["prior"] == [0.5, 0.5]
    assert set(header["scores"]["val"]) >= {"0", "1", "all"}
    steps = []
    train_recipe(recipe, out, on_step=lambda step, loss: steps.append(step))
    assert steps == []
    (tmp_path / "e.member-1.safetensors").unlink()
    (tmp_path / "e.member-1.toml").unlink()
    out.unlink()
    train_recipe(recipe, out, on_step=lambda step, loss: steps.append(step))
    assert len(steps) == 2  # of the second one alone
    assert load_weights(out)[1]["about"] == header["about"]


@pytest.mark.parametrize("sensor", [{"name": "kspace"}, {"name": "pixels", "block": 2}])
def test_a_classifier_for_another_sensor(sensor, halves, tmp_path):
    out = tmp_path / "a.safetensors"
    train_recipe(classifier(halves, sensor=sensor), out)
    header = load_weights(out)[1]
    assert header["recipe"]["sensor"] == sensor
    assert "patch" not in header["recipe"]
    assert "random looks of" in header["looking"]
    assert DenseNetClassifier.load(out).knots[-1] == 1


def test_a_completer_for_another_sensor_that_sees_pixels(halves, tmp_path):
    asked = Recipe(
        kind="completer", name="aipo", data=halves, architecture=SMALL, training=FEW,
        sensor={"name": "pixels", "block": 2},
    )  # fmt: skip
    out = tmp_path / "a.safetensors"
    train_recipe(asked, out)
    header = load_weights(out)[1]
    assert header["masks"] == "random looks of PixelBlocks, uniform to central"
    assert Recipe.read(out).sensor == {"name": "pixels", "block": 2}
    readings = Recipe.of({**asked.table(), "sensor": {"name": "kspace"}})
    with pytest.raises(ValueError, match="KSpaceLines returns readings"):
        train_recipe(readings, out)


def test_a_screen_of_a_classifier_that_is_trained_first(halves, tmp_path):
    classifier(halves).write(tmp_path / "classifier.toml")
    screen = Recipe(kind="screen", data=halves, classifier="classifier.toml", training=FEW)
    screen.write(tmp_path / "screen.toml")
    started = []
    out = tmp_path / "out.safetensors"
    train_recipe(tmp_path / "screen.toml", out, on_start=started.append)
    assert len(started) == 2
    assert load_weights(out)[1]["recipe"]["patch"] == 0.25


def test_policies(tmp_path):
    for name, shape in (("fixed", None), ("deep-adaptive", {"hidden": 8, "embedding": 4})):
        asked = Recipe(
            kind="policy", name=name, problem="location-finding", architecture=shape,
            training={**FEW, "looks": 2, "contrasts": 3, "watched": 2},
        )  # fmt: skip
        out = tmp_path / f"{name}.safetensors"
        train_recipe(asked, out, command="boed train recipe")
        header = load_weights(out)[1]
        assert header["command"] == "boed train recipe"
        assert header["problem"].endswith("T = 2")
        assert Recipe.read(out) == Recipe.read(out.with_suffix(".toml"))
        assert header["recipe"]["training"]["looks"] == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"architecture": {"wdith": 3}}, "architecture is 'wdith': did you mean 'width'"),
        (
            {"init": "nowhere.safetensors"},
            "init is 'nowhere.safetensors', a file that does not exist",
        ),
        (
            {"sensor": {"name": "kspaec"}, "patch": None},
            "sensor is 'kspaec': did you mean 'kspace'",
        ),
        ({"training": {"stesp": 3}}, "training is 'stesp': did you mean 'steps'"),
        ({"data": "digist"}, "data set is 'digist': did you mean 'digits'"),
    ],
)
def test_what_is_refused(change, words, halves, tmp_path):
    table = {**classifier(halves).table(), **change}
    asked = Recipe.of({key: value for key, value in table.items() if value is not None})
    with pytest.raises(ValueError, match=words):
        train_recipe(asked, tmp_path / "a.safetensors")
    assert not (tmp_path / "a.safetensors").exists()


def test_recipes_by_name():
    assert recipe_named("flow-kermany-64")[0].name == "flow"
    with pytest.raises(ValueError, match="recipe is 'flow-kermany': did you mean 'flow-ker"):
        recipe_named("flow-kermany")
    with pytest.raises(ValueError, match=r"recipe is 'none\.toml', a file that does not"):
        recipe_named("none.toml")


def test_changes_of_settings_that_there_are_not(halves, tmp_path):
    with pytest.raises(ValueError, match="set is 'stpes': did you mean 'steps'"):
        train_recipe(classifier(halves), tmp_path / "a.safetensors", changes={"stpes": 1})
