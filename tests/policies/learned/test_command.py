"""`boed train policy`, and a benchmark of what it trained."""

from __future__ import annotations

from pathlib import Path

import pytest
import xarray as xr
from typer.testing import CliRunner

from boed.cli import app
from boed.foundation.files import load_weights
from boed.setup import setup
from boed.training import Recipe
from boed.zoo.kit.judging import val_figures


def boed(*arguments: object) -> str:
    said = CliRunner().invoke(app, [str(each) for each in arguments])
    assert said.exit_code == 0, said.output
    return said.output


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "data", "sensor"),
    [
        ("value", "digits", "patch,grid=3"),
        ("value", "digits", "lines,width=8"),
        ("value", "digits", "kspace"),
        ("value", "wine", None),
        ("greedy", "digits", "patch,grid=3"),
        ("greedy", "wine", None),
        ("nonmyopic", "digits", "patch,grid=3"),
        ("nonmyopic", "wine", None),
    ],
)
def test_what_is_trained_is_run_with_its_proposals(
    name: str, data: str, sensor: str | None, tmp_path: Path
) -> None:
    out = tmp_path / "mine.safetensors"
    looks = () if sensor is None else ("--sensor", sensor)
    how = ("--steps", 2, "--batch", 4, "--looks", 2, "--out", out)
    how = how if name == "greedy" else (*how, "--candidates", 3)
    training = ("train", "policy", name, "--data", data, *looks, *how)
    assert "nothing to do" not in boed(*training)
    header = load_weights(out)[1]
    assert header["recipe"]["sensor"]["name"] == (sensor or "features").partition(",")[0]
    assert header["command"] is not None
    assert "nothing to do" in boed(*training)
    judged = val_figures(Recipe.read(out), out)  # as `boed train install` does
    assert judged["val_nll"] == pytest.approx(header["scores"]["val"]["val_nll"], abs=0.02)
    proposals = f"boed_value={out}," if name == "value" else ""
    policies = f"{out},{proposals}random"
    few = ("--scenes", 4, "--steps", 2, "--completions", 3, "--completer", "gaussian")
    boed("benchmark", "--data", data, *looks, "--policies", policies, *few, "--out", tmp_path / "r")
    with xr.open_dataset(tmp_path / "r" / "results.nc") as results:
        assert results["policy"].values.tolist() == [
            each.partition("=")[0].replace(str(out), "mine") for each in policies.split(",")
        ]
        if name == "nonmyopic":
            with pytest.warns(UserWarning, match="what 2 looks gain together, and steps is 3"):
                setup(data, sensor=sensor, policies=f"{out},random", steps=3)
        scores = results["score"].sel(policy="mine")
        assert scores.notnull().all() if name == "value" else scores.isnull().all()
