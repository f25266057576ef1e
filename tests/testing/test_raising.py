"""Whatever a part of the user's own raises is told with its class, the method and the line."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

from boed import BOED, PatchSensor, Random, acquire, benchmark
from boed.benchmark.engines import processes
from boed.classifiers import from_module
from boed.cli import app
from boed.completion import GaussianMixture, Retrieval
from boed.data.observation import Observation
from boed.eig.completions.estimators import PosteriorEntropy
from boed.foundation.identity import identity
from boed.policies import Decision, FirstLook, Until
from boed.search import Racing
from tests.doubles import ClueClassifier, ClueCompleter, Clues

CLUES = Clues()
DATA, SCENES = CLUES.dataset(4), CLUES.dataset(1).scenes()
TILES, CLASSIFIER, COMPLETER = PatchSensor(16, 0.25, 4), ClueClassifier(), ClueCompleter(CLUES)
FIRST = FirstLook(n=2, completer=COMPLETER)

RAISED: list[Exception] = [
    RuntimeError("no light\nat all"),
    KeyError("x"),
    IndexError("9 is out"),
    AttributeError("no such thing"),
    TypeError("an int, not a str"),
    ZeroDivisionError("division by zero"),
    AssertionError("never"),
    NotImplementedError("later"),
    OSError("unplugged"),
    MemoryError(),
    SystemExit(0),
]


class Sensor(PatchSensor):
    """Raises in one of its methods."""

    def __init__(self, method: str, error: Exception) -> None:
        super().__init__(16, 0.25, 4)
        self.method, self.error = method, error

    def fail(self, method: str) -> None:
        if method == self.method:
            raise self.error

    def designs(self, observation: Observation) -> Tensor:
        self.fail("designs")
        return super().designs(observation)

    def observe(self, observation: Observation, scene: Tensor, design: Tensor) -> Observation:
        self.fail("observe")
        return super().observe(observation, scene, design)

    def cost(self, design: Tensor) -> Tensor:
        self.fail("cost")
        return super().cost(design)

    def footprint(self, design: Tensor) -> Tensor:
        self.fail("footprint")
        return super().footprint(design)


class Raises:
    """A completer, classifier, policy, estimator, rule or search that raises."""

    bound, needs_decision = "none", True

    def __init__(self, error: Exception) -> None:
        self.error = error

    def sample(self, observation: Observation, n: int, seed: Any = 0) -> Tensor:
        raise self.error

    def log_probs(self, observation: Observation) -> Tensor:
        raise self.error

    def choose(self, observation: Any, sensor: Any, seed: Any = 0, *, truth: Any = None) -> Any:
        raise self.error

    def __call__(self, *given: Any) -> Any:
        raise self.error

    def forward(self, scenes: Tensor) -> Tensor:
        raise self.error


class Says:
    """Does everything right, and raises when it is asked for one of its attributes."""

    def __init__(self, name: str, error: Exception) -> None:
        self._fails, self._error = name, error

    def __getattribute__(self, name: str) -> Any:
        held = object.__getattribute__(self, "__dict__")
        if name == held.get("_fails"):
            raise held["_error"]
        return object.__getattribute__(self, name)

    sample, log_probs = COMPLETER.sample, CLASSIFIER.log_probs
    designs, observe, cost = TILES.designs, TILES.observe, TILES.cost

    def choose(self, observation: Any, sensor: Any, seed: Any = 0, *, truth: Any = None) -> Any:
        return Random().choose(observation, sensor, seed)


class Completes(Raises):
    def complete(self, observation: Observation, n: int, seed: Any = 0) -> Any:
        raise self.error


class Near(ClueClassifier):
    def __init__(self, error: Exception) -> None:
        self.error = error

    def around(self, observation: Observation) -> Any:
        raise self.error


class Additive(PosteriorEntropy):
    def __init__(self, error: Exception) -> None:
        vars(self)["error"] = error

    def from_log_beliefs(self, *given: Any, **also: Any) -> Any:
        raise vars(self)["error"]


class Network(torch.nn.Module):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def forward(self, given: Tensor) -> Tensor:
        raise self.error


def informed(completer: Any = COMPLETER, classifier: Any = CLASSIFIER, **given: Any) -> BOED:
    return BOED(completer, classifier, n=2, first_look=FirstLook(n=2), **given)


def looked(sensor: Any = TILES, policy: Any = None, classifier: Any = CLASSIFIER) -> None:
    acquire(SCENES, sensor, policy or Random(), steps=2, classifier=classifier)


CALLS: dict[str, Callable[[Exception], object]] = {
    "Sensor.designs": lambda e: looked(Sensor("designs", e)),
    "Sensor.observe": lambda e: looked(Sensor("observe", e)),
    "Sensor.cost": lambda e: looked(Sensor("cost", e)),
    "Sensor.footprint": lambda e: looked(Sensor("footprint", e)),
    "Raises.sample": lambda e: looked(policy=informed(Raises(e))),
    "Completes.complete": lambda e: looked(policy=informed(Completes(e))),
    "Raises.log_probs": lambda e: looked(classifier=Raises(e)),
    "Near.around": lambda e: looked(policy=informed(classifier=Near(e))),
    "Network": lambda e: looked(classifier=from_module(Network(e))),
    "Raises.choose": lambda e: looked(policy=Raises(e)),
    "estimator: Raises": lambda e: looked(policy=informed(estimator=Raises(e))),
    "estimator: Additive.from_log_beliefs": lambda e: looked(
        policy=informed(estimator=Additive(e), search=Racing(first=1))
    ),
    "search: Raises": lambda e: looked(policy=informed(search=Raises(e))),
    "rule: Raises": lambda e: looked(policy=Until(Random(), Raises(e))),
    "Raises.forward": lambda e: GaussianMixture(DATA, 2, transform=Raises(e).forward),
    "retrieval: Raises.forward": lambda e: Retrieval(
        DATA, 0.1, Raises(e).forward, labelled=False
    ).distances(Observation.nothing_of(SCENES)),
}


@pytest.mark.parametrize("error", RAISED, ids=lambda each: type(each).__name__)
@pytest.mark.parametrize("where", CALLS)
def test_what_a_part_raises_is_told_with_class_method_and_line(where: str, error: Any) -> None:
    name = where.rpartition(": ")[2]
    with pytest.raises(ValueError, match=rf"{name}: {type(error).__name__}") as told:
        CALLS[where](error)
    assert "\n" not in str(told.value)
    assert "(test_raising.py, line " in str(told.value)


ASKED: dict[str, Callable[[Exception], object]] = {
    "policy: Says.deterministic": lambda e: benchmark(
        DATA, TILES, CLASSIFIER, policies={"a": Says("deterministic", e)}, steps=1, seeds=[0]
    ),
    "completer: Says.deterministic": lambda e: informed(Says("deterministic", e)).deterministic,
    "completer: Says.complete": lambda e: looked(policy=informed(Says("complete", e))),
    "completer: Says.unbounded": lambda e: looked(policy=informed(Says("unbounded", e))),
    "completer: Says.sample": lambda e: looked(policy=informed(Says("sample", e))),
    "classifier: Says.log_probs": lambda e: looked(classifier=Says("log_probs", e)),
    "policy: Says.choose": lambda e: looked(policy=Says("choose", e)),
    "sensor: Says.designs": lambda e: looked(Says("designs", e)),
    "sensor: Says.noise": lambda e: looked(Says("noise", e)),
    "sensor: Says.bounds": lambda e: looked(Says("bounds", e)),
}


@pytest.mark.parametrize("where", ASKED)
def test_what_an_attribute_raises_is_told_so_too(where: str) -> None:
    """Like a property that asks an instrument."""
    name = where.rpartition(": ")[2]
    with pytest.raises(ValueError, match=rf"{name}: RuntimeError: no light .*test_raising"):
        ASKED[where](RuntimeError("no light"))


@pytest.mark.parametrize("kind", ["sensor", "completer", "classifier", "policy"])
def test_and_so_in_the_trial_and_late_in_a_run(kind: str) -> None:
    """Late: after the calls that the trial makes."""
    for late in (0, 40):
        error = RuntimeError("no light")
        count = [0]

        def fails(*_: Any, late: int = late, error: Any = error, count: Any = count) -> None:
            count[0] += 1
            if count[0] > late:
                raise error

        class Own:
            def sample(self, observation: Any, n: int, seed: Any = 0) -> Tensor:
                fails()
                return COMPLETER.sample(observation, n, seed)

            def log_probs(self, observation: Any) -> Tensor:
                fails()
                return CLASSIFIER.log_probs(observation)

            def choose(
                self, observation: Any, sensor: Any, seed: Any = 0, *, truth: Any = None
            ) -> Decision:
                fails()
                return Random().choose(observation, sensor, seed)

            def designs(self, observation: Any) -> Tensor:
                fails()
                return TILES.designs(observation)

            def observe(self, observation: Any, scene: Any, design: Any) -> Observation:
                return TILES.observe(observation, scene, design)

            def cost(self, design: Tensor) -> Tensor:
                return TILES.cost(design)

        own = Own()
        policy: Any = {
            "policy": own,
            "completer": BOED(own, CLASSIFIER, n=2, first_look=FIRST) if kind == "completer" else 0,
        }.get(kind, Random())  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=r"Own\.\w+: RuntimeError: no light"):
            benchmark(
                DATA, own if kind == "sensor" else TILES,
                own if kind == "classifier" else CLASSIFIER,
                policies={"a": policy}, steps=4, seeds=range(20),
            )  # fmt: skip
        assert count[0] > late


def test_a_fault_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise KeyError("a fault")

    monkeypatch.setattr(Random, "choose", fails)
    with pytest.raises(KeyError, match="a fault"):
        looked()


# --- decisions -------------------------------------------------------------------------------

LOOKS = TILES.designs(Observation.nothing_of(SCENES))
FIRST_LOOK = LOOKS[:1]
META = torch.device("meta")

DECISIONS: dict[str, tuple[dict[str, Any], str]] = {
    "no candidates": ({"candidates": ...}, "TypeError: .*missing 1 required.*candidates"),
    "another field": ({"scoers": LOOKS}, "TypeError: .*unexpected keyword argument 'scoers'"),
    "designs a list": ({"designs": [[0, 0]]}, "designs is a list, expected a Tensor"),
    "designs flat": ({"designs": LOOKS[0]}, r"designs a Tensor, .*\(2,\), expected rows"),
    "designs complex": ({"designs": FIRST_LOOK + 0j}, "designs a Tensor, complex64"),
    "designs NaN": ({"designs": FIRST_LOOK * torch.nan}, "designs that are NaN or infinite"),
    "designs of two": ({"designs": LOOKS[:2]}, r"designs \(2, 2\), expected one row for each of 1"),
    "designs away": ({"designs": FIRST_LOOK.to(META)}, "designs on meta, expected on cpu"),
    "candidates a list": ({"candidates": [[0, 0]]}, "candidates is a list, expected a Tensor"),
    "candidates NaN": ({"candidates": LOOKS * torch.nan}, "candidates that are NaN or infinite"),
    "no candidate": ({"candidates": LOOKS[:0]}, r"candidates \(0, 2\), expected at least one row"),
    "wide candidates": ({"candidates": LOOKS.repeat(1, 2)}, r"candidates \(16, 4\), .* row of 2"),
    "candidates away": ({"candidates": LOOKS.to(META)}, "candidates on meta"),
    "index a number": ({"index": 0}, "index is an int, 0, expected a Tensor or None"),
    "index a list": ({"index": [0]}, "index is a list, expected a Tensor or None"),
    "index floats": ({"index": torch.zeros(1)}, r"index a Tensor, float32 \(1,\), expected int64"),
    "index a scalar": ({"index": torch.tensor(0)}, r"index a Tensor, int64 \(\), expected int64"),
    "index out": ({"index": torch.tensor([99])}, r"index \[99\], expected the chosen"),
    "index below": ({"index": torch.tensor([-1])}, r"index \[-1\], expected the chosen"),
    "index of another": ({"index": torch.tensor([3])}, r"index \[3\], expected the chosen"),
    "scores a list": ({"scores": [0.0]}, "scores is a list, expected a Tensor or None"),
    "scores flat": ({"scores": torch.zeros(16)}, r"scores a Tensor, .*expected float32 \(1, 16\)"),
    "scores whole": ({"scores": torch.zeros(1, 16).int()}, "scores a Tensor, int32"),
    "scores away": ({"scores": torch.zeros(1, 16, device=META)}, "scores on meta"),
    "gains flat": ({"gains": torch.zeros(1, 16)}, r"gains a Tensor, .*float32 \(1, 1, 16\)"),
    "gains a list": ({"gains": [0.0]}, "gains is a list"),
    "completions": ({"completions": SCENES}, "completions is a Tensor, .*expected a Completions"),
    "stop a switch": ({"stop": True}, "stop is a bool, .*expected a Tensor or None"),
    "stop numbers": ({"stop": torch.zeros(1)}, r"stop a Tensor, float32 \(1,\), expected bool"),
}  # fmt: skip


class Decides:
    """A policy that returns a decision with other parts."""

    def __init__(self, parts: dict[str, Any]) -> None:
        self.parts = parts

    def choose(self, observation: Any, sensor: Any, seed: Any = 0, *, truth: Any = None) -> Any:
        given = {"designs": FIRST_LOOK.expand(len(observation), -1), "candidates": LOOKS}
        given = {k: v for k, v in {**given, **self.parts}.items() if v is not ...}
        return Decision(given.pop("designs"), **given)


@pytest.mark.parametrize("what", DECISIONS)
def test_a_wrong_decision_is_told_with_the_policy(what: str) -> None:
    parts, words = DECISIONS[what]
    with pytest.raises(ValueError, match=rf"Decides.choose.*{words}"):
        looked(policy=Decides(parts))
    looked(policy=Decides({"index": torch.zeros(1, dtype=torch.int64)}))


# --- from the command line, and in workers ---------------------------------------------------

OWN = '''
import torch
from boed import Decision, PatchSensor, Random

class Chooses(Random):
    def choose(self, observation, sensor, seed=0, *, truth=None):
        {body}

class Looks(PatchSensor):
    def __init__(self, size):
        super().__init__(size, grid=3)
    def observe(self, observation, scene, design):
        {body}
'''  # fmt: skip


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("raise KeyError('a\\nb')", "KeyError: 'a"),
        ("return 1 / 0", "ZeroDivisionError: division by zero (own_raising.py, line "),
        ("return Decision(torch.zeros(2, 2))", "TypeError: "),
        ("return torch.zeros(2)[5]", "IndexError: index 5 is out of bounds"),
        ("return None", "returned None, expected a"),
    ],
)
@pytest.mark.parametrize("kind", ["Chooses.choose", "Looks.observe"])
def test_on_the_command_line_it_is_one_line(
    kind: str, body: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_raising.py").write_text(OWN.format(body=body))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_raising", raising=False)
    name = kind.partition(".")[0]
    option = ["--policies", f"own_raising:{name}"]
    if name == "Looks":
        option = ["--policies", "random", "--sensor", f"own_raising:{name}"]
    result = CliRunner().invoke(app, ["benchmark", "--scenes", "2", *option])
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit)
    assert result.stderr.startswith("boed: "), result.output
    assert result.stderr.count("\n") == 1, result.output
    assert kind in result.stderr
    assert words in result.stderr


class Unpicklable:
    """What raises when it is sent, or when it is read."""

    def __init__(self, where: str) -> None:
        self.where = where

    def __getstate__(self) -> dict[str, str]:
        if self.where == "sent":
            raise KeyError("no state")
        return vars(self)

    def __setstate__(self, state: dict[str, str]) -> None:
        raise ZeroDivisionError("no state")


def test_what_raises_on_its_way_to_a_worker_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"Unpicklable holds what cannot be sent .*no state"):
        processes._write(Unpicklable("sent"), tmp_path / "a.pt")
    processes._write(Unpicklable("read"), tmp_path / "b.pt")
    with pytest.raises(ValueError, match=r"a worker cannot read what it was sent \(no state\)"):
        processes._read(tmp_path / "b.pt")
    with pytest.raises(ValueError, match=r"Raises.choose: KeyError"):  # and comes back whole
        raise pickle.loads(pickle.dumps(_told(lambda: looked(policy=Raises(KeyError("x"))))))


def _told(call: Callable[[], object]) -> Exception:
    with pytest.raises(ValueError) as told:  # noqa: PT011 - what it says is asserted outside
        call()
    return told.value


def test_content_that_cannot_be_read_is_another_each_time() -> None:
    class Secret:
        def __fingerprint__(self) -> object:
            raise KeyError("secret")

    secret = Secret()
    assert identity(secret) != identity(secret)
