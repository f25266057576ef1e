"""What is no part of its kind is refused by name, wherever it is given, before any work."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from boed import BOED, Oracle, PatchSensor, Random, acquire, benchmark, run, setup
from boed.classifiers import from_module
from boed.completion import Retrieval
from boed.completion.completer import Completions, complete
from boed.data.observation import Observation
from boed.eig import eig_map
from boed.foundation.randomness import per_scene
from boed.foundation.registry import import_object
from boed.policies import Decision, FirstLook
from tests.doubles import ClueClassifier, ClueCompleter, Clues, RowSensor

CLUES = Clues()
DATA = CLUES.dataset(6)
TILES, CLASSIFIER, COMPLETER = PatchSensor(16, 0.25, 4), ClueClassifier(), ClueCompleter(CLUES)

NO_PART: dict[str, Any] = {
    "an object": (object(), "is an object, without"),
    "a number": (5, "is an int, 5, without"),
    "a list": ([1], "is a list, without"),
    "a function": (len, "is a builtin_function_or_method, without"),
    "None": (None, "is None, without"),
}
PARTS = {
    "sensor": ("designs", PatchSensor),
    "classifier": ("log_probs", ClueClassifier),
    "completer": ("sample", ClueCompleter),
    "policies: 'a'": ("choose", Random),
}


def made(**parts: Any) -> Any:
    given: dict[str, Any] = {"sensor": TILES, "classifier": CLASSIFIER, "policies": {"a": Random()}}
    return setup(DATA, **{**given, **parts})


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("what", NO_PART)
def test_setup_refuses(part: str, what: str) -> None:
    thing, words = NO_PART[what]
    if thing is None and "policies" not in part:
        pytest.skip("the default")
    given = {"policies": {"a": thing}} if "policies" in part else {part: thing}
    with pytest.raises(ValueError, match=f"{part} {words} {PARTS[part][0]}"):
        made(**given)


@pytest.mark.parametrize("part", PARTS)
def test_setup_refuses_a_class_in_place_of_an_object(part: str) -> None:
    kind = PARTS[part][1]
    given = {"policies": {"a": kind}} if "policies" in part else {part: kind}
    with pytest.raises(ValueError, match=f"{part} is the class {kind.__name__} itself; expected"):
        made(**given)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"policies": {"a": "boed"}}, "policies: 'a' is a str, 'boed', without choose"),
        ({"policies": 5}, "policies is 5, expected names of policies, or objects by name"),
        ({"policies": [Random()]}, "expected names of policies, or objects by name"),
        ({"policies": [None]}, "expected names of policies, or objects by name"),
        ({"search": 5}, "search is an int, 5, expected a name"),
        ({"library": 5}, "library is an int, 5, expected text, a path, a Dataset or None"),
        ({"val": [1]}, "val is a list, expected a Dataset"),
        ({"steps": 0}, "steps is 0, expected at least 1"),
    ],
)
def test_setup_refuses_other_options(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        made(**given)


def test_setup_refuses_what_is_no_data() -> None:
    with pytest.raises(ValueError, match=r"data is an int, 5, expected text, a path or a Dataset"):
        setup(5)  # type: ignore[arg-type]


def test_policies_in_one_text_are_those_between_the_commas() -> None:
    assert list(made(policies="random, centre_out").policies) == ["random", "centre_out"]
    with pytest.raises(ValueError, match="policies is 'radnom': did you mean 'random'"):
        made(policies="radnom")


def test_run_and_benchmark_refuse(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"setup is a str, 'digits', expected a Setup"):
        run("digits", tmp_path)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"dataset is a str, 'digits', expected a Dataset"):
        benchmark("digits", TILES, CLASSIFIER, policies={"a": Random()})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"policies is a list, expected objects by name"):
        benchmark(DATA, TILES, CLASSIFIER, policies=["random"])  # type: ignore[arg-type]
    for thing, words in NO_PART.values():
        with pytest.raises(ValueError, match=f"policies: 'a' {words} choose"):
            benchmark(DATA, TILES, CLASSIFIER, policies={"a": thing})
        with pytest.raises(ValueError, match=f"sensor {words} designs"):
            benchmark(DATA, thing, CLASSIFIER, policies={"a": Random()})
        with pytest.raises(ValueError, match=f"classifier {words} log_probs"):
            benchmark(DATA, TILES, thing, policies={"a": Random()})
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("what", NO_PART)
def test_acquire_policies_and_estimates_refuse(what: str) -> None:
    thing, words = NO_PART[what]
    scene = DATA.scenes([0])
    with pytest.raises(ValueError, match=f"sensor {words} designs"):
        acquire(scene, thing, Random(), steps=1, classifier=CLASSIFIER)
    with pytest.raises(ValueError, match=f"policy {words} choose"):
        acquire(scene, TILES, thing, steps=1, classifier=CLASSIFIER)
    with pytest.raises(ValueError, match=f"classifier {words} log_probs"):
        acquire(scene, TILES, Random(), steps=1, classifier=thing)
    with pytest.raises(ValueError, match=f"completer {words} sample"):
        BOED(thing, CLASSIFIER)
    for policy in (lambda: BOED(COMPLETER, thing), lambda: Oracle(thing)):
        with pytest.raises(ValueError, match=f"classifier {words} log_probs"):
            policy()
    drawn = Completions(scene[None], torch.ones(1, 1))
    with pytest.raises(ValueError, match=f"sensor {words} designs"):
        eig_map(Observation.nothing_of(scene), drawn, thing, classifier=CLASSIFIER)
    with pytest.raises(ValueError, match="estimator is "):
        eig_map(Observation.nothing_of(scene), drawn, TILES, classifier=CLASSIFIER, estimator=thing)


class Broken:
    """A policy, a completer or a classifier that returns what it was made with."""

    def __init__(self, returned: Any) -> None:
        self.returned = returned

    def log_probs(self, observation: Observation) -> Any:
        return self.returned

    def choose(self, observation: Any, sensor: Any, seed: Any = 0, *, truth: Any = None) -> Any:
        return self.returned

    def sample(self, observation: Any, n: int, seed: Any = 0) -> Any:
        return self.returned


WRONG: dict[str, Any] = {
    "None": (None, "None"),
    "numpy": (np.zeros((1, 2)), r"a ndarray, float64 \(1, 2\)"),
    "list": ([[0.5, 0.5]], "a list"),
    "text": ("yes", "a str, 'yes'"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_a_part_returns_is_named(what: str) -> None:
    returned, words = WRONG[what]
    part, scene = Broken(returned), DATA.scenes([0])
    with pytest.raises(ValueError, match=f"Broken.log_probs returned {words}, expected a tensor"):
        acquire(scene, TILES, Random(), steps=1, classifier=part)
    with pytest.raises(ValueError, match=f"Broken.choose returned {words}, expected a Decision"):
        acquire(scene, TILES, part, steps=1, classifier=CLASSIFIER)
    with pytest.raises(ValueError, match=f"Broken.sample returned {words}, expected a tensor"):
        acquire(scene, TILES, BOED(part, CLASSIFIER), steps=1, classifier=CLASSIFIER)


def test_a_network_becomes_a_classifier_in_one_line() -> None:
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(2 * 256, 3))
    with pytest.raises(ValueError, match=r"boed.classifiers.from_module\(network\) makes one of"):
        made(classifier=network)
    classifier = made(classifier=from_module(network)).classifier
    path = acquire(DATA.scenes(), TILES, Random(), steps=2, classifier=classifier)
    assert path.log_beliefs.shape == (6, 3, 3)
    with pytest.raises(ValueError, match=r"network is an int, 5, expected a Module"):
        from_module(5)  # type: ignore[arg-type]
    flat = from_module(torch.nn.Flatten(0))
    with pytest.raises(ValueError, match=r"Flatten returned a Tensor, .*expected logits \(B, K\)"):
        flat.log_probs(Observation.nothing(1, 1, 4))
    with pytest.raises(ValueError, match="3 logits, expected two of each finding"):
        from_module(network, multi_label=True).log_probs(Observation.nothing(1, 1, 16))


OWN = """
from torch import Tensor
from boed.policies import Random

