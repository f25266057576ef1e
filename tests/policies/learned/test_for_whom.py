"""What a trained network is for is told by content, and what it could not be for beforehand."""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from boed.classifiers import from_module
from boed.data.observation import Observation
from boed.foundation.files import load_weights
from boed.policies.learned import (
    CandidateLooks,
    LookNet,
    ValueConfig,
    ValueNet,
    train_look_policy,
)
from boed.policies.learned.beginning import begun
from boed.policies.learned.network import classifier_name
from boed.sensors import LinearSensor, PatchSensor
from boed.setup import setup
from boed.training import Recipe
from boed.training.config import GreedyTrainingConfig, ValueTrainingConfig
from boed.zoo import train_recipe
from tests.doubles import ClueClassifier, ClueCompleter, Clues, RowSensor

CLUES = Clues()
TRAIN, VAL = CLUES.dataset(24), CLUES.dataset(8, seed=1)
GRID = PatchSensor(16, 0.25, 4)
SHAPE = (1, 16, 16)
TINY = ValueConfig(numbers=256, readings=256, entries=2, width=8)
FEW: dict[str, Any] = {"steps": 1, "batch": 4, "looks": 1, "watched": 8, "precision": "fp32"}


def network(seed: int) -> nn.Module:
    """All of whose weights are in layers whose names a loaded checkpoint would fold away."""
    torch.manual_seed(seed)
    parts = {"conv1": nn.Conv2d(2, 3, 3), "norm1": nn.BatchNorm2d(3)}
    return nn.Sequential(OrderedDict(**parts, pool=nn.AdaptiveAvgPool2d(1), flat=nn.Flatten()))


def trained(out: Path, *, name: str = "value", **options: Any) -> LookNet:
    kind = ValueTrainingConfig if name == "value" else GreedyTrainingConfig
    how = {"sensor": GRID, "classifier": ClueClassifier(), "training": kind(**FEW), **options}
    return train_look_policy(name, TRAIN, VAL, out=out, **how)


def test_networks_of_ones_own_are_told_apart_by_all_of_their_weights_and_settings() -> None:
    first, second = from_module(network(0)), from_module(network(1))
    assert classifier_name(first) != classifier_name(second)
    assert classifier_name(first) == classifier_name(from_module(network(0)))
    warmer = from_module(network(0))
    warmer.temperature = 50.0  # type: ignore[assignment]
    assert classifier_name(first) != classifier_name(warmer)


def operator(*, times: float = 1.0) -> Tensor:
    torch.manual_seed(2)
    return times * torch.randn(4, 1, 256)


class Amplified(RowSensor):
    """Rows by another gain."""

    def __init__(self, gain: float) -> None:
        self.gain = gain


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (LinearSensor(operator(), 16), LinearSensor(operator(times=3), 16)),
        (Amplified(1.0), Amplified(0.2)),
    ],
    ids=["operator", "own"],
)
def test_sensors_that_read_the_same_pixels_otherwise_are_others(one: Any, other: Any) -> None:
    names = [CandidateLooks.of(each, SHAPE).name for each in (one, other, one)]
    assert names[0] == names[2] != names[1]
    policy = ValueNet(TINY, looks=names[0], classifier="any")
    with pytest.raises(ValueError, match=r"it was trained for .*, not for"):
        policy.check_looks(CandidateLooks.of(other, SHAPE))


class Locked(ClueClassifier):
    """As one that holds a session of another library."""

    def __init__(self) -> None:
        self.lock = threading.Lock()


class Counting(ClueClassifier):
    calls = 0

    def log_probs(self, observation: Observation) -> Tensor:
        self.calls += 1
        return super().log_probs(observation)


class TwoAnswers:
    def log_probs(self, observation: Observation) -> Tensor:
        return torch.full((len(observation), 2), 0.5).log()


class Shrinking:
    """Offers no look twice."""

    def designs(self, observation: Observation) -> Tensor:
        return GRID.designs(observation)[: 15 if observation.seen.any() else 16]

    observe, cost = staticmethod(GRID.observe), staticmethod(GRID.cost)


@pytest.mark.parametrize("name", ["value", "greedy"])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"classifier": Locked()}, "classifier: it is Locked .* at first and Locked .* __finger"),
        ({"classifier": Counting()}, "classifier: it is Counting .* at first and Counting"),
        ({"classifier": TwoAnswers()}, r"TwoAnswers.log_probs returned \(2,\) .* asks for \(3,\)"),
        ({"sensor": PatchSensor(16, 0.25, 1)}, "PatchSensor offers one look; expected several"),
        ({"sensor": Shrinking()}, "the candidates of Shrinking depend on what has been seen"),
    ],
    ids=["unreadable", "changing", "question", "one look", "candidates"],
)
def test_what_nothing_could_be_trained_for_is_refused_before_any_work(
    name: str, options: Any, words: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=words):
        trained(tmp_path / "out.safetensors", name=name, **options)
    assert not list(tmp_path.iterdir())


