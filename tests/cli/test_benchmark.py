"""The command line: what a person types, what is written, and what is said when it goes wrong."""

import json

import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

from boed.benchmark import jobs as blocks
from boed.classifiers import DenseNetClassifier
from boed.cli import app
from boed.completion import AIPO

SMALL = ["--scenes", "6", "--steps", "2", "--grid", "3", "--completions", "3"]


def boed(*arguments: object):
    return CliRunner().invoke(app, [str(each) for each in arguments])


def refused(result, *words: str) -> None:
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    for word in words:
        assert word in result.output


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The default policies on a few digits."""
    out = tmp_path_factory.mktemp("run")
    result = boed("benchmark", *SMALL, "--out", out)
    assert result.exit_code == 0, result.output
    return out


def test_benchmark_writes_results_report_and_summary(run):
    assert {each.name for each in run.iterdir()} == {
        "run.json", "run.toml", "results.nc", "examples.nc", "report.html", "summary.json",
        "tables",
    }  # fmt: skip
    results = xr.load_dataset(run / "results.nc")
    assert results["log_belief"].dims == ("policy", "seed", "scene", "look", "answer")
    assert results["log_belief"].shape == (5, 1, 6, 3, 10)
    found = json.loads((run / "summary.json").read_text())
    assert set(found) == {
        "data", "scenes", "looks", "baseline", "policies", "looks_taken", "cost", "cost_after",
        "paired", "together", "primary", "ruled_out", "full_image", "seconds", "versions",
    }  # fmt: skip
    assert found["looks"] == 2
    assert len(found["policies"]["boed"]["nll"]["mean"]) == 3
    assert "boed - random" in found["paired"]
    assert "Where to look next" in (run / "report.html").read_text()


@pytest.mark.slow
def test_what_is_exact_and_what_is_not_is_said(run, tmp_path):
    plain = xr.load_dataset(run / "results.nc").attrs
    assert plain["search"].startswith("racing, exact")
    assert plain["precision"] == "fp32"
    rough = ("--policies", "boed,random", "--search", "coarse", "--precision", "bf16")
    assert boed("benchmark", *SMALL, *rough, "--out", tmp_path).exit_code == 0
    attributes = xr.load_dataset(tmp_path / "results.nc").attrs
    assert attributes["search"].startswith("coarse, an approximation")
    assert attributes["precision"] == "bf16, an approximation"
    report = (tmp_path / "report.html").read_text()
    assert "coarse, an approximation" in report
    assert "bf16, an approximation" in report


def test_panels_of_the_report_show_what_was_measured(run):
    results, panels = (xr.load_dataset(run / f) for f in ("results.nc", "examples.nc"))
    shown = results.sel(policy="boed", seed=0, scene=panels["row"].values)
    assert np.array_equal(panels["design"].values, shown["design"].values)
    assert np.array_equal(panels["label"].values, shown["label"].values)
    assert list(panels["case"].values[:2]) == ["success", "success"]
    assert set(panels["case"].values[2:]) <= {"failure", "unsure"}


@pytest.mark.slow
def test_report_can_be_written_again(run, tmp_path):
    (run / "report.html").unlink()
    assert boed("report", run, "--figures", tmp_path).exit_code == 0
    assert (run / "report.html").stat().st_size > 10_000
    assert {each.name for each in tmp_path.iterdir()} == {"curves.png", "panel.png"}


@pytest.mark.slow
def test_interrupted_benchmark_goes_on(tmp_path, monkeypatch):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    options = [*SMALL, "--policies", "boed,random,centre_out"]
    assert boed("benchmark", *options, "--out", whole).exit_code == 0
    original, calls = blocks.acquire, []

    def interrupted(*arguments, **options):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(*arguments, **options)

    monkeypatch.setattr(blocks, "acquire", interrupted)
    result = boed("benchmark", *options, "--out", cut)
    assert result.exit_code == 130
    assert "the same command goes on" in result.output
    assert not (cut / "results.nc").exists()
    assert boed("benchmark", *options, "--out", cut).exit_code == 0
    assert len(calls) == 4  # one done, one cut off, and the two that were left
    a, b = (xr.load_dataset(each / "results.nc") for each in (whole, cut))
    for name in ("log_belief", "design", "score"):
        assert np.array_equal(a[name], b[name], equal_nan=True)


def test_other_settings_need_another_folder(run):
    refused(boed("benchmark", *SMALL, "--seed", "1", "--out", run), "other settings", "seed")


def test_what_a_run_is_judged_by_is_recorded_before_it_and_stays(run):
    record = json.loads((run / "run.json").read_text())
    assert record["settings"]["primary"] == "accuracy@2"
    assert xr.load_dataset(run / "results.nc").attrs["primary"] == "accuracy@2"
    other = boed("benchmark", *SMALL, "--primary", "nll@1", "--out", run)
    refused(other, "primary is 'accuracy@2' there, now 'nll@1'")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: folder / "none", ["does not exist"]),
        (lambda folder: folder, ["neither run.json nor log.jsonl", "boed benchmark"]),
        (lambda folder: folder / "unfinished", ["not finished", "no results.nc"]),
        (lambda folder: folder / "unfinished" / "run.json", ["a file", "expected a folder"]),
    ],
)
def test_a_report_of_no_run_says_so(tmp_path, make, words):
    (tmp_path / "unfinished").mkdir()
    (tmp_path / "unfinished" / "run.json").write_text('{"kind": "benchmark"}')
    result = boed("report", make(tmp_path))
    refused(result, "run is ", *words)
    assert "remove" not in result.output
    assert not (tmp_path / "report.html").exists()


def test_a_report_whose_figures_cannot_be_written_says_so_first(run, tmp_path):
    (tmp_path / "file").write_text("")
    before = (run / "report.html").stat().st_mtime_ns
    refused(
        boed("report", run, "--figures", tmp_path / "file"),
        "figures is ",
        "a file, expected a folder",
    )
    assert (run / "report.html").stat().st_mtime_ns == before


def test_a_report_writes_over_no_picture_of_somebody_elses(run, tmp_path):
    (tmp_path / "panel.png").write_text("mine")
    before = (run / "report.html").stat().st_mtime_ns
    refused(
        boed("report", run, "--figures", tmp_path),
        "--figures: ",
        "panel.png exists and was not written by boed; give another one as --figures",
    )
    assert (run / "report.html").stat().st_mtime_ns == before
    assert [each.name for each in tmp_path.iterdir()] == ["panel.png"]


def test_full_disk_keeps_what_was_finished(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(xr.Dataset, "to_netcdf", full)
        options = [*SMALL, "--policies", "random", "--out", tmp_path]
        refused(boed("benchmark", *options), "No space left", "results.nc")
    assert {each.name for each in tmp_path.iterdir()} == {"run.json", "run.toml", "parts"}
    assert boed("benchmark", *options).exit_code == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--data", "digitz"], ["digitz", "digits"]),
        (["--policies", "boed,radnom"], ["radnom", "random"]),
        (["--patch", "1.5"], ["--patch is 1.5", "at most 1"]),
        (["--completer", "nowhere.safetensors"], ["completer", "nowhere.safetensors"]),
        (["--size", "48"], ["48", "boed train"]),
        (["--completions", "0"], ["completions is 0"]),
        (["--primary", "accuracy"], ["primary is 'accuracy'", "accuracy@1"]),
        (["--primary", "f1@1"], ["primary: metric is 'f1'", "auroc, accuracy, nll"]),
        (["--primary", "nll@3"], ["primary is 'nll@3'", "1 to 2 looks"]),
        (["--search", "lucky"], ["lucky", "racing, coarse"]),
        (["--precision", "fp8"], ["precision is 'fp8'", "bf16"]),
        (["--scenes", "100000"], ["scenes", "500"]),
        (["--engine", "rya"], ["rya", "local, processes, ray"]),
        (["--engine", "processes", "--workers", "0"], ["workers is 0"]),
        (["--workers", "2"], ["workers is 2", "processes"]),
    ],
)
def test_bad_options_are_explained(options, words, tmp_path):
    refused(boed("benchmark", *SMALL, "--out", tmp_path / "run", *options), *words)
    assert not (tmp_path / "run").exists()


def test_checkpoint_for_another_size_is_refused(tmp_path):
    model = AIPO.load("completion/aipo-kermany-64/weights.safetensors")
    model.save(tmp_path / "other.safetensors", {})
    refused(boed("benchmark", *SMALL, "--completer", tmp_path / "other.safetensors"), "64", "32")


def test_data_list_names_the_default():
    result = boed("data", "list")
    assert result.exit_code == 0
    assert "digits" in result.output


@pytest.mark.slow
def test_train_completer_jointly_and_from_a_vae(tmp_path):
    few = ["--steps", "2", "--batch", "4"]
    vae, frozen, joint = (tmp_path / f"{n}.safetensors" for n in ("vae", "frozen", "joint"))
    assert boed("train", "completer", "vae", *few, "--out", vae).exit_code == 0
    assert boed("train", "completer", "--vae", vae, *few, "--out", frozen).exit_code == 0
    assert boed("train", "completer", *few, "--out", joint).exit_code == 0
    assert AIPO.load(joint).provenance["data"]["name"] == "digits"
    assert "pretrained" in AIPO.load(frozen).provenance["objective"]
    result = boed("benchmark", *SMALL, "--completer", frozen, "--out", tmp_path / "run")
    assert result.exit_code == 0, result.output


@pytest.mark.slow
def test_train_classifier(tmp_path):
    out = tmp_path / "classifier.safetensors"
    result = boed("train", "classifier", "--steps", "2", "--batch", "8", "--out", out)
    assert result.exit_code == 0, result.output
    assert DenseNetClassifier.load(out).label_names == tuple("0123456789")
    refused(boed("train", "completer", "gan"), "gan", "aipo")
