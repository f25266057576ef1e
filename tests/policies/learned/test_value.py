"""Value networks: a planted clue is found, what they are not for is refused."""

from __future__ import annotations

import math
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from boed.acquire import acquire
from boed.classifiers.networks.densenet import DenseNetConfig
from boed.data.dataset import Dataset
from boed.data.observation import Observation
from boed.foundation.files import load_weights
from boed.foundation.interruption import Interrupted
from boed.policies.learned import CandidateLooks, Value, ValueConfig, ValueNet, train_look_policy
from boed.policies.learned.situations import TARGETS, Completed, Target, roll_out, situations
from boed.policies.learned.training import begun
from boed.sensors import Features, KSpaceLines, Lines, PatchSensor, PixelBlocks
from boed.sensors.sensor import new_readings
from boed.testing import check_policy
from boed.training.config import ValueTrainingConfig
from tests.doubles import TILES, ClueClassifier, ClueCompleter, Clues, Constant, RowSensor

PLACES = ((8, 4), (0, 8))
CLUES = Clues(PLACES)
TRAIN, VAL = CLUES.dataset(200), CLUES.dataset(24, seed=1)
GRID = PatchSensor(16, 0.25, 4)
AT = [TILES.index(place) for place in PLACES]
ENCODER = DenseNetConfig(
    size=16, channels=1, outputs=3, stem=4, width=16, growth=(8,), layers=(1,), std=0.1
)
TINY = ValueConfig(encoder=ENCODER, width=16)
TRAINING = ValueTrainingConfig(
    steps=60, batch=12, lr=3e-2, warmup=5, betas=(0.9, 0.99), ema=0.9, clip=1.0, every=50,
    looks=2, moments=2, candidates=16, watched=24, precision="fp32",
)  # fmt: skip


def trained(out: Path, **options: Any) -> ValueNet:
    how = {"sensor": GRID, "training": TRAINING, "config": TINY, **options}
    return train_look_policy("value", TRAIN, VAL, classifier=ClueClassifier(), out=str(out), **how)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("value") / "value.safetensors"
    trained(out)
    return out


@pytest.fixture
def value(checkpoint: Path) -> Value:
    return Value(ValueNet.load(checkpoint), ClueClassifier())


def test_it_looks_where_the_clue_may_be_and_then_where_it_must_be(value: Value) -> None:
    path = acquire(VAL.scenes(), GRID, value, steps=2, classifier=ClueClassifier())
    index = path.decisions[0].chosen.tolist(), path.decisions[1].chosen.tolist()
    assert set(index[0]) <= set(AT)
    unknown = path.log_beliefs[:, 1].exp().amax(1) < 0.5
    assert 0 < unknown.sum() < len(VAL)
    for first, second, still in zip(*index, unknown.tolist(), strict=True):
        assert not still or second == sum(AT) - first
    assert path.log_beliefs[:, 2].exp().amax(1).gt(0.99).all()


def test_its_map_is_the_information_that_is_gained(value: Value) -> None:
    """Of ln 3 at either place the share of clues there, more at the other, none once known."""
    scenes = VAL.scenes()
    path = acquire(scenes, GRID, value, steps=2, classifier=ClueClassifier())
    first, second = (each.scores for each in path.decisions)
    assert first is not None
    assert second is not None
    expected = torch.zeros(16)
    for at, (row, column) in zip(AT, PLACES, strict=True):
        mask = torch.zeros(len(VAL), 1, 16, 16)
        mask[..., row : row + 4, column : column + 4] = 1
        found = ClueClassifier().log_probs(Observation.of(scenes, mask)).exp().amax(1) > 0.5
        expected[at] = math.log(3) * found.float().mean()
    assert torch.allclose(first[0], expected, atol=0.2)
    unknown = path.log_beliefs[:, 1].exp().amax(1) < 0.5
    assert path.scores[unknown, 1].min() > 0.4 > 0.3 > second[~unknown].amax()
    header = value.network.provenance
    figures = header["scores"]["val"]
    assert figures["val_expected"] == pytest.approx(figures["val_gained"], abs=1e-4)
    assert 0.7 < header["scale"] < 1.4
    assert figures["val_nll@2"] < 0.01 < figures["val_nll@1"]
    assert header["looks"] == CandidateLooks.of(GRID, (1, 16, 16)).name


