"""A policy and a classifier that learn together."""

from __future__ import annotations

import signal
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from boed.classifiers.densenet_classifier import DenseNetClassifier
from boed.classifiers.networks.densenet import DenseNetConfig
from boed.classifiers.training import train_classifier
from boed.data.observation import Observation
from boed.foundation.files import load_weights
from boed.foundation.interruption import Interrupted
from boed.policies.learned import CandidateLooks, LookNet, Value, ValueConfig, ValueNet
from boed.policies.learned.beginning import begun
from boed.policies.learned.joint import classifier_path
from boed.policies.learned.training import train_look_policy
from boed.sensors import PatchSensor, PixelBlocks
from boed.sensors.random_looks import RandomLooks
from boed.setup import setup
from boed.training import Recipe
from boed.training.checkpoints import best_path
from boed.training.config import (
    ClassifierTrainingConfig,
    NonmyopicTrainingConfig,
    ValueTrainingConfig,
)
from boed.zoo import train_recipe
from tests.doubles import ClueClassifier, Clues

CLUES = Clues(((8, 4), (0, 8)))
TRAIN, VAL = CLUES.dataset(96), CLUES.dataset(24, seed=1)
SENSOR = PatchSensor(16, 0.25, 4)
FLAT = DenseNetConfig(size=16, channels=1, outputs=3, kind="mlp", width=24, layers=(2,), std=0.2)
SMALL = DenseNetConfig(
    size=16, channels=1, outputs=3, stem=4, width=16, growth=(8,), layers=(1,), std=0.2
)
TRAINING = ValueTrainingConfig(
    steps=40, batch=16, lr=5e-3, warmup=0, looks=3, moments=3, candidates=1, every=20, watched=24,
    joint=True, precision="fp32", ema=0.9,
)  # fmt: skip


@pytest.fixture(scope="module", params=[FLAT, SMALL], ids=["mlp", "small"])
def classifier(request: Any, tmp_path_factory: Any) -> DenseNetClassifier:
    """One that has learned little."""
    out = tmp_path_factory.mktemp("classifier") / "first.safetensors"
    looking = RandomLooks(SENSOR, (1, 16, 16))
    how = ClassifierTrainingConfig(steps=20, batch=16, warmup=0, lr=3e-3, precision="fp32")
    train_classifier(TRAIN, VAL, how, out=out, config=request.param, looking=looking)
    return DenseNetClassifier.load(out)


def trained(out: Path, classifier: Any, name: str = "value", **options: Any) -> LookNet:
    how = {"sensor": SENSOR, "classifier": classifier, "training": TRAINING, **options}
    return train_look_policy(name, TRAIN, VAL, out=out, **how)


def test_the_classifier_learns_what_the_policy_shows(
    classifier: DenseNetClassifier, tmp_path: Path
) -> None:
    out = tmp_path / "value.safetensors"
    network = trained(out, classifier, training=replace(TRAINING, steps=150))
    assert isinstance(network, ValueNet)
    theirs = DenseNetClassifier.load(classifier_path(out))
    policy = Value(network, theirs)  # it is for that one
    with pytest.raises(ValueError, match="it was trained for the classifier DenseNetClassifier"):
        Value(network, classifier)
    observation, scenes = Observation.nothing_of(VAL.scenes()), VAL.scenes()
    for _ in range(3):
        design = policy.choose(observation, SENSOR).designs
        observation = SENSOR.observe(observation, scenes, design)
    rows = torch.arange(len(VAL))
    after = -theirs.log_probs(observation)[rows, VAL.labels].mean()
    before = -classifier.log_probs(observation)[rows, VAL.labels].mean()
    assert after < 0.5 * before
    assert after == pytest.approx(network.provenance["scores"]["val"]["val_nll@3"], abs=0.02)
    header = theirs.provenance
    assert header["frequencies"] == classifier.provenance["frequencies"]
    assert header["scores"]["val"].keys() == classifier.provenance["scores"]["val"].keys()
    assert len(theirs.knots) > 2  # calibrated


def test_the_classifier_that_was_given_stays_as_it_was(
    classifier: DenseNetClassifier, tmp_path: Path
) -> None:
    before = {name: part.clone() for name, part in classifier.state_dict().items()}
    trained(tmp_path / "value.safetensors", classifier, training=replace(TRAINING, steps=5))
    after = classifier.state_dict()
    assert all(torch.equal(after[name], part) for name, part in before.items())
    assert not any(each.requires_grad for each in classifier.parameters())


