"""Live sessions from names, as the command makes them."""

from __future__ import annotations

import importlib
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

import boed
from boed.cli import app
from boed.live import live_maker, make_live
from boed.live.simulated import SCENE
from boed.live.view import View
from tests.doubles import Constant
from tests.live.sessions import small
from tests.test_readme import blocks

ROOT = Path(__file__).parents[2]
DIGIT = Constant((-2.3,) * 10)


def live(*arguments: str, typed: str = "") -> Any:
    return CliRunner().invoke(app, ["live", *arguments], input=typed)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--stdio", "--folder", "looks"), "--stdio is a way of its own"),
        (("--stdio", "--page"), "--stdio is a way of its own"),
        (("--stdio", "--demo", "--scene", "500"), "--scene is 500, expected at most 499"),
        (("--stdio", "--policy", "bode"), "--policy is 'bode': did you mean 'boed'"),
        (("--stdio", "--data", "digit"), "--data is 'digit': did you mean 'digits'"),
        (("--stdio", "--sensor", "ptach"), "--sensor is 'ptach': did you mean 'patch'"),
        (("--stdio", "--grid", "3", "--sensor", "lines"), "--grid is for the patch sensor"),
        (("--stdio", "--until", "1.5"), "--until is 1.5, expected at most 1"),
        (("--stdio", "--out", "full"), "holds notes.txt but no log.jsonl"),
    ],
)
def test_what_cannot_be_is_one_line(
    arguments: tuple[str, ...], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    refused = live(*arguments)
    assert refused.exit_code == 2, refused.output
    assert told in refused.output
    assert refused.stdout == ""


def test_a_page_without_its_extra_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    refused = live("--demo")
    assert refused.exit_code == 2
    assert "pip install 'boed[live]'" in refused.output


def test_a_demonstration_reads_the_scene_that_was_asked_for() -> None:
    made = make_live("digits", policy="centre_out", classifier=DIGIT, scene=3, budget=0.125)
    scene = boed.data.load("digits", 32, "test").subset([3])
    assert made.instrument is not None
    assert made.instrument.truth == int(scene.labels[0])
    for _ in range(3):
        for look in made.next()["looks"]:
            made.take(look["id"])
    observation = made.session.observation
    assert float(observation.mask.sum()) == 128
    assert torch.equal(observation.values, scene.scenes([0]) * observation.mask)
    with pytest.raises(ValueError, match="take is for demonstrations"):
        make_live("digits", policy="centre_out", classifier=DIGIT).take(0)


def test_a_demonstration_without_its_data_set_is_about_a_generated_scene(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def load(*given: Any) -> Any:
        raise ValueError("digits is not here")

    monkeypatch.setattr("boed.live.making.load", load)
    said: list[str] = []
    nine = Constant((*[-20.0] * 9, 0.0))
    given: dict[str, Any] = {"classifier": nine, "say": said.append}
    made = make_live("digits", completer="harmonic", scene=3, completions=1, **given)
    assert made.instrument is not None
    assert made.instrument.truth == 9  # what the classifier says of all of it
    assert made.instrument.scene.shape == (1, 1, 32, 32)
    assert "generated" in made.about
    assert said == ["digits is not here; until then the scene is one that the completer generates"]
    with pytest.raises(ValueError, match="digits is not here, or take a policy whose completer"):
        make_live("digits", policy="centre_out", scene=3, **given)
    real = make_live("digits", completer="harmonic", completions=1, **given)
    assert "generated" not in real.about


@pytest.mark.slow
def test_a_chest_is_generated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BOED_DATA", raising=False)
    made = [
        make_live("kermany_pneumonia_128", scene=number, completions=1, sensor="patch,grid=2")
        for number in (4, 4, 5)
    ]
    scenes = [each.instrument.scene for each in made if each.instrument is not None]
    assert [each.shape for each in scenes] == [(1, 1, 64, 64)] * 3
    assert torch.equal(scenes[0], scenes[1])
    assert not torch.equal(scenes[1], scenes[2])
    assert float(scenes[0].std()) > 0.1


def test_a_log_is_of_one_scene(tmp_path: Path) -> None:
    makers = {
        scene: live_maker("digits", policy="centre_out", classifier=DIGIT, scene=scene)
        for scene in (3, 4, None)
    }
    for began, goes_on in itertools.product(makers, makers):
        log = tmp_path / f"{began}-{goes_on}"
        live = makers[began](log)
        live.next()
        live.session.close()
        if began == goes_on:
            makers[goes_on](log).session.close()
            continue
        words = {3: r"scene 3 \(\w{16}\) of a demonstration", None: "what a real instrument reads"}
        words[4] = words[3].replace("3", "4", 1)
        told = f"log .* is of a session about {words[began]}, this one's is about {words[goes_on]}"
        for _ in range(2):  # and its log is let go
            with pytest.raises(ValueError, match=told):
                makers[goes_on](log)
    (tmp_path / "3-3" / SCENE).write_text("{")
    with pytest.raises(ValueError, match=r"is damaged: scene.json is no JSON"):
        makers[3](tmp_path / "3-3")


@pytest.mark.parametrize("until", [0.0, 1.01, -1.0, float("nan")])
def test_a_probability_that_is_none_is_told_before_any_work(until: float) -> None:
    with pytest.raises(ValueError, match="until is "):
        live_maker("nowhere", until=until)


def test_a_session_ends_when_it_is_sure() -> None:
    given: dict[str, Any] = {
        "policy": "boed",
        "completer": "harmonic",
        "scene": 4,
        "completions": 1,
    }
    sure, unsure = Constant((0.0, *[-20.0] * 9)), DIGIT
    for classifier, ends in ((sure, True), (unsure, False)):
        live = live_maker("digits", classifier=classifier, until=0.9, **given)(None)
        answer = live.next() if ends else live.state()
        assert bool(answer["reason"]) == ends
        assert len(View(live).completions()) == 12  # those of the policy
    assert (
        "no further look is needed"
        in live_maker("digits", classifier=sure, until=0.9, **given)(None).next()["reason"]
    )


def test_the_first_look_is_told_where_it_takes_long() -> None:
    said: list[str] = []
    live = small()
    live._say = said.append
    live.next()
    live.take(0)
    live.next()
    assert said == ["deciding the first look, from 8 completions"]


@pytest.mark.slow
def test_the_command_goes_on_with_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    given = ("--stdio", "--policy", "random", "--demo", "--out", "log", "--budget", "0.2")
    first = live(*given, typed='{"action": "next"}\n{"action": "take", "look": 0}\nhello\n')
    assert first.exit_code == 0, first.output
    answers = [json.loads(line) for line in first.stdout.splitlines()]
    assert [next(iter(each)) for each in answers] == ["looks", "belief", "error"]
    again = live(*given, typed='{"action": "state"}')
    (state,) = [json.loads(line) for line in again.stdout.splitlines()]
    assert [each["status"] for each in state["looks"]] == ["taken"]
    assert (state["spent"], state["budget"]) == (0.0625, 0.2)
    assert "is of a session whose seed is 0" in live(*given, "--seed", "1").output


@pytest.mark.slow
def test_the_command_watches_a_folder_until_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = live("--folder", "looks", "--policy", "random", "--budget", "0.01")
    assert done.exit_code == 0, done.output
    assert "finished: the budget of 0.01 has no room for the next look" in done.output
    assert json.loads(Path("looks", "next.json").read_text())["id"] is None
    assert (tmp_path / "runs" / "live-digits" / "log.jsonl").exists()


@pytest.mark.slow
def test_the_example_of_a_motor_and_a_camera(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As it stands in the documentation, with a motor that jams once."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(importlib.import_module("boed.zoo.policies"), "FIRST_COMPLETIONS", 20)
    scene = boed.data.load("digits", 32, "test").scenes([0])[0]
    moves: list[tuple[int, int]] = []

    class Motor:
        def move(self, row: float, column: float) -> None:
            moves.append((int(row), int(column)))
            if len(moves) == 2:
                raise TimeoutError

    class Camera:
        def read(self) -> torch.Tensor:
            row, column = moves[-1]
            return scene[:, row : row + 8, column : column + 8]

    (example,) = blocks(ROOT / "docs" / "live.md", "python")
    exec(example, {"motor": Motor(), "camera": Camera()})
    assert len(moves) == 4
    assert "finished: the budget of 0.25 has no room for the next look" in capsys.readouterr().out
