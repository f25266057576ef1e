"""What moving from look to look costs counts wherever cost counts, for every sensor that has it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from boed.acquire import acquire
from boed.acquisition import Budget
from boed.benchmark.sweep import benchmark
from boed.data.observation import Observation
from boed.foundation.identity import identity
from boed.policies import BOED, FirstLook, FixedDesign, Random
from boed.report.page import what_was_run
from boed.sensors import Features, KSpaceLines, Lines, PatchSensor, PixelBlocks, Sensor
from boed.sensors.reading import read
from boed.sensors.registry import sensor_named
from boed.sensors.sensor import candidate_costs, candidates, costs, look
from boed.session import Session
from boed.testing import check_sensor
from tests.doubles import ClueClassifier, ClueCompleter, Clues, Constant, RowSensor

BELIEF = Constant((-0.7, -0.7))


class Stage(RowSensor):
    """A user's sensor: going down costs 1 a row, going up is free."""

    start = torch.tensor([2])

    def travel(self, a: Tensor, b: Tensor) -> Tensor:
        return (b - a)[:, 0].clamp(min=0).float()


class Spectrometer(KSpaceLines):
    """One that reads no pixels, and says in its own way what moving costs."""

    def travel(self, a: Tensor, b: Tensor) -> Tensor:
        return (a - b).abs()[:, 0].float()


def euclid(a: list[float], b: list[float]) -> float:
    return 0.5 * math.dist(a, b)


Way = Callable[[list[float], list[float]], float]

SENSORS: dict[str, tuple[Callable[[], Sensor], tuple[int, int, int], Way]] = {
    "patch": (lambda: PatchSensor(12, 0.25, 4, travel=0.5), (1, 12, 12), euclid),
    "patch from a corner": (
        lambda: PatchSensor(12, 0.25, 4, travel=0.5, start=torch.tensor([9, 0])),
        (1, 12, 12),
        euclid,
    ),
    "blocks": (lambda: PixelBlocks((8, 6), 2, travel=0.5), (1, 8, 6), euclid),
    "rows": (lambda: Lines((8, 6), travel=0.5, start=torch.tensor([7.0])), (1, 8, 6), euclid),
    "columns": (lambda: Lines((8, 6), "column", travel=0.5), (2, 8, 6), euclid),
    "rows and columns": (
        lambda: Lines((5, 7), "both", travel=0.5),
        (1, 5, 7),
        lambda a, b: euclid(*([[2, c], [r, 3]][axis == 0] for axis, r in (a, b) for c in (r,))),
    ),
    "features": (lambda: Features(6, [1.0, 2, 3, 4, 5, 6], travel=0.5), (1, 1, 6), euclid),
    "a user's stage": (Stage, (1, 6, 6), lambda a, b: max(b[0] - a[0], 0)),
    "no pixels": (lambda: Spectrometer((6, 8)), (2, 6, 8), lambda a, b: abs(a[0] - b[0])),
}

each = pytest.mark.parametrize("name", SENSORS)


def by_hand(sensor: Sensor, way: Way, designs: Tensor) -> list[float]:
    """What some looks cost one after the other."""
    start = getattr(sensor, "start", None)
    before = [None if start is None else start.tolist(), *designs.tolist()[:-1]]
    moves = [0.0 if a is None else way(a, b) for a, b in zip(before, designs.tolist(), strict=True)]
    return (costs(sensor, designs) + torch.tensor(moves)).tolist()


@each
def test_the_way_to_every_look_is_part_of_its_cost(name: str) -> None:
    make, shape, way = SENSORS[name]
    sensor, scenes = make(), torch.rand(3, *shape)
    check_sensor(sensor, shape)
    path = acquire(scenes, sensor, Random(), steps=4, classifier=BELIEF, seed=3)
    assert len({tuple(row) for row in path.designs[:, 0].tolist()}) > 1
    for b in range(3):
        expected = by_hand(sensor, way, path.designs[b])
        assert path.costs[b].tolist() == pytest.approx(expected, rel=1e-5)


@each
def test_a_session_pays_what_acquire_pays_and_resumes_where_it_stood(
    name: str, tmp_path: Path
) -> None:
    make, shape, _ = SENSORS[name]
    scene = torch.rand(1, *shape)
    path = acquire(scene, make(), Random(), steps=4, classifier=BELIEF, seed=3)
    for _ in range(4):
        with Session(make(), Random(), BELIEF, path=tmp_path, shape=shape, seed=3) as session:
            (now,) = session.suggest()
            session.ingest(now, read(make(), scene, torch.tensor(now.design)))
    paid = [each.cost for each in session.looks]
    assert paid == pytest.approx(path.costs[0].tolist(), rel=1e-5)
    assert session.spent == pytest.approx(sum(paid))