@pytest.mark.parametrize("name", ["value", "nonmyopic"])
def test_an_interrupted_training_goes_on_to_the_same_weights(
    classifier: DenseNetClassifier, name: str, tmp_path: Path
) -> None:
    few = replace(TRAINING, steps=6, every=2)
    if name == "nonmyopic":
        few = NonmyopicTrainingConfig(**asdict(few))
    trained(tmp_path / "whole.safetensors", classifier, name, training=few)

    def stop(step: int, _: float) -> None:
        if step == 3:
            signal.raise_signal(signal.SIGINT)

    out = tmp_path / "parts.safetensors"
    with pytest.raises(Interrupted, match="3 of 6 steps are stored"):
        trained(out, classifier, name, training=few, on_step=stop)
    trained(out, classifier, name, training=few)
    for whole, parts in (
        (tmp_path / "whole.safetensors", out),
        (classifier_path(tmp_path / "whole.safetensors"), classifier_path(out)),
    ):
        ours, theirs = load_weights(whole)[0], load_weights(parts)[0]
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[each], theirs[each]) for each in ours)


def test_the_best_weights_are_a_pair_as_well(
    classifier: DenseNetClassifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = iter([1.0, 2.0, 2.0, 2.0])
    from boed.policies.learned import training

    real = training.val_figures

    def worse(*given: Any, **named: Any) -> dict[str, float]:
        return {**real(*given, **named), "val_nll": next(figures, 3.0)}

    monkeypatch.setattr(training, "val_figures", worse)
    out = tmp_path / "value.safetensors"
    trained(out, classifier, training=replace(TRAINING, steps=6, every=2))
    best = best_path(out)
    Value(ValueNet.load(best), DenseNetClassifier.load(classifier_path(best)))
    last = load_weights(classifier_path(out))[0]
    assert any(
        not torch.equal(part, last[name])
        for name, part in load_weights(classifier_path(best))[0].items()
    )


@pytest.mark.parametrize("balanced", [False, True])
def test_a_command_takes_what_a_command_has_trained(balanced: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = {}
    for split, number in (("train", 60), ("val", 24), ("test", 8)):
        arrays[f"{split}_images"] = rng.integers(0, 256, (number, 16, 16), np.uint8)
        arrays[f"{split}_labels"] = (np.arange(number) % 3 == 0).astype(np.uint8)[:, None]
    data = tmp_path / "own.npz"
    np.savez(data, **arrays)
    few = {"steps": 3, "batch": 12, "precision": "fp32"}
    sensor = {"name": "pixels", "block": 4}
    first, out = tmp_path / "first.safetensors", tmp_path / "value.safetensors"
    asked = Recipe(
        kind="classifier", data=str(data), size=16, sensor=sensor, architecture="mlp",
        training={**few, "balanced": balanced},
    )  # fmt: skip
    train_recipe(asked, first)
    learned = {**few, "looks": 2, "watched": 8, "joint": True}
    asked = Recipe(
        kind="policy", name="value", data=str(data), size=16, sensor=sensor,
        classifier=str(first), training=learned,
    )  # fmt: skip
    train_recipe(asked, out)
    made = setup(
        str(data), size=16, sensor=sensor, policies=f"value={out}", steps=2,
        classifier=str(classifier_path(out)),
    )  # fmt: skip
    assert isinstance(made.policies["value"], Value)
    assert (made.classifier.prevalence is not None) == balanced


def test_only_a_network_of_ours_can_learn_along(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="joint: the classifier is a ClueClassifier, which cannot"):
        trained(tmp_path / "value.safetensors", ClueClassifier())
    assert not list(tmp_path.iterdir())


def test_single_pixels_have_a_number_each(tmp_path: Path) -> None:
    torch.manual_seed(0)
    flat = DenseNetClassifier(FLAT, TRAIN.label_names).eval()
    sensor = PixelBlocks(16)
    looks = CandidateLooks.of(sensor, (1, 16, 16))
    network = begun(TRAIN, sensor, flat, looks=looks)
    assert network.config == ValueConfig(encoder=FLAT, candidates=256)
    scenes = TRAIN.scenes(slice(4))
    seen = Observation.of(scenes, (torch.rand(4, 1, 16, 16) < 0.3).float())
    for each in network.parameters():
        each.data.normal_(std=0.1)
    values = network(seen, looks)
    assert values.shape == (4, 256)
    assert (values[seen.mask.flatten(1) > 0] == 0).all()  # nothing new
    network.save(tmp_path / "value.safetensors", {})
    again = ValueNet.load(tmp_path / "value.safetensors")
    torch.testing.assert_close(again(seen, looks), values, rtol=5e-3, atol=5e-3)
