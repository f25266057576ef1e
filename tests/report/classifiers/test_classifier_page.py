"""The report of the shift suite: its intervals, what it says of them, and its page."""

from __future__ import annotations

import csv
import html.parser
import io

import numpy as np
import pytest
import xarray as xr

from boed.classifiers.evaluation.evaluate import RESULTS, Suite
from boed.classifiers.evaluation.metrics import METRICS
from boed.report.classifiers.figures import nll_figure
from boed.report.classifiers.page import headline, render, tables, write_classifier_report
from boed.report.classifiers.statistics import statistics

SUITE = Suite(scenes=60, looks=(1, 3), strengths=(1, 2, 3))


def made(
    *names: str, answers: int = 2, findings: int = 0, patients: int = 0, also: int = 0,
    suite: Suite = SUITE, same: bool = False,
) -> xr.Dataset:  # fmt: skip
    """Classifiers of which each is better than the next, and worse the stronger the shift."""
    rng = np.random.default_rng(0)
    conditions, looks = suite.conditions, list(suite.counts)
    strength = np.array([each.strength for each in conditions])
    question = (findings, answers) if findings else (answers,)
    dims = ("finding", "answer") if findings else ("answer",)
    label = rng.integers(answers, size=(suite.scenes, *question[:-1]))
    truth = np.eye(answers)[label]
    sure = 3.0 / (1 + np.arange(len(names)))[:, None] / (1 + strength)
    grid = sure.reshape(*sure.shape, *(1,) * (2 + len(question)))
    noise = rng.normal(size=(len(conditions), len(looks), *truth.shape))
    logits = grid * truth + noise * (not same)
    log_belief = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    variables = {
        "log_belief": (("classifier", "condition", "look", "scene", *dims), log_belief),
        "label": (("scene", *dims[:-1]), label),
    }
    attributes = {"data": "<made up>", "split": "val", "size": 8, "seed": 0}
    if patients:
        variables["patient"] = (("scene",), (np.arange(suite.scenes) % patients).astype(str))
    if also:
        belief = np.log(np.full((len(names), len(looks), also, 2), 0.5))
        variables["also_log_belief"] = (("classifier", "look", "also_scene", "also_answer"), belief)
        variables["also_label"] = (("also_scene",), np.arange(also) % 2)
        attributes |= {"also": "elsewhere", "also_answers": ["no", "yes"]}
    coordinates = {
        "classifier": list(names),
        "condition": [each.name for each in conditions],
        "look": looks,
        "shift": ("condition", [each.shift for each in conditions]),
        "strength": ("condition", strength),
    }
    results = xr.Dataset(variables, coordinates, attributes)
    RESULTS.check(results)
    return results


@pytest.mark.parametrize("findings", [0, 3])
def test_means_are_the_metrics_and_intervals_hold_them(findings: int) -> None:
    results = made("a", "b", findings=findings)
    found = statistics(results, resamples=50)
    beliefs, labels = results["log_belief"].values, results["label"].values
    for metric, score in METRICS.items():
        one = found.sel(metric=metric, condition="gamma 3", look="whole")
        place = list(results["condition"].values).index("gamma 3")
        expected = [float(score(beliefs[k, place, -1], labels)) for k in range(2)]
        assert one["mean"].values[:2] == pytest.approx(expected)
        assert one["mean"].values[2] == pytest.approx(expected[0] - expected[1])
    inside = (found["low"] <= found["mean"]) & (found["mean"] <= found["high"])
    assert inside.sel(metric=["auroc", "accuracy", "nll"]).mean() > 0.99


def test_all_shifts_are_the_mean_of_the_shifts_of_a_strength() -> None:
    found = statistics(made("a"), resamples=20)
    for strength in (1, 2, 3):
        of_it = found.isel(condition=(found["strength"] == strength).values)
        each = of_it["mean"].isel(condition=slice(0, -1))
        assert of_it["shift"].values[-1] == "all shifts"
        assert each.sizes["condition"] == 10
        assert np.allclose(of_it["mean"].isel(condition=-1), each.mean("condition"))


def test_the_same_classifier_twice_differs_by_nothing() -> None:
    results = made("a")
    twice = xr.concat([results, results], "classifier", data_vars="minimal")
    twice = twice.assign_coords(classifier=["a", "b"])
    difference = statistics(twice, resamples=20).sel(name="a - b")
    assert all(float(abs(difference[key]).max()) == 0 for key in ("mean", "low", "high"))