@each
def test_a_budget_has_room_for_looks_and_ways(name: str) -> None:
    make, shape, _ = SENSORS[name]
    scene = torch.rand(1, *shape)
    free = acquire(scene, make(), Random(), steps=4, classifier=BELIEF, seed=3)
    limit = Budget(cost=float(free.costs[0, :3].sum()) + 1e-3)
    path = acquire(scene, make(), Random(), steps=4, classifier=BELIEF, seed=3, budget=limit)
    assert int(path.looks[0]) == (3 if free.costs[0, 3] > 1e-3 else 4)


@each
def test_candidates_cost_what_they_would_cost_one_by_one(name: str) -> None:
    make, shape, _ = SENSORS[name]
    sensor, scenes = make(), torch.rand(2, *shape)
    seen = Observation.nothing_of(scenes)
    designs = candidates(sensor, seen)
    for _ in range(2):
        one_by_one = [
            [float(costs(sensor, row[None], before=seen[b : b + 1])[0]) for row in designs]
            for b in range(2)
        ]
        torch.testing.assert_close(candidate_costs(sensor, seen, designs), torch.tensor(one_by_one))
        seen = look(sensor, seen, scenes, design=designs[[1, -1]], seeds=[0, 1])


@each
def test_looks_together_are_paid_in_their_order(name: str) -> None:
    """Pending ones are on the way to the next; what is read in another order is paid so."""
    make, shape, way = SENSORS[name]
    sensor, scene = make(), torch.rand(1, *shape)
    session = Session(sensor, Random(), BELIEF, shape=shape, seed=3)
    looks = session.suggest(3)
    designs = torch.tensor([each.design for each in looks])
    assert [each.cost for each in looks] == pytest.approx(by_hand(sensor, way, designs), rel=1e-5)
    order = [2, 0, 1]
    session.ingest(looks[2], read(sensor, scene, designs[2]))
    session.ingest(looks[0], None)  # a look that failed moved the sensor, too
    session.ingest(looks[1], read(sensor, scene, designs[1]))
    paid = by_hand(sensor, way, designs[order])
    assert [session.looks[k].cost for k in order] == pytest.approx(paid, rel=1e-5)


def test_of_equal_looks_per_cost_takes_the_nearer_one() -> None:
    clues = Clues(((0, 0), (0, 12), (12, 0)))
    scene = clues.dataset(1).scenes()
    sensor = PatchSensor(16, 0.25, 4, travel=0.05, start=torch.tensor([12, 0]))

    policy = BOED(
        ClueCompleter(clues), ClueClassifier(), n=30, first_look=FirstLook(n=60), per_cost=True
    )
    path = acquire(scene, sensor, policy, steps=1, classifier=ClueClassifier())
    assert path.designs[0, 0].tolist() == [12, 0]
    other = PatchSensor(16, 0.25, 4, travel=0.05, start=torch.tensor([0, 12]))
    path = acquire(scene, other, policy, steps=1, classifier=ClueClassifier())
    assert path.designs[0, 0].tolist() == [0, 12]
    session = Session(sensor, policy, ClueClassifier())
    session.ingest((0, 12), None)  # nothing was seen, yet it stands elsewhere
    assert [each.design for each in session.suggest(2)] == [(0, 0), (12, 0)]


def test_the_environment_charges_the_way() -> None:
    pytest.importorskip("gymnasium", minversion="1.1")
    from boed.environments import SensingEnv

    data, sensor = Clues().dataset(3), PatchSensor(16, 0.25, 4, travel=0.1)
    env = SensingEnv(data, sensor, 3, classifier=ClueClassifier(), cost_weight=2.0)
    env.reset(options={"scene": 0})
    logits = torch.zeros(3).numpy()
    paid = [env.step({"action": k, "prediction": logits})[4]["base_reward"] for k in (0, 3, 12)]
    ways = [0.0, 0.1 * 12, 0.1 * math.hypot(12, 12)]
    assert paid == pytest.approx([-2 * (1 / 16 + way) for way in ways], rel=1e-5)


def test_results_and_their_report_carry_the_way() -> None:
    data, sensor = Clues().dataset(4), PatchSensor(16, 0.25, 4, travel=0.1)
    policy = FixedDesign(torch.tensor([[0, 0], [12, 0]]))
    results = benchmark(
        data, sensor, ClueClassifier(), policies={"corners": policy}, steps=2, seeds=[0]
    )
    cost = results["cost"].values.reshape(-1, 2)
    assert cost[:, 0].tolist() == pytest.approx([1 / 16] * 4)
    assert cost[:, 1].tolist() == pytest.approx([1 / 16 + 1.2] * 4)
    assert json.loads(results.attrs["sensor"])["travel"] == 0.1
    assert dict(what_was_run(results))["sensor"] == "PatchSensor, 16 candidates, travel 0.1"


