"""A set-up from names, paths and objects, and a whole run of it in one call."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

from boed import BOED, PatchSensor, Random, run, setup
from boed.cli import app
from boed.completion import GaussianMixture, Retrieval
from boed.data import load
from boed.policies import CentreOut, Confident, Until
from boed.policies.names import USUAL, USUAL_LEARNED
from boed.run import read_settings
from tests.doubles import ClueClassifier, ClueCompleter, Clues, Fixed

CLUES = Clues()
OWN: dict[str, Any] = {"sensor": PatchSensor(16, 0.25, 4), "classifier": ClueClassifier()}


def own_policies() -> dict[str, Any]:
    return {"ours": BOED(ClueCompleter(CLUES), ClueClassifier(), n=3), "chance": Random()}


def test_a_users_own_parts_go_from_setup_to_report(tmp_path: Path) -> None:
    made = setup(CLUES.dataset(12), policies=own_policies(), steps=2, **OWN)
    assert made.baseline == "chance"  # a random policy, whatever it is called
    assert made.completer is None
    assert made.library is None
    results = run(made, tmp_path / "run", scenes=6, seeds=(3, 4))
    assert results.sizes["scene"] == 6
    assert results["seed"].values.tolist() == [3, 4]
    names = {each.name for each in (tmp_path / "run").iterdir()}
    assert {"results.nc", "summary.json", "examples.nc", "report.html"} <= names
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert list(summary["paired"]) == ["ours - chance"]
    assert "than chance" in (tmp_path / "run" / "report.html").read_text()
    settings = tmp_path / "run" / "run.toml"
    with pytest.raises(ValueError, match=r"sensor was a PatchSensor object of yours, which a file"):
        read_settings(settings, {**made.options, "scenes": 6, "seed": 0, "seeds": 1})


def test_scenes_are_finished_when_they_are_sure(tmp_path: Path) -> None:
    """Under every policy, whether it was made from a name or is an object."""
    steps, how = 6, {"until": 0.9, **OWN}
    made = setup(CLUES.dataset(12), policies=own_policies(), steps=steps, **how)
    assert made.baseline == "chance"
    results = run(made, tmp_path / "run", scenes=6)
    sure = np.exp(results["log_belief"].values).max(-1) >= 0.9  # policy, seed, scene, looks
    first = np.where(sure.any(-1), sure.argmax(-1), steps)
    assert (results["looks"].values == first).all()
    assert 0 < first.mean() < steps
    assert "finished at a probability of" in (tmp_path / "run" / "report.html").read_text()
    names = ["centre_out", "in_order", "random", "oracle"]
    named = setup(CLUES.dataset(12), policies=names, steps=steps, **how)
    assert named.options["until"] == 0.9
    rules = [policy.rule for policy in named.policies.values() if isinstance(policy, Until)]
    assert rules == [Confident(OWN["classifier"], 0.9)] * len(names)


@pytest.mark.slow
def test_a_run_that_was_finished_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = setup(CLUES.dataset(12), policies=own_policies(), steps=2, **OWN)
    one = run(made, tmp_path, scenes=6)
    assert not (tmp_path / "parts").exists()
    (tmp_path / "report.html").unlink()
    sweep = importlib.import_module("boed.benchmark.sweep")
    with monkeypatch.context() as patched:
        patched.setattr(sweep, "_run_all", pytest.fail)
        counted: list[int] = []
        other = run(made, tmp_path, scenes=6, on_progress=lambda _, looks: counted.append(looks))
    assert one.equals(other)
    assert one.attrs["started"] == other.attrs["started"]
    assert sum(counted) == 6 * 2 * len(made.policies)
    assert (tmp_path / "report.html").exists()
    (tmp_path / "results.nc").write_bytes(b"damaged")
    again = run(made, tmp_path, scenes=6)
    assert np.array_equal(one["design"], again["design"])


@pytest.mark.parametrize(
    "what",
    [
        "classifier",
        *(pytest.param(each, marks=pytest.mark.slow) for each in ("policy", "scenes", "sensor")),
    ],
)
def test_another_run_is_refused_its_folder(what: str, tmp_path: Path) -> None:
    run(setup(CLUES.dataset(12), policies=own_policies(), steps=2, **OWN), tmp_path)
    before = (tmp_path / "results.nc").read_bytes()
    parts, data, policies = dict(OWN), CLUES.dataset(12), own_policies()
    if what == "classifier":
        parts["classifier"] = ClueClassifier()
        parts["classifier"].sharpness = 2.0
    elif what == "policy":
        policies = {"ours": CentreOut(), "chance": Random()}
    elif what == "scenes":
        data = CLUES.dataset(12, seed=9)
    else:
        parts["sensor"] = PatchSensor(16, 0.5, 4)
    with pytest.raises(ValueError, match="holds a run with other settings: identity"):
        run(setup(data, policies=policies, steps=2, **parts), tmp_path)
    assert (tmp_path / "results.nc").read_bytes() == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"policies": []}, "policies is empty"),
        ({"policies": ["random", "random"]}, "random stands there twice"),
        ({"policies": ["radnom"]}, "did you mean 'random'"),
        ({"policies": ["random"], "baseline": "boed"}, "baseline is 'boed', expected random"),
        ({"steps": 0}, "steps is 0, expected at least 1"),
        ({"completions": 0}, "completions is 0, expected at least 1"),
        ({"steps": "two"}, "steps is 'two', expected a whole number"),
        ({"steps": True}, "steps is True, expected a whole number"),
        ({"memory": 0.5}, r"memory is 0\.5, expected a whole number"),
        ({"size": -1}, "size is -1, expected at least 1"),
        ({"split": "dev"}, "split is 'dev', expected one of train, val, test"),
        ({"until": 1.5}, "until is 1.5, expected at most 1"),
        ({"until": "sure"}, "until is 'sure', expected a number"),
        ({"device": "tpu"}, "device is 'tpu', expected cpu or cuda"),
        ({"device": "cuda:99"}, "device is 'cuda:99', but torch sees"),
        ({"policies": [1, 2]}, "policies is .1, 2., expected names of policies"),
        ({"policies": "boed,radnom"}, "policies is 'radnom': did you mean 'random'"),
        ({"sensor": {"grid": 3}}, "expected a table with a name"),
        ({"sensor": "patch,grid=5,grid=7"}, "option grid stands there twice"),
        ({"completer": "nothing.safetensors"}, "'nothing.safetensors', a file that does not exist"),
        ({"classifier": "no/thing"}, "classifier is 'no/thing', a file that does not exist"),
        ({"search": "no.safetensors"}, "search is 'no.safetensors', a file that does not exist"),
        (
            {"completer": "densenet-digits-32"},
            "which is a classifier, expected one of retrieval, gaussian",
        ),
        (
            {"classifier": "flow-kermany-64"},
            "which is a completer, expected one of trees, gaussian",
        ),
        (
            {"classifier": "screen-kermany-64"},
            "which is a screen for `search`, expected one of trees",
        ),
        (
            {"search": "densenet-digits-32"},
            "which is a classifier, expected one of exhaustive, racing",
        ),
        ({"search": "lucky"}, "screen-kermany-64"),
        *(
            ({"completer": name, "sensor": "foveated"}, f"{name} completes pixels; Foveated ret")
            for name in ("flow", "harmonic", "ridge", "tv", "low-rank", "patch-match")
        ),
        ({"sensor": "ptach"}, "did you mean 'patch'"),
        ({"classifier": "densenet-digits-23"}, "did you mean 'densenet-digits-32'"),
        ({"completer": "flow-digit-32"}, "completer is 'flow-digit-32': did you mean"),
        ({"completer": "flow-kermany-64"}, "completer is for 1 channels of 64 pixels; digits has"),
        ({"search": "fast"}, "search is 'fast'"),
        (
            {"precision": "bf16", "classifier": "gaussian"},
            "precision is 'bf16', which is for",
        ),
    ],
)
def test_what_is_not_expected_is_said(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        setup("digits", **{"policies": ["boed", "random"], **options})


def test_all_that_is_missing_is_said_at_once() -> None:
    digits = load("digits", 28, "test")
    with pytest.raises(
        ValueError, match=r"(?s)no classifier is shipped.*no completer flow"
    ) as told:
        setup(digits, completer="flow")
    assert "`completer='retrieval'` needs no training" in str(told.value)


def test_several_findings_are_no_question_for_a_mixture(tmp_path: Path) -> None:
    """What is advised can answer; the data are named as they were given."""
    arrays: dict[str, Any] = {}
    for split in ("train", "val", "test"):
        arrays[f"{split}_images"] = np.zeros((6, 8, 8), np.uint8)
        arrays[f"{split}_labels"] = np.array([[0, 1], [1, 0], [0, 0]] * 2)
    path = tmp_path / "two findings.npz"
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match="no classifier is shipped") as told:
        setup(path, completer="flow", sensor="patch,grid=2")
    assert "gaussian" not in str(told.value)
    for what in ("classifier", "completer flow"):
        assert f"`boed train {what} --data '{path}' --size 8" in str(told.value)
    with pytest.raises(ValueError, match="'gaussian', which answers one question with one answer"):
        setup(path, classifier="gaussian", sensor="patch,grid=2")


def test_labels_without_names_are_told_how_to_get_them(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    images, labels = np.zeros((10, 32, 32), np.uint8), np.arange(10)
    np.savez(path, test_images=images, test_labels=labels)
    with pytest.raises(ValueError, match=r"asks class 0.*give the file of mine the key"):
        setup(path, classifier="densenet-digits-32", library="digits")


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("split", ["test", "val"])
def test_the_scenes_themselves_are_no_library(split: str, again: bool) -> None:
    scenes = load("digits", 32, split)
    library = load("digits", 32, split) if again else scenes
    words = f"library is the {split} split of digits, the same scenes as data, expected train or"
    with pytest.raises(ValueError, match=words):
        setup(scenes, library=library, completer="retrieval")


def test_a_library_of_another_size_says_so() -> None:
    with pytest.raises(ValueError, match=r"library: digits \(train\) has scenes \(1, 28, 28\)"):
        setup(load("digits", 32, "test"), library=load("digits", 28, "train"))


def test_policies_with_commas_between() -> None:
    assert list(setup("iris", policies="boed, random").policies) == ["boed", "random"]


def test_tables_and_readings_are_completed_without_training() -> None:
    made = setup("iris", policies=["boed", "boed_retrieval", "random"])
    assert isinstance(made.completer, GaussianMixture)
    assert type(made.classifier).__name__ == "TabularClassifier"
    retrieval = made.policies["boed_retrieval"]
    assert isinstance(retrieval, BOED)
    assert isinstance(retrieval.completer, Retrieval)


def test_a_policy_of_the_users_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"{Fixed.__module__}:{Fixed.__qualname__}"
    made = setup("iris", policies=[name, "random"], steps=2)
    assert isinstance(made.policies[name], Fixed)
    results = run(made, tmp_path / "run", scenes=3)
    assert isinstance(results, xr.Dataset)


def test_a_run_of_seeds_with_gaps_is_the_same_again(tmp_path: Path) -> None:
    made = setup("digits", sensor="patch,grid=2", policies="random", steps=1)
    first = run(made, tmp_path / "first", scenes=2, seeds=(3, 7))
    words = [str(tmp_path / "first" / "run.toml"), "--out", str(tmp_path / "again")]
    assert CliRunner().invoke(app, ["benchmark", *words]).exit_code == 0
    again = xr.load_dataset(tmp_path / "again" / "results.nc")
    assert again["seed"].values.tolist() == [3, 7]
    assert np.array_equal(first["design"], again["design"])


def test_policies_of_a_finished_run_come_in_the_order_that_is_asked_for(tmp_path: Path) -> None:
    policies = {"ours": CentreOut(), "chance": Random()}
    run(setup(CLUES.dataset(12), policies=policies, steps=1, **OWN), tmp_path, scenes=4)
    turned = dict(reversed(policies.items()))
    again = run(setup(CLUES.dataset(12), policies=turned, steps=1, **OWN), tmp_path, scenes=4)
    assert again["policy"].values.tolist() == ["chance", "ours"]


def test_more_steps_than_candidates_end_when_all_is_seen(tmp_path: Path) -> None:
    parts = {**OWN, "sensor": PatchSensor(16, 0.5, 2)}
    made = setup(CLUES.dataset(12), policies=own_policies(), steps=6, **parts)
    with pytest.warns(UserWarning, match="steps is 6, but PatchSensor has 4 candidates") as told:
        results = run(made, tmp_path, scenes=4)
    assert len([each for each in told if "candidates" in str(each.message)]) == 1
    assert (tmp_path / "report.html").exists()
    assert results["design"].isel(step=5).isnull().all()


@pytest.mark.parametrize(
    ("changes", "more"),
    [
        ({"data": "digits", "sensor": "patch,grid=9"}, ["value"]),
        ({"data": "digits", "sensor": "patch,grid=5"}, []),
        ({"data": "digits", "sensor": "patch,grid=9", "classifier": "gaussian"}, []),
        ({"data": "optical_digits"}, []),
    ],
)
def test_the_usual_policies_have_a_learned_one_where_it_is_shipped(
    changes: dict[str, Any], more: list[str]
) -> None:
    made = setup(**changes, policies=None)
    assert list(made.policies) == [*USUAL, *more]
    assert made.options["policies"] == [*USUAL, *more]


def test_the_help_says_what_is_usual() -> None:
    said = "".join(CliRunner().invoke(app, ["benchmark", "--help"]).output.split()).replace("│", "")
    assert f"({','.join(USUAL)},and{USUAL_LEARNED}whereoneisshipped)" in said
