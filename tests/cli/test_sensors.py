"""Any sensor from the command line to the report: ours, a user's own, tables, small folders."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import xarray as xr
from PIL import Image
from typer.testing import CliRunner

from boed.cli import app
from boed.data import load
from boed.sensors import PatchSensor
from boed.sensors.registry import ARRAYS, OF_THE_SCENES, SENSORS, sensor_named

SMALL = ("--scenes", "4", "--steps", "2", "--completions", "3", "--policies", "boed,random")
LEAST = ("--scenes", "2", "--steps", "1", "--completions", "2", "--policies", "boed")

ROW_SCANNER = '''
import torch


class RowScanner:
    """Looks at a few rows."""

    def __init__(self, height, rows=4):
        self.height, self.rows = height, rows

    def designs(self, observation):
        return torch.arange(0, self.height, self.rows)[:, None]

    def observe(self, observation, scene, design):
        row = torch.arange(self.height)
        seen = ((row >= design) & (row < design + self.rows)).float()[:, None, :, None]
        return observation.with_seen(scene, seen * torch.ones_like(scene[:, :1]))

    def cost(self, design):
        return torch.ones(len(design))


class Broken:
    def __init__(self):
        raise RuntimeError("no light")


class Blind:
    def designs(self, observation):
        return torch.zeros(1, 1)
'''


def boed(*arguments: object) -> object:
    return CliRunner().invoke(app, [str(each) for each in arguments])


def succeeds(*arguments: object) -> None:
    result = boed(*arguments)
    assert result.exit_code == 0, result.output


def refused(*arguments: object) -> str:
    result = boed(*arguments)
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    return " ".join(result.output.split())


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of a user's with a sensor of their own, in which they work."""
    (tmp_path / "mine.py").write_text(ROW_SCANNER)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    return tmp_path


def test_a_users_own_sensor(mine: Path) -> None:
    succeeds("benchmark", *SMALL, "--sensor", "mine:RowScanner,rows=8", "--out", "run")
    results = xr.load_dataset(mine / "run" / "results.nc")
    assert results["candidates"].values.ravel().tolist() == [0, 8, 16, 24]
    assert '"kind": "RowScanner"' in results.attrs["sensor"]
    assert "RowScanner" in (mine / "run" / "report.html").read_text()
    other = refused("benchmark", *SMALL, "--sensor", "mine:RowScanner,rows=4", "--out", "run")
    assert "identity: sensor is 'RowScanner" in other


@pytest.mark.parametrize(
    ("sensor", "words"),
    [
        ("mine:RowScaner", "mine:RowScanner"),
        ("nowhere:Thing", "there is no module nowhere"),
        ("mine:RowScanner,row=8", "did you mean 'rows'"),
        ("mine:Blind", "sensor is a Blind, without observe"),
        ("kspce", "did you mean 'kspace'"),
        ("kspace,center=2", "did you mean 'centre'"),
        ("kspace,centre", "'centre' is no option=value"),
        ("linear", "sensor linear needs operator"),
        ("linear,operator=none.npy", "none.npy cannot be read"),
        ("pixels,block=99", "block is 99, expected 1 to 32"),
        ("patch,grid=5,grid=7", "option grid stands there twice"),
        ("patch,grid=x", "patch: grid is 'x', expected a whole number"),
        ("patch,grid=2.5", "patch: grid is 2.5, expected a whole number"),
        ("patch,grid=true", "patch: grid is True, expected a whole number"),
        ("patch,patch=wide", "patch: patch is 'wide', expected a number"),
        ("patch,noise=nan", "patch: noise is nan, expected a number"),
        ("patch,size=3", "sensor patch has no option 'size'"),
        ("foveated,grid=3", "Its options: fovea, levels, designs, noise"),
        ("projections,angles=-3", "angles is -3, expected at least 1"),
        ("projections,angles=0", "angles is 0, expected at least 1"),
        ("kspace,centre=1.5", "kspace: centre is 1.5, expected a whole number"),
        ("lines,width=x", "lines: width is 'x', expected a whole number"),
        ("features", "'features', which is for tables"),
        ("mine:Broken", "mine:Broken cannot be made with {}: RuntimeError: no light"),
        ("mine:Nope", "one of mine:RowScanner, mine:Broken, mine:Blind"),
    ],
)
def test_what_is_no_sensor_is_said(sensor: str, words: str, mine: Path) -> None:
    assert words in refused("benchmark", *SMALL, "--sensor", sensor, "--out", "run")
    assert not (mine / "run").exists()


LISTS = ("[a,b]", "[0,0", "[0,[1]]", "[]", "['a']", "[nan,0]", "here", "{a=1}", "''")
"""What is neither a list of numbers nor the path of an .npy file."""

TAKES_LISTS = [
    (name, key)
    for name, kind in SENSORS.items()
    for key in inspect.signature(kind).parameters
    if key in ARRAYS
]


@pytest.mark.parametrize(("name", "key"), TAKES_LISTS)
def test_what_is_no_list_of_numbers_is_said(name: str, key: str) -> None:
    """For every option of every sensor that is one."""
    data = load("wine" if name == "features" else "digits", split="test")
    whole = inspect.signature(SENSORS[name], eval_str=True).parameters[key].annotation
    numbers = ("x",) if int in get_args(whole) else ("7", "0.5", "true")
    for given in (*LISTS, *numbers):
        with pytest.raises(ValueError, match=f"^sensor {name}: {key} is ") as told:
            sensor_named(f"{name},{key}={given}", data)
        assert str(told.value).endswith(
            "a list of numbers such as [0, 0], or the path of an .npy file"
        )