def test_sensors_that_stand_still_are_as_they_were() -> None:
    """Neither what is known of them nor of a scene holds anything about moving."""
    still, moving = PatchSensor(16, travel=0.0), PatchSensor(16, travel=0.1)
    assert vars(still).keys() == vars(PatchSensor(16)).keys()
    assert identity(still) == identity(PatchSensor(16)) != identity(moving)
    scene = torch.rand(1, 1, 16, 16)
    policy = FixedDesign(torch.tensor([[0, 0], [8, 8]]))
    path = acquire(scene, still, policy, steps=2, classifier=BELIEF)
    assert path.observations[-1].position is None
    assert path.costs[0].tolist() == [1 / 16, 1 / 16]


def test_an_observation_carries_where_the_sensor_is() -> None:
    seen = Observation(
        torch.zeros(2, 1, 4, 4), torch.zeros(2, 1, 4, 4), position=torch.tensor([[1.0], [2.0]])
    )
    assert seen[1:].position.tolist() == [[2.0]]
    assert seen.repeat(2).position.tolist() == [[1.0], [2.0]] * 2
    blank = Observation.nothing(3, 1, 4).with_rows(torch.tensor([2, 0]), seen)
    assert blank.position[[2, 0]].tolist() == [[1.0], [2.0]]
    assert blank.position[1].isnan().all()
    assert seen.with_seen(torch.ones(2, 1, 4, 4), torch.ones(2, 1, 4, 4)).position is seen.position
    with pytest.raises(ValueError, match=r"position must be \[2, K\] to go with .*got \(3, 1\)"):
        Observation(seen.values, seen.mask, position=torch.zeros(3, 1))


def test_sensors_by_name_take_travel() -> None:
    dataset = Clues().dataset(1)
    for name, start in (
        ("patch", [0, 12]), ("pixels,block=4", [8, 8]), ("lines", [3]), ("lines,axis=both", [1, 2]),
    ):  # fmt: skip
        sensor = sensor_named(f"{name},travel=0.25,start={start}", dataset)
        design = candidates(sensor, Observation.nothing(1, 1, 16))[:1]
        blank = Observation.nothing(1, 1, 16)
        way = float(costs(sensor, design, before=blank) - costs(sensor, design))
        place = sensor.place(torch.tensor([start]))  # type: ignore[attr-defined]
        expected = 0.25 * float((place - sensor.place(design)).norm())  # type: ignore[attr-defined]
        assert way == pytest.approx(expected, rel=1e-4)
        assert way > 0


class Wrong(RowSensor):
    def __init__(self, travel: object, start: object = None) -> None:
        self.travel, self.start = travel, start


WRONG: dict[str, tuple[Callable[[], object], str]] = {
    "negative": (lambda: PatchSensor(16, travel=-1), "travel is -1, expected a cost per pixel"),
    "infinite": (lambda: Lines(8, travel=math.inf), "travel is inf, expected a cost per pixel"),
    "NaN": (lambda: Features(3, travel=math.nan), "travel is nan, expected a cost per pixel"),
    "start alone": (
        lambda: PixelBlocks(8, 2, start=torch.tensor([0, 0])),
        "start is given, expected travel above 0 beside it",
    ),
    "start outside": (
        lambda: PatchSensor(16, travel=1, start=torch.tensor([15, 0])),
        r"start is \[15, 0\]: design spans pixels",
    ),
    "start of no design": (
        lambda: Lines(8, travel=1, start=torch.tensor([1.0, 2.0])),
        r"start is \[1.0, 2.0\]: design must be \(1, 1\)",
    ),
    "several starts": (
        lambda: Lines(8, travel=1, start=torch.tensor([[1.0], [2.0]])),
        r"start is \(2, 1\), expected one design \[K\]",
    ),
    "no method": (lambda: acquired(Wrong(3)), "sensor is a Wrong, without travel; expected"),
    "another call": (lambda: acquired(Wrong(lambda a: a)), "travel cannot be called as travel"),
    "another shape": (lambda: acquired(Wrong(lambda a, b: a)), r"travel returned .* \(1,\)"),
    "below 0": (lambda: acquired(Wrong(lambda a, b: -a[:, 0] - 1)), "travel returned -.* or more"),
    "its NaN": (
        lambda: acquired(Wrong(lambda a, b: a[:, 0] * math.nan)),
        "travel returned nan to nan, expected 0 or more",
    ),
    "its start": (
        lambda: acquired(Wrong(lambda a, b: a[:, 0], start=[0])),
        r"Wrong.start is a list, expected a design \(1,\), finite, or None",
    ),
}


def acquired(sensor: Sensor) -> object:
    return acquire(torch.rand(1, 1, 6, 6), sensor, Random(), steps=2, classifier=BELIEF)


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_move_is_refused_by_name(name: str) -> None:
    act, message = WRONG[name]
    with pytest.raises(ValueError, match=message):
        act()
