"""The trainings behind the benchmarks' tables: a trial is never taken for the real thing."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from boed.completion.registry import LEARNED
from boed.data.dataset import Dataset

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("trainings")


def noise(split: str) -> Dataset:
    generator = torch.Generator().manual_seed(len(split))
    images = torch.randint(0, 256, (8, 1, 8, 8), dtype=torch.uint8, generator=generator)
    return Dataset(
        name="noise", split=split, images=images, labels=torch.arange(8) % 2, label_names=("a", "b")
    )


def test_a_trial_is_not_taken_for_the_training(trainings: Any, tmp_path: Path) -> None:
    kind = LEARNED["pc-cnn"]
    config = kind.Config(size=8, channels=1, levels=2, filters=4, blocks=1, dilations=(1,))
    training = replace(kind.preset(28, 1)[1], steps=2, every=1, batch=2, warmup=0)
    trial = trainings.Planned(
        name="small",
        completer="pc-cnn",
        config=config,
        training=training,
        data=lambda: (noise("train"), noise("val")),
        masks="top:4",
    )
    trainings.train([trial], tmp_path, 0)
    before = trial.checkpoint(tmp_path).read_bytes()
    trainings.train([trial], tmp_path, 0)  # was finished
    longer = replace(trial, training=replace(training, steps=4))
    with pytest.raises(ValueError, match="was trained for 2 updates, and small has 4; remove it"):
        trainings.train([longer], tmp_path, 0)
    assert trial.checkpoint(tmp_path).read_bytes() == before
