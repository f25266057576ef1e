"""A toy world of 8-pixel images whose left or right half is bright, and models of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from boed.completion import AIPO, VDVAEConfig
from boed.completion.training import train_completer
from boed.data.dataset import Dataset
from boed.training.config import TrainingConfig


def tiny(**changes) -> VDVAEConfig:
    """A VD-VAE that trains in seconds."""
    fields = {
        "size": 8,
        "channels": 1,
        "encoder": "8x1,8d2,4x1,4d4,1x1",
        "decoder": "1x1,4m1,8m4",
        "width": 16,
        "latent": 4,
        "components": 3,
    }
    return VDVAEConfig(**{**fields, **changes})


def halves(n: int, seed: int, split: str = "train") -> Dataset:
    """Label 0: the left half is bright; label 1: the right half."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 2
    images = torch.full((n, 1, 8, 8), 40)
    images[labels == 0, :, :, :4] = 200
    images[labels == 1, :, :, 4:] = 200
    images += torch.randint(-20, 21, images.shape, generator=generator)
    return Dataset(
        name="halves",
        split=split,
        images=images.to(torch.uint8),
        labels=labels,
        label_names=("left", "right"),
    )


@pytest.fixture(scope="session")
def config():
    return tiny


@pytest.fixture(scope="session")
def train() -> Dataset:
    return halves(256, 0)


@pytest.fixture(scope="session")
def val() -> Dataset:
    return halves(64, 1, "val")


@pytest.fixture(scope="session")
def trained(train, val, tmp_path_factory) -> tuple[AIPO, Path]:
    """AIPO trained jointly on the halves, and its checkpoint."""
    out = tmp_path_factory.mktemp("trained") / "halves.safetensors"
    settings = TrainingConfig(steps=250, batch=32, lr=5e-3, warmup=20, ema=0.98, every=125)
    model = train_completer("aipo", train, val, training=settings, out=out, config=tiny())
    assert isinstance(model, AIPO)
    return model, out


@pytest.fixture(scope="session")
def brief(train, val, tmp_path_factory) -> tuple[AIPO, Path]:
    """AIPO after a few steps, which has learned nothing, and its checkpoint."""
    out = tmp_path_factory.mktemp("brief") / "halves.safetensors"
    training = TrainingConfig(steps=6, batch=32, lr=5e-3, warmup=2, every=3)
    model = train_completer("aipo", train, val, training=training, out=out, config=tiny())
    assert isinstance(model, AIPO)
    return model, out
