"""What is not imported before it is needed: heavy libraries make a command slow to start."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

HEAVY = {
    "PIL", "botorch", "deepinv", "fastapi", "gest_api", "gpytorch", "gymnasium", "highdicom",
    "jinja2", "lightning_fabric", "matplotlib", "netCDF4", "pandas", "pydicom", "ray", "rich",
    "safetensors", "scipy.optimize", "scipy.stats", "sklearn", "stable_baselines3",
    "torchmetrics", "torchvision", "torchxrayvision", "typer", "uvicorn", "xarray",
}  # fmt: skip

HELP = """
import sys
from boed.cli import main
sys.argv = ["boed", *{words!r}, "--help"]
try:
    main()
except SystemExit as end:
    assert not end.code
"""

NAMES = """
import boed
for name in boed.__all__:
    getattr(boed, name)
"""

TRAINING = """
import torch
from boed.training import TrainingConfig, fit
model = torch.nn.Linear(2, 1)
fit(model, lambda step: model(torch.ones(3, 2)).square().mean(), TrainingConfig(steps=1))
"""


def imported(code: str) -> set[str]:
    """Modules that are there after `code`, beside what torch brings along."""
    code = f"{code}\nimport sys\nprint('modules:', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rsplit("modules:", 1)[1].split())


@pytest.fixture(scope="module")
def with_torch():
    return imported("import torch")


def test_the_package_alone_brings_nothing():
    found = imported("import boed")
    assert "boed" in found
    assert (
        not (HEAVY | {"torch", "numpy", "pyro", "boed.completion", "boed.classifiers", "boed.data"})
        & found
    )


def test_the_public_names_bring_torch_and_pyro_alone(with_torch):
    found = imported(NAMES) - with_torch
    assert {"pyro", "boed.acquire"} <= found
    assert not HEAVY & found


def test_one_process_trains_without_fabric(with_torch):
    found = imported(TRAINING) - with_torch
    assert "boed.training.loop" in found
    assert not HEAVY & found


@pytest.mark.parametrize(
    "words", [(), ("benchmark",), ("train",), ("train", "classifier"), ("data", "list")]
)
def test_help_needs_no_torch(words):
    found = imported(HELP.format(words=words))
    assert "boed.cli" in found
    assert not (HEAVY - {"typer", "rich"} | {"torch", "numpy", "pyro"}) & found


def test_lazy_names_are_what_they_say():
    import boed

    assert set(boed.__all__) <= set(dir(boed))
    assert boed.acquire.__module__ == "boed.acquire"
    with pytest.raises(AttributeError, match="module 'boed' has no attribute 'nonsense'"):
        _ = boed.nonsense


def test_packages_are_there_after_import_boed_alone():
    code = "import boed; boed.data.load; boed.sensors.PatchSensor; boed.completion.Retrieval"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
