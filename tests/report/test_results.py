"""Results survive being saved, and their intervals mean what they say."""

import errno
import io
import json
import math
import re
import subprocess
import sys
import textwrap
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from boed.classifiers.evaluation.metrics import METRICS
from boed.foundation import netcdf
from boed.report.results import EXAMPLES, load, save, structured, validate
from boed.report.statistics import curves, first_better, pairs, summary, write_summary
from boed.report.tables import table

HERE = Path(__file__).resolve().parents[2]


def width(curve: dict, look: int) -> float:
    return curve["high"][look] - curve["low"][look]


def right_or_wrong(results, right: np.ndarray) -> xr.Dataset:
    """Results of two answers in which scene i is answered rightly where `right[i]`, surely."""
    made = results(policies=("boed",), seeds=1, scenes=len(right), looks=1, answers=2)
    answered = np.where(right, made["label"].values, 1 - made["label"].values)
    made["log_belief"].values[:] = np.log(np.where(np.eye(2)[answered], 0.9, 0.1))[:, None]
    return made


# Saving


@pytest.mark.parametrize("kind", [{}, {"findings": 3, "answers": 2}, {"looks": 1, "seeds": 1}])
def test_saved_results_come_back_as_they_were(results, kind, tmp_path):
    made = results(**kind)
    made["patient"] = ("scene", np.array([f"é {i // 2}" for i in range(120)], dtype=object))
    save(made, tmp_path / "run" / "results.nc")
    assert load(tmp_path / "run" / "results.nc").identical(made)


def test_saved_examples_come_back_as_they_were(examples, tmp_path):
    made = examples(number=2)
    save(made, tmp_path / "examples.nc")
    assert netcdf.load(tmp_path / "examples.nc", EXAMPLES).identical(made)