class Fails:
    def __init__(self):
        raise RuntimeError("no instrument")

class Needs:
    def __init__(self, port):
        pass

class Nothing:
    pass

def make():
    raise KeyError("x")
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_parts.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Fails", "RuntimeError: no instrument"),
        ("make", "KeyError: 'x'"),
        ("Needs", "port"),
        ("Nothing", "without"),
    ],
)
def test_what_a_constructor_raises_is_named(own: None, name: str, words: str) -> None:
    with pytest.raises(ValueError, match=f"sensor.*{words}"):
        made(sensor=f"own_parts:{name}")
    with pytest.raises(ValueError, match=f"policies: own_parts:{name}.*{words}"):
        made(policies=[f"own_parts:{name}"])


def test_what_a_module_has_does_not_list_what_it_imports(own: None) -> None:
    with pytest.raises(ValueError, match=r"one of own_parts:Fails, .*:make$") as no:
        import_object("own_parts:Nope", argument="policies")
    assert "Tensor" not in str(no.value)
    assert "Random" not in str(no.value)


# --- seeds, labels ---------------------------------------------------------------------------


class Seeds:
    """Remembers what seeds it was given."""

    def __init__(self) -> None:
        self.given: list[Any] = []

    def sample(self, observation: Observation, n: int, seed: Any = 0) -> Tensor:
        self.given.append(seed)
        return COMPLETER.sample(observation, n, seed)

    def choose(
        self, observation: Any, sensor: Any, seed: Any = 0, *, truth: Any = None
    ) -> Decision:
        self.given.append(seed)
        return Random().choose(observation, sensor, seed)