def test_the_first_look_is_known_and_not_learned(tmp_path: Path) -> None:
    """The mean gain of each look over scenes, whatever the network says; kept with it."""
    network = trained(tmp_path / "value.safetensors", training=replace(TRAINING, steps=1))
    assert network.first is not None
    known = [network.first[at] for at in AT]  # each scene of val has its clue at one of them
    assert sum(known) == pytest.approx(math.log(3), abs=1e-4)
    assert min(known) > 0.2
    assert sum(map(abs, network.first)) == pytest.approx(sum(known), abs=1e-4)
    looks, blank = CandidateLooks.of(GRID, (1, 16, 16)), Observation.nothing(2, 1, 16)
    after = Observation.of(VAL.scenes(slice(2)), torch.ones(2, 1, 16, 16))
    values = network(blank.with_rows(torch.tensor([1]), after[1:]), looks)
    assert torch.equal(values[0], torch.tensor(network.first))
    assert torch.equal(values[1], torch.zeros(16))


class Hasty(ClueClassifier):
    """All but sure of the first answer once the first tile has been seen, which tells nothing."""

    def log_probs(self, observation: Observation) -> Tensor:
        seen = observation.mask[:, :1, 0, 0] > 0
        return torch.where(
            seen, torch.tensor([0.98, 0.01, 0.01]).log(), super().log_probs(observation)
        )


@pytest.mark.parametrize("target", ["label", "belief", "information"])
def test_a_first_look_that_only_seems_to_tell_is_known_to_cost(target: str, tmp_path: Path) -> None:
    few = replace(TRAINING, steps=1, target=target)
    network = train_look_policy(
        "value", TRAIN, VAL, sensor=GRID, classifier=Hasty(), training=few, config=TINY,
        out=tmp_path / "value.safetensors",
    )  # fmt: skip
    assert network.first is not None
    assert network.first[0] < -1


@pytest.mark.parametrize("target", ["belief", "information", "map"])
def test_other_targets_teach_the_same(target: str, tmp_path: Path) -> None:
    completer = ClueCompleter(CLUES) if target == "map" else None
    few = replace(TRAINING, steps=30, moments=1, target=target)
    network = trained(tmp_path / "value.safetensors", training=few, completer=completer)
    looks, mask = CandidateLooks.of(GRID, (1, 16, 16)), torch.zeros(1, 1, 16, 16)
    mask[..., :4, :4] = 1  # where no clue is
    assert set(torch.tensor(network.first).topk(2).indices.tolist()) == set(AT)
    with torch.no_grad():
        values = network(Observation.of(VAL.scenes(slice(1)), mask), looks)[0]
    assert set(values.topk(2).indices.tolist()) == set(AT)


def test_a_map_needs_a_completer_and_nothing_else_takes_one(tmp_path: Path) -> None:
    out = tmp_path / "value.safetensors"
    with pytest.raises(ValueError, match="target is 'map', completer is not given"):
        trained(out, training=replace(TRAINING, target="map"))
    with pytest.raises(ValueError, match="target is 'label', completer is ClueCompleter"):
        trained(out, completer=ClueCompleter(CLUES))
    assert not list(tmp_path.iterdir())


def test_an_interrupted_training_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    few = replace(TRAINING, steps=6, every=2)
    trained(tmp_path / "whole.safetensors", training=few)

    def stop(step: int, _: float) -> None:
        if step == 3:
            signal.raise_signal(signal.SIGINT)

    out = tmp_path / "parts.safetensors"
    with pytest.raises(Interrupted, match="3 of 6 steps are stored"):
        trained(out, training=few, on_step=stop)
    trained(out, training=few)
    (whole, one), (parts, other) = (
        load_weights(tmp_path / f"{name}.safetensors") for name in ("whole", "parts")
    )
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    assert one["history"] == other["history"]
    with pytest.raises(ValueError, match="holds another training: about: looks is 'Patch"):
        trained(out, training=few, sensor=Lines(16))


