"""Sessions with policies that choose by one pass of a network, and looks of whole numbers."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from boed.acquire import acquire
from boed.data.dataset import Dataset
from boed.policies.learned import NETWORKS, ONE_PASS, CandidateLooks
from boed.policies.learned.training import begun
from boed.sensors import Features, KSpaceLines, PatchSensor, Sensor
from boed.sensors.reading import read
from boed.session import Session
from boed.session.pending import Pending
from tests.doubles import Constant, RowSensor

SENSORS: dict[str, tuple[Sensor, tuple[int, int, int]]] = {
    "patches": (PatchSensor(16, 0.25, 7), (1, 16, 16)),
    "lines of k-space": (KSpaceLines(16), (1, 16, 16)),
    "features": (Features(5), (1, 1, 5)),
    "own rows": (RowSensor(), (1, 6, 6)),
}


def session(name: str, kind: str) -> tuple[Session, torch.Tensor]:
    sensor, shape = SENSORS[name]
    images = torch.randint(256, (30, *shape), generator=torch.Generator().manual_seed(0)).byte()
    labels = torch.arange(30) % 3
    data = Dataset(
        name="any", split="train", images=images, labels=labels, label_names=("a", "b", "c")
    )
    classifier = Constant([-math.log(3)] * 3)
    torch.manual_seed(1)
    looks = CandidateLooks.of(sensor, shape)
    asked: Any = {"looks": looks, "kind": NETWORKS[kind]}
    network = begun(data, sensor, classifier, **asked).eval().requires_grad_(False)
    torch.nn.init.normal_(network.network.values.output.weight)
    policy = ONE_PASS[kind](network, classifier)
    return Session(sensor, policy, classifier, shape=shape), data.scenes(slice(1))


@pytest.mark.parametrize("kind", ONE_PASS)
@pytest.mark.parametrize("name", SENSORS)
def test_pending_looks_are_not_repeated_and_a_vetoed_one_stays_out(kind: str, name: str) -> None:
    made, scene = session(name, kind)
    with made:
        looks = made.suggest(3)
        assert len({each.design for each in looks}) == len(looks) == 3
        made.veto(looks[0])
        reading = read(made.sensor, scene, torch.tensor(looks[1].design))
        made.ingest(looks[1], reading)
        after = made.suggest(1)[0]
        assert after.design not in {each.design for each in looks}


@pytest.mark.parametrize("kind", ONE_PASS)
@pytest.mark.parametrize("name", SENSORS)
def test_a_session_makes_the_looks_of_acquire(kind: str, name: str) -> None:
    made, scene = session(name, kind)
    classifier = Constant([-math.log(3)] * 3)
    expected = acquire(scene, made.sensor, made.policy, steps=3, classifier=classifier, seed=0)
    with made:
        for _ in range(3):
            (look,) = made.suggest()
            made.ingest(look, read(made.sensor, scene, torch.tensor(look.design)))
        told = torch.tensor([look.design for look in made.looks])
        assert torch.equal(told, expected.designs[0].to(told))
        assert torch.equal(made.observation.values, expected.observations[-1].values)


@pytest.mark.parametrize("kind", ONE_PASS)
def test_a_gain_counts_by_what_the_pending_looks_leave_of_it(kind: str) -> None:
    made, _ = session("patches", kind)
    sensor, blank = made.sensor, made.observation
    alone = made.policy.look_values(blank, sensor)[0]
    designs = sensor.designs(blank)
    beside = Pending(sensor, designs[:1], without=designs[:0], reserved=0.0)
    found = made.policy.look_values(blank, beside)[0]
    assert len(found) == len(alone) - 1
    assert torch.allclose(found[-1], alone[-1])
    if kind == "greedy":  # logits
        assert torch.allclose(found[0], alone[1] - math.log(2))
    else:
        assert torch.allclose(found[0], alone[1] / 2)  # half of the neighbour is read by the look


def test_a_look_that_nobody_suggested_is_of_whole_numbers_where_the_sensors_are() -> None:
    made, scene = session("own rows", "value")
    with made:
        made.ingest((2,), read(made.sensor, scene, torch.tensor([2])))
        assert made.looks[-1].design == (2,)
        with pytest.raises(ValueError, match=r"is no design of RowSensor: expected whole numbers"):
            made.choose((1.5,))
