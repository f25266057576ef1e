"""EIG against what was gained: known slopes, dashes where there are none."""

from __future__ import annotations

import json

import numpy as np
import pytest

from boed.benchmark.identity import describe_policy
from boed.policies import Confident, Until
from boed.policies.learned import Value, ValueConfig, ValueNet
from boed.policies.learned.network import classifier_name
from boed.report.gains import eig_and_gains
from boed.report.page import bounded, render, report_tables
from boed.report.rivals import rivals
from boed.report.statistics import summary
from boed.report.worked_scenes import negative_share
from tests.doubles import ClueClassifier


def with_scores(results, slope, *, noise=0.0, constant=False):
    """EIGs from which the gains of `boed` follow with this slope."""
    made = results(scenes=200, looks=2)
    truth = made["log_belief"].isel(answer=made["label"].astype(int))
    gain = truth.diff("look").sel(policy="boed").transpose("seed", "scene", "look").values
    rng = np.random.default_rng(0)
    scores = np.full((2, 2, 200, 2), np.nan, np.float32)
    scores[0] = gain / slope + noise * rng.normal(size=gain.shape)
    if constant:
        scores[0] = 0.3
    made["score"] = made["score"].copy(data=scores)
    return made


@pytest.mark.parametrize("slope", [1.0, 0.5])
def test_a_known_line(results, slope):
    first, second = eig_and_gains(with_scores(results, slope), resamples=100)
    for row in (first, second):
        assert row.policy == "boed"
        assert row.slope == pytest.approx((slope,) * 3, rel=1e-3)
        assert row.correlation == pytest.approx((1.0,) * 3, abs=1e-3)
        assert row.gained[0] == pytest.approx(slope * row.expected, rel=1e-3)
        assert row.gained[1] < row.gained[0] < row.gained[2]
    assert (first.look, second.look) == (1, 2)


def test_noise_in_the_eig_flattens_the_line_and_widens_its_interval(results):
    row = eig_and_gains(with_scores(results, 1.0, noise=2.0), resamples=200)[0]
    assert row.slope[2] < 0.9
    assert 0 < row.correlation[1] < row.correlation[0] < row.correlation[2] < 0.9


def test_one_eig_for_all_has_no_slope(results):
    row = eig_and_gains(with_scores(results, 1.0, constant=True), resamples=50)[0]
    assert row.expected == pytest.approx(0.3)
    assert np.isnan(row.slope).all()
    assert np.isnan(row.correlation).all()
    assert bounded(row.slope) == "–"


def test_findings_are_added_up(results):
    made = results(findings=3, answers=2, scenes=60, looks=1)
    scores = np.where(made["policy"].values[:, None, None, None] == "boed", 0.2, np.nan)
    made["score"] = made["score"].copy(data=np.broadcast_to(scores, made["score"].shape))
    label, belief = made["label"].values, made["log_belief"].sel(policy="boed").values
    truth = np.take_along_axis(belief, label[None, :, None, :, None], axis=-1)[..., 0].sum(-1)
    row = eig_and_gains(made, resamples=20)[0]
    assert row.gained[0] == pytest.approx(float(np.diff(truth, axis=-1).mean()), rel=1e-4)


def test_the_report_shows_it_where_there_is_an_eig(results):
    made = with_scores(results, 1.0)
    page = render(made)
    assert "Expected and gained information" in page
    table = report_tables(made, summary(made, resamples=20))["gains"].splitlines()
    assert table[0].startswith("policy,look,mean_eig,mean_gain")
    assert len(table) == 3
    blind = results(policies=("random", "centre_out"), looks=1)
    assert eig_and_gains(blind) == []
    assert "Expected and gained information" not in render(blind)
    unscored = results(looks=1)  # scores are NaN
    assert eig_and_gains(unscored) == []


def test_what_weighted_completions_are_worth_is_told_where_it_is_known(results):
    made = with_scores(results, 1.0)
    assert "Effective N" not in render(made, summary=summary(made, 20))
    worth = np.where(made["policy"].values[:, None, None, None] == "boed", 4.25, np.nan)
    made["effective"] = made["score"].copy(data=np.broadcast_to(worth, made["score"].shape))
    assert [row.effective for row in eig_and_gains(made, resamples=20)] == [4.25, 4.25]
    text = render(made, summary=summary(made, 20))
    assert '<th scope="col">effective N</th>' in text
    assert text.count('<td class="n">4.2</td>') == 2


def test_the_winners_curse_is_told_where_it_is_known(results):
    made = with_scores(results, 1.0)
    assert "winner's curse" not in render(made, summary=summary(made, 20))
    known = np.where(made["policy"].values[:, None, None, None] == "boed", 0.125, np.nan)
    made["winners_curse"] = made["score"].copy(data=np.broadcast_to(known, made["score"].shape))
    assert [row.curse for row in eig_and_gains(made, resamples=20)] == [0.125, 0.125]
    text = render(made, summary=summary(made, 20))
    assert '<th scope="col">winner\'s curse</th>' in text.replace("&#39;", "'")
    assert text.count('<td class="n">0.125</td>') == 2
    table = report_tables(made, summary(made, resamples=20))["gains"].splitlines()
    assert table[0].endswith("winners_curse,effective_sample_size")
    assert table[1].split(",")[-2] == "0.125"


def test_the_share_of_negative_eigs_is_of_the_candidates_that_read_something(examples, results):
    panels = examples()
    maps = np.full(panels["eig"].shape, 0.2, np.float32)
    maps.reshape(-1)[:4] = [-0.1, 0.0, np.nan, -0.3]  # nothing new to read; not evaluated
    panels["eig"] = panels["eig"].copy(data=maps)
    assert negative_share(panels) == pytest.approx(2 / (maps.size - 2))
    made = with_scores(results, 1.0)
    share = f"{200 / (maps.size - 2):.1f} % are below 0"
    assert share in " ".join(render(made, panels, summary(made, 20)).split())
    panels["eig"] = panels["eig"] * np.nan  # of a policy without scores
    assert negative_share(panels) is None


@pytest.mark.parametrize("stopped", [False, True])
def test_the_map_of_a_trained_network_is_set_against_what_was_gained(stopped, results):
    """By what the policy is, since it may have any name."""
    judge = ClueClassifier()
    config = ValueConfig(numbers=1, readings=1, entries=1)
    policy = Value(ValueNet(config, looks="", classifier=classifier_name(judge)), judge)
    policy = Until(policy, Confident(judge, 0.9)) if stopped else policy
    made = results(scenes=40, looks=1)
    made["score"] = made["score"].copy(data=np.full(made["score"].shape, 0.4, np.float32))
    names = [str(each) for each in made["policy"].values]
    made = made.assign_coords(policy=[names[0], "mine", *names[2:]])
    assert "mine" not in {each.policy for each in eig_and_gains(made, resamples=10)}
    assert "mine" in rivals(made)
    made.attrs["policy_settings"] = json.dumps({"mine": describe_policy(policy)})
    (row,) = [each for each in eig_and_gains(made, resamples=10) if each.policy == "mine"]
    assert row.expected == pytest.approx(0.4)
    assert "mine" not in rivals(made)