@pytest.mark.parametrize("kept", [0.0, 0.02, 0.5, 0.98])
def test_a_file_cut_short_is_refused_by_name(results, tmp_path, kept):
    path = tmp_path / "results.nc"
    save(results(), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(ValueError, match=r"results\.nc is damaged"):
        load(path)


def test_a_flipped_byte_among_the_beliefs_is_noticed(results, tmp_path):
    path = tmp_path / "results.nc"
    save(results(scenes=2000), path)
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 0xFF
    path.write_bytes(bytes(damaged))
    with pytest.raises(ValueError, match="damaged"):
        load(path)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.nc does not exist"):
        load(tmp_path / "nothing.nc")


def test_another_netcdf_file_is_refused(tmp_path):
    xr.Dataset({"temperature": ("x", [1.0])}).to_netcdf(tmp_path / "weather.nc")
    with pytest.raises(ValueError, match=r"weather\.nc has no variable 'log_belief'"):
        load(tmp_path / "weather.nc")


@pytest.mark.parametrize(
    "said", [OSError(errno.ENOSPC, "No space left"), RuntimeError("HDF error")]
)
def test_a_full_disk_leaves_the_old_file(results, tmp_path, monkeypatch, said):
    path = tmp_path / "results.nc"
    path.write_bytes(b"old")

    def full(self, target, **options):
        Path(target).write_bytes(b"half")
        raise said

    monkeypatch.setattr(xr.Dataset, "to_netcdf", full)
    with pytest.raises(OSError, match=r"could not write .*results\.nc"):
        save(results(), path)
    assert path.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["results.nc"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="limits file sizes with POSIX rlimits")
def test_a_really_full_disk_is_an_error(results, tmp_path):
    """The system refuses to let any file grow beyond 4 kB; each writer says so, and of which."""
    results(scenes=2000).to_netcdf(tmp_path / "source.nc")
    code = f"""
        import resource, numpy as np, torch, xarray as xr
        from matplotlib.figure import Figure
        from boed.foundation.files import atomic, save_weights, write_json
        from boed.report.results import save
        from pathlib import Path
        run = Path({str(tmp_path / "run")!r})
        results = xr.load_dataset({str(tmp_path / "source.nc")!r})
        noise, many = torch.rand(9999), [0] * 9999
        image = Figure(); image.add_subplot().plot(noise)
        def figure(path):
            with atomic(path) as temporary:
                image.savefig(temporary)
        def part(path):
            with atomic(path) as temporary, open(temporary, "wb") as file:
                np.savez(file, a=noise.numpy())
        writers = {{
            "results.nc": lambda path: save(results, path),
            "weights.safetensors": lambda path: save_weights(path, {{"a": noise}}, {{}}),
            "run.json": lambda path: write_json(path, many),
            "scan.png": figure,
            "page.svg": figure,
            "part.npz": part,
        }}
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
        for name, write in writers.items():
            try:
                write(run / name)
            except OSError as error:
                print(f"refused: {{error}}".replace(chr(10), " "))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=HERE, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    said = done.stdout.splitlines()
    names = ("results.nc", "weights.safetensors", "run.json", "scan.png", "page.svg", "part.npz")
    assert len(said) == len(names), done.stderr
    for line, name in zip(said, names, strict=True):
        assert re.match(rf"refused: could not write \S*{name}: disk full", line)
    assert [each for each in (tmp_path / "run").rglob("*") if each.is_file()] == []


@pytest.mark.parametrize(
    "variable",
    ["log_belief", "label", "design", "score", "seconds"],
)
def test_a_missing_variable_is_named(results, variable):
    with pytest.raises(ValueError, match=f"no variable '{variable}'"):
        validate(results().drop_vars(variable))


@pytest.mark.parametrize("variable", ["gain", "candidates", "log_belief"])
def test_a_variable_missing_in_examples_is_named(examples, variable):
    with pytest.raises(ValueError, match=f"examples has no variable '{variable}'"):
        validate(examples().drop_vars(variable), "examples")


def spoil_nan(made):
    made["log_belief"][0, 0, 3, 1, 0] = np.nan


def spoil_label(made):
    made["label"][5] = 3


def spoil_dimension(made):
    made["design"] = made["design"].isel(axis=0, drop=True)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [(spoil_nan, "log_belief holds NaN"), (spoil_label, "label must be within 0 to 2"),
     (spoil_dimension, "design has dimensions")],
)  # fmt: skip
def test_spoilt_results_are_refused(results, spoil, said):
    made = results()
    spoil(made)
    with pytest.raises(ValueError, match=said):
        validate(made)


def test_looks_and_steps_that_disagree_are_refused(results):
    with pytest.raises(ValueError, match="4 looks and 2 steps"):
        validate(results(looks=3).isel(step=slice(2)))


# Curves


@pytest.mark.parametrize("findings", [0, 3])
def test_curves_average_the_metric_over_seeds(results, findings):
    made = results(seeds=3, findings=findings, answers=2 if findings else 4)
    for metric, score in METRICS.items():
        curve = curves(made, metric)
        by_hand = [
            float(score(made["log_belief"].values[1, seed, :, 2], made["label"].values))
            for seed in range(3)
        ]
        assert curve.dims == ("policy", "look")
        assert float(curve.sel(policy="random", look=2)) == pytest.approx(np.mean(by_hand))


def test_the_order_of_dimensions_does_not_matter(results):
    made = results(findings=3, answers=2)
    turned = made.transpose("answer", "look", "finding", "scene", "seed", "policy", ...)
    assert curves(turned, "nll").identical(curves(made, "nll"))


def test_an_unknown_metric_is_refused(results):
    with pytest.raises(ValueError, match=r"f1.*expected one of auroc, accuracy, nll"):
        curves(results(), "f1")


# Intervals


def test_intervals_hold_the_true_value_19_times_of_20(results):
    truth, covered, number = 0.7, 0, 150
    rng = np.random.default_rng(0)
    for trial in range(number):
        found = summary(right_or_wrong(results, rng.random(200) < truth), 200, seed=trial)
        curve = found["policies"]["boed"]["accuracy"]
        covered += curve["low"][1] <= truth <= curve["high"][1]
    assert 0.89 <= covered / number <= 0.99  # 0.95, Monte-Carlo error 0.018


def test_width_is_that_of_the_binomial(results):
    right = np.arange(400) < 300
    curve = summary(right_or_wrong(results, right), 4000)["policies"]["boed"]["accuracy"]
    assert curve["mean"][1] == 0.75
    assert width(curve, 1) == pytest.approx(2 * 1.96 * math.sqrt(0.75 * 0.25 / 400), rel=0.08)


def test_a_difference_of_equals_is_exactly_zero(results):
    made = results(policies=("boed", "random"))
    made["log_belief"].values[1] = made["log_belief"].values[0]
    for curve in summary(made, 100)["paired"]["boed - random"].values():
        assert all(curve[key] == [0.0] * 4 for key in ("mean", "low", "high"))


def test_pairing_is_narrower_than_the_two_apart(results):
    found = summary(results(scenes=200), 500)
    apart = [found["policies"][name]["nll"] for name in ("boed", "random")]
    together = found["paired"]["boed - random"]["nll"]
    assert width(together, 2) < 0.7 * math.hypot(*(width(curve, 2) for curve in apart))
    assert together["mean"][2] == pytest.approx(apart[0]["mean"][2] - apart[1]["mean"][2])


def test_scenes_of_one_patient_are_not_counted_as_independent(results):
    rng = np.random.default_rng(0)
    made = right_or_wrong(results, np.repeat(rng.random(100) < 0.7, 4))
    by_scene = summary(made, 2000)["policies"]["boed"]["accuracy"]
    made["patient"] = ("scene", np.repeat([f"p{i}" for i in range(100)], 4).astype(object))
    by_patient = summary(made, 2000)["policies"]["boed"]["accuracy"]
    assert by_patient["mean"] == by_scene["mean"]
    assert width(by_patient, 1) == pytest.approx(2 * width(by_scene, 1), rel=0.12)  # sqrt(4)


def test_one_scene_per_patient_is_as_without_patients(results):
    made = results(scenes=50)
    without = summary(made, 200)
    made["patient"] = ("scene", np.array([f"{i:03}" for i in range(50)], dtype=object))
    assert summary(made, 200) == without


def test_the_bootstrap_in_pieces_is_that_in_one(results, monkeypatch):
    made = results(scenes=64)
    whole = summary(made, 300)
    monkeypatch.setattr("boed.report.statistics._AT_ONCE", 64 * 7)
    assert summary(made, 300) == whole


# Summary


def test_summary_has_what_was_agreed(results):
    found = summary(results(policies=("boed", "random"), scenes=60), 50)
    assert list(found) == [
        "data", "scenes", "looks", "baseline", "policies", "looks_taken", "cost", "cost_after",
        "paired", "together", "primary", "ruled_out", "full_image", "seconds", "versions",
    ]  # fmt: skip
    assert (found["data"], found["scenes"], found["looks"]) == ("made-up", 60, 3)
    assert list(found["paired"]) == ["boed - random"]
    assert found["seconds"] == 75.0
    assert found["versions"] == {"torch": "2.13.0", "numpy": "2.0"}
    assert set(found["full_image"]) == {"auroc", "accuracy", "nll"}
    for group in (*found["policies"].values(), *found["paired"].values()):
        for metric in ("auroc", "accuracy", "nll"):
            low, mean, high = (group[metric][key] for key in ("low", "mean", "high"))
            assert len(low) == len(mean) == len(high) == 4
            assert all(a <= b <= c for a, b, c in zip(low, mean, high, strict=True))


def test_nothing_is_known_before_the_first_look(results):
    curve = summary(results(), 50)["policies"]["boed"]
    assert [curve["auroc"][key][0] for key in ("mean", "low", "high")] == [0.5, 0.5, 0.5]
    assert curve["nll"]["mean"][0] == pytest.approx(math.log(3))


def test_what_does_not_exist_is_null(results, tmp_path):
    made = results(answers=2)
    made["label"] = made["label"] * 0  # one class: no AUROC
    made["log_belief"].values[0, 0, 0, 1] = (-np.inf, 0)  # sure and wrong: an infinite NLL
    path = tmp_path / "summary.json"
    returned = write_summary(made, path)
    read = json.loads(path.read_text(), parse_constant=pytest.fail)  # no NaN, no Infinity
    assert read == returned
    assert read["full_image"]["auroc"] is None
    assert read["policies"]["boed"]["auroc"]["mean"] == [None] * 4
    assert read["policies"]["boed"]["nll"]["mean"][1] is None
    assert read["policies"]["boed"]["accuracy"]["mean"][1] is not None
    assert ("auroc", 1) not in first_better(read, "boed", "random")


def test_resamples_below_one_are_refused(results):
    with pytest.raises(ValueError, match="resamples is 0"):
        summary(results(), 0)


@pytest.mark.parametrize("baseline", ["random", "oracle", None])
def test_all_pairs_once_and_those_with_the_baseline_first(baseline):
    names = ["random", "boed", "boed-entropy", "centre_out", "oracle"]
    compared = pairs(names, baseline)
    assert {frozenset(pair) for pair in compared} == {frozenset(p) for p in combinations(names, 2)}
    assert len(compared) == 10
    if baseline is not None:
        assert [b for _, b in compared[:4]] == [baseline] * 4
    assert pairs(["boed"], "random") == []


def test_first_better_respects_the_sense_of_each_metric():
    paired = {
        "auroc": {"mean": [0, 0.1, 0.1], "low": [0, 0.05, -0.01], "high": [0, 0.2, 0.2]},
        "accuracy": {"mean": [0, -0.1, 0], "low": [0, -0.2, None], "high": [0, -0.05, None]},
        "nll": {"mean": [0, -0.3, 0.3], "low": [0, -0.4, 0.1], "high": [0, -0.2, 0.4]},
    }
    found = {"paired": {"boed - random": paired}}
    assert first_better(found, "boed", "random") == [("auroc", 1), ("nll", 1)]
    assert first_better(found, "random", "boed") == [("accuracy", 1), ("nll", 2)]
    with pytest.raises(ValueError, match="oracle and random are not compared"):
        first_better(found, "oracle", "random")


def test_table_shows_every_policy_and_look(results):
    from rich.console import Console

    made = results(answers=2)
    made["label"] = made["label"] * 0
    found = summary(made, 50)
    out = io.StringIO()
    Console(file=out, width=100).print(table(found))
    text = out.getvalue()
    curve = found["policies"]["random"]["nll"]
    assert f"{curve['mean'][2]:.3f} [{curve['low'][2]:.3f}, {curve['high'][2]:.3f}]" in text
    assert "full image" in text
    assert "nan" not in text.lower()
    assert table(found).row_count == 2 * 4 + 1


def test_attributes_may_hold_json_or_words():
    assert structured('{"a": 1}') == {"a": 1}
    assert structured("two words") == "two words"
    assert structured(3) == 3


def test_the_package_imports_without_xarray_and_matplotlib():
    code = (
        "import sys, boed; print(sorted({'xarray', 'matplotlib', 'jinja2'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=HERE, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
