"""Sessions as gest-api generators: every sensor, wrong input, whole loops of Xopt and bluesky."""

from __future__ import annotations

import copy
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("gest_api", reason="needs the extra gest")

from gest_api.generator import Generator
from gest_api.vocs import VOCS

from boed.acquisition import Budget
from boed.adapters.gest import SessionGenerator
from boed.policies import BOED, CentreOut, FirstLook, Policy, Random
from boed.sensors import Foveated, KSpaceLines, PatchSensor, Sensor
from boed.sensors.reading import read
from boed.session import Session
from tests.doubles import CLUE, ClueClassifier, ClueCompleter, Clues, Constant, RowSensor
from tests.test_readme import blocks

SENSOR = PatchSensor(16, 0.25, 4)
CLUES = Clues(((0, 0), (4, 8), CLUE))
SCENE = CLUES.dataset(1, seed=3).scenes()
AXES: dict[str, Any] = {"row": [0, 12], "column": [0, 12]}
PICTURE = VOCS(variables=AXES, observables=["picture"])
NUMBERS = VOCS(variables=AXES, observables=[f"pixel{k:02d}" for k in range(16)])


def boed() -> BOED:
    return BOED(ClueCompleter(CLUES), ClueClassifier(), n=6, first_look=FirstLook(n=8))


def session_of(policy: Policy | None = None, **options: Any) -> Session:
    return Session(SENSOR, policy or CentreOut(), ClueClassifier(), **options)


def picture(point: Any) -> np.ndarray[Any, Any]:
    """What the instrument returns, `[1, 4, 4]`."""
    return read(SENSOR, SCENE, torch.tensor([point["row"], point["column"]])).numpy()


def nested(array: np.ndarray[Any, Any]) -> Any:
    """Tuples, which no table takes apart."""
    return tuple(map(nested, array)) if array.ndim else float(array)


SENSORS: dict[str, tuple[Callable[[], Sensor], tuple[int, int, int]]] = {
    "patch": (lambda: SENSOR, (1, 16, 16)),
    "one pixel": (lambda: PatchSensor(4, 0.25, 4), (1, 4, 4)),
    "k-space": (lambda: KSpaceLines((6, 8), noise=0.1), (2, 6, 8)),
    "foveated": (lambda: Foveated((12, 10), 2, 3), (3, 12, 10)),
    "a user's rows": (RowSensor, (1, 6, 6)),
}


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("name", SENSORS)
def test_a_generator_does_what_its_session_does(name: str, flat: bool) -> None:
    """With the reading as one output, or as a number for each of its entries."""
    make, shape = SENSORS[name]
    sensor, scene = make(), torch.rand(1, *shape)
    alone, driven = (
        Session(sensor, Random(), Constant((-0.7, -0.7)), shape=shape, seed=4) for _ in range(2)
    )
    (look,) = alone.suggest()
    number = int(np.prod(alone.reading_shape(look)))
    outputs = [f"r{k:03d}" for k in range(number)] if flat else ["reading"]
    variables: Any = {f"x{k}": [-100, 100] for k in range(len(look.design))}
    generator = SessionGenerator(VOCS(variables=variables, observables=outputs), driven)
    assert isinstance(generator, Generator)
    for _ in range(2):
        reading = read(sensor, scene, torch.tensor(look.design), seed=1)
        alone.ingest(look, reading)
        (point,) = generator.suggest(1)
        given = reading.flatten().tolist() if flat else [reading.numpy()]
        generator.ingest([{**point, **dict(zip(outputs, given, strict=True))}])
        if name == "foveated":  # whose readings differ in length
            break
        (look,) = alone.suggest()
    assert driven.looks == alone.looks[: len(driven.looks)]
    assert torch.equal(driven.observation.values, alone.observation.values)