@pytest.mark.parametrize(
    ("name", "key"),
    [
        (name, key)
        for name, kind in SENSORS.items()
        for key, each in inspect.signature(kind, eval_str=True).parameters.items()
        if each.annotation in (int, float, bool) and key not in OF_THE_SCENES
    ],
)
def test_what_is_no_number_is_said(name: str, key: str) -> None:
    data = load("wine" if name == "features" else "digits", split="test")
    for given in ("x", "[1,2]", "[1", "{a=1}", "''"):
        with pytest.raises(ValueError, match=f"^sensor {name}: {key} is .*, expected (a|tr)"):
            sensor_named(f"{name},{key}={given}", data)


def test_lists_are_taken() -> None:
    data = load("digits", split="test")
    given = "patch,grid=[[0,0],[4,8]],travel=0.1,start=[0,4]"
    sensor = sensor_named(given, data)
    assert isinstance(sensor, PatchSensor)
    assert sensor.start is not None
    assert sensor.start.tolist() == [0, 4]


@pytest.mark.slow
@pytest.mark.parametrize(
    "sensor",
    [
        "kspace",
        "pixels,block=8",
        "projections,angles=16",
        "foveated,designs=[[8,8],[16,16],[20,12]]",
        "lines,axis=row,width=2",
    ],
)
def test_ours_on_digits(sensor: str, tmp_path: Path) -> None:
    succeeds("benchmark", *LEAST, "--sensor", sensor, "--out", tmp_path)
    assert (tmp_path / "report.html").stat().st_size > 10_000


@pytest.mark.slow
def test_a_table(tmp_path: Path) -> None:
    succeeds("benchmark", *SMALL, "--data", "wine", "--out", tmp_path)
    results = xr.load_dataset(tmp_path / "results.nc")
    assert results.sizes["candidate"] == 13
    assert '"kind": "Features"' in results.attrs["sensor"]


@pytest.mark.slow
def test_a_folder_of_a_dozen_pictures(tmp_path: Path) -> None:
    """One error that says what to do, and doing it works."""
    rng = np.random.default_rng(0)
    for number in range(12):
        kind = tmp_path / "pictures" / ("dark", "light")[number % 2]
        kind.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 100, (32, 32)) + 100 * (number % 2)
        Image.fromarray(pixels.astype(np.uint8)).save(kind / f"{number}.png")
    asked = ("benchmark", "--data", tmp_path / "pictures", "--scenes", "0", "--steps", "2")
    asked = (*asked, "--policies", "boed,random", "--sensor", "patch,grid=3", "--completions", "5")
    said = refused(*asked, "--out", tmp_path / "run")
    assert "boed train classifier --data" in said
    assert "--classifier gaussian" in said
    assert not (tmp_path / "run").exists()
    succeeds(*asked, "--classifier", "gaussian", "--out", tmp_path / "run")
    weights = tmp_path / "classifier.safetensors"
    training = ("--steps", "4", "--batch", "4", "--out", weights)
    succeeds("train", "classifier", "--data", tmp_path / "pictures", "--size", "32", *training)
    succeeds(*asked, "--classifier", weights, "--out", tmp_path / "other")


@pytest.mark.slow
def test_scenes_without_a_library_use_that_of_another(tmp_path: Path) -> None:
    from boed.data import load

    test = load("digits", 32, "test").subset(range(6))
    np.savez(
        tmp_path / "mine.npz",
        test_images=test.images[:, 0].numpy(),
        test_labels=test.labels[:, None].numpy(),
        label_names=np.array(test.label_names),
    )
    asked = ("benchmark", *LEAST, "--data", tmp_path / "mine.npz", "--sensor", "patch,grid=3")
    models = ("--completer", "aipo-digits-32", "--classifier", "densenet-digits-32")
    succeeds(*asked, *models, "--library", "digits", "--out", tmp_path / "run")
    succeeds(*asked, *models, "--out", tmp_path / "without")
    said = refused(*asked, "--classifier", "densenet-digits-32", "--out", tmp_path / "none")
    assert "--library" in said


@pytest.mark.slow
def test_a_file_of_settings_runs_again_and_options_override_it(tmp_path: Path) -> None:
    asked = ("--sensor", "patch,grid=3", "--out", tmp_path / "one")
    succeeds("benchmark", *SMALL, *asked)
    settings = tmp_path / "one" / "run.toml"
    succeeds("benchmark", settings, "--out", tmp_path / "two")
    succeeds("benchmark", settings, "--seed", "1", "--out", tmp_path / "three")
    one, two, three = (
        xr.load_dataset(tmp_path / name / "results.nc") for name in ("one", "two", "three")
    )
    assert np.array_equal(one["design"], two["design"])
    assert not np.array_equal(one["design"], three["design"])
    settings.write_text(settings.read_text().replace("steps", "stepz"))
    said = refused("benchmark", settings, "--out", tmp_path / "four")
    assert "no setting 'stepz': did you mean 'steps'" in said


def test_the_folder_of_a_run_is_gone_on_with(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(
        'policies = "random"\nscenes = 2\nsteps = 1\nsensor = "patch"\ngrid = 2\npatch = 0.5\n'
    )
    succeeds("benchmark", tmp_path)
    results = xr.load_dataset(tmp_path / "results.nc")
    assert (results.sizes["candidate"], results.sizes["scene"]) == (4, 2)
    said = refused("benchmark", tmp_path, "--seed", "1")
    assert "holds a run with other settings" in said
