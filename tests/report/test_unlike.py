"""Runs whose scenes are unlike the training data: recorded by look, counted, shown."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from boed.benchmark import benchmark
from boed.classifiers import DenseNetClassifier
from boed.classifiers.evaluation.out_of_distribution import KEY, feature_record, relative_distance
from boed.data import Observation
from boed.data.looking import Squares
from boed.policies import CentreOut, Random
from boed.report.page import render, report_tables
from boed.report.results import load, save
from boed.report.statistics import summary
from boed.report.unlike import unlike_shares
from boed.sensors import PatchSensor
from tests.classifiers.conftest import TINY, halves


def tiny(knows: bool) -> DenseNetClassifier:
    torch.manual_seed(0)
    model = DenseNetClassifier(TINY, ("left", "right")).ready()
    if knows:
        record = feature_record(model, halves(200, 0), halves(200, 1), looking=Squares())
        model.provenance = {KEY: record}
    return model


@pytest.mark.parametrize("knows", [True, False])
def test_a_benchmark_records_the_distance_of_what_each_look_left_seen(knows, tmp_path):
    model, data, sensor = tiny(knows), halves(20, 3), PatchSensor(8, 0.5, 2)
    policies = {"centre_out": CentreOut(), "random": Random()}
    results = benchmark(data, sensor, model, policies=policies, steps=4, out=tmp_path)
    assert ("distance" in results) == knows
    assert bool(unlike_shares(results)) == knows
    save(results, tmp_path / "results.nc")
    again = load(tmp_path / "results.nc")
    assert again.equals(results)
    if not knows:
        return
    far = results["distance"].transpose("policy", "seed", "scene", "look").values
    assert np.isnan(far[..., 0]).all()  # of nothing seen
    rows = torch.tensor(results["scene"].values.tolist())
    whole = relative_distance(model, Observation.everything(data.scenes(rows)))
    np.testing.assert_allclose(far[0, 0, :, 4], whole, rtol=1e-4)
    design = results["design"].sel(policy="centre_out").values[0, :, 0]
    first = sensor.observe(
        Observation.nothing_of(data.scenes(rows)), data.scenes(rows), torch.tensor(design).float()
    )
    np.testing.assert_allclose(far[0, 0, :, 1], relative_distance(model, first), rtol=1e-4)


def test_shares_are_counted_over_scenes_and_seeds_and_shown(results):
    made = results(scenes=20, seeds=2, looks=3)
    far = np.full((2, 2, 20, 4), 0.5)
    far[..., 0] = np.nan
    far[0, :, :5, 2] = 1.5
    far[1, 1, :, 3] = 2.0
    made["distance"] = (("policy", "seed", "scene", "look"), far)
    assert unlike_shares(made) == {"boed": [0.0, 0.25, 0.0], "random": [0.0, 0.0, 0.5]}
    table = report_tables(made, summary(made, resamples=5))["unlike"]
    assert "boed,2,0.25" in table
    assert "random,3,0.5" in table


@pytest.mark.slow
def test_the_page_shows_shares_where_they_are_known(results):
    made = results(scenes=20)
    assert "Unlike the training data" not in render(made)
    made["distance"] = made["log_belief"].isel(answer=0, drop=True) * 0 + 2
    assert "100.0 %" in render(made)
