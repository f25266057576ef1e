"""`boed scan` is the benchmark's policy on one image, and says when the image is another kind."""

import os

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import boed
from boed.benchmark import benchmark, scene_rows
from boed.classifiers.evaluation.out_of_distribution import feature_distance
from boed.cli import app
from boed.data import load
from boed.report.scan import scan, scan_setup
from boed.report.worked_scenes import worked_scenes

ROOT = os.environ.get("BOED_DATA")
needs_data = pytest.mark.skipif(not ROOT, reason="needs $BOED_DATA")
ROW = int(scene_rows(500, 1)[0])
"""The scene that a benchmark of one scene takes."""


def scanned(*arguments: object):
    return CliRunner().invoke(app, ["scan", *map(str, arguments)])


def refused(result, *words: str) -> None:
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    for word in words:
        assert word in result.output


@pytest.fixture
def digit(tmp_path):
    """The scene as a picture."""
    path = tmp_path / "digit.png"
    Image.fromarray(load("digits", 32, "test").images[ROW, 0].numpy()).save(path)
    return path


@pytest.mark.parametrize(
    ("policy", "options"),
    [
        pytest.param("boed", {}, marks=pytest.mark.slow),
        ("boed", {"completer": "retrieval", "completions": 4, "search": "coarse"}),
        pytest.param(
            "boed_entropy", {"completer": "gaussian", "completions": 4}, marks=pytest.mark.slow
        ),
        ("max_variance", {"completer": "retrieval", "sensor": "lines,axis=row,width=8"}),
        ("value", {"sensor": "patch,grid=9"}),
        ("oracle", {}),
        ("random", {}),
    ],
)
def test_scan_and_benchmark_agree(digit, policy, options):
    options = {"sensor": "patch,grid=3", "steps": 2, **options}
    made = boed.setup("digits", policies=[policy], **options)
    results = benchmark(
        made.data, made.sensor, made.classifier, policies=made.policies, steps=2, seeds=[7],
        scenes=1,
    )  # fmt: skip
    found = scan(scan_setup(digit, "digits", policy=policy, **options), seed=7, scene=ROW)
    path = found.trajectory
    assert np.array_equal(path.designs.numpy(), results["design"].values[0, 0])
    assert np.allclose(path.log_beliefs.numpy(), results["log_belief"].values[0, 0], atol=1e-4)
    score = results["score"].values[0, 0]
    assert np.allclose(path.scores.numpy(), score, atol=1e-4, equal_nan=True)
    shown = worked_scenes(made, seed=7, count=1)
    if shown is not None:  # the maps of the report
        assert np.allclose(found.panels["eig"], shown["eig"], atol=1e-4, equal_nan=True)


def test_the_first_look_is_retrieved_where_there_is_a_library(digit):
    made = scan_setup(digit, "digits", steps=1)
    first = made.policies["boed"].first_look
    assert type(made.completer).__name__ == "AIPO"
    assert (type(first.completer).__name__, first.n) == ("Retrieval", 500)


@pytest.mark.slow
@needs_data
def test_the_default_completer_is_the_data_sets(digit):
    made = scan_setup(digit, "kermany_pneumonia_128", steps=1)
    assert type(made.completer).__name__ == "FlowMatching"


def test_without_the_library_the_first_look_takes_the_completions_that_were_asked_for(
    digit, monkeypatch
):
    monkeypatch.delenv("BOED_DATA", raising=False)
    made = scan_setup(digit, "mnist_28", steps=1, completions=3, completer="aipo-digits-32",
                      sensor="patch,grid=2")  # fmt: skip
    assert made.library is None
    assert made.policies["boed"].first_look.n == 3
    found = scan(made)
    assert len(found.trajectory.decisions[0].completions.scenes) == 3
    assert "first look is decided with 3 draws" in found.warnings[0]


