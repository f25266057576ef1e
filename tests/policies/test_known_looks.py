"""No policy looks at what it knows while there is anything that it does not know."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from boed.acquire import acquire
from boed.completion.completer import Completions
from boed.data.observation import Observation
from boed.eig import eig_map
from boed.eig.completions.estimate import design_problem
from boed.policies import BOED, CentreOut, FirstLook, FixedDesign, Oracle, Random, TwoStep
from boed.search import CoarseToFine, Exhaustive, Racing, greedy_batch
from boed.sensors import Features, KSpaceLines, Lines, PatchSensor, PixelBlocks
from tests.doubles import RowSensor


class Misled:
    """Believes less in the truth with everything that it sees: every EIG is below 0."""

    def log_probs(self, observation: Observation) -> Tensor:
        whole = observation.fraction_seen > 0.99
        wrong = 2 * observation.fraction_seen + 0.1 * observation.values.mean((1, 2, 3))
        logits = torch.stack([wrong.where(~whole, -9.0), torch.zeros_like(wrong)], dim=1)
        return logits.log_softmax(1)


class Grey:
    """Any scene that agrees with what was seen."""

    def sample(self, observation: Observation, n: int, seed: list[int]) -> Tensor:  # type: ignore[override]
        shape = observation.values.shape[1:]
        drawn = [torch.rand(n, *shape, generator=torch.Generator().manual_seed(s)) for s in seed]
        return observation.composite(torch.stack(drawn, dim=1))


SENSORS = {
    "features": lambda: Features(5),
    "tiles": lambda: PatchSensor(8, 0.5, 2),
    "pixels": lambda: PixelBlocks((4, 4), 2),
    "lines": lambda: Lines((4, 4)),
    "k-space": lambda: KSpaceLines(4),
    "own rows": RowSensor,
}
SHAPES = {"features": (1, 5), "tiles": (8, 8), "own rows": (4, 4)}


def boed(**options: Any) -> BOED:
    return BOED(Grey(), Misled(), n=3, first_look=FirstLook(n=4), **options)


POLICIES = {
    "boed": boed,
    "boed, entropy": lambda: boed(estimator="entropy"),
    "boed, racing": lambda: boed(search=Racing()),
    "boed, coarse to fine": lambda: boed(search=CoarseToFine(coarse=0.3, around=1)),
    "boed, coarse to fine by racing": lambda: boed(search=CoarseToFine(around=1, then=Racing())),
    "boed per cost": lambda: boed(per_cost=True),
    "two steps": lambda: TwoStep(boed(), m=2, n_after=2),
    "oracle": lambda: Oracle(Misled()),
    "random": Random,
    "centre out": CentreOut,
}


def looks_of(sensor: str, policy: str, extra: int = 0) -> tuple[Any, int]:
    shape, made = SHAPES.get(sensor, (4, 4)), SENSORS[sensor]()
    scenes = torch.rand(3, 1, *shape, generator=torch.Generator().manual_seed(0))
    number = len(made.designs(Observation.nothing_of(scenes)))
    path = acquire(scenes, made, POLICIES[policy](), steps=number + extra, classifier=Misled())
    return path, number


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("sensor", ["features", "tiles", "own rows"])
def test_every_look_is_new_until_all_is_known(sensor: str, policy: str) -> None:
    path, number = looks_of(sensor, policy)
    assert path.looks.tolist() == [number] * 3
    for designs in path.designs:
        assert len(designs.unique(dim=0)) == number


@pytest.mark.parametrize("sensor", SENSORS)
def test_every_sensor_is_looked_through(sensor: str) -> None:
    path, number = looks_of(sensor, "boed")
    assert all(len(designs.unique(dim=0)) == number for designs in path.designs)


@pytest.mark.parametrize("policy", ["boed", "oracle", "random", "centre out"])
@pytest.mark.parametrize("sensor", ["features", "own rows", "k-space"])
def test_a_scene_is_finished_when_all_of_it_has_been_read(sensor: str, policy: str) -> None:
    path, number = looks_of(sensor, policy, extra=3)
    assert path.looks.tolist() == [number] * 3
    assert path.costs[:, number:].eq(0).all()
    assert path.observations[-1].fraction_seen.tolist() == [1.0] * 3


def test_the_eig_of_what_is_known_stays_0_and_is_not_chosen() -> None:
    sensor, scenes = Lines((4, 4)), torch.rand(2, 1, 4, 4)
    seen = sensor.observe(Observation.nothing_of(scenes), scenes, torch.tensor([[1], [2]]))
    drawn = Completions(Grey().sample(seen, 4, [0, 1]).contiguous(), torch.full((4, 2), 0.25))
    for search in (Exhaustive(), Racing(scouts=1)):
        result = eig_map(seen, drawn, sensor, classifier=Misled(), search=search)
        assert result.fresh is not None
        assert result.fresh.int().tolist() == [[1, 0, 1, 1], [1, 1, 0, 1]]
        assert result.finished_eig.amax(1).lt(0).all()  # 0 for the line that is known
    whole = eig_map(seen, drawn, sensor, classifier=Misled())
    assert whole.eig[[0, 1], [1, 2]].tolist() == [0, 0]


def test_looks_of_a_batch_are_all_new() -> None:
    sensor, scenes = Lines((4, 4)), torch.rand(2, 1, 4, 4)
    blank = Observation.nothing_of(scenes)
    drawn = Completions(Grey().sample(blank, 3, [0, 1]).contiguous(), torch.full((3, 2), 1 / 3))
    problem = design_problem(blank, drawn, sensor, classifier=Misled())
    for designs in greedy_batch(problem, 4).designs:
        assert sorted(designs[:, 0].tolist()) == [0, 1, 2, 3]


def test_a_fixed_design_stops_as_before() -> None:
    scenes = torch.rand(2, 1, 4, 4)
    policy = FixedDesign(torch.tensor([[0], [2]]))
    path = acquire(scenes, Lines((4, 4)), policy, steps=4, classifier=Misled())
    assert path.looks.tolist() == [2, 2]
