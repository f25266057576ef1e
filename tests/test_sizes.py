"""A size from outside that no memory has room for is refused before any is taken."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import netCDF4
import numpy as np
import pytest
import torch

from boed.classifiers.densenet_classifier import DenseNetClassifier
from boed.classifiers.training import train_classifier
from boed.completion.completer import complete
from boed.completion.registry import load_completer
from boed.completion.training import preset, train_completer, train_vae
from boed.data import Dataset, Observation, load
from boed.foundation.files import load_weights, save_weights
from boed.foundation.shipped import shipped
from boed.report.results import load as load_results
from boed.sensors import PatchSensor, Projections
from boed.sensors.sensor import candidates
from boed.training import TrainingConfig

MUCH = r"needs about \S+ GiB of memory, the limit is \S+ GiB; .* BOED_MEMORY_GIB"


@pytest.fixture(scope="module")
def blank() -> Dataset:
    images, labels = torch.zeros(4, 1, 32, 32, dtype=torch.uint8), torch.tensor([0, 1, 0, 1])
    return Dataset(
        name="blank", split="train", images=images, labels=labels, label_names=("a", "b")
    )


def test_a_size_of_images(tmp_path, blank):
    np.savez(tmp_path / "a.npz", test_images=blank.images[:, 0], test_labels=blank.labels)
    with pytest.raises(ValueError, match=f"size 100000: 4 images .*{MUCH}"):
        load(tmp_path / "a.npz", 100_000)


def test_what_results_unpack_to(tmp_path):
    with netCDF4.Dataset(tmp_path / "results.nc", "w") as file:
        file.createDimension("scene", 10**10)
        file.createVariable("label", "i8", ("scene",), zlib=True, chunksizes=(1000,))
    assert (tmp_path / "results.nc").stat().st_size < 20_000
    with pytest.raises(ValueError, match=rf"results \S+results\.nc {MUCH}"):
        load_results(tmp_path / "results.nc")


class Never:
    def sample(self, observation, n, seed=0):
        pytest.fail("must not be asked")


def test_completions():
    with pytest.raises(ValueError, match=f"completions 1000000000: of 2 scenes {MUCH}"):
        complete(Never(), Observation.nothing(2, 1, 32), 10**9)


@pytest.mark.parametrize("kind", ["completer", "vae", "classifier"])
def test_a_batch(kind, blank, tmp_path):
    training = TrainingConfig(steps=1, batch=10**9)
    asked = {"training": training, "out": tmp_path / "weights.safetensors"}
    train = {
        "completer": partial(train_completer, "flow", blank, blank),
        "vae": partial(train_vae, blank, blank, preset("vae", blank)[0]),
        "classifier": partial(train_classifier, blank, blank),
    }
    with pytest.raises(ValueError, match=f"batch 1000000000: 1000000000 images at once {MUCH}"):
        train[kind](**asked)
    assert list(tmp_path.iterdir()) == []


def test_a_batch_that_devices_share_counts_for_one(blank):
    training = TrainingConfig(steps=1, batch=10**7, devices=100)
    training.check_batch(blank)
    with pytest.raises(ValueError, match="batch 10000000"):
        replace(training, devices=1).check_batch(blank)


@pytest.mark.parametrize("grid", [25, 26, 40, 1000, 10**9])
def test_a_grid_finer_than_pixels_is_all_pixels(grid):
    sensor = PatchSensor(32, 0.25, grid)
    assert sensor.positions.tolist() == list(range(25))


def test_candidates_beyond_what_masks_have_room_for():
    sensor = PatchSensor(512, 0.25, 10**9)
    with pytest.raises(ValueError, match=f"masks of the 148,225 candidates of PatchSensor {MUCH}"):
        candidates(sensor, Observation.nothing(1, 1, 512))


def test_angles():
    with pytest.raises(ValueError, match=f"angles 1000000: .*{MUCH}"):
        Projections(32, 10**6)


CHANGES = {
    "densenet-digits-32": [
        {"layers": [10**6]}, {"layers": [10**9]}, {"width": 10**6}, {"growth": [10**5]},
        {"outputs": 10**6}, {"layers": "many"}, {"layers": None}, {"kind": 5},
        {"mean": float("nan")}, {"size": -1}, {"size": 1e400}, {"new": 1}, {"layers": [4, 10**5]},
    ],
    "aipo-digits-32": [
        {"encoder": "32x1000000"}, {"encoder": "32x99999999999"}, {"decoder": 7}, {"width": 10**6},
        {"width": [1]}, {"latent": 10**6}, {"size": 10**5}, {"decoder": "1x5,x"}, {"encoder": ""},
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "change"), [(name, change) for name in CHANGES for change in CHANGES[name]]
)
def test_an_architecture_that_its_file_does_not_hold(name, change, tmp_path):
    tensors, header = load_weights(shipped(name))
    header["config"] |= change
    save_weights(tmp_path / "w.safetensors", tensors, header)
    reader = DenseNetClassifier.load if name.startswith("densenet") else load_completer
    with pytest.raises(ValueError, match=r"w\.safetensors does not fit its configuration: .+"):
        reader(tmp_path / "w.safetensors")
