"""A toy question: is the left or the right half of an 8-pixel image bright?"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from boed.classifiers import DenseNetClassifier, DenseNetConfig
from boed.classifiers.training import train_classifier
from boed.data.dataset import Dataset
from boed.training.config import ClassifierTrainingConfig

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
    return train_classifier(train, val, settings, out=out, config=TINY), out
