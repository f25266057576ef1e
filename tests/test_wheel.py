"""The wheel: `boed` alone at its top, the zoo inside, beside any names of a user's files."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow

USE = """
import data
assert data.mine == 1, data
import boed
assert "site-packages" in boed.__file__, boed.__file__
from boed.foundation.shipped import shipped_folder
assert (shipped_folder("flow-kermany-64") / "recipe.toml").is_file()
"""

TYPED = """
import boed
reveal_type(boed.acquire)
reveal_type(boed.setup)
reveal_type(boed.BOED.choose)
"""


def run(*command: object, folder: Path) -> str:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [str(each) for each in command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    options = ("--no-deps", "--no-build-isolation", "--quiet", "--wheel-dir", folder)
    run(sys.executable, "-m", "pip", "wheel", *options, ROOT, folder=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment of its own with the wheel, which borrows what boed depends on."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    own = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    (own / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    options = ("--no-deps", "--quiet", "--target", own)
    run(sys.executable, "-m", "pip", "install", *options, wheel, folder=folder)
    return folder / "bin" / "python"


@pytest.fixture
def users(tmp_path: Path) -> Path:
    """A user's project with files of the names that once were ours."""
    (tmp_path / "data").mkdir()
    for name in ("data/__init__.py", "completion.py", "classifiers.py"):
        (tmp_path / name).write_text("mine = 1\n")
    return tmp_path


def test_the_wheel_holds_boed_alone(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as opened:
        names = opened.namelist()
    assert {name.split("/")[0] for name in names} == {"boed", "boed-0.1.0.dist-info"}
    assert "boed/py.typed" in names
    models = {name.split("/")[3] for name in names if name.endswith("weights.safetensors")}
    assert {"aipo-digits-32", "densenet-kermany-64", "deep-adaptive-location-finding-10"} <= models
    for model in models:
        for file in ("recipe.toml", "card.md"):
            assert any(name.endswith(f"/{model}/{file}") for name in names), (model, file)


def test_it_runs_beside_a_users_own_data_and_completion(python: Path, users: Path) -> None:
    run(python, "-c", USE, folder=users)
    small = ("--scenes", 2, "--steps", 1, "--sensor", "patch,grid=3", "--policies", "boed,random")
    run(python, "-m", "boed", "benchmark", *small, "--out", "run", folder=users)
    assert (users / "run" / "report.html").exists()


def test_a_folder_of_data_files_is_left_alone(python: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "loader.py").write_text("mine = 1\n")
    run(python, "-c", "from data.loader import mine", folder=tmp_path)


def test_a_shipped_model_is_trained_again_by_name(python: Path, tmp_path: Path) -> None:
    changes = ("--set", "data=digits", "--set", "steps=2", "--set", "batch=2")
    run(python, "-m", "boed", "train", "recipe", "flow-kermany-64", *changes, folder=tmp_path)
    assert (tmp_path / "flow-kermany-64.safetensors").exists()


def test_types_are_seen_from_outside(python: Path, tmp_path: Path) -> None:
    (tmp_path / "use.py").write_text(TYPED)
    options = ("--python-executable", python, "--ignore-missing-imports")
    said = run(sys.executable, "-m", "mypy", *options, "use.py", folder=tmp_path)
    assert said.count("Revealed type") == 3
    assert "policy: boed.policies.policy.Policy" in said
    assert "boed.setup.Setup" in said
    assert 'Revealed type is "Any"' not in said
