"""Whatever takes a name or a path: paths of nothing are told so, models come by name and folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer

from boed.cli import app
from boed.foundation.shipped import shipped, shipped_folder
from boed.training.recipes import Recipe
from boed.zoo.job import Job
from boed.zoo.names import weights
from boed.zoo.recipes import recipe_named
from boed.zoo.trainings import train_job

BOED: Any = typer.main.get_command(app)

PATHS = ["docs/x.png", "x.npz", "./x", "~/x", "a\\b", "x.safetensors", "x.toml", "../digits"]

TAKING = {
    "--data": "benchmark --data {}",
    "--library": "benchmark --classifier gaussian --library {}",
    "--classifier": "benchmark --classifier {}",
    "--completer": "benchmark --completer {}",
    "--search": "benchmark --search {}",
    "--data of sheet": "sheet --data {}",
    "--completer of sheet": "sheet --completer {}",
    "--data of train": "train classifier --data {}",
    "--init": "train completer flow --init {}",
    "--init of a classifier": "train classifier --init {}",
    "--vae": "train completer aipo --vae {}",
    "--classifier of screen": "train screen --classifier {}",
    "recipe": "train recipe {}",
    "--set init": "train recipe flow-digits-32 --set init={}",
    "--set vae": "train recipe aipo-digits-32 --set vae={}",
    "--set data": "train recipe flow-digits-32 --set data={}",
    "completer": "evaluate completer {}",
    "classifier": "evaluate classifier {}",
    "--classifier of evaluate": "evaluate completer aipo --classifier {}",
}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("option", TAKING)
def test_a_path_of_nothing_is_told_so(
    option: str, path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        BOED.main([each.format(path) for each in TAKING[option].split()], prog_name="boed")
    said = capsys.readouterr().err
    assert end.value.code == 2
    assert option.partition(" of ")[0] in said, said
    assert f"{path!r}, a file that does not exist; expected the path of a" in said, said
    assert not list(Path().iterdir())


@pytest.mark.parametrize("option", TAKING)
def test_a_name_of_nothing_is_told_so(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        BOED.main([each.format("nonsense") for each in TAKING[option].split()], prog_name="boed")
    said = capsys.readouterr().err
    assert "'nonsense', expected one of" in said, said
    assert "or give the path of a" in said, said


MODELS = {
    ("completer", "init"): "flow-digits-32",
    ("completer", "vae"): "aipo-digits-32",
    ("classifier", "init"): "densenet-digits-32",
    ("screen", "classifier"): "densenet-digits-32",
}


def job(kind: str, key: str, named: str, folder: Path) -> Job:
    name = {"name": "flow"} if kind == "completer" else {}
    recipe = Recipe.of({"kind": kind, "data": "digits", key: named, **name})
    out = folder / "out.safetensors"
    return Job(recipe=recipe, folder=folder, out=out, on_start=None, on_step=None, command=None,
                models={}, train=train_job)  # fmt: skip


@pytest.mark.parametrize(("kind", "key"), MODELS)
def test_keys_of_recipes_take_names_files_and_folders_of_models(
    kind: str, key: str, tmp_path: Path
) -> None:
    model = MODELS[kind, key]
    folder = shipped_folder(model)
    for named in (model, str(shipped(model)), str(folder)):
        path = job(kind, key, named, tmp_path).path(key)
        assert path is not None
        assert shipped(model) in (path, path / "weights.safetensors")
    beside = job(kind, key, folder.name, folder.parent).path(key)  # from the recipe's own folder
    assert beside == folder
    other = "flow-digits-32" if "densenet" in model else "screen-digits-32"
    with pytest.raises(ValueError, match=f"{key} is '{other}', which is a "):
        job(kind, key, other, tmp_path).path(key)
    with pytest.raises(ValueError, match=f"{key} is '.*', a folder without weights.safetensors"):
        job(kind, key, str(tmp_path), tmp_path).path(key)


def test_a_recipe_beside_a_recipe_is_trained_first(tmp_path: Path) -> None:
    """As recipes of several stages name theirs."""
    recipe_named("flow-digits-32")[0].write(tmp_path / "recipe-first.toml")
    path = job("completer", "init", "recipe-first.toml", tmp_path).path("init")
    assert path == tmp_path / "recipe-first.toml"


@pytest.mark.parametrize("kind", ["completion", "classifiers", "screens"])
def test_a_folder_without_weights_is_no_model(kind: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"model is '.*', a folder without weights.safetensors"):
        weights("model", str(tmp_path), kind)