SENSORS: dict[str, tuple[Any, tuple[int, int, int]]] = {
    "patches": (PatchSensor(16, 0.25, 5), (1, 16, 16)),
    "patches, colour": (PatchSensor(16, 0.25, 3), (3, 16, 16)),
    "pixels": (PixelBlocks(8), (1, 8, 8)),
    "lines": (Lines(8, "both"), (1, 8, 8)),
    "k-space": (KSpaceLines(8), (1, 8, 8)),
    "features": (Features(5), (1, 1, 5)),
    "own rows": (RowSensor(), (1, 6, 6)),
    "noise": (PatchSensor(16, 0.25, 3, noise=0.1), (1, 16, 16)),
}


def untrained(name: str) -> tuple[Value, Any, tuple[int, int, int]]:
    """A policy with any weights."""
    sensor, shape = SENSORS[name]
    images = torch.randint(256, (30, *shape), generator=torch.Generator().manual_seed(0))
    data = Dataset(
        name="any", split="train", images=images.byte(), labels=torch.arange(30) % 3,
        label_names=("a", "b", "c"),
    )  # fmt: skip
    classifier = Constant([-math.log(3)] * 3)
    torch.manual_seed(1)
    looks = CandidateLooks.of(sensor, shape)
    network = begun(data, sensor, classifier, looks=looks).eval().requires_grad_(False)
    torch.nn.init.normal_(network.network.values.output.weight)  # type: ignore[union-attr, arg-type]
    return Value(network, classifier), sensor, shape


@pytest.mark.parametrize("name", SENSORS)
def test_it_is_a_policy_for_every_sensor_with_a_list_of_looks(name: str) -> None:
    policy, sensor, shape = untrained(name)
    check_policy(policy, shape, sensor=sensor)


@pytest.mark.parametrize("name", SENSORS)
def test_nothing_is_looked_at_twice_and_what_is_known_has_no_value(name: str) -> None:
    policy, sensor, shape = untrained(name)
    scenes = torch.rand(2, *shape, generator=torch.Generator().manual_seed(2))
    number = len(sensor.designs(Observation.nothing_of(scenes)))
    steps = min(number, 20)
    path = acquire(scenes, sensor, policy, steps=steps, classifier=policy.classifier)
    assert path.looks.min() > 1
    for taken, designs in zip(path.looks.tolist(), path.designs, strict=True):
        assert len(designs[:taken].unique(dim=0)) == taken
    first, second = path.decisions[:2]
    assert first.scores is not None
    assert second.scores is not None
    assert first.scores.std(1).min() > 1e-3  # looks differ
    assert second.scores[torch.arange(2), first.chosen].abs().max() < 1e-6


@pytest.mark.parametrize("name", ["pixels", "patches", "features"])
def test_a_scene_is_one_row_of_a_batch_whatever_its_size(name: str) -> None:
    policy, sensor, shape = untrained(name)
    scenes = torch.rand(3, *shape)
    seen = Observation.of(scenes, (torch.rand(3, 1, *shape[1:]) < 0.3).float())
    whole = policy.expected_gains(seen, sensor)
    alone = torch.cat([policy.expected_gains(seen[b : b + 1], sensor) for b in range(3)])
    assert whole.shape == (3, len(sensor.designs(seen)))
    assert torch.allclose(whole, alone, atol=1e-5)


