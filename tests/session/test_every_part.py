"""Every sensor and every policy: a session looks as `acquire` does, and never twice the same."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from boed import sensors
from boed.acquire import acquire
from boed.completion.completer import complete
from boed.data.observation import Observation
from boed.eig import Disagreement, eig_map
from boed.eig.completions.estimators import Estimator
from boed.foundation.randomness import derive, per_scene
from boed.policies import (
    BOED,
    AnyOf,
    CentreOut,
    Confident,
    Decision,
    EIGBelow,
    FirstLook,
    FixedDesign,
    Policy,
    Random,
    TwoStep,
    Until,
)
from boed.policies.names import INFORMED, LEARNED, POLICIES
from boed.sensors import PatchSensor, Sensor
from boed.sensors.reading import read
from boed.sensors.sensor import candidates
from boed.sensors.sensor import look as looked
from boed.session import Session
from tests.sensors.test_sensors import CASES, Case

SEED = 7
NOISE = derive(per_scene(SEED, 1)[0], "noise")


class Any3:
    """A belief about three answers that depends on every pixel."""

    def __init__(self, steep: float = 4.0) -> None:
        self.steep = steep

    def log_probs(self, observation: Observation) -> Tensor:
        pixels = observation.values.flatten(1)
        weights = torch.linspace(-3, 3, 3 * pixels.shape[1]).sin().view(-1, 3)
        return (self.steep * (pixels @ weights)).log_softmax(1)


class Noise:
    """Completions of pixels drawn at random."""

    def sample(self, observation: Observation, n: int, seed: Any = 0) -> Tensor:
        shape = observation.values.shape[1:]
        generators = [torch.Generator().manual_seed(k) for k in per_scene(seed, len(observation))]
        scenes = torch.stack([torch.rand(n, *shape, generator=each) for each in generators], dim=1)
        return scenes if observation.readings is not None else observation.composite(scenes)


def boed(estimator: str | Estimator = "variational", **options: Any) -> BOED:
    if estimator == "disagreement":
        estimator = Disagreement((Any3(), Any3(2.0)))
    return BOED(Noise(), Any3(), n=3, first_look=FirstLook(n=4), estimator=estimator, **options)


def in_order(sensor: Sensor, case: Case) -> Policy:
    return FixedDesign(candidates(sensor, case.nothing()))


PATCH = Case(lambda noise: PatchSensor(8, 0.5, 3, noise=noise), (8, 8))
MOVED = Case(lambda noise: PatchSensor(8, 0.5, 3, travel=0.01, start=torch.zeros(2)), (8, 8))
RULE = AnyOf((Confident(Any3(), 0.97), EIGBelow(1e-3)))
KINDS: dict[str, Callable[[Sensor, Case], Policy]] = {
    **{each: lambda *_, name=own: boed(estimator=name) for each, (_, own) in INFORMED.items()},
    "random": lambda *_: Random(),
    "centre_out": lambda *_: CentreOut(),
    "in_order": in_order,
    "fixed": lambda *_: FixedDesign(torch.tensor([[4, 4], [0, 2], [2, 2]])),
    "two steps": lambda *_: TwoStep(boed(), m=2, n_after=2),
    "per cost": lambda *_: boed(per_cost=True),
    "until": lambda *_: Until(boed(), RULE),
    "until, a scan": lambda *_: Until(CentreOut(), Confident(Any3(), 0.97)),
}
SENSORS = {
    each: CASES[each]
    for each in (
        *("patch", "pixels", "columns", "rows and columns", "features", "k-space, odd"),
        *("projections, own angles", "foveated", "linear-Gaussian", "a user's rows"),
        "a user's pairs",
    )
}
WAYS: dict[str, tuple[Case, Callable[[Sensor, Case], Policy]]] = {
    **{f"{name}, boed": (case, KINDS["boed"]) for name, case in SENSORS.items()},
    **{
        f"{name}, in order": (SENSORS[name], KINDS["in_order"])
        for name in ("pixels", "k-space, odd", "a user's rows", "a user's pairs")
    },
    **{f"patch, {name}": (PATCH, kind) for name, kind in KINDS.items()},
    **{
        f"patch that is moved, {name}": (MOVED, KINDS[name])
        for name in ("boed", "per cost", "centre_out", "in_order")
    },
}


def begun(way: str) -> tuple[Session, Sensor, Policy, Tensor]:
    case, kind = WAYS[way]
    sensor = case.sensor(0.1 if case.has_noise else 0.0)
    policy, shape = kind(sensor, case), (case.channels, *case.shape)
    session = Session(sensor, kind(sensor, case), Any3(), seed=SEED, shape=shape)
    return session, sensor, policy, 0.2 + 0.6 * case.scenes(1)


def test_every_sensor_and_policy_is_tried() -> None:
    """But for the oracle, which no instrument can serve; learned ones are in test_learned."""
    assert set(POLICIES) <= {*KINDS, *LEARNED, "oracle"}
    kinds = {type(each.sensor()) for each in SENSORS.values()}
    assert {getattr(sensors, each) for each in sensors.__all__} <= kinds | {
        *(sensors.DirectSensor, sensors.IndirectSensor, sensors.Sensor, sensors.DeepinvSensor)
    }


@pytest.mark.parametrize("way", WAYS)
def test_a_session_makes_the_looks_of_acquire(way: str) -> None:
    session, sensor, policy, scene = begun(way)
    expected = acquire(scene, sensor, policy, steps=3, classifier=Any3(), seed=SEED)
    for _ in range(3):
        for look in session.suggest():
            session.ingest(look, read(sensor, scene, torch.tensor(look.design), seed=NOISE))
    number, last = int(expected.looks[0]), expected.observations[-1]
    told = torch.tensor([look.design for look in session.looks])
    assert torch.equal(told.view(number, -1), expected.designs[0, :number].float())
    assert torch.equal(session.observation.values, last.values)
    assert torch.equal(session.observation.seen, last.seen)
    assert torch.equal(session.beliefs(), expected.log_beliefs[0, : number + 1].exp())
    assert session.spent == pytest.approx(float(expected.costs.sum()))
    eig = torch.tensor([torch.nan if look.eig is None else look.eig for look in session.looks])
    torch.testing.assert_close(eig, expected.scores[0, :number], equal_nan=True, rtol=0, atol=0)
    if expected.decisions[0].completions is not None:
        assert session.completions(2).shape == (2, *scene.shape[1:])


@pytest.mark.parametrize("way", WAYS)
def test_no_look_is_suggested_twice_in_whatever_order_readings_come(way: str) -> None:
    session, sensor, _, scene = begun(way)
    chance, gone = random.Random(1), set[tuple[float, ...]]()
    looks = session.suggest(3)
    for _ in range(4):
        pending = [each.design for each in session.pending]
        assert len({*pending}) == len(pending)
        assert not gone & {each.design for each in looks}
        if not pending:
            return
        look = chance.choice(session.pending)
        if chance.random() < 0.5:
            session.ingest(look, read(sensor, scene, torch.tensor(look.design), seed=NOISE))
        else:
            chance.choice([session.veto, lambda each: session.ingest(each, None)])(look)
        gone.add(look.design)
        looks = session.suggest()


class Both:
    """A sensor whose every look comes with one more, spelled out."""

    def __init__(self, sensor: Sensor, one: Tensor, designs: Tensor) -> None:
        self.sensor, self.one, self._designs = sensor, one, designs
        self.noise = getattr(sensor, "noise", 0)

    def designs(self, observation: Observation) -> Tensor:
        return self._designs

    def observe(
        self, observation: Observation, scene: Tensor, design: Tensor, *, seed: Any = 0
    ) -> Observation:
        for each in (self.one.expand(len(scene), -1), design):
            observation = looked(self.sensor, observation, scene, design=each, seeds=seed)
        return observation

    def cost(self, design: Tensor) -> Tensor:
        return self.sensor.cost(design)


@pytest.mark.parametrize("name", sorted({*SENSORS} - {"a user's pairs"}))  # which are only two
def test_the_second_look_has_the_highest_joint_eig_of_every_sensor(name: str) -> None:
    session, sensor, policy, scene = begun(f"{name}, boed")
    design = candidates(sensor, session.observation)[-1]
    session.ingest(design.tolist(), read(sensor, scene, design, seed=NOISE))
    first, second = session.suggest(2)
    assert isinstance(policy, BOED)
    seed, seen = [derive(per_scene(SEED, 1)[0], "look", 2)], session.observation
    drawn = complete(policy.completer, seen, policy.n, seed=seed)
    designs, told = session.map() or (torch.empty(0), torch.empty(0))
    both = Both(sensor, torch.tensor([first.design]).to(design), designs)
    joint = eig_map(seen, drawn, both, classifier=Any3(), seed=seed).eig[0]
    torch.testing.assert_close(told, joint, atol=1e-5, rtol=1e-4)
    assert second.eig == pytest.approx(float(joint.max()), abs=1e-4)  # or one that is as good


def test_a_policy_that_heeds_no_candidates_is_told() -> None:
    """One that would take a pending, failed or vetoed look again, for ever."""

    class Stubborn:
        def choose(self, observation: Observation, sensor: Sensor, *_: Any, **more: Any) -> Any:
            corner = torch.zeros(len(observation), 2)
            return Decision(corner, candidates=torch.zeros(1, 2))

    session = Session(PATCH.sensor(), Stubborn(), Any3())
    (look,) = session.suggest()
    for happens in (lambda: None, lambda: session.veto(look), lambda: session.ingest(look, None)):
        happens()
        before = session.looks
        with pytest.raises(ValueError, match=r"Stubborn.choose chose \[0.0, 0.0\], which was r"):
            session.suggest()
        assert session.looks == before
        if look.id not in [each.id for each in session.pending]:
            session.undo()
