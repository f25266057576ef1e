"""A toy question: is the left or the right half of an 8-pixel image bright?"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from boed.classifiers import DenseNetClassifier, DenseNetConfig
from boed.classifiers.torchxrayvision.weights import PREFIX, VARIABLE, fetch_weights
from boed.classifiers.training import train_classifier
from boed.data.dataset import Dataset
from boed.training.config import ClassifierTrainingConfig
from tests.classifiers.published import ALL, digest, published_file, random_network

TINY = DenseNetConfig(size=8, channels=1, outputs=2, stem=2, width=8, growth=(8, 8), layers=(1, 1))


def halves(n: int, seed: int, split: str = "train", noise: int = 60) -> Dataset:
    """Label 0: the left half is bright; label 1: the right half; very noisy pixels."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 2
    images = torch.full((n, 1, 8, 8), 100)
    images[labels == 0, :, :, :4] = 150
    images[labels == 1, :, :, 4:] = 150
    images += torch.randint(-noise, noise + 1, images.shape, generator=generator)
    return Dataset(
        name="halves",
        split=split,
        images=images.to(torch.uint8),
        labels=labels,
        label_names=("left", "right"),
    )


@pytest.fixture(scope="session")
def tiny() -> DenseNetConfig:
    return TINY


@pytest.fixture(scope="session")
def train() -> Dataset:
    return halves(512, 0)


@pytest.fixture(scope="session")
def val() -> Dataset:
    return halves(256, 1, "val")


@pytest.fixture(scope="session")
def trained(train, val, tmp_path_factory) -> tuple[DenseNetClassifier, Path]:
    out = tmp_path_factory.mktemp("trained") / "halves.safetensors"
    settings = ClassifierTrainingConfig(
        steps=200, batch=64, lr=1e-2, warmup=20, betas=(0.9, 0.99), ema=0.9, every=100
    )
    return train_classifier(train, val, settings, out=str(out), config=TINY), out


@pytest.fixture(scope="session")
def files(tmp_path_factory) -> Path:
    """A folder with files of the published names, one pickled as the published ones are."""
    folder = tmp_path_factory.mktemp("published")
    torch.save(random_network(), folder / published_file(ALL), _use_new_zipfile_serialization=False)
    return folder


@pytest.fixture(scope="session")
def converted(files, tmp_path_factory) -> Path:
    """The file as safetensors."""
    with pytest.MonkeyPatch.context() as patch:
        cache = tmp_path_factory.mktemp("cache")
        patch.setenv("BOED_CACHE", str(cache))
        patch.setenv(VARIABLE, f"{ALL}={digest(files / published_file(ALL))}")
        (cache / "torchxrayvision").mkdir()
        os.link(files / published_file(ALL), cache / "torchxrayvision" / published_file(ALL))
        return fetch_weights("classifier", PREFIX + ALL)


@pytest.fixture
def fresh(tmp_path, monkeypatch) -> Path:
    """An empty cache, and no file of torchxrayvision's own."""
    monkeypatch.setenv("BOED_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv(VARIABLE, raising=False)
    folder = tmp_path / "cache" / "torchxrayvision"
    folder.mkdir(parents=True)
    return folder