def test_patients_are_resampled_with_all_their_scenes() -> None:
    def width(patients: int) -> float:
        found = statistics(made("a", patients=patients), resamples=200)
        return float((found["high"] - found["low"]).sel(metric="nll").mean())

    results = made("a")
    ten = results.isel(scene=np.arange(60) % 6)  # each scene ten times
    ten["patient"] = (("scene",), (np.arange(60) % 6).astype(str))
    alone = statistics(ten.drop_vars("patient"), resamples=200)
    together = statistics(ten, resamples=200)
    ratio = (together["high"] - together["low"]).sel(metric="nll").mean() / (
        alone["high"] - alone["low"]
    ).sel(metric="nll").mean()
    assert 2 < float(ratio) < 4.5  # the root of ten is 3.2
    assert width(60) == pytest.approx(width(0), rel=0.2)


@pytest.mark.parametrize("gone", ["label", "shift", "nan", "high"])
def test_results_of_another_form_are_refused(gone: str) -> None:
    results = made("a")
    if gone == "nan":
        results["log_belief"][0, 0, 0, 0] = np.nan
    elif gone == "high":
        results["label"][0] = 2
    else:
        results = results.drop_vars(gone)
    with pytest.raises(ValueError, match="results"):
        statistics(results, resamples=5)


class Page(html.parser.HTMLParser):
    """What a page loads, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loads += [str(v) for k, v in attrs if k in ("src", "srcset", "href")]

    def handle_data(self, data: str) -> None:
        self.text += data


FEW = Suite(scenes=20, looks=(1,), strengths=(3,))
PAGES = {
    "one": lambda: made("a", suite=FEW),
    "three and another data set": lambda: made("a", "b", "<c>", also=10, suite=FEW),
    "findings": lambda: made("a", "b", findings=2, suite=FEW),
    "ten answers": lambda: made("a", answers=10, suite=FEW),
    "few scenes": lambda: made("a", "b", suite=Suite(scenes=2, looks=(0,)), same=True),
}


@pytest.mark.parametrize("kind", PAGES)
def test_the_page_loads_nothing_and_shows_everything(kind: str) -> None:
    results = PAGES[kind]()
    found = statistics(results, resamples=20)
    text = render(results, found)
    page = Page(text)
    assert all(each.startswith(("data:", "#")) for each in page.loads)
    assert "<made up>" in page.text
    assert "<c>" not in text
    for name in results["classifier"].values:
        assert f"{name}: NLL of whole scenes" in page.text
    assert ("Differences" in page.text) == (results.sizes["classifier"] > 1)
    assert ("10 scenes of elsewhere, 5 of them yes" in page.text) == ("also_label" in results)
    assert "nan" not in page.text


def test_the_headline_says_what_shift_costs_and_what_is_certain() -> None:
    results = made("good", "bad", also=8)
    said = headline(statistics(results, resamples=100), ["good", "bad"])
    assert len(said) == 3
    assert "over all middle shifts (" in said[0]
    assert said[0].endswith("; on elsewhere 0.693, AUROC 0.500.")
    assert said[2].startswith("good - bad, NLL under middle shifts: -")
    assert said[2].endswith("certainly lower.")


def test_tables_hold_every_number_in_full() -> None:
    results = made("a", "b", also=6)
    found = statistics(results, resamples=10)
    made_tables = tables(results, found)
    assert list(made_tables) == ["metrics", "differences", "run"]
    rows = list(csv.DictReader(io.StringIO(made_tables["metrics"])))
    assert len(rows) == 2 * (1 + 30 + 3 + 1) * 3 * 4
    one = next(
        row
        for row in rows
        if (row["classifier"], row["shift"], row["strength"], row["looks"], row["metric"])
        == ("b", "blur", "3", "whole", "ece")
    )
    expected = found.sel(name="b", condition="blur 3", look="whole", metric="ece")
    assert float(one["mean"]) == float(expected["mean"])


@pytest.mark.parametrize("strengths", [(2,), (1, 3), (1, 2, 3)])
@pytest.mark.parametrize("number", [1, 3])
def test_the_map_has_a_cell_for_every_condition(strengths: tuple[int, ...], number: int) -> None:
    names = [f"classifier {k}" for k in range(number)]
    results = made(*names, suite=Suite(scenes=8, looks=(1,), strengths=strengths))
    found = statistics(results, resamples=5)
    figure = nll_figure(found, names)
    shown = [axis.images[0].get_array() for axis in figure.axes if axis.images]
    assert [each.shape for each in shown[:number]] == [(12, 2 * len(strengths))] * number
    last = found["mean"].sel(name=names[0], metric="nll", condition=f"noise {strengths[-1]}")
    assert shown[0][5, -1] == pytest.approx(float(last.sel(look="whole")))


def test_what_is_written(tmp_path) -> None:
    write_classifier_report(made("a", suite=Suite(scenes=8, looks=(1,))), tmp_path)
    files = sorted(str(each.relative_to(tmp_path)) for each in tmp_path.rglob("*.*"))
    assert files == ["report.html", "tables/metrics.csv", "tables/run.csv"]
