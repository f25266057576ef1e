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
from boed.policies.learned.beginning import begun, start_from
from boed.policies.learned.joint import Joint, classifier_path
from boed.policies.learned.situations import roll_out, situations
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
    assert network.first is not None
    first = looked_at(max(range(16), key=network.first.__getitem__))
    gain = theirs.log_probs(first)[rows, VAL.labels]
    gain = gain - theirs.log_probs(Observation.nothing_of(scenes))[rows, VAL.labels]
    assert max(network.first) == pytest.approx(float(gain.mean()), abs=0.01)  # of what it became


def looked_at(index: int) -> Observation:
    """Val's scenes after one look."""
    blank = Observation.nothing_of(VAL.scenes())
    design = SENSOR.designs(blank)[index].expand(len(VAL), -1)
    return SENSOR.observe(blank, VAL.scenes(), design)


@pytest.mark.parametrize("best", [False, True])
@pytest.mark.parametrize("given", [False, True])
def test_no_other_classifier_is_written_over(
    classifier: DenseNetClassifier, best: bool, given: bool, tmp_path: Path
) -> None:
    out = tmp_path / "value.safetensors"
    beside = classifier_path(best_path(out) if best else out)
    classifier.save(beside, {**classifier.provenance, "steps": 20})
    own = DenseNetClassifier.load(beside) if given else classifier
    held = beside.read_bytes()
    with pytest.raises(ValueError, match=f"out: {beside} holds another training"):
        trained(out, own)
    assert [each.name for each in tmp_path.iterdir()] == [beside.name]
    assert beside.read_bytes() == held


@pytest.mark.parametrize("looks", [1, 3])
def test_the_classifier_sees_what_the_policy_shows_last(
    classifier: DenseNetClassifier, looks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("boed.policies.learned.joint.SHOWN", 1.0)
    torch.manual_seed(0)
    shape = CandidateLooks.of(SENSOR, (1, 16, 16))
    network = begun(TRAIN, SENSOR, classifier, looks=shape)
    joint = Joint(network, classifier, RandomLooks(SENSOR, shape.shape), train=TRAIN)
    scenes, labels = TRAIN.scenes(), TRAIN.labels
    seeds = [0] * len(scenes)
    rolled = roll_out(network, scenes, shape, sensor=SENSOR, steps=looks, explore=1.0, seeds=seeds)
    asked = situations(rolled, shape, candidates=1, most=looks)
    shown: list[Observation] = []
    real = joint.classifier.logits
    monkeypatch.setattr(
        joint.classifier, "logits", lambda seen: (shown.append(seen), real(seen))[1]
    )
    joint.loss(asked, rolled, scenes=scenes, labels=labels)
    taken = (shown[0].fraction_seen * 16).round().long()
    share = [float((taken == number).float().mean()) for number in range(looks + 1)]
    last = 1 / looks
    assert share[-1] == pytest.approx(last, abs=0.1)
    assert share[:-1] == pytest.approx([(1 - last) / looks] * looks, abs=0.1)


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
    again = replace(asked, classifier=str(classifier_path(out)))
    train_recipe(again, tmp_path / "again.safetensors")  # a second round counts alike
    stored = DenseNetClassifier.load(classifier_path(tmp_path / "again.safetensors"))
    assert stored.balanced == balanced


def test_a_network_of_one_list_of_looks_begins_no_other(tmp_path: Path) -> None:
    flat = DenseNetClassifier(FLAT, TRAIN.label_names).eval()
    looks = CandidateLooks.of(PixelBlocks(16), (1, 16, 16))
    config = ValueConfig(encoder=FLAT, candidates=256)
    other = ValueNet(config, looks="256 looks in another order", classifier="any")
    other.save(tmp_path / "other.safetensors", {})
    with pytest.raises(ValueError, match="trained for 256 looks in another order, not for Pixel"):
        start_from(begun(TRAIN, PixelBlocks(16), flat, looks=looks), tmp_path / "other.safetensors")


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