def test_a_training_from_python_claims_no_parts_that_it_did_not_have(tmp_path: Path) -> None:
    """The default sensor and the shipped classifier would be trained for in silence."""
    out = tmp_path / "value.safetensors"
    trained(out, sensor=LinearSensor(operator(), 16))
    recipe = Recipe.read(out)
    assert (recipe.sensor, recipe.classifier) == ({"name": "LinearSensor"}, "ClueClassifier")
    told = load_weights(out)[1]["recipe"]
    with pytest.raises(ValueError, match=r"LinearSensor|ClueClassifier"):
        train_recipe(Recipe.of({**told, "data": "digits"}), tmp_path / "again.safetensors")


@pytest.mark.parametrize("scale", [1e-9, 1e5])
def test_readings_of_any_unit_are_scaled(scale: float, tmp_path: Path) -> None:
    out, sensor = tmp_path / "value.safetensors", LinearSensor(operator(times=scale), 16)
    network = begun(TRAIN, sensor, ClueClassifier(), looks=CandidateLooks.of(sensor, SHAPE))
    network.save(out, {})
    read = network.load(out).network
    typical = float(sensor.forward(TRAIN.scenes()).std())
    assert 0.2 * typical < float(read.std.mean()) < 5 * typical  # type: ignore[union-attr,operator]
    assert read.mean.isfinite().all()  # type: ignore[union-attr,operator]


def test_designs_below_0_are_scaled_as_those_above() -> None:
    class Shifted(RowSensor):
        def designs(self, observation: Observation) -> Tensor:
            return (super().designs(observation) - 15) * 1000

        def observe(self, observation: Observation, scene: Tensor, design: Tensor) -> Observation:
            return super().observe(observation, scene, (design / 1000 + 15).long())

    looks = CandidateLooks.of(Shifted(), SHAPE)
    config = ValueConfig(numbers=256, readings=256, entries=1, width=8)
    network = ValueNet(config, looks=looks.name, classifier="any").network
    read: list[Tensor] = []
    network.look.register_forward_hook(lambda *each: read.append(each[1][0]))  # type: ignore[union-attr,operator]
    network(Observation.nothing(1, 1, 16), looks)
    assert read[0].abs().max() <= 1


@pytest.mark.parametrize("header", [{}, {"recipe": {"kind": "policy", "name": "value"}}])
def test_a_policy_that_tells_no_sensor_teaches_no_classifier(header: Any, tmp_path: Path) -> None:
    policy = tmp_path / "value.safetensors"
    looks = CandidateLooks.of(GRID, SHAPE).name
    ValueNet(TINY, looks=looks, classifier="any").save(policy, header)
    asked = Recipe(kind="classifier", data="digits", policy=str(policy), training={"steps": 1})
    with pytest.raises(ValueError, match="does not say for which sensor it was trained; name it"):
        train_recipe(asked, tmp_path / "classifier.safetensors")


@pytest.mark.parametrize("name", ["densenet-digits-32", "deep-adaptive-location-finding-10"])
def test_what_is_no_look_policy_teaches_no_classifier(name: str, tmp_path: Path) -> None:
    folder = "classifiers" if name.startswith("densenet") else "policies"
    path = str(Path(__file__).parents[3] / folder / name / "weights.safetensors")
    asked = Recipe(kind="classifier", data="digits", policy=path, training={"steps": 1})
    with pytest.raises(ValueError, match="expected"):
        train_recipe(asked, tmp_path / "classifier.safetensors")
    assert not list(tmp_path.iterdir())


def test_results_say_which_file_proposed(tmp_path: Path) -> None:
    out = tmp_path / "mine.safetensors"
    trained(out)
    asked = [f"other={out}", f"boed_value={out}"]
    run = setup(
        VAL, sensor=GRID, classifier=ClueClassifier(), completer=ClueCompleter(CLUES),
        policies=asked, completions=2,
    )  # fmt: skip
    told = run.about["checkpoints"]
    assert told["other"] == told["boed_value"]
    assert told["other"]["name"] == "mine.safetensors"
    assert len(told["other"]["sha256"]) == 16
