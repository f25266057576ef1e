"""Runs in one call: where they may write, and what they say of their scenes before they begin."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import boed
from boed.benchmark import benchmark
from boed.classifiers.evaluation.out_of_distribution import LOOKED_AT, warn_if_unlike
from boed.data import Dataset, load
from boed.run import evaluate_classifiers, evaluate_completers, run
from boed.under_shift import evaluate_policies
from boed.zoo import Context, classifier_for


@pytest.fixture(scope="module")
def made() -> boed.Setup:
    policies = ["random", "centre_out"]
    return boed.setup("digits", policies=policies, sensor="patch,grid=2", steps=1)


def writers(made: boed.Setup) -> dict[str, Callable[[Any], object]]:
    """What writes a run's folder."""
    parts = (made.data, made.sensor, made.classifier)
    return {
        "run": lambda out: run(made, out),
        "benchmark": lambda out: benchmark(*parts, policies=made.policies, out=out),
        "evaluate_completers": lambda out: evaluate_completers(["retrieval"], out),
        "evaluate_classifiers": lambda out: evaluate_classifiers(["densenet-digits-32"], out),
        "evaluate_policies": lambda out: evaluate_policies(made, out),
    }


EVALUATIONS = ("evaluate_completers", "evaluate_classifiers", "evaluate_policies")


@pytest.mark.parametrize("writer", ["run", "benchmark", *EVALUATIONS])
@pytest.mark.parametrize(
    ("out", "words"),
    [
        ("file", "out is '.*file', which is a file, expected a folder"),
        ("file/run", "out is '.*', but .*file is a file"),
        ("/proc/x", "out is '/proc/x', which cannot be written"),
        ("n" * 300, r"out is '.*', which cannot be written \(File name too long\)"),
        ("plates", "out: .*plates holds 'a' and 1 more, but no run.json"),
        ("notes", "out: .*notes holds 'notes.md', but no run.json"),
        ("other", r"out: .*run\.json is damaged \(says of no kind"),
        (5, "out is (an int, )?5, expected"),
        ("", "out is '', expected text"),
    ],
)
def test_folders_of_something_else_are_refused_before_any_work(
    writer: str, out: Any, words: str, made: boed.Setup, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    for name in ("file", "plates/labels.csv", "plates/a/0.png", "notes/notes.md"):
        Path(name).parent.mkdir(exist_ok=True, parents=True)
        Path(name).write_text("mine")
    Path("other").mkdir()
    Path("other", "run.json").write_text("{}")
    before = sorted(tmp_path.rglob("*"))
    for module in (
        "boed.benchmark.sweep",
        "boed.run",
        "boed.under_shift",
    ):  # where work would begin
        for work in ("_full_image", "load", "warn_if_unlike", "check_names"):
            monkeypatch.setattr(sys.modules[module], work, pytest.fail, raising=False)
    with pytest.raises(ValueError, match=words):
        writers(made)[writer](out)
    assert sorted(tmp_path.rglob("*")) == before


def negative(data: Dataset) -> Dataset:
    return replace(data, images=255 - data.images)


def noise(data: Dataset) -> Dataset:
    generator = torch.Generator().manual_seed(0)
    return replace(data, images=torch.randint(256, data.images.shape, generator=generator).byte())


def few_inverted(data: Dataset) -> Dataset:
    images = data.images.clone()
    images[::4] = 255 - images[::4]
    return replace(data, images=images)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (lambda data: data, None),
        (few_inverted, None),
        (negative, r"32 of 32 scenes of digits \(test\) look inverted, dark where"),
        (noise, r"32 of 32 scenes of digits \(test\) are unlike those that the classifier was"),
    ],
)
def test_scenes_of_another_kind_are_told_of(changed: Any, said: str | None) -> None:
    data = load("digits", 32)
    classifier = classifier_for(Context(data, boed.sensors.PatchSensor(32)))
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        warn_if_unlike(classifier, changed(data))
    assert LOOKED_AT == 32
    assert len(warned) == (said is not None)
    for each in warned:
        with pytest.warns(UserWarning, match=said):
            warnings.warn(each.message, stacklevel=1)


class Begun(Exception):
    """The work has begun."""


@pytest.mark.parametrize("writer", ["run", *EVALUATIONS])
def test_an_inverted_data_set_is_told_of_before_the_work(
    writer: str, made: boed.Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def begin(*_: Any, **__: Any) -> None:
        raise Begun

    for module in ("boed.run", "boed.under_shift"):
        for work in ("benchmark", "claim"):
            monkeypatch.setattr(sys.modules[module], work, begin, raising=False)
    loaded = lambda *given: negative(load(*given))  # noqa: E731
    monkeypatch.setattr(sys.modules["boed.data.load"], "load", loaded)
    upside_down = replace(made, data=negative(made.data))
    with pytest.raises(Begun), pytest.warns(UserWarning, match="look inverted"):
        writers(upside_down)[writer](tmp_path)