@pytest.mark.parametrize(
    ("sensor", "size", "words"),
    [
        (PatchSensor(16, 0.25, 5), 16, "16 looks at 16 of 256 pixels.*not for.*25 looks at 16"),
        (PatchSensor(16, 0.5, 4), 16, "16 looks at 16 of 256.*not for.*16 looks at 64 of 256"),
        (Lines(16), 16, "PatchSensor, 16 looks.*not for Lines, 16 looks"),
        (PatchSensor(32, 0.25, 4), 32, "1 x 16 x 16.*not for.*scenes of 1 x 32 x 32"),
        (PatchSensor(16, 0.25, 4, noise=0.1), 16, "not for PatchSensor with noise 0.1"),
        (PatchSensor(16, 0.25, torch.tensor(TILES[:-1])), 16, "16 looks at.*not for.*15 looks"),
        (PatchSensor(16, 0.25, torch.tensor(TILES[::-1])), 16, "16 looks at.*not for.*16 looks"),
    ],
    ids=["grid", "width", "sensor", "size", "noise", "fewer", "order"],
)
def test_other_looks_are_refused_with_both_named(
    sensor: Any, size: int, words: str, value: Value
) -> None:
    with pytest.raises(ValueError, match=f"it was trained for.*{words}"):
        value.choose(Observation.nothing(2, 1, size), sensor)


def test_another_classifier_is_refused_with_both_named(checkpoint: Path) -> None:
    network = ValueNet.load(checkpoint)
    with pytest.raises(ValueError, match=r"for the classifier ClueClassifier \w+, not for Const"):
        Value(network, Constant([-math.log(3)] * 3))


def test_looks_that_depend_on_what_was_seen_are_refused(value: Value) -> None:
    class Shrinking:
        designs = staticmethod(lambda seen: GRID.designs(seen)[: 15 if seen.seen.any() else 16])
        observe, cost = GRID.observe, GRID.cost
        __qualname__ = "PatchSensor"

    sensor, scenes = Shrinking(), VAL.scenes(slice(2))
    looks = CandidateLooks.of(sensor, (1, 16, 16))
    policy = replace(value, network=ValueNet(TINY, looks=looks.name, classifier=named(value)))
    seen = Observation.of(scenes, torch.ones(2, 1, 16, 16))
    with pytest.raises(ValueError, match="candidates of Shrinking depend on what has been seen"):
        policy.choose(seen, sensor)


def named(value: Value) -> str:
    return value.network.classifier


def test_looks_within_a_cell_can_be_told_apart() -> None:
    policy, sensor, _ = untrained("pixels")
    assert policy.network.config.fine == 4
    gains = policy.expected_gains(Observation.nothing(1, 1, 8), sensor)
    assert len(gains.unique()) == 64
    assert untrained("patches")[0].network.config.fine == 1


@pytest.mark.parametrize(
    "sensor", [GRID, PixelBlocks(16), Lines(16)], ids=["patch", "pixel", "line"]
)
def test_a_map_is_read_in_the_mean_over_each_look(sensor: Any) -> None:
    looks, places = CandidateLooks.of(sensor, (1, 16, 16)), torch.rand(2, 3, 16, 16)
    shown = looks.shown.unflatten(1, (16, 16)) > 0
    expected = torch.stack([places[..., each].mean(-1) for each in shown], dim=1)
    assert torch.allclose(looks.mean_of(places), expected, atol=1e-6)


def test_what_is_new_of_single_pixels_is_what_has_not_been_seen() -> None:
    looks = CandidateLooks.of(PixelBlocks(8), (1, 8, 8))
    seen = Observation.of(torch.rand(3, 1, 8, 8), (torch.rand(3, 1, 8, 8) < 0.4).float())
    assert torch.equal(looks.new_share(seen), new_readings(seen, looks.shown))
    assert torch.equal(looks.new_share(seen), 1 - seen.mask.flatten(1))


def asked_of(scenes: Tensor, steps: int = 3, most: int = 3, candidates: int = 4) -> Any:
    looks = CandidateLooks.of(GRID, (1, 16, 16))
    network = ValueNet(TINY, looks=looks.name, classifier="")
    torch.manual_seed(0)
    rolled = roll_out(
        network, scenes, looks, sensor=GRID, steps=steps, explore=1.0, seeds=[0] * len(scenes)
    )
    return rolled, situations(rolled, looks, candidates=candidates, most=most), looks


