"""The benchmark: what it returns, that it goes on where it stopped, and what it refuses."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor

from boed.acquire import acquire
from boed.benchmark import sweep as module
from boed.benchmark.storage import finish
from boed.benchmark.sweep import benchmark, scene_rows
from boed.completion.classical.retrieval import Retrieval
from boed.data.dataset import Dataset
from boed.data.observation import Observation
from boed.foundation.randomness import derive
from boed.policies import BOED, CentreOut, FirstLook, Oracle, Random
from boed.report.results import save
from boed.sensors import PatchSensor
from tests.doubles import (
    ClueClassifier,
    ClueCompleter,
    Clues,
    Constant,
    FindingsClassifier,
    Fixed,
    RowSensor,
    tiny_aipo,
    tiny_classifier,
)

TILED = PatchSensor(16, 0.25, 4)
CLUES = Clues()
TRIAL = 2
"""How often a policy is asked before a run, whether it keeps its word."""

DATA = CLUES.dataset(40)
"""Two blocks: 32 scenes and 8."""


@pytest.fixture(autouse=True)
def blocks_of_32(monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks that these tests count."""
    monkeypatch.setattr(module, "SCENES_PER_JOB", 32)


def boed(completer: Any = None, **options: Any) -> BOED:
    drawer = ClueCompleter(CLUES) if completer is None else completer
    return BOED(drawer, ClueClassifier(), n=3, first_look=FirstLook(n=12), **options)


def altered(thing: Any, **content: Any) -> Any:
    """Another one of the same class."""
    vars(thing).update(content or {"content": 1})
    return thing


def run(policies: Any = None, **options: Any) -> xr.Dataset:
    defaults: dict[str, Any] = {
        "dataset": DATA,
        "sensor": TILED,
        "classifier": ClueClassifier(),
        "steps": 2,
        "seeds": (0, 1),
    }
    made = {"boed": boed(), "random": Random()} if policies is None else policies
    return benchmark(policies=made, **{**defaults, **options})


def untimed(results: xr.Dataset) -> xr.Dataset:
    return results.drop_vars("seconds").drop_attrs()


def files(folder: Path) -> list[str]:
    """All that lies in a run folder, hidden temporary files included."""
    return sorted(str(each.relative_to(folder)) for each in folder.rglob("*") if each.is_file())


def test_results_hold_what_acquire_does() -> None:
    results = run().sortby("scene")
    assert dict(results.sizes) == {
        "policy": 2, "seed": 2, "scene": 40, "look": 3, "step": 2, "axis": 2, "answer": 3,
        "candidate": 16, "y": 16, "x": 16, "channel": 1, "v": 16, "u": 16,
    }  # fmt: skip
    for name, policy in {"boed": boed(), "random": Random()}.items():
        for seed in (0, 1):
            trajectory = acquire(
                DATA.scenes(), TILED, policy, steps=2, classifier=ClueClassifier(), seed=seed
            )
            found = results.sel(policy=name, seed=seed)
            assert np.array_equal(found["design"], trajectory.designs)
            assert np.array_equal(found["log_belief"], trajectory.log_beliefs)
            assert np.array_equal(found["score"], trajectory.scores, equal_nan=True)
    assert np.array_equal(results["label"], DATA.labels)
    assert np.array_equal(results["full_image_log_belief"].argmax("answer"), DATA.labels)
    assert results["answer"].values.tolist() == ["dark", "middle", "bright"]
    assert results["scene"].values.tolist() == list(range(40))
    assert results.attrs["sha256"] == DATA.sha256
    assert (results.attrs["steps"], results.attrs["scenes"]) == (2, 40)
    assert 0 < results.attrs["seconds"] <= float(results["seconds"].sum()) + 1e-9


