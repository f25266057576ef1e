"""The headline says what was stated beforehand, bad news first; its intervals hold together."""

import json

import numpy as np
import pytest

from boed.report import headline
from boed.report.headline import infinite, plain_words, verdict
from boed.report.page import render
from boed.report.rivals import rivals
from boed.report.simultaneous import simultaneous
from boed.report.statistics import summary


def with_skill(made, **skill):
    """The same run, in which each policy sees so much of the truth, and the same noise."""
    truth = np.eye(made.sizes["answer"])[made["label"].values]
    noise = np.random.default_rng(0).normal(size=made["log_belief"].shape[1:])
    for index, name in enumerate(made["policy"].values):
        logits = noise + skill[str(name)] * truth[None, :, None]
        logits = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        made["log_belief"].values[index, :, :, 1:] = logits[:, :, 1:]
    return made


def found(results, policies, resamples=200, **skill):
    return summary(with_skill(results(policies=policies), **skill), resamples)


def test_the_better_policy_is_called_so(results):
    said = headline(found(results, ("boed", "random"), boed=6.0, random=0.0))
    assert said.startswith("boed is better than random: accuracy after 2 looks, the outcome stated")


def test_it_is_said_first_where_it_is_not_better(results):
    skill = {"boed": 1.5, "scan": 6.0, "random": 0.0}
    told = found(results, ("boed", "scan", "random"), **skill)
    said = headline(told)
    assert said.startswith("boed is worse than scan, its strongest rival")
    assert said.index("worse") < said.index("boed is better than random")
    assert "together for all 2 rivals" in said


def test_what_is_undecided_is_not_called_better(results):
    told = found(results, ("boed", "scan", "random"), boed=3.0, scan=3.0, random=0.0)
    assert headline(told).startswith("boed is not shown to be better than scan")
    assert told["primary"]["differences"]["scan"] == {"mean": 0.0, "low": 0.0, "high": 0.0}


def test_the_metric_and_look_are_those_that_were_stated(results):
    made = with_skill(results(), boed=6.0, random=0.0)
    made.attrs["primary"] = "nll@1"
    told = summary(made, 100)
    assert (told["primary"]["metric"], told["primary"]["looks"]) == ("nll", 1)
    assert "boed is better than random: NLL after 1 look, the outcome stated" in headline(told)


@pytest.mark.parametrize("stated", [None, "", "null", "nll@9", "f1@1"])
def test_an_earlier_run_is_judged_as_usual_and_it_is_said(results, stated):
    made = with_skill(results(), boed=6.0, random=0.0)
    made.attrs.pop("primary")
    if stated is not None:
        made.attrs["primary"] = stated
    told = summary(made, 50)
    assert (told["primary"]["metric"], told["primary"]["looks"]) == ("accuracy", 2)
    assert "accuracy after 2 looks, which was not stated before the run," in headline(told)


@pytest.mark.parametrize(
    ("policies", "words"),
    [(("boed",), "1 policy on 120 scenes"), (("boed", "oracle"), "No policy to compare boed with")],
)
def test_without_rivals_nothing_is_compared(results, policies, words):
    assert words in headline(summary(results(policies=policies), 20))


def test_one_class_has_no_auroc_and_the_headline_says_so(results):
    made = results(answers=2)
    made["label"] = made["label"] * 0
    made.attrs["primary"] = "auroc@2"
    assert "AUROC after 2 looks" in headline(summary(made, 20))
    assert "does not exist on these scenes" in headline(summary(made, 20))


@pytest.mark.parametrize(
    ("described", "rival"),
    [
        ({"kind": "Random"}, True),
        ({"kind": "BOED", "estimator": "variance"}, True),
        ({"kind": "BOED", "estimator": {"kind": "Variance"}}, True),
        ({"kind": "Mine"}, True),
        ({"kind": "Until", "policy": {"kind": "CentreOut"}}, True),
        ({"kind": "BOED", "estimator": "entropy"}, False),
        ({"kind": "Until", "policy": {"kind": "BOED", "estimator": "variational"}}, False),
        ({"kind": "TwoStep"}, False),
        ({"kind": "Oracle"}, False),
    ],
)
def test_rivals_neither_maximise_information_nor_know_the_scene(results, described, rival):
    made = results(policies=("first", "other"))
    made.attrs["policy_settings"] = json.dumps({"other": described})
    assert rivals(made) == ["other"] * rival
    made.attrs["baseline"] = "other"  # who is asked for is compared with
    assert rivals(made) == ["other"]
    made.attrs["baseline"] = "first"
    assert rivals(made) == ["other"] * rival