def test_parts_are_given_one_type_of_seeds() -> None:
    completer, policy = Seeds(), Seeds()
    boed = BOED(completer, CLASSIFIER, n=2, first_look=FirstLook(n=3))
    benchmark(DATA, TILES, CLASSIFIER, policies={"boed": boed, "own": policy}, steps=3, scenes=2)
    assert len(completer.given) >= 3
    for given in (*completer.given, *policy.given):
        assert isinstance(given, list)
        assert all(type(each) is int for each in given)


@pytest.mark.parametrize("seed", [np.int64(3), torch.tensor([4, 5]), (4, 5), np.array([4, 5])])
def test_whole_numbers_of_any_kind_are_seeds(seed: Any) -> None:
    expected = per_scene(3 if isinstance(seed, np.integer) else [4, 5], 2)
    assert per_scene(seed, 2) == expected
    assert all(type(each) is int for each in per_scene(seed, 2))


@pytest.mark.parametrize("seed", [None, 0.5, "12"])
def test_what_is_no_seed_is_refused(seed: Any) -> None:
    with pytest.raises(ValueError, match=r"seed is .*, expected a whole number, or one for each"):
        per_scene(seed, 2)


def test_a_library_for_another_question() -> None:
    """Its labels are no answers: an error of the estimate, and left out by `setup`."""
    library = CLUES.dataset(30, seed=7)
    five = replace(library, labels=library.labels + 2, label_names=("a", "b", "c", "d", "e"))
    findings = CLUES.dataset(30, seed=7, findings=True)
    for other in (five, findings):
        policy = BOED(Retrieval(other), CLASSIFIER, n=4, first_look=FirstLook(n=8))
        with pytest.raises(ValueError, match=r"completions carry labels .*, another question"):
            acquire(DATA.scenes([0]), TILES, policy, steps=1, classifier=CLASSIFIER)
        unlabelled = BOED(
            Retrieval(other, labelled=False), CLASSIFIER, n=4, first_look=FirstLook(n=8)
        )
        path = acquire(DATA.scenes([0]), TILES, unlabelled, steps=1, classifier=CLASSIFIER)
        assert path.designs[0, 0].tolist() == [8, 4]
        parts = made(library=other, completer="retrieval", policies=["boed"], completions=4)
        assert not parts.completer.labelled
        assert acquire(
            DATA.scenes([0]), TILES, parts.policies["boed"], steps=1, classifier=CLASSIFIER
        ).designs[0, 0].tolist() == [8, 4]


def test_seeds_are_several() -> None:
    with pytest.raises(ValueError, match=r"seeds is an int, 2, expected a list"):
        run(made(steps=1), "never", seeds=2)  # type: ignore[arg-type]
    assert not Path("never").exists()


def test_beliefs_of_another_precision_are_converted(tmp_path: Path) -> None:
    class Precise(ClueClassifier):
        def log_probs(self, observation: Observation) -> torch.Tensor:
            return super().log_probs(observation).double()

    assert run(made(classifier=Precise(), steps=1), tmp_path)["log_belief"].dtype == "float32"