def test_boed_learns_sooner_than_random() -> None:
    results = run()
    right = (results["log_belief"].argmax("answer") == results["label"]).mean(["seed", "scene"])
    assert right.sel(policy="boed", look=1) == 1
    assert right.sel(policy="random", look=1) < 0.6
    assert np.array_equal(right.sel(look=0, policy="boed"), right.sel(look=0, policy="random"))


def test_common_random_numbers() -> None:
    """Two policies that are the same see the same numbers; seeds and scenes differ."""
    results = run({"one": Random(), "other": Random()})
    one, other = (results["design"].sel(policy=name).values for name in ("one", "other"))
    assert np.array_equal(one, other)
    assert not np.array_equal(one[0], one[1])
    assert len(np.unique(one[0, :, 0], axis=0)) > 5


def test_fewer_scenes_are_the_first_of_a_fixed_random_order() -> None:
    few, more = run(scenes=7), run()
    assert np.array_equal(few["scene"], scene_rows(40, 7))
    assert few["scene"].values.tolist() != list(range(7))
    for name in ("design", "log_belief", "label", "scene"):
        assert np.array_equal(few[name], more[name].isel(scene=slice(7)))
    assert np.array_equal(few["label"], DATA.labels[scene_rows(40, 7)])


def test_multi_label() -> None:
    data = CLUES.dataset(6, findings=True)
    patients = np.array([f"patient {row // 2}" for row in range(6)])
    data = Dataset(
        name=data.name,
        split="test",
        images=data.images,
        labels=data.labels,
        label_names=data.label_names,
        patients=patients,
    )
    policy = BOED(ClueCompleter(CLUES), FindingsClassifier(), first_look=FirstLook(n=12))
    results = run({"boed": policy}, dataset=data, classifier=FindingsClassifier())
    results = results.sortby("scene")
    assert results["log_belief"].dims[-2:] == ("finding", "answer")
    assert results["label"].dims == ("scene", "finding")
    assert results["finding"].values.tolist() == ["dark", "bright"]
    assert results["answer"].values.tolist() == ["absent", "present"]
    assert results["patient"].values.tolist() == patients.tolist()
    after = results["log_belief"].isel(look=1).argmax("answer")
    assert bool((after == results["label"]).all())


def test_a_users_own_plain_classes_work() -> None:
    results = run({"fixed": Fixed(), "boed": boed()}, sensor=RowSensor(), scenes=5, seeds=(0,))
    assert results["axis"].values.tolist() == ["design_0"]
    assert np.array_equal(results["design"].sel(policy="fixed")[0, :, :, 0], [[0, 1]] * 5)
    assert set(np.unique(results["design"].sel(policy="boed")[0, :, 0])) <= {8, 9, 10, 11}


def test_policies_that_know_no_chance_are_run_once() -> None:
    told: list[tuple[str, int]] = []
    policies = {"fixed": Fixed(deterministic=True), "by chance": Fixed()}
    results = run(policies, on_progress=lambda *each: told.append(each))
    assert policies["fixed"].calls == TRIAL + 2 * 2  # blocks x steps
    assert policies["by chance"].calls == TRIAL + 2 * 2 * 2  # and seeds
    one, other = results["log_belief"].sel(policy="fixed").values
    assert np.array_equal(one, other)
    for name in policies:  # progress counts to the same end for all
        assert sum(looks for each, looks in told if each == name) == 2 * 40 * 2
    retrieved = BOED(Retrieval(DATA), ClueClassifier(), first_look=FirstLook(n=20))
    for policy in (CentreOut(), Oracle(ClueClassifier()), retrieved):
        assert policy.deterministic
        seen = [
            acquire(DATA.scenes(), TILED, policy, steps=1, classifier=ClueClassifier(), seed=s)
            for s in (0, 1)
        ]
        assert torch.equal(seen[0].designs, seen[1].designs)


# --- interruptions ---------------------------------------------------------------------------


class Stop(Exception):
    pass


