"""Policies under shift: the plain benchmark on shifted scenes, resumable, refused in time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

from boed import Setup
from boed.benchmark import benchmark, shifted
from boed.benchmark.jobs import Jobs
from boed.benchmark.shifted import RESULTS, of_condition
from boed.benchmark.sweep import scene_rows
from boed.data.observation import Observation
from boed.data.shifts import SHIFTS, Condition, conditions
from boed.foundation import netcdf
from boed.policies import BOED, CentreOut, FixedDesign, Oracle, Random
from boed.sensors import PatchSensor
from boed.under_shift import evaluate_policies
from tests.doubles import LEVELS, PATCH, ClueCompleter, Clues

CLUES = Clues()
RUN: dict[str, Any] = {"shifts": ("brightness", "noise"), "scenes": 6, "seeds": (3, 4)}


class Level:
    """Compares the mean of what is seen with the level of each class; of any scene it says much."""

    def log_probs(self, observation: Observation) -> torch.Tensor:
        seen = observation.mask.sum((1, 2, 3)).clamp(min=1)
        mean = observation.values.sum((1, 2, 3)) / seen
        return torch.log_softmax(-20 * (mean[:, None] - LEVELS) ** 2, 1)


def made(**changes: Any) -> Setup:
    known = Setup(
        data=CLUES.dataset(12),
        library=None,
        sensor=PatchSensor(16, PATCH / 16, 4),
        classifier=Level(),
        completer=None,
        policies={"random": Random(), "centre_out": CentreOut()},
        baseline="random",
        steps=2,
        primary="accuracy@2",
    )
    return replace(known, **changes)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, xr.Dataset]:
    folder = tmp_path_factory.mktemp("shifted")
    return folder, evaluate_policies(made(), folder, **RUN)[0]


@pytest.mark.parametrize("condition", conditions((2,), RUN["shifts"]), ids=lambda each: each.name)
def test_each_condition_is_the_benchmark_of_those_scenes(
    condition: Condition, finished: tuple[Path, xr.Dataset]
) -> None:
    setup = made()
    data = condition.of(setup.data, scene_rows(12, 6), seed=3)
    assert (data is setup.data) == (condition.shift == "clean")
    expected = benchmark(
        data, setup.sensor, setup.classifier, policies=setup.policies, steps=2, seeds=(3, 4),
        scenes=6,
    )  # fmt: skip
    found = of_condition(finished[1], condition.name)
    for name in ("log_belief", "design", "full_image_log_belief", "label", "candidates"):
        np.testing.assert_array_equal(found[name], expected[name])


def test_whatever_a_policy_has_is_kept_for_each_condition(
    finished: tuple[Path, xr.Dataset],
) -> None:
    results = finished[1]
    of_policies = [name for name, each in results.data_vars.items() if "policy" in each.dims]
    assert {"score", "effective"} <= set(of_policies)
    for name in of_policies:
        assert "condition" in results[name].dims, name


def test_looks_that_do_not_depend_on_the_scene_are_the_same_under_each_condition(
    finished: tuple[Path, xr.Dataset],
) -> None:
    design = finished[1]["design"]
    assert (design == design.isel(condition=0)).all()


@pytest.mark.parametrize("floating", [False, True])
@pytest.mark.parametrize("shift", SHIFTS)
def test_a_shifted_data_set_keeps_its_levels_labels_and_other_scenes(
    shift: str, floating: bool
) -> None:
    levels = torch.randint(256, (12, 1, 32, 32), generator=torch.Generator().manual_seed(0)).byte()
    data = replace(CLUES.dataset(12), images=levels.float() / 255 if floating else levels)
    condition, rows = Condition(shift=shift, strength=3), np.array([7, 2, 5])
    found = condition.of(data, rows, seed=1)
    assert found.images.dtype == data.images.dtype
    assert found.labels is data.labels
    others = [k for k in range(12) if k not in rows]
    assert torch.equal(found.images[others], data.images[others])
    assert not torch.equal(found.images[rows], data.images[rows])
    fewer = condition.of(data, rows[:2], seed=1)
    assert torch.equal(fewer.images[rows[:2]], found.images[rows[:2]])


def test_a_run_goes_on_where_it_ended_and_grows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finished: tuple[Path, xr.Dataset]
) -> None:
    done: list[str] = []
    once = Jobs.__call__

    def counting(self: Jobs, job: Any) -> Any:
        done.append(job.policy)
        if len(done) == 4:
            raise KeyboardInterrupt
        return once(self, job)

    monkeypatch.setattr(Jobs, "__call__", counting)
    with pytest.raises(KeyboardInterrupt):
        evaluate_policies(made(), tmp_path, **RUN)
    told: list[tuple[str, int]] = []
    again, _ = evaluate_policies(
        made(), tmp_path, **RUN, on_progress=lambda *each: told.append(each)
    )
    assert len(done) == 1 + 3 * 3  # 3 conditions of 2 seeds of random, 1 of centre_out
    assert {name for name, _ in told} == {"clean", "brightness 2", "noise 2"}
    assert sum(number for _, number in told) == 3 * 2 * 2 * 6 * 2
    for name in ("log_belief", "design"):
        np.testing.assert_array_equal(again[name], finished[1][name])
    more = {**made().policies, "first": FixedDesign(torch.tensor([[8, 4], [0, 0]]))}
    done[:] = [""] * 10
    grown, _ = evaluate_policies(
        made(policies=more), tmp_path, **RUN | {"shifts": ("blur", "noise")}
    )
    assert done[10:].count("first") == 3
    assert done[10:].count("random") == 2
    assert list(grown["condition"].values) == ["clean", "blur 2", "noise 2"]
    read = netcdf.load(tmp_path / "results.nc", RESULTS)
    assert read["log_belief"].equals(grown["log_belief"])


@pytest.mark.parametrize(
    ("setup", "run", "words"),
    [
        ({}, {"shifts": ("blurr",)}, "shifts is 'blurr': did you mean 'blur'"),
        ({}, {"shifts": ()}, r"shifts is \(\), expected different ones"),
        ({}, {"shifts": ("blur", "blur")}, "shifts is .*expected different ones"),
        ({}, {"strengths": (0,)}, r"strengths is \(0,\), expected some of 1, 2, 3"),
        ({}, {"strengths": ()}, r"strengths is \(\), expected different ones"),
        ({}, {"scenes": 13}, r"scenes is 13; clues \(test\) has 12"),
        ({}, {"seeds": (1, 1)}, r"seeds is \(1, 1\), expected different numbers"),
        ({}, {"engine": "fast"}, "engine is 'fast'"),
        ({"policies": {}}, {}, "policies is empty"),
        (
            {"policies": {"random": Random()}},
            {},
            "policies is random, expected a baseline or a fixed scan to compare random with",
        ),
        (
            {"policies": {"a": Random(), "b": Oracle(Level())}, "baseline": None},
            {},
            "policies is a, b, expected a baseline or a fixed scan to compare a with",
        ),
    ],
)
def test_what_cannot_be_run_is_refused_before_any_work(
    setup: dict[str, Any], run: dict[str, Any], words: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(shifted, "benchmark", pytest.fail)
    out = tmp_path / "run"
    with pytest.raises(ValueError, match=words):
        evaluate_policies(made(**setup), out, **RUN | run)
    assert not out.exists()


@pytest.mark.parametrize(
    ("setup", "run", "words"),
    [
        ({"steps": 1}, {}, "steps is 2 there, now 1"),
        ({}, {"scenes": 5}, "scenes is 6 there, now 5"),
        ({}, {"seeds": (3,)}, r"seed_numbers is \[3, 4\] there, now \[3\]"),
        ({"primary": "nll@1"}, {}, "primary is 'accuracy@2' there, now 'nll@1'"),
        ({"data": CLUES.dataset(12, seed=1)}, {}, "data is 'clues test"),
        ({"sensor": PatchSensor(16, 0.5, 4)}, {}, "sensor is"),
        (
            {"policies": {"random": CentreOut(), "centre_out": CentreOut()}},
            {},
            "policies: random is 'Random",
        ),
    ],
)
def test_a_folder_of_another_run_is_refused(
    setup: dict[str, Any], run: dict[str, Any], words: str, finished: tuple[Path, xr.Dataset]
) -> None:
    with pytest.raises(ValueError, match=f"holds a run with other settings: .*{words}"):
        evaluate_policies(made(**setup), finished[0], **RUN | run)


def test_an_informed_policy_is_run_on_shifted_scenes(tmp_path: Path) -> None:
    boed = BOED(ClueCompleter(CLUES), Level(), n=4)
    setup = made(policies={"boed": boed, "random": Random()}, steps=1, primary="accuracy@1")
    results, verdicts = evaluate_policies(
        setup, tmp_path, shifts=("compression",), strengths=(1,), scenes=4
    )
    assert results["log_belief"].shape[:4] == (2, 2, 1, 4)
    assert len(verdicts) == 1
    assert verdicts[0].startswith("boed against random, accuracy after 1 look: certainly")
