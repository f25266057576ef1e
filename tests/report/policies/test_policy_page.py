"""The report of policies under shift: its verdicts are the intervals', its page holds them."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
import xarray as xr

from boed.benchmark.shifted import RESULTS, SCANS, joined
from boed.data.shifts import Condition, conditions
from boed.report.policies.comparisons import (
    STRONGEST,
    comparisons,
    counts,
    summaries,
    verdicts,
)
from boed.report.policies.page import render, tables
from tests.report.conftest import make_results

POLICIES = ("boed", "fixed", "centre", "random")
UNDER = conditions((2,), ("blur", "noise", "marker"))


def sure(one: xr.Dataset, **strengths: float) -> xr.Dataset:
    """How much each policy believes in the truth after all looks, the same for all scenes."""
    belief = one["log_belief"].copy()
    truth = one["answer"].values == [f"answer {k}" for k in range(one.sizes["answer"])]
    assert truth.all()
    right = np.eye(one.sizes["answer"])[one["label"].values]
    noise = np.random.default_rng(0).normal(size=(1, *right.shape))
    for name, strength in strengths.items():
        logits = strength * right + noise
        values = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        belief.loc[{"policy": name}] = values[:, :, None]
    return one.assign(log_belief=belief)


def made(patients: bool = False, policies: tuple[str, ...] = POLICIES) -> xr.Dataset:
    """BOED better than the scans when clean and under blur, alike under noise, worse otherwise."""
    strengths = {"clean": 3.0, "blur 2": 3.0, "noise 2": 1.2, "marker 2": 0.2}
    found: dict[Condition, xr.Dataset] = {}
    for condition in UNDER:
        rest = {"fixed": 1.2, "centre": 1.0, "random": 0.2}
        known = {"boed": strengths[condition.name], **rest}
        one = sure(make_results(policies), **{name: known[name] for name in policies})
        one.attrs[SCANS] = '["fixed", "centre"]'
        one.attrs["data"] = "<made up>"
        if patients:
            one["patient"] = ("scene", np.arange(one.sizes["scene"]).astype(str))
        found[condition] = one
    results = joined(found)
    RESULTS.check(results)
    return results


def test_verdicts_count_the_shifts_that_intervals_are_sure_of() -> None:
    results = made()
    found = summaries(results, resamples=100)
    every = comparisons(results, found)
    nll = {"metric": "nll", "look": 2}
    assert counts(every, against=STRONGEST, **nll) == {"better": 1, "not certain": 1, "worse": 1}
    assert counts(every, against="random", **nll) == {"better": 2, "not certain": 1, "worse": 0}
    assert {each.rival for each in every if each.against == STRONGEST} == {"fixed"}
    first, second = verdicts(every, found["clean"])
    assert first.startswith("boed against the strongest fixed scan, accuracy after 2 looks:")
    assert first.endswith("on clean scenes certainly better.")
    assert second.startswith("boed against random, accuracy")
    for each in every:
        curve = found[each.condition]["paired"][f"boed - {each.rival}"][each.metric]
        assert (each.mean, each.low, each.high) == tuple(
            curve[key][each.look] for key in ("mean", "low", "high")
        )


@pytest.mark.parametrize("policies", [("boed", "random"), ("boed", "centre"), ("random", "fixed")])
def test_a_rival_that_was_not_run_is_left_out(policies: tuple[str, ...]) -> None:
    results = made(policies=policies)
    found = summaries(results, resamples=20)
    every = comparisons(results, found)
    against = {each.against for each in every}
    assert against == ({"random"} if policies[1] == "random" else {STRONGEST})
    if policies[0] == "random":  # which is the baseline of the others, and is less than they are
        assert counts(every, metric="nll", look=2) == {"better": 0, "not certain": 0, "worse": 3}


def test_the_page_holds_every_number_and_escapes_what_it_is_given() -> None:
    results = made(patients=True)
    found = summaries(results, resamples=20)
    every = comparisons(results, found)
    page = render(results, found, every)
    assert "&lt;made up&gt;" in page
    assert "<made up>" not in page
    assert "patients" in page
    for line in verdicts(every, found["clean"]):
        assert line in page
    for name, text in tables(results, found, every).items():
        rows = list(csv.DictReader(io.StringIO(text)))
        assert rows, name
    rows = list(csv.DictReader(io.StringIO(tables(results, found, every)["differences"])))
    assert len(rows) == len(every) == 4 * 2 * 3 * 3
    assert {row["verdict"] for row in rows} == {"better", "not certain", "worse"}
    for each in every:
        if each.mean is not None:
            assert f"{each.mean:+.3f} [" in page


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda each: each.drop_vars("design"), "has no variable 'design'"),
        (lambda each: each.drop_vars("shift"), "has no coordinate 'shift'"),
        (lambda each: each.isel(condition=0), "log_belief has dimensions"),
        (lambda each: each.assign(log_belief=each["log_belief"] * np.nan), "log_belief holds NaN"),
        (lambda each: each.assign(label=each["label"] + 9), "label must be within"),
    ],
)
def test_results_of_another_form_are_refused(harm, words: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=words):
        RESULTS.check(harm(made()))
