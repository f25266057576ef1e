"""Distilling: situations as the classifier sees them, and that the screen learns from them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from boed.classifiers import DenseNetClassifier, ScreenConfig, ScreenNet
from boed.classifiers.distilling import (
    completed,
    divergence,
    gain_error,
    score,
    situations,
    train_screen,
)
from boed.classifiers.trained import checksum
from boed.data.dataset import Dataset
from boed.data.masks import squares
from boed.data.observation import Observation
from boed.foundation.files import load_weights
from boed.training.config import TrainingConfig

SHORT = TrainingConfig(
    steps=60, batch=16, lr=5e-3, warmup=5, betas=(0.9, 0.99), ema=0.9, clip=1.0, every=30
)


def test_completions_agree_with_what_was_seen(val: Dataset) -> None:
    torch.manual_seed(0)
    scenes, pool = val.scenes(slice(0, 60)), val.scenes(slice(100, 140))
    counts = torch.full((60,), 3)
    seen = Observation.of(scenes, squares(60, 8, 0.25, counts=counts, overhang=False))
    drawn = completed(seen, scenes, pool)
    assert torch.equal(drawn * seen.mask, seen.values)
    itself = (drawn == scenes).flatten(1).all(1)
    assert 8 < int(itself.sum()) < 32  # a third
    nearest = ((pool[None] - scenes[:, None]) ** 2 * seen.mask[:, None]).sum((2, 3, 4)).argmin(1)
    best = (drawn == seen.composite(pool[nearest])).flatten(1).all(1)
    assert 8 < int((best & ~itself).sum()) < 34


def test_situations_hold_what_the_classifier_says(
    trained: tuple[DenseNetClassifier, Path], val: Dataset
) -> None:
    torch.manual_seed(0)
    classifier = DenseNetClassifier.load(trained[1])
    found = situations(
        classifier, val.scenes(slice(0, 8)), val.scenes(slice(50, 90)), patch=0.25, candidates=5
    )
    assert found.after.shape == (8, 5, 2)
    assert torch.allclose(found.belief, classifier.log_probs(found.observation))
    assert found.observation.fraction_seen.max() <= 5 * 4 / 64
    for scene, look in ((0, 0), (3, 4), (7, 2)):
        row, column = found.corners[scene, look].long().tolist()
        mask = found.observation.mask[scene : scene + 1].clone()
        mask[..., row : row + 2, column : column + 2] = 1
        after = classifier.log_probs(Observation.of(found.completion[scene : scene + 1], mask))
        assert torch.allclose(after[0], found.after[scene, look], atol=1e-5)
    exact = found.after
    assert divergence(found, exact).abs().max() < 1e-6
    assert gain_error(found, exact).abs().max() < 1e-6
    assert divergence(found, exact.flip(-1)).min() >= 0


@pytest.mark.slow
def test_a_screen_learns_and_says_from_what(
    trained: tuple[DenseNetClassifier, Path], train: Dataset, val: Dataset, tmp_path: Path
) -> None:
    classifier = DenseNetClassifier.load(trained[1])
    out = tmp_path / "screen.safetensors"
    made = train_screen(
        classifier, train, val, out=str(out), training=SHORT, command="boed train screen"
    )
    figures = made.provenance["scores"]["val"]
    assert figures["kl"] < 0.5 * figures["kl_unchanged"]
    header = load_weights(out)[1]
    assert header["kind"] == "screen"
    assert header["classifier"] == checksum(classifier)
    assert header["distilled_from"]["data"]["sha256"] == train.sha256
    assert header["data"]["sha256"] == train.sha256
    assert header["look_fraction"] == 0.25
    assert header["command"] == "boed train screen"
    assert [row["step"] for row in header["history"]] == [30, 60]
    assert header["history"][1]["val_kl"] < header["history"][0]["val_kl"]
    left = {path.name.removeprefix("screen.") for path in tmp_path.iterdir()}
    assert left - {"best.safetensors"} == {"safetensors", "toml", "curve.csv"}
    assert header["recipe"]["kind"] == "screen"
    assert header["recipe"]["patch"] == header["look_fraction"]
    made.check(classifier, 0.25)


def test_a_training_that_was_stopped_goes_on_to_the_same_screen(
    trained: tuple[DenseNetClassifier, Path], train: Dataset, val: Dataset, tmp_path: Path
) -> None:
    classifier = DenseNetClassifier.load(trained[1])
    short = TrainingConfig(steps=4, batch=4, warmup=1, every=2)
    whole = train_screen(classifier, train, val, out=tmp_path / "whole.safetensors", training=short)

    def stop(step: int, loss: float) -> None:
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_screen(
            classifier, train, val, out=tmp_path / "parts.safetensors", training=short, on_step=stop
        )
    assert (tmp_path / "parts.training.safetensors").exists()
    again = train_screen(classifier, train, val, out=tmp_path / "parts.safetensors", training=short)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name])
    best = whole.provenance["best"]
    assert best == min(whole.provenance["history"], key=lambda row: row[whole.merit])
    assert again.provenance["best"] == best


def test_scores_of_no_guess_at_all(trained: tuple[DenseNetClassifier, Path], val: Dataset) -> None:
    torch.manual_seed(0)
    classifier = DenseNetClassifier.load(trained[1])
    found = situations(
        classifier, val.scenes(slice(0, 8)), val.scenes(slice(50, 90)), patch=0.25, candidates=5
    )
    untrained = ScreenNet(ScreenConfig(encoder=classifier.config, answers=2), "any")
    figures = score(untrained, found)
    assert figures["kl"] == pytest.approx(figures["kl_unchanged"], rel=1e-4)
    assert figures["gain_error"] > 0


def test_scenes_that_the_classifier_is_not_for(
    trained: tuple[DenseNetClassifier, Path], train: Dataset, val: Dataset, tmp_path: Path
) -> None:
    large = Dataset(
        name="large",
        split="train",
        images=train.images.repeat(1, 1, 2, 2),
        labels=train.labels,
        label_names=train.label_names,
    )
    with pytest.raises(ValueError, match="is for 1 channels of 8 pixels; large has 1 of 16"):
        train_screen(trained[0], large, val, out=tmp_path / "screen.safetensors", training=SHORT)
    assert not any(tmp_path.iterdir())
