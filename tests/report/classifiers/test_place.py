"""Calibration by place finds what depends on it; shares of unlike scenes are counted."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from boed.classifiers.evaluation.evaluate import RESULTS
from boed.report.classifiers.page import render, tables
from boed.report.classifiers.place import THIRDS, by_place, unlike
from boed.report.classifiers.statistics import statistics
from tests.report.classifiers.test_classifier_page import made

SURE, UNSURE = np.log([0.99, 0.01]), np.log([0.6, 0.4])


def placed(**options: int) -> xr.Dataset:
    """Beliefs of 0.99 and 0.6 in the right answer, by whether looks lie near the centre."""
    results = made("a", "b", **options)
    scenes = results.sizes["scene"]
    far = np.linspace(0.1, 0.9, scenes)[np.random.default_rng(1).permutation(scenes)]
    belief = results["log_belief"].copy()
    label = results["label"].values
    for n in range(scenes):
        row = SURE if far[n] < 0.3 else UNSURE
        answers = row if label[n] == 0 else row[::-1]
        belief.loc[{"scene": n, "classifier": "a"}] = answers
    off = np.stack([far, far, np.full(scenes, 0.5)])
    distance = np.full(results["log_belief"].shape[:4], 0.5)
    distance[0, 1, :, :15] = 1.5
    distance[1] = np.nan
    return results.assign(
        log_belief=belief,
        off_centre=(("look", "scene"), off),
        distance=(("classifier", "condition", "look", "scene"), distance),
    )


def test_thirds_are_judged_apart_and_whole_scenes_have_no_place() -> None:
    results = placed()
    RESULTS.check(results)
    found = by_place(results, resamples=50)
    assert {each.look for each in found} == {"1", "3"}
    assert {each.scenes for each in found} == {"clean", "all shifts 2"}
    assert len(found) == 2 * 2 * 2 * 3
    for each in found:
        assert each.nll[1] - 1e-9 <= each.nll[0] <= each.nll[2] + 1e-9
        if each.classifier == "a" and each.third != THIRDS[0]:
            assert each.nll[0] == pytest.approx(-UNSURE[0])
            assert each.ece[0] == pytest.approx(0.4)
    near = [each for each in found if each.classifier == "a" and each.third == THIRDS[0]]
    assert all(each.nll[0] < 0.3 and each.ece[0] < 0.2 for each in near)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_thirds_in_which_nothing_lies_are_left_out(share: float) -> None:
    results = placed()
    scenes = results.sizes["scene"]
    far = np.where(np.arange(scenes) < share * scenes, 0.2, 0.7)
    off = np.stack([far, far, np.full(scenes, 0.5)])
    found = by_place(results.assign(off_centre=(("look", "scene"), off)), resamples=10)
    assert 0 < len({each.third for each in found}) < 3
    assert all(np.isfinite(each.nll).all() and np.isfinite(each.ece).all() for each in found)


def test_shares_of_unlike_scenes_are_counted_by_condition_and_look() -> None:
    found = unlike(placed())
    assert {name for _, name, _ in found} == {"a"}  # of b nothing is known
    shares = {condition: row for condition, _, row in found}
    second = list(shares)[1]
    assert shares.pop(second) == [0.25, 0.25, 0.25]
    assert set(map(tuple, shares.values())) == {(0.0, 0.0, 0.0)}


def test_the_page_and_the_tables_hold_both() -> None:
    results = placed()
    found = statistics(results, resamples=5)
    page, csv = render(results, found), tables(results, found)
    assert "far from it" in page
    assert "25.0 %" in page
    assert csv["places"].count("\n") == 1 + 24
    assert csv["unlike"].count("\n") == 1 + 3 * results.sizes["condition"]
    before = results.drop_vars(["off_centre", "distance"])
    assert by_place(before) == unlike(before) == []
    assert {"places", "unlike"}.isdisjoint(tables(before, found))
