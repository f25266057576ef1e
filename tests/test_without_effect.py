"""Nothing that was asked for is passed over in silence: it is refused, or warned of."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import typer

from boed import PatchSensor, Random, setup
from boed.cli import app
from boed.search import Exhaustive
from tests.doubles import ClueClassifier, ClueCompleter, Clues

BOED: Any = typer.main.get_command(app)
CLUES = Clues()
DATA, LIBRARY = CLUES.dataset(8), CLUES.dataset(30, seed=3)
OWN: dict[str, Any] = {"sensor": PatchSensor(16, 0.25, 4), "classifier": ClueClassifier()}
GIVEN: dict[str, Any] = {
    "completer": ClueCompleter(CLUES), "completions": 4, "search": Exhaustive(),
    "library": LIBRARY, "val": CLUES.dataset(12, seed=5), "precision": "auto",
}  # fmt: skip


def warned(policies: Any, classifier: Any = None, **given: Any) -> list[str]:
    parts = OWN if classifier is None else {**OWN, "classifier": classifier}
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        setup(DATA, policies=policies, **parts, **given)
    return [str(each.message).partition(" has no effect: ")[0] for each in told]


@pytest.mark.parametrize(
    ("policies", "classifier", "without"),
    [
        (["random", "centre_out"], None, set(GIVEN)),
        (["oracle"], None, set(GIVEN)),
        ({"a": Random()}, None, set(GIVEN)),
        (["random"], "gaussian", {"completer", "completions", "search", "precision"}),
        (["boed_retrieval"], None, {"completer", "precision"}),
        (["max_variance"], None, {"search", "precision"}),
        (["boed"], None, {"precision"}),
        (["random", "boed"], None, {"precision"}),
    ],
)
def test_each_argument_without_effect_is_warned_of(
    policies: Any, classifier: Any, without: set[str]
) -> None:
    assert set(warned(policies, classifier, **GIVEN)) == without
    needed = {"library": LIBRARY} if classifier or "boed_retrieval" in policies else {}
    for name, value in GIVEN.items():
        expected = [name] if name in without else []
        some = {**needed, name: value}
        if policies in (["boed"], ["max_variance"], ["random", "boed"]):
            some = {"completer": GIVEN["completer"], **some}
        assert warned(policies, classifier, **some) == expected, name


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"size": 32}, "size is 32, but data is a Dataset, clues, whose size is 16"),
        ({"split": "val"}, "split is 'val', but data is a Dataset, clues, whose split is 'test'"),
    ],
)
def test_another_size_or_split_than_that_of_a_dataset_is_refused(
    given: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        setup(DATA, policies=["random"], **OWN, **given)
    made = setup(DATA, policies=["random"], **OWN, size=16, split="test")
    assert made.options["split"] == "test"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("train completer vae --masks holes", "masks is no key of a recipe of kind vae"),
        ("train completer vae --sensor patch", "sensor is no key of a recipe of kind vae"),
        ("train completer vae --init aipo-digits-32", "init is no key of a recipe of kind vae"),
        ("train completer vae --vae aipo-digits-32", "vae is no key of a recipe of kind vae"),
        ("train completer aipo --vae a --architecture small", "but --vae brings its own"),
        ("train completer aipo --masks holes --sensor patch", "sensor stands in place of masks"),
        ("train classifier --patch 0.2 --sensor patch", "sensor stands in place of masks and pat"),
        ("benchmark --grid 5 --sensor kspace", "--grid is for the patch sensor"),
        ("benchmark --patch 0.3 --sensor pkg:Own", "--patch is for the patch sensor"),
        ("benchmark --workers 2", "--workers is 2, but the engine local"),
        ("benchmark --data iris --size 9", "--size is 9, but iris is a table"),
        ("benchmark --data wine --precision bf16", "--precision is 'bf16', which is for DenseNet"),
        ("data fetch cifar10 --size 28", "--size is 28"),
    ],
)
def test_options_without_effect_are_refused(
    words: str, said: str, capsys: pytest.CaptureFixture[str], tmp_path: Any, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        BOED.main(words.split(), prog_name="boed")
    assert end.value.code == 2
    assert said in capsys.readouterr().err