@pytest.mark.parametrize("after", [1, 2, 3, 5])
def test_an_interrupted_run_goes_on(after: int, tmp_path: Path) -> None:
    told: list[str] = []

    def interrupt(name: str, looks: int) -> None:
        told.append(name)
        if len(told) == after:
            raise Stop

    policies = {"a/b": Fixed(), "../random": Random()}  # names need not be good file names
    with pytest.raises(Stop):
        run(policies, out=tmp_path / "run", on_progress=interrupt)
    assert len(files(tmp_path / "run" / "parts")) == after
    assert files(tmp_path) == [f"run/{each}" for each in files(tmp_path / "run")]
    results = run(policies, out=tmp_path / "run", memory=64)  # the memory bound may change
    assert policies["a/b"].calls == 2 * TRIAL + 2 * 2 * 2  # blocks x steps x seeds: none done again
    xr.testing.assert_identical(
        untimed(results), untimed(run({"a/b": Fixed(), "../random": Random()}))
    )
    again = run(policies, out=tmp_path / "run")
    assert policies["a/b"].calls == 3 * TRIAL + 8
    assert again["seconds"].identical(results["seconds"])
    finish(tmp_path / "run")
    assert files(tmp_path / "run") == ["run.json"]


@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "other", "short"])
def test_a_damaged_part_is_done_again(damage: str, tmp_path: Path) -> None:
    policies = {"fixed": Fixed()}
    whole = run(policies, out=tmp_path)
    part = sorted((tmp_path / "parts").iterdir())[1]
    content = part.read_bytes()
    if damage == "empty":
        part.write_bytes(b"")
    elif damage == "cut":
        part.write_bytes(content[: len(content) // 2])
    elif damage == "flipped":
        broken = bytearray(content)
        broken[200:260] = bytes(60)
        part.write_bytes(bytes(broken))
    elif damage == "other":
        with open(part, "wb") as file:
            np.savez(file, something=np.zeros(3))
    else:  # a part of fewer scenes, as another version might have written
        with np.load(part) as file:
            arrays = {name: file[name][:3] if file[name].ndim else file[name] for name in file}
        with open(part, "wb") as file:
            np.savez(file, **arrays)
    calls = policies["fixed"].calls
    xr.testing.assert_identical(untimed(run(policies, out=tmp_path)), untimed(whole))
    assert policies["fixed"].calls == calls + TRIAL + 2  # one block's steps
    assert len(files(tmp_path / "parts")) == 4


def test_a_full_disk_leaves_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policies = {"fixed": Fixed()}
    save, written = np.savez, []

    def full(file: Any, **arrays: Any) -> None:
        if len(written) == 2:
            file.write(b"half of a part")
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(file.name)
        save(file, **arrays)

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", full)
        with pytest.raises(OSError, match=r"could not write .*parts.*No space left on device"):
            run(policies, out=tmp_path)
    assert files(tmp_path) == ["parts/fixed-0-0.npz", "parts/fixed-0-32.npz", "run.json"]
    calls = policies["fixed"].calls
    assert calls == TRIAL + 3 * 2
    results = run(policies, out=tmp_path)
    assert policies["fixed"].calls == calls + TRIAL + 2 * 2  # the two parts that were not written
    xr.testing.assert_identical(untimed(results), untimed(run({"fixed": Fixed()})))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 3}, "steps is 2 there, now 3"),
        ({"seeds": (0, 2)}, r"seed_numbers is \[0, 1\] there, now \[0, 2\]"),
        ({"scenes": 39}, "scenes is 40 there, now 39"),
        ({"dataset": CLUES.dataset(40, seed=1)}, "identity: data is 'clues test .*' there, now '"),
        ({"sensor": PatchSensor(16, 0.25, 5)}, "identity: sensor is 'PatchSensor .* now 'Patch"),
        ({"sensor": altered(PatchSensor(16, 0.25, 4), noise=1e-4)}, "identity: sensor is"),
        ({"classifier": altered(ClueClassifier())}, "identity: classifier is 'ClueClassifier"),
        ({"policies": {"boed": boed()}}, "identity: policies: random is 'Random .*' there, now"),
        (
            {"policies": {"boed": boed(estimator="entropy"), "random": Random()}},
            "identity: policies: boed is 'BOED .*' there, now 'BOED",
        ),
        (
            {"policies": {"boed": boed(altered(ClueCompleter(CLUES))), "random": Random()}},
            "identity: policies: boed is 'BOED .*' there, now 'BOED",
        ),
    ],
)
def test_a_folder_of_another_run_is_refused(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    start = {"out": tmp_path}
    run(**start)
    before = {name: (tmp_path / name).read_bytes() for name in files(tmp_path)}
    with pytest.raises(ValueError, match=f"holds a run with other settings: .*{message}"):
        run(**{**start, **change})
    assert {name: (tmp_path / name).read_bytes() for name in files(tmp_path)} == before
    run(**start, memory=100)  # its own settings are taken, with another memory bound
    run({"boed": boed(memory=100), "random": Random()}, **start)


def test_a_damaged_description_is_refused(tmp_path: Path) -> None:
    run(out=tmp_path)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(ValueError, match=r"run\.json is damaged"):
        run(out=tmp_path)


# --- the same results whatever the memory bound ------------------------------------------------


def colour(number: int, seed: int) -> Dataset:
    rng = np.random.default_rng(seed)
    images = torch.as_tensor(rng.integers(0, 256, (number, 3, 32, 32), np.uint8))
    labels = torch.as_tensor(rng.integers(0, 3, number))
    return Dataset(
        name="colour", split="test", images=images, labels=labels, label_names=("a", "b", "c")
    )


def test_same_results_whatever_the_memory_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    judge, aipo, sensor = tiny_classifier(), tiny_aipo(), PatchSensor(32, 0.25, 4)

    def results(memory: int, block: int) -> xr.Dataset:
        monkeypatch.setattr(module, "SCENES_PER_JOB", block)
        policies = {
            "aipo": BOED(aipo, judge, n=2, first_look=FirstLook(n=4), memory=memory),
            "retrieval": BOED(
                Retrieval(colour(12, 1), 0.3), judge, n=3, first_look=FirstLook(n=4), memory=memory
            ),
            "variance": BOED(
                aipo, judge, estimator="variance", n=2, first_look=FirstLook(n=4), memory=memory
            ),
            "oracle": Oracle(judge, memory),
        }
        return run(
            policies,
            dataset=colour(5, 0), sensor=sensor, classifier=judge, seeds=(4,), memory=memory,
        )  # fmt: skip

    whole = results(512, 32)
    for memory, block in ((1, 32), (7, 2), (512, 1)):
        found = results(memory, block)
        assert np.array_equal(found["design"], whole["design"])
        for name in ("log_belief", "full_image_log_belief"):
            assert np.abs(np.exp(found[name]) - np.exp(whole[name])).max() < 1e-6


def test_a_scenes_result_is_its_own() -> None:
    """The scene at row 37 gives the same alone, with the seed that belongs to its row."""
    results = run({"boed": boed()}, seeds=(5,))
    scene = DATA.scenes(slice(37, 38))
    alone = acquire(
        scene, TILED, boed(), steps=2, classifier=ClueClassifier(), seed=[derive(5, "scene", 37)]
    )
    assert np.array_equal(results["design"].sel(policy="boed", seed=5, scene=37), alone.designs[0])


# --- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scenes": 0}, r"scenes is 0; clues \(test\) has 40"),
        ({"scenes": 41}, r"scenes is 41; clues \(test\) has 40"),
        ({"seeds": (0, 0)}, r"seeds is \[0, 0\], expected different numbers"),
        ({"seeds": ()}, "seeds is .*at least one"),
        ({"policies": {}}, "policies is empty"),
        ({"steps": 0}, "steps is 0, expected at least 1"),
        ({"memory": 0}, "memory is 0 MiB"),
        ({"sensor": PatchSensor(28)}, r"\(16, 16\) pixels; this sensor is for 28 x 28"),
        ({"classifier": Constant([torch.nan] * 3)}, r"Constant\.log_probs returned NaN"),
        (
            {"classifier": Constant(np.log([0.5, 0.5]).tolist())},
            r"Constant\.log_probs returned \(2,\) .* asks for \(3,\): dark, middle, bright",
        ),
        (
            {"classifier": FindingsClassifier()},
            r"FindingsClassifier\.log_probs returned \(2, 2\)",
        ),
    ],
)
def test_refused_before_anything_is_written(
    options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        run(**options, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_nan_from_a_users_models_names_them() -> None:
    class Broken(ClueClassifier):
        def log_probs(self, observation: Observation) -> Tensor:
            return super().log_probs(observation) * torch.nan

    class BrokenCompleter(ClueCompleter):
        def sample(self, observation: Observation, n: int, seed: Any = 0) -> Tensor:
            return super().sample(observation, n, seed) / 0

    with pytest.raises(ValueError, match=r"Broken\.log_probs returned NaN"):
        run({"boed": BOED(ClueCompleter(CLUES), Broken())})
    with pytest.raises(ValueError, match=r"BrokenCompleter\.sample returned NaN or infinite"):
        run({"boed": BOED(BrokenCompleter(CLUES), ClueClassifier())})


def test_seeds_of_numpy_are_taken(tmp_path: Path) -> None:
    results = run({"random": Random()}, seeds=np.arange(2), out=tmp_path)
    assert results["seed"].values.tolist() == [0, 1]
    assert json.loads((tmp_path / "run.json").read_text())["settings"]["seed_numbers"] == [0, 1]


def test_what_is_finished_or_refused_costs_no_beliefs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(out=tmp_path, seeds=(0,))
    save(first, tmp_path / "results.nc")
    monkeypatch.setattr(module, "_full_image", pytest.fail)
    again = run(out=tmp_path, seeds=(0,))
    assert np.array_equal(first["log_belief"], again["log_belief"])
    with pytest.raises(ValueError, match="holds a run with other settings"):
        run(out=tmp_path, seeds=(1,))


def test_policies_are_added_to_a_finished_run(tmp_path: Path) -> None:
    first, turn, late = Fixed(), CentreOut(), Random()

    def ran(folder: str, **policies: Any) -> xr.Dataset:
        results = benchmark(
            CLUES.dataset(12), PatchSensor(16, 0.25, 4), ClueClassifier(),
            policies=policies, steps=2, scenes=4, seeds=(0, 1), out=tmp_path / folder,
        )  # fmt: skip
        save(results, tmp_path / folder / "results.nc")
        return results

    alone = ran("run", first=first, turn=turn)
    asked = first.calls
    more = ran("run", late=late, first=first, turn=turn)
    assert first.calls == asked
    whole = ran("whole", late=late, first=first, turn=turn)
    assert more["policy"].values.tolist() == ["late", "first", "turn"]
    for name, values in whole.data_vars.items():
        assert values.dims == more[name].dims
        if name != "seconds":
            xr.testing.assert_equal(values, more[name])
    kept = more.sel(policy=["first", "turn"])
    assert np.array_equal(kept["seconds"], alone["seconds"])
    assert more.attrs["wall_seconds"] > alone.attrs["wall_seconds"]
    assert json.loads(more.attrs["policy_settings"]).keys() == {"late", "first", "turn"}
    for others, words in (
        ({"late": late, "first": first}, "policies: turn is 'CentreOut .*' there, now not given"),
        ({"late": late, "first": CentreOut(), "turn": turn}, "policies: first is 'Fixed "),
    ):
        with pytest.raises(ValueError, match=words):
            ran("run", **others)
