"""An experiment of a Pyro model driven by lines, from its names to its end."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from boed.cli import app
from boed.deep_adaptive import PolicyTrainingConfig, architecture_for, train_design_policy
from boed.problems.names import problem_named

QUICK = PolicyTrainingConfig(steps=2, batch=8, contrasts=15, looks=2, watched=4, every=2)
LINE = problem_named("linear_gaussian")


@pytest.fixture(scope="module")
def policies(tmp_path_factory: Any) -> Path:
    """Of one look at a time, and of both at once."""
    folder: Path = tmp_path_factory.mktemp("policies")
    for name, together in (("one", 1), ("both", 2)):
        train_design_policy(
            LINE,
            settings=replace(QUICK, at_once=together),
            architecture=architecture_for(LINE, hidden=8, embedding=4),
            out=folder / f"{name}.safetensors",
        )
    return folder


def told(policy: Path, out: Path, *messages: dict[str, Any], more: tuple[str, ...] = ()) -> Any:
    lines = "".join(json.dumps(each) + "\n" for each in messages)
    given = ["live", "--problem", "linear_gaussian", "--policy", str(policy), "--stdio"]
    result = CliRunner().invoke(app, [*given, "--out", str(out), *more], input=lines)
    assert result.exit_code == 0, result.output
    return [json.loads(each) for each in result.stdout.splitlines()]


def test_an_experiment_goes_on_over_lines(policies: Path, tmp_path: Path) -> None:
    one, log = policies / "one.safetensors", tmp_path / "log"
    first, taken = told(one, log, {"action": "next"}, {"action": "ingest", "outcome": 0.5})
    assert len(first["designs"]) == 1
    assert first["reason"] is None
    assert taken == {"looks": 1, "spent": 1.0}
    known, second, own, end, state = told(
        one, log,
        {"action": "posterior", "particles": 2000},
        {"action": "next"},
        {"action": "ingest", "outcome": -1, "design": [0.25]},
        {"action": "next"},
        {"action": "state"},
    )  # fmt: skip
    (design,) = first["designs"][0]
    assert known["theta"]["mean"][0] == pytest.approx(
        0.5 * design / (1 + design**2), abs=0.12
    )  # of theta ~ N(0, 1), y ~ N(d theta, 1)
    assert second["designs"] != first["designs"]
    assert own["looks"] == 2
    assert end == {"designs": [], "reason": "all 2 looks are made"}
    assert state["outcomes"] == [0.5, -1.0]
    assert state["designs"][1] == [0.25]
    assert state["horizon"] == 2


def test_designs_of_a_group_are_told_together(policies: Path, tmp_path: Path) -> None:
    both = policies / "both.safetensors"
    pair, _, left = told(
        both, tmp_path / "log",
        {"action": "next"}, {"action": "ingest", "outcome": 0.1}, {"action": "next"},
    )  # fmt: skip
    assert len(pair["designs"]) == 2
    assert left["designs"] == pair["designs"][1:]
    (state,) = told(both, tmp_path / "log", {"action": "state"})
    assert state["waiting"] == left["designs"]


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ({"action": "begin"}, "action is 'begin'"),
        ({"action": "ingest"}, "ingest needs outcome"),
        ({"action": "ingest", "outcome": "much"}, "outcome is a str, 'much', expected a number"),
        (
            {"action": "ingest", "outcome": [1, 2], "design": [1]},
            "expected finite numbers of shape",
        ),
        ({"action": "ingest", "outcome": 1}, "design is None, and none was suggested"),
        ({"action": "ingest", "outcome": 1, "design": [[1]]}, "design"),
        ({"action": "posterior", "particles": 1}, "particles is 1, expected at least 2"),
        (["next"], "message is list, expected an object"),
    ],
)
def test_what_is_wrong_is_told_and_changes_nothing(
    message: Any, error: str, policies: Path, tmp_path: Path
) -> None:
    answer, state = told(
        policies / "one.safetensors", tmp_path / "log", message, {"action": "state"}
    )
    assert error in answer["error"]
    assert state["outcomes"] == []


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ((), "--problem is for --stdio"),
        (("--stdio", "--grid", "9"), "--grid is for scenes, expected none with --problem"),
        (("--stdio", "--demo"), "--demo is for scenes"),
        (("--stdio", "--data", "wine"), "--data is for scenes"),
        (("--stdio", "--port", "80"), "--port is for scenes"),
        (("--stdio", "--scene", "7"), "--scene is for scenes"),
        (("--stdio", "--dicom-image", "README.md"), "--dicom-image"),
        (("--stdio", "--policy", "boed"), "--policy is 'boed', expected a checkpoint of `boed tra"),
        (
            ("--stdio", "--policy", "deep-adaptive-location-finding-10"),
            "--policy dad is for another experiment",
        ),
    ],
)
def test_what_cannot_be_is_refused_before_it_begins(
    given: tuple[str, ...], error: str, tmp_path: Path
) -> None:
    command = ["live", "--problem", "linear_gaussian", "--out", str(tmp_path / "log"), *given]
    result = CliRunner().invoke(app, command)
    assert result.exit_code != 0
    assert error in result.output
    assert not (tmp_path / "log").exists()


def test_a_budget_ends_it(policies: Path, tmp_path: Path) -> None:
    answers = told(
        policies / "one.safetensors", tmp_path / "log",
        {"action": "next"}, {"action": "ingest", "outcome": 0.5}, {"action": "next"},
        more=("--budget", "1.5"),
    )  # fmt: skip
    assert answers[-1]["designs"] == []
    assert answers[-1]["reason"].startswith("the next design costs 1, and 0.5 of the budget")
    assert torch.is_grad_enabled()


def test_designs_beyond_the_bounds_of_a_problem_are_refused(tmp_path: Path) -> None:
    bounded = problem_named("death_process")
    policy = tmp_path / "policy.safetensors"
    train_design_policy(
        bounded,
        settings=replace(QUICK, batch=4),
        architecture=architecture_for(bounded, hidden=8, embedding=4),
        out=policy,
    )
    lines = json.dumps({"action": "ingest", "outcome": 3, "design": [50.0]}) + "\n"
    given = ["live", "--problem", "death_process", "--policy", str(policy), "--stdio"]
    result = CliRunner().invoke(app, [*given, "--out", str(tmp_path / "log")], input=lines)
    assert "outside the design space" in result.output
