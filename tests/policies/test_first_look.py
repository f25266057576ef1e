"""The first look on disk: found again, never taken for another."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from boed.classifiers.densenet_classifier import DenseNetClassifier
from boed.classifiers.networks.densenet import DenseNetConfig
from boed.completion.classical.retrieval import Retrieval
from boed.data.dataset import Dataset
from boed.data.observation import Observation
from boed.foundation.files import load_weights, save_weights
from boed.policies import BOED, FirstLook
from boed.sensors import PatchSensor


@pytest.fixture
def library() -> Dataset:
    images = torch.randint(0, 256, (12, 1, 16, 16), generator=torch.Generator().manual_seed(0))
    return Dataset(
        name="made up",
        split="train",
        images=images.byte(),
        labels=torch.arange(12) % 2,
        label_names=("no", "yes"),
    )


@pytest.fixture
def classifier() -> DenseNetClassifier:
    torch.manual_seed(0)
    config = DenseNetConfig(size=16, channels=1, outputs=2, growth=(4,), layers=(1,), width=4)
    return DenseNetClassifier(config, ("no", "yes")).eval()


def policy(classifier: DenseNetClassifier, library: Dataset, cache: Path | None) -> BOED:
    return BOED(Retrieval(library), classifier, n=3, first_look=FirstLook(n=6), cache=cache)


def choose(policy: BOED, sensor: PatchSensor) -> Any:
    return policy.choose(Observation.nothing(2, 1, 16), sensor, 0)


def test_a_second_run_finds_what_the_first_computed(
    tmp_path: Path, classifier: DenseNetClassifier, library: Dataset, monkeypatch: Any
) -> None:
    sensor = PatchSensor(16, grid=5)
    plain = choose(policy(classifier, library, None), sensor)
    first = choose(policy(classifier, library, tmp_path), sensor)
    assert len(list(tmp_path.iterdir())) == 1

    def never(*_: Any) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(BOED, "_decide", never)
    second = choose(policy(classifier, library, tmp_path), PatchSensor(16, grid=5))
    for other in (first, second):
        for name in ("designs", "candidates", "scores", "gains"):
            torch.testing.assert_close(getattr(other, name), getattr(plain, name))
        torch.testing.assert_close(other.completions.scenes, plain.completions.scenes)
        torch.testing.assert_close(other.completions.weights, plain.completions.weights)


@pytest.mark.parametrize("what", ["classifier", "library", "sensor", "n", "estimator"])
def test_whatever_differs_is_another_first_look(
    what: str, tmp_path: Path, classifier: DenseNetClassifier, library: Dataset
) -> None:
    sensor = PatchSensor(16, grid=5)
    choose(policy(classifier, library, tmp_path), sensor)
    changed = policy(classifier, library, tmp_path)
    if what == "classifier":
        with torch.no_grad():
            classifier.network.output.bias[0] += 0.1  # type: ignore[union-attr,index,operator]
    elif what == "library":
        images = library.images.clone()
        images[0, 0, 0, 0] ^= 1
        changed = policy(classifier, replace(library, images=images), tmp_path)
    elif what == "sensor":
        sensor = PatchSensor(16, grid=4)
    elif what == "n":
        changed = replace(changed, first_look=FirstLook(n=7))
    else:
        changed = replace(changed, estimator="entropy")
    choose(changed, sensor)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_damaged_file_is_made_anew(
    tmp_path: Path, classifier: DenseNetClassifier, library: Dataset
) -> None:
    sensor = PatchSensor(16, grid=5)
    first = choose(policy(classifier, library, tmp_path), sensor)
    file = next(tmp_path.iterdir())
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    again = choose(policy(classifier, library, tmp_path), sensor)
    torch.testing.assert_close(again.scores, first.scores)
    assert file.read_bytes() == whole


def test_models_that_cannot_be_told_apart_are_not_kept(
    tmp_path: Path, classifier: DenseNetClassifier, library: Dataset
) -> None:
    sensor = PatchSensor(16, grid=5)
    classifier.hook = iter(())  # type: ignore[assignment]
    choose(policy(classifier, library, tmp_path), sensor)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_gone_without(
    tmp_path: Path, classifier: DenseNetClassifier, library: Dataset
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    sensor = PatchSensor(16, grid=5)
    result = choose(policy(classifier, library, blocked / "cache"), sensor)
    torch.testing.assert_close(
        result.scores, choose(policy(classifier, library, None), sensor).scores
    )


@pytest.mark.parametrize(
    "fault", ["garbage", "empty", "folder", "other numbers", "other kind", "no reading", "full"]
)
def test_no_cache_stops_a_run(
    fault: str, tmp_path: Path, classifier: DenseNetClassifier, library: Dataset, monkeypatch: Any
) -> None:
    sensor = PatchSensor(16, grid=5)
    first = choose(policy(classifier, library, tmp_path), sensor)
    file = next(tmp_path.iterdir())
    tensors, header = load_weights(file)
    if fault == "garbage":
        file.write_bytes(b"garbage" * 99)
    elif fault == "empty":
        file.write_bytes(b"")
    elif fault == "folder":
        file.unlink()
        file.mkdir()
    elif fault == "other numbers":
        save_weights(file, {**tensors, "scores": tensors["scores"].flip(1)}, header)
    elif fault == "other kind":
        save_weights(file, tensors, {"kind": "aipo"})
    else:
        file.unlink()
        error = PermissionError if fault == "no reading" else OSError
        monkeypatch.setattr("boed.policies.first_look._write", raising(error))
        monkeypatch.setattr("boed.policies.first_look._read", raising(PermissionError))
    again = choose(policy(classifier, library, tmp_path), sensor)
    torch.testing.assert_close(again.scores, first.scores)
    torch.testing.assert_close(again.designs, first.designs)


def raising(error: type[Exception]) -> Any:
    def raises(*_: object) -> None:
        raise error(28, "No space left on device")

    return raises