@pytest.mark.parametrize("pixels", [28, 56, 32])
def test_digits_have_the_border_that_the_data_set_gives_them(tmp_path, pixels):
    plain = load("digits", pixels if pixels == 32 else 28, "test").images[ROW, 0].numpy()
    path = tmp_path / "digit.png"
    big = plain.repeat(pixels // 28, 0).repeat(pixels // 28, 1) if pixels == 56 else plain
    Image.fromarray(big).save(path)
    made = scan_setup(path, "digits", policy="random", sensor="patch,grid=3")
    assert torch.equal(made.data.images[0], load("digits", 32, "test").images[ROW])


def test_what_the_command_prints_and_draws(digit, tmp_path):
    out = tmp_path / "scan.png"
    options = ("--data", "digits", "--grid", "3", "--steps", "2", "--completions", "3")
    result = scanned(digit, *options, "--completer", "retrieval", "--out", out)
    assert result.exit_code == 0, result.output
    assert result.output.count("EIG (nats)") == 1
    assert result.stderr.startswith(f"boed: looking at {digit}\n")
    assert "unlike" not in result.output
    with Image.open(out) as figure:
        assert figure.width > 1000
    other = (*options, "--policy", "random", "--invert", "--out")
    refused(scanned(digit, *other, out), "scan.png shows something else")
    upside = scanned(digit, *other, tmp_path / "inverted.png")
    assert "the image is unlike those that the classifier was trained on" in upside.output


@pytest.mark.slow
@needs_data
def test_a_ct_slice_is_no_chest_x_ray(tmp_path):
    from pydicom.data import get_testdata_file

    path = get_testdata_file("CT_small.dcm", download=False)
    result = scanned(path, "--steps", "1", "--grid", "3", "--out", tmp_path / "scan.png")
    assert result.exit_code == 0, result.output
    assert "pneumonia" in result.output
    assert "unlike" in result.output


def test_each_decision_is_told(digit):
    told = []
    made = scan_setup(digit, "digits", policy="random", sensor="patch,grid=3", steps=2)
    scan(made, on_look=lambda: told.append(1))
    assert len(told) == 2


@pytest.mark.slow
def test_a_classifier_without_a_record_says_so(digit):
    made = scan_setup(digit, "digits", policy="random", classifier="gaussian", steps=1)
    assert "no record of its training data" in scan(made).warnings[0]
    assert feature_distance(made.classifier, made.data.scenes()) is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--data", "digitz"], ["digitz", "digits"]),
        (["--data", "iris"], ["iris", "a table"]),
        (["--policy", "radnom"], ["radnom", "random"]),
        (["--completer", "flwo"], ["flwo", "flow"]),
        (["--classifier", "gausian"], ["gausian", "gaussian"]),
        (["--sensor", "pach"], ["pach", "patch"]),
        (["--steps", "0"], ["steps is 0"]),
        (["--completions", "0"], ["completions is 0"]),
        (["--scene", "-1"], ["scene is -1"]),
        (["--out", "s.foo"], ["out is 's.foo'", ".png"]),
        (["--out", "."], ["out is '.'", "a folder"]),
        (["--out", "digit.png"], ["out: digit.png exists and was not written by boed"]),
        (["--out", "digit.png/s.png"], ["out is 'digit.png/s.png'", "is a file"]),
    ],
)
def test_bad_options_are_refused_before_any_work(digit, options, words, monkeypatch):
    monkeypatch.chdir(digit.parent)
    monkeypatch.setattr("boed.report.scan.acquire", pytest.fail)
    refused(scanned("digit.png", *(["--data", "digits", *options])), *words)
    assert [each.name for each in digit.parent.iterdir()] == ["digit.png"]


@pytest.mark.parametrize("content", [b"not an image", b""])
def test_scan_of_something_else(tmp_path, content):
    (tmp_path / "x.png").write_bytes(content)
    out = tmp_path / "y.png"
    refused(scanned(tmp_path / "x.png", "--data", "digits", "--out", out), "x.png")
    missing = scanned(tmp_path / "none.png", "--data", "digits", "--out", out)
    refused(missing, "none.png", "does not exist")
    assert not out.exists()


class Stops:
    """Stops before the first look, or after it."""

    before = 0

    def choose(self, observation, sensor, seed=0, *, truth=None):
        looks = sensor.designs(observation)
        seen = observation.seen.flatten(1).any(1)
        stop = seen if self.before else torch.ones_like(seen)
        where = looks[:1] if looks.ndim == 2 else looks[0, :1]
        return boed.Decision(where, candidates=where, stop=stop)


@pytest.mark.parametrize("asked", [None, "digits"])
def test_a_library_that_nobody_asked_for_is_not_warned_of(digit, asked, recwarn):
    scan_setup(digit, "digits", policy="random", library=asked)
    said = [str(each.message) for each in recwarn if "has no effect" in str(each.message)]
    assert len(said) == (asked is not None)


def test_looks_end_when_the_answer_is_sure(digit):
    """And the maps are whole, as without a rule."""
    options = {"sensor": "patch,grid=3", "completer": "retrieval", "completions": 4}
    paths = [
        scan(scan_setup(digit, "digits", until=until, **options), scene=ROW).trajectory
        for until in (None, 0.6)
    ]
    sure = (paths[0].log_beliefs[0].exp().amax(-1) >= 0.6).tolist()
    looks = sure.index(True)
    assert 0 < looks < 3
    assert torch.equal(paths[1].designs, paths[0].designs[:, :looks])
    assert not paths[1].scores.isnan().any()
    assert all(not each.scores.isnan().any() for each in paths[1].decisions)


@pytest.mark.parametrize("looks", [0, 1])
def test_a_policy_that_stops_is_shown_so_far(digit, monkeypatch, tmp_path, looks):
    from dataclasses import replace

    made = scan_setup(digit, "digits", policy="random", sensor="patch,grid=3", steps=3)
    policy = Stops()
    policy.before = looks
    found = scan(replace(made, policies={"mine": policy}))
    assert len(found.looks) == looks + 1
    found.draw(tmp_path / "s.png")
    assert (tmp_path / "s.png").exists()
