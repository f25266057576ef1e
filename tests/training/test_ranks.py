"""Several processes train one model: as one would, and all of them the same."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from boed.foundation.files import load_weights
from boed.training.config import TrainingConfig
from boed.training.ranks import join

SCRIPT = Path(__file__).with_name("train_on_ranks.py")
ROOT = SCRIPT.parents[2]


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """What each of two processes saw."""
    pytest.importorskip("lightning_fabric")
    folder = tmp_path_factory.mktemp("ranks")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(SCRIPT), str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    seen = [torch.load(folder / f"rank{rank}.pt") for rank in (0, 1)]
    files = folder.glob("*.safetensors")
    seen[0]["written"] = {each.name: load_weights(each)[1].get("steps") for each in files}
    return seen


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


@pytest.mark.slow
def test_two_do_what_one_does_with_all_their_rows(both):
    for seen in both:
        for name, value in seen["together"].items():
            assert torch.allclose(value, seen["alone"][name], atol=1e-5), name
    assert same(both[0]["together"], both[1]["together"])


@pytest.mark.slow
def test_each_draws_its_own_rows_and_all_end_the_same(both):
    first, second = both[0]["whole"], both[1]["whole"]
    assert not set(first["drawn"]) & set(second["drawn"])
    assert len(first["weights"]) == 12
    for one, other in zip(first["weights"], second["weights"], strict=True):
        assert same(one, other)  # batch-norm statistics included
    assert same(first["end"], second["end"])
    start = first["weights"][0]
    assert not torch.equal(first["end"]["1.running_mean"], start["1.running_mean"])
    assert torch.equal(first["end"]["constant"], torch.tensor([0.1, 0.7]))


@pytest.mark.slow
def test_resumed_equals_uninterrupted_bit_for_bit(both):
    for seen in both:
        assert same(seen["parts"]["end"], seen["whole"]["end"])
        assert seen["parts"]["drawn"] == seen["whole"]["drawn"][-1:]
    assert both[0]["curve"] == [str(step) for step in range(1, 13)]  # each was the last of a part


@pytest.mark.slow
def test_the_first_validates_and_tells_and_all_know(both):
    first, second = both[0]["whole"], both[1]["whole"]
    assert first["validated"] == [0, 0, 0]
    assert second["validated"] == []
    assert [step for step, _ in first["reported"]] == list(range(1, 13))
    assert second["reported"] == []
    assert [row["step"] for row in first["history"]] == [4, 8, 12]
    assert first["history"] == second["history"]
    assert all(row["norm"] > 0 for row in second["history"])
    assert first["best"] == second["best"] == min(first["history"], key=lambda row: row["norm"])


@pytest.mark.slow
def test_what_spoils_one_share_makes_all_skip(both):
    for seen in both:
        spoilt = seen["spoilt"]
        assert spoilt["skipped"] == 1
        assert same(spoilt["weights"][6], spoilt["weights"][5])
        assert not same(spoilt["weights"][5], spoilt["weights"][4])
        assert all(torch.isfinite(each).all() for each in spoilt["end"].values())
    assert same(both[0]["spoilt"]["end"], both[1]["spoilt"]["end"])
    assert math.isnan(both[0]["spoilt"]["reported"][5][1])


@pytest.mark.slow
def test_networks_that_rest_on_all_ranks_do_not_move(both):
    """Not by weight decay either; what has a gradient on one of them moves on both."""
    for seen in both:
        weights = seen["turns"]["weights"]
        for step in range(11):
            before, after = weights[step], weights[step + 1]
            changed = {k for k in before if not torch.equal(before[k], after[k])}
            part = "critic" if step % 3 < 2 else "generator"
            assert changed == {f"{part}.weight", f"{part}.bias"}, step
    assert same(both[0]["turns"]["end"], both[1]["turns"]["end"])
    assert len(both[0]["turns"]["weights"]) == 12


@pytest.mark.slow
@pytest.mark.parametrize("method", ["dad", "rl"])
def test_policies_for_pyro_models_end_the_same(both, method):
    first, second = (each["policies"][method] for each in both)
    assert same(first, second)
    assert all(torch.isfinite(each).all() for each in first.values())
    assert both[0]["written"][f"{method}.safetensors"] == 4


@pytest.mark.slow
def test_resumed_in_the_middle_of_a_cycle_bit_for_bit(both):
    for seen in both:
        assert seen["turns in parts"]["step"] == 12
        assert same(seen["turns in parts"]["end"], seen["turns"]["end"])


@pytest.mark.slow
def test_a_state_of_another_number_of_ranks_is_refused(both):
    for seen in both:
        assert "give the same settings and data, or remove the file" in seen["other number"]


@pytest.mark.slow
def test_a_state_that_not_all_see_is_refused_by_all(both):
    for seen in both:
        assert "is not the same for all machines; use a shared folder" in seen["not shared"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"devices": 0}, "devices is 0, expected at least 1"),
        ({"nodes": 0}, "nodes is 0, expected at least 1"),
        ({"device": "gpu"}, "device is 'gpu'.*one of cpu, cuda"),
        ({"devices": 3, "nodes": 2}, "batch is 8, expected a multiple of the 6 devices"),
    ],
)
def test_settings_that_make_no_sense(change, message):
    with pytest.raises(ValueError, match=message):
        replace(TrainingConfig(steps=1, batch=8), **change)


def test_shares():
    assert TrainingConfig(steps=1, batch=8).share == 8
    assert TrainingConfig(steps=1, batch=8, devices=2, nodes=2).share == 2


def test_one_process_alone():
    ranks = TrainingConfig(steps=1).ranks()
    assert (ranks.number, ranks.rank, ranks.first) == (1, 0, True)
    assert ranks.device == torch.device("cpu")
    assert ranks.first_says("x") == "x"
    assert ranks.agree(3)


def test_more_gpus_than_there_are(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert join.__wrapped__("cuda").device == torch.device("cuda")
    with pytest.raises(ValueError, match="devices 2, but torch sees 1 GPUs"):
        join("cuda", 2)


def test_what_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "lightning_fabric", None)
    with pytest.raises(ValueError, match=r"needs lightning-fabric; pip install 'boed\[distribut"):
        join("cpu", 2)


def test_torchrun_without_devices_does_not_train_several_times(monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(ValueError, match="torchrun started 4 processes; give devices"):
        join.__wrapped__("cpu")