VOCSES: list[tuple[dict[str, Any], str]] = [
    ({"variables": {"row": [0, 12]}}, r"1 variables \(row\), expected 2: one for each"),
    ({"variables": {**AXES, "z": [0, 1]}}, r"3 variables .*, expected 2"),
    ({"variables": {**AXES, "row": [0, 8]}}, r"row has the domain \[0, 8\], which leaves out 12"),
    ({"variables": {**AXES, "row": {0, 4, 8}}}, r"row has the values \[0, 4, 8\], which leaves"),
    ({"variables": {**AXES, "row": {"a", "b"}}}, r"row has the values \['a', 'b'\], which"),
    ({"variables": {**AXES, "row": "CONTEXTUAL"}}, "row is ContextualVariable, expected Cont"),
    ({"variables": AXES, "observables": []}, "vocs has no output"),
    ({"variables": AXES, "objectives": {"f": "MINIMIZE"}}, "f is MinimizeObjective, expected EX"),
    ({"variables": AXES, "constraints": {"c": ["LESS_THAN", 1]}}, r"constraints \(c\), expected"),
]


@pytest.mark.parametrize(("given", "told"), VOCSES)
def test_vocs_of_another_shape_is_refused(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        SessionGenerator(VOCS(**{"observables": ["picture"], **given}), session_of())


def test_vocs_that_fit() -> None:
    for given in (
        {"variables": AXES, "objectives": {"picture": "EXPLORE"}},
        {"variables": {**AXES, "row": {0, 4, 8, 12}}, "observables": ["picture"]},
        {"variables": AXES, "observables": ["picture"], "constants": {"exposure": 0.5}},
    ):
        (point,) = SessionGenerator(VOCS(**given), session_of()).suggest()
        assert ("exposure" in point) == ("constants" in given)


DARK = np.zeros((1, 4, 4))
RESULTS: dict[str, tuple[Any, str]] = {
    "unknown id": ([{"_id": 9, "picture": DARK}], "_id is 9, expected that of a pending look: 0"),
    "an id of text": ([{"_id": "0", "picture": DARK}], "_id is '0', expected"),
    "an id between two": ([{"_id": 0.5, "picture": DARK}], "_id is 0.5, expected"),
    "taken": ([{"_id": 1, "picture": DARK}], "_id is 1, a look that was taken"),
    "NaN": ([{"_id": 0, "picture": DARK + np.nan}], "picture of look 0: reading has 16 NaN"),
    "NaN alone": ([{"_id": 0, "picture": float("nan")}], "picture of look 0: reading is ()"),
    "another shape": ([{"_id": 0, "picture": DARK[0]}], r"reading is (4, 4), expected (1, 4, 4)"),
    "too few": ([{"_id": 0, "picture": [0.5] * 15}], r"reading is (15,), expected (1, 4, 4)"),
    "counts": ([{"_id": 0, "picture": DARK + 200}], "reading spans [200, 200]"),
    "words": ([{"_id": 0, "picture": "dark"}], "picture of look 0: could not convert"),
    "another place": ([{"_id": 0, "row": 99, "picture": DARK}], "look 0 is at [99.0], expected [4"),
    "no place": ([{"row": 4, "picture": DARK}], "neither _id nor column"),
    "no design": ([{"row": 99, "column": 0, "picture": DARK}], "which is no design"),
    "a place of text": (
        [{"row": "a", "column": 0, "picture": DARK}],
        "row is a str, 'a', expected",
    ),
    "twice": ([{"_id": 0, "picture": DARK}] * 2, "look 0 2 times, expected once"),
    "the second is wrong": ([{"_id": 0, "picture": DARK}, {"_id": 7}], "_id is 7"),
    "no results": (5, "results is an int, 5, expected a list"),
    "no points": ([5], "result is an int, 5, expected objects by name"),
}


def refused_and_unchanged(act: Callable[[SessionGenerator], None], told: str) -> None:
    """Of a session with one look taken and one pending."""
    session = session_of()
    generator = SessionGenerator(PICTURE, session)
    points = generator.suggest(2)
    generator.ingest([{**points[1], "picture": picture(points[1])}])
    before = (session.looks, len(session.history))
    with pytest.raises(ValueError, match=re.escape(told)):
        act(generator)
    assert (session.looks, len(session.history)) == before


@pytest.mark.parametrize("name", RESULTS)
def test_a_wrong_result_is_refused_and_changes_nothing(name: str) -> None:
    results, told = RESULTS[name]
    refused_and_unchanged(lambda generator: generator.ingest(results), told)


FAILURES: dict[str, tuple[Any, str]] = {
    "unknown id": ([{"_id": 0}, {"_id": 9}], "_id is 9, expected that of a pending look: 0"),
    "no id": ([{"_id": 0}, {"row": 4, "column": 4}], "_id is None, expected that of a pending"),
    "taken": ([{"_id": 0}, {"_id": 1}], "_id is 1, a look that was taken"),
    "twice": ([{"_id": 0}, {"_id": 0}], "suggestions have look 0 2 times, expected once"),
    "no points": ([{"_id": 0}, 5], "suggestion is an int, 5, expected objects by name"),
    "no suggestions": (5, "suggestions is an int, 5, expected a list"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_wrong_failure_is_refused_and_changes_nothing(name: str) -> None:
    suggestions, told = FAILURES[name]
    refused_and_unchanged(lambda generator: generator.register_failures(suggestions), told)


@pytest.mark.parametrize("asks_first", [False, True])
def test_no_look_is_given_to_two_threads(asks_first: bool) -> None:
    session = session_of()
    generator, decide = SessionGenerator(PICTURE, session), session.suggest

    def suggest(n: int = 1) -> Any:
        looks = decide(n)
        time.sleep(0.005)
        return looks

    session.suggest = suggest  # type: ignore[method-assign]

    def ask(_: int) -> int:
        if asks_first:
            generator.should_stop()
        return int(generator.suggest(1)[0]["_id"])

    with ThreadPoolExecutor(4) as threads:
        given = list(threads.map(ask, range(8)))
    assert sorted(given) == list(range(8))


def test_what_fails_and_what_nobody_suggested() -> None:
    session = session_of()
    generator = SessionGenerator(PICTURE, session)
    none, missing, marked, registered = generator.suggest(4)
    generator.ingest([{**none, "picture": None}, missing])
    generator.ingest([{**marked, "picture": float("nan"), "xopt_error": np.bool_(True)}])
    generator.register_failures([registered])
    generator.ingest([{"row": 0, "column": 0, "_id": float("nan"), "picture": DARK}])
    statuses = [(look.status, look.suggested) for look in session.looks]
    assert statuses == [("failed", True)] * 4 + [("taken", False)]


def test_it_ends_with_a_reason_and_goes_on_with_a_log(tmp_path: Path) -> None:
    """Looks that were suggested before a crash are given out again, first."""
    limits = Budget(cost=3 / 16)
    with session_of(path=tmp_path / "log", budget=limits) as session:
        points = SessionGenerator(PICTURE, session).suggest(2)
    session = session_of(path=tmp_path / "log", budget=limits)
    generator = SessionGenerator(PICTURE, session)
    with pytest.raises(ValueError, match="num_points is 0, expected at least 1"):
        generator.suggest(0)
    with pytest.raises(ValueError, match=r"num_points is 4, expected at most 3: the budget of"):
        generator.suggest(4)
    again = generator.suggest(3)
    assert again[:2] == points
    assert generator.should_stop() == (False, None)  # they are under way
    generator.ingest([{**each, "picture": picture(each)} for each in again])
    assert generator.suggest() == []
    stop, reason = generator.should_stop()
    assert (stop, "has no room" in str(reason)) == (True, True)
    session.stop("that will do")
    assert generator.should_stop() == (True, "that will do")
    with pytest.raises(ValueError, match="was stopped"):
        generator.ingest([{"row": 0, "column": 0, "picture": DARK}])
    generator.finalize()
    session_of(path=tmp_path / "log", budget=limits).close()
    assert copy.deepcopy(generator) is generator


@pytest.mark.slow  # Xopt's own import
@pytest.mark.parametrize("vocs", [PICTURE, NUMBERS], ids=["pictures", "numbers"])
def test_xopt_drives_a_session_from_start_to_end(vocs: VOCS) -> None:
    """As the session alone would go, with an instrument that jams once."""
    xopt = pytest.importorskip("xopt", reason="Xopt is not installed: pip install xopt")
    limits = Budget(cost=5 / 16)
    alone, driven = (session_of(boed(), budget=limits, seed=2) for _ in range(2))
    number = 0
    while looks := alone.suggest(2):
        for look in looks:
            number += 1
            place = dict(zip(AXES, look.design, strict=True))
            alone.ingest(look, None if number == 3 else picture(place))
    calls: list[Any] = []

    def measure(point: dict[str, Any]) -> dict[str, Any]:
        calls.append(point)
        if len(calls) == 3:
            raise TimeoutError("the motor jammed")
        given = picture(point)
        if vocs is PICTURE:
            return {"picture": nested(given)}
        return dict(zip(vocs.output_names, given.flatten().tolist(), strict=True))

    generator = SessionGenerator(vocs, driven)
    workers = ThreadPoolExecutor(1)
    evaluator = xopt.Evaluator(function=measure, max_workers=2, executor=workers)
    loop = xopt.Xopt(generator=generator, evaluator=evaluator, strict=False)
    loop.step()
    loop.step()
    with pytest.raises(ValueError, match="num_points is 2, expected at most 1: the budget of"):
        loop.step()
    loop.evaluate_data(generator.suggest())
    assert generator.should_stop()[0]
    assert driven.looks == alone.looks
    assert [look.status for look in driven.looks].count("failed") == 1
    assert torch.equal(driven.beliefs(), alone.beliefs())
    assert len(loop.data) == 5


@pytest.mark.slow
def test_the_example_of_the_documentation() -> None:
    pytest.importorskip("xopt", reason="Xopt is not installed: pip install xopt")
    pytest.importorskip("bluesky_adaptive", reason="bluesky-adaptive is not installed")
    from bluesky.run_engine import RunEngine
    from bluesky_adaptive.tests.conftest import MovableSignal, ReadableSignal

    session = session_of(boed(), budget=Budget(cost=4 / 16))
    (example,) = blocks(Path(__file__).parents[2] / "docs" / "adapters.md", "python")
    names = {
        "session": session,
        "measure": lambda point: {"picture": nested(picture(point))},
        "motors": [MovableSignal(name) for name in AXES],
        "camera": ReadableSignal("camera"),
        "evaluate": lambda uid, points: [
            {"_id": each["_id"], "picture": picture(each)} for each in points
        ],
        "run_engine": RunEngine({}),
    }
    exec(example, names)
    assert [look.status for look in session.looks] == ["taken"] * 4


@pytest.mark.slow  # bluesky's own import
def test_bluesky_drives_a_session_from_start_to_end() -> None:
    """Two motors and a camera under a run engine, until nothing is left to do."""
    pytest.importorskip(
        "bluesky_adaptive", reason="not installed: pip install 'bluesky-adaptive>=1.0'"
    )
    from bluesky.run_engine import RunEngine
    from bluesky_adaptive.plans import optimize
    from bluesky_adaptive.protocols import OptimizationProblem, TrialFaultAware
    from bluesky_adaptive.tests.conftest import MovableSignal, ReadableSignal

    limits = Budget(cost=4 / 16)
    alone, driven = (session_of(boed(), budget=limits, seed=2) for _ in range(2))
    while looks := alone.suggest():
        place = dict(zip(AXES, looks[0].design, strict=True))
        alone.ingest(looks[0], picture(place))
    motors = [MovableSignal(name) for name in AXES]
    seen: list[tuple[Any, ...]] = []

    def evaluate(uid: str, suggestions: Any) -> Any:
        seen.append(tuple(motor._value for motor in motors))
        return [{"_id": each["_id"], "picture": picture(each)} for each in suggestions]

    generator = SessionGenerator(PICTURE, driven)
    assert isinstance(generator, TrialFaultAware)
    problem = OptimizationProblem(
        optimizer=generator,
        actuators=motors,
        sensors=[ReadableSignal("camera")],
        evaluation_function=evaluate,
    )
    RunEngine({})(optimize(problem, iterations=None))
    assert driven.looks == alone.looks
    assert seen == [look.design for look in alone.looks]
    assert "has no room" in str(driven.reason)