def test_a_mask_of_another_shape_is_refused() -> None:
    blank = Observation.nothing(2, 1, 4)
    with pytest.raises(ValueError, match=r"mask is \(2, 1, 3, 4\), expected \(2, 1, 4, 4\)"):
        blank.with_seen(torch.rand(2, 1, 4, 4), torch.ones(2, 1, 3, 4))


class Tall(PatchSensor):
    def observe(self, observation: Observation, scene: Tensor, design: Any) -> Observation:
        return observation.with_seen(scene, torch.ones(len(scene), 1, 3, 16))


class Halved(PatchSensor):
    def observe(self, observation: Observation, scene: Tensor, design: Any) -> Observation:
        return Observation(scene, observation.mask[..., :8])


class Unweighted(ClueCompleter):
    def complete(self, observation: Observation, n: int, seed: Any = 0) -> Completions:
        return Completions(self.sample(observation, n, seed), torch.ones(n, len(observation)))


class Unread(ClueClassifier):
    def log_probs(self, observation: Observation) -> Tensor:
        return super().log_probs(Observation(observation.values, observation.mask[0]))


class Elsewhere(Random):
    def __init__(self, design: list[float]) -> None:
        super().__init__()
        vars(self)["design"] = design

    def choose(
        self, observation: Any, sensor: Any, seed: Any = 0, *, truth: Any = None
    ) -> Decision:
        designs = torch.tensor([vars(self)["design"]]).expand(len(observation), -1)
        return Decision(designs, candidates=sensor.designs(observation))


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"sensor": Tall(16, 0.25, 4)}, r"Tall.observe: mask is \(.*, 1, 3, 16\), expected"),
        ({"sensor": Halved(16, 0.25, 4)}, r"Halved.observe: mask must be \(.*16\) to go with"),
        ({"completer": Unweighted(CLUES)}, "Unweighted.complete: weights must sum to 1"),
        ({"classifier": Unread()}, r"Unread.log_probs: mask must be \(1, 1, 16, 16\)"),
        (
            {"policy": Elsewhere([999])},
            r"Elsewhere.choose returned candidates \(16, 2\), .*row of 1",
        ),
        (
            {"policy": Elsewhere([999, 0])},
            r"Elsewhere.choose returned designs \[\[999.*PatchSensor",
        ),
        (
            {"policy": Elsewhere([999]), "sensor": RowSensor()},
            r"Elsewhere.choose returned designs .* which RowSensor cannot take: .*index 999 is out",
        ),
    ],
)
def test_what_is_refused_inside_a_part_is_told_with_its_class(
    parts: dict[str, Any], words: str
) -> None:
    given = {"sensor": TILES, "classifier": CLASSIFIER, "completer": COMPLETER, **parts}
    policy = given.get("policy") or BOED(given["completer"], CLASSIFIER, n=2)
    with pytest.raises(ValueError, match=words):
        acquire(DATA.scenes([0]), given["sensor"], policy, steps=1, classifier=given["classifier"])


def test_parts_with_gradients_warn_of_nothing(recwarn: pytest.WarningsRecorder) -> None:
    """Completions, beliefs and observations that require a gradient."""
    scale = torch.ones(1, requires_grad=True)

    class Sampler(ClueCompleter):
        def sample(self, observation: Observation, n: int, seed: Any = 0) -> Tensor:
            return super().sample(observation, n, seed) * scale

    class Sensor(PatchSensor):
        def observe(self, observation: Observation, scene: Tensor, design: Any) -> Observation:
            after = super().observe(observation, scene, design)
            return Observation(after.values * scale, after.mask * scale)

    class Judge(ClueClassifier):
        def log_probs(self, observation: Observation) -> Tensor:
            return super().log_probs(observation) * scale

    blank = Observation.nothing_of(DATA.scenes([0]))
    with torch.enable_grad():
        drawn = complete(Sampler(CLUES), blank, 2)
        eig_map(blank, drawn, Sensor(16, 0.25, 4), classifier=Judge())
    assert not drawn.scenes.requires_grad
    assert not [str(each.message) for each in recwarn]