def test_simultaneous_intervals_hold_together():
    """Of 20 differences that are zero, one of them is outside in 5 % of the cases, not 64 %."""
    rng = np.random.default_rng(0)
    wrong, trials = 0, 200
    for _ in range(trials):
        sample = rng.normal(size=(80, 20))
        rows = rng.integers(80, size=(300, 80))
        low, high = simultaneous(sample.mean(0), sample[rows].mean(1))
        wrong += bool(((low > 0) | (high < 0)).any())
    assert (
        0.01 <= wrong / trials <= 0.11
    )  # 0.05, Monte-Carlo error 0.015, bootstrap a little narrow


def test_one_comparison_is_adjusted_for_nothing_and_what_does_not_vary_stays():
    rng = np.random.default_rng(1)
    drawn = rng.normal(size=(4000, 1))
    low, high = simultaneous(np.zeros(1), drawn)
    assert high[0] - low[0] == pytest.approx(2 * 1.96, rel=0.06)
    both = np.concatenate([drawn, np.full((4000, 2), [0.5, np.nan])], axis=1)
    low, high = simultaneous(np.array([0.0, 0.5, np.nan]), both)
    assert (low[1], high[1]) == (0.5, 0.5)
    assert np.isnan(low[2])
    assert high[0] - low[0] == pytest.approx(2 * 1.96, rel=0.06)


def test_marks_of_all_comparisons_together_are_fewer(results):
    made = results(policies=("boed", "scan", "random"))
    noise = np.random.default_rng(0).normal(size=made["log_belief"].shape)
    logits = made["log_belief"].values + 2 * noise
    made["log_belief"].values[:] = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    told = summary(made, 200)
    alone, together = 0, 0
    for pair, curves in told["paired"].items():
        for metric, curve in curves.items():
            sure = told["together"][pair][metric]
            assert not sure[0]
            bounds = zip(curve["low"], curve["high"], strict=True)
            outside = [lo > 0 or hi < 0 for lo, hi in bounds]
            alone, together = alone + sum(outside[1:]), together + sum(sure)
    assert 0 < together < alone


def test_verdict_respects_the_sense_of_the_metric():
    for metric, low, high, said in [
        ("nll", -2.0, -1.0, "better"), ("nll", 1.0, 2.0, "worse"), ("auroc", 0.1, 0.2, "better"),
        ("accuracy", -0.2, -0.1, "worse"), ("nll", -1.0, 1.0, "undecided"),
        ("nll", None, None, "undecided"),
    ]:  # fmt: skip
        primary = {"metric": metric, "differences": {"other": {"low": low, "high": high}}}
        assert verdict(primary, "other") == said


@pytest.mark.parametrize("findings", [0, 3])
def test_plain_words_tell_how_often_the_answer_was_right(results, findings):
    made = results(findings=findings, answers=2 if findings else 3)
    told = summary(made, 20)
    said = plain_words(told, answers=made.sizes["answer"], findings=findings, seen=0.0625)
    right = told["policies"]["boed"]["accuracy"]["mean"][2]
    assert f"where boed looked, the likeliest answer was right in {100 * right:.0f} %" in said
    assert "each of which showed 6.2 % of it" in said
    assert ("3 findings" in said) == bool(findings)


@pytest.mark.parametrize("findings", [0, 2])
def test_an_infinite_nll_is_explained(results, findings):
    """Scenes are counted, whatever the finding or seed."""
    made = results(findings=findings, answers=2, looks=1)
    told = summary(made, 20)
    assert told["ruled_out"] == {"boed": [0, 0], "random": [0, 0]}
    assert infinite(told) is None
    truth = int(made["label"].values.reshape(120, -1)[5, 0])
    made["log_belief"].values[(0, 0, 5, 1, *([0] if findings else []), truth)] = -np.inf
    told = summary(made, 20)
    assert told["ruled_out"] == {"boed": [0, 1], "random": [0, 0]}
    assert told["policies"]["boed"]["nll"]["mean"][1] is None
    assert "the truth had probability 0: under boed in 1 scene of 120" in infinite(told)
    assert infinite(told) in render(made, summary=told)