def test_each_moment_judges_the_look_taken_and_others_that_are_new() -> None:
    rolled, asked, looks = asked_of(VAL.scenes(slice(5)), most=2)
    assert len(asked.observation) == len(asked.scene) == 10
    assert asked.judged.sum(1).tolist() == [4] * 10
    new = looks.new_share(asked.observation) > 0
    assert not (asked.judged & ~new).any()
    step = (asked.observation.fraction_seen * 16).round().long()
    taken = rolled.chosen[step, asked.scene]
    assert asked.judged[torch.arange(10), taken].all()
    assert len(set(zip(asked.scene.tolist(), step.tolist(), strict=True))) == 10


def test_fewer_looks_than_asked_for_are_judged_where_no_more_are_new() -> None:
    _, asked, _ = asked_of(VAL.scenes(slice(2)), steps=16, most=16, candidates=9)
    left = 16 - (asked.observation.fraction_seen * 16).round().long()
    assert asked.judged.sum(1).tolist() == left.clamp(max=9).tolist()


@pytest.mark.parametrize("target", ["label", "belief", "information", "map"])
def test_a_gain_is_the_fall_of_the_log_loss(target: str) -> None:
    scenes, labels = VAL.scenes(slice(6)), VAL.labels[:6]
    _, asked, _ = asked_of(scenes, candidates=16)
    taught = {**TARGETS, "map": Target(Completed(ClueCompleter(CLUES), 1))}[target]
    torch.manual_seed(0)
    given = taught.judges(asked, scenes, labels)
    torch.manual_seed(0)
    gains = taught(asked, scenes, labels, sensor=GRID, classifier=ClueClassifier())
    assert torch.equal(gains.isnan(), ~asked.judged)
    known = ClueClassifier().levels_seen(asked.observation).any(1)
    for row in range(len(gains)):
        shown = ClueClassifier().levels_seen(Observation.everything(given.scenes[0, row : row + 1]))
        assert shown.sum() == 1
        at = [k for k in AT if gains[row, k] > 1]
        assert len(at) == (0 if known[row] else 1)
        rest = [k for k in range(16) if k not in at and asked.judged[row, k]]
        assert gains[row, rest].abs().max() < 1e-5


def test_the_row_of_a_table_is_looked_up_where_its_answer_stands(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    answer = torch.randint(2, (200,), generator=generator)
    rows = torch.rand(200, 1, 1, 4, generator=generator)
    rows[:, 0, 0, 2] = 0.25 + 0.5 * answer

    class Reads:
        def log_probs(self, observation: Observation) -> Tensor:
            seen, value = observation.mask[:, 0, 0, 2], observation.values[:, 0, 0, 2]
            bright = torch.where(seen > 0, (value > 0.5).float() * 0.98 + 0.01, 0.5)
            return torch.stack([1 - bright, bright], dim=1).log()

    table = Dataset(
        name="rows", split="train", images=rows, labels=answer, label_names=("no", "yes")
    )
    few = replace(TRAINING, steps=30, candidates=4)
    out = tmp_path / "value.safetensors"
    network = train_look_policy(
        "value", table, table, sensor=Features(4), classifier=Reads(), out=out, training=few
    )
    assert network.config.encoder is None
    path = acquire(rows[:5], Features(4), Value(network, Reads()), steps=2, classifier=Reads())
    assert path.designs[:, 0, 0].tolist() == [2] * 5
    assert path.scores[:, 0].mean() == pytest.approx(math.log(2 * 0.99), abs=0.15)


def test_exploration_falls_in_a_straight_line() -> None:
    how = replace(TRAINING, steps=100, explore=0.2, exploring=0.5)
    shares = [how.exploration(step) for step in (0, 25, 50, 99)]
    assert shares == pytest.approx([1, 0.6, 0.2, 0.2])
