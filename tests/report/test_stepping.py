"""All scenes of a run are in the page, and its tables can be had as CSV."""

import base64
import csv
import io
import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from boed.benchmark.thumbnails import thumbnails
from boed.data import Dataset
from boed.report import figures, render, report_tables, write_report
from boed.report.csv_tables import write_tables
from boed.report.html import script
from boed.report.page import costs_differ
from boed.report.statistics import summary
from boed.report.stepping import stepping
from boed.report.worked_scenes import successes_and_failures

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


STEPPING = """
<iframe src="report.html" style="width:900px;height:900px;border:0"></iframe>
<script>
onload = () => setTimeout(() => {
  const page = document.querySelector('iframe').contentDocument, said = [];
  const part = (name) => page.getElementById('step-' + name);
  const say = () => said.push(part('count').textContent, part('looks').textContent);
  const key = (name) => page.dispatchEvent(
    new KeyboardEvent('keydown', {key: name, bubbles: true, cancelable: true}));
  say();
  part('after').click();
  say();
  part('before').focus();
  ['ArrowRight', 'ArrowDown'].forEach(key);
  say();
  ['ArrowLeft', 'ArrowLeft', 'ArrowLeft'].forEach(key);
  say();
  const pixels = page.querySelector('canvas').getContext('2d').getImageData(0, 0, 5, 5).data;
  said.push(pixels.some((value, i) => i % 4 < 3 && value > 0) ? 'drawn' : 'blank');
  document.title = said.join('|');
}, 1500);
</script>"""
"""A page that steps through a report and says in its title what it shows."""


@pytest.fixture
def undrawn(monkeypatch):
    """Pages without their figures, which take a second to draw."""
    for kind in ("svg", "png"):
        monkeypatch.setattr(f"boed.report.page.{kind}", lambda figure: "data:image/png;base64,")


def dataset(number: int, channels: int, height: int, width: int) -> Dataset:
    images = torch.randint(256, (number, channels, height, width), dtype=torch.uint8)
    return Dataset(
        name="made-up", split="test", images=images,
        labels=torch.arange(number) % 2, label_names=("no", "yes"),
    )  # fmt: skip


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 8, 8), (2, 8, 8), (1, 1, 5), (1, 6, 10)])
def test_thumbnails_are_the_scenes(shape):
    data = dataset(5, *shape)
    small = thumbnails(data)
    assert small.dtype == np.uint8
    if shape[0] != 2:
        assert np.array_equal(small, data.images.numpy())
    else:
        assert small.shape == (5, 1, *shape[1:])


def test_many_pixels_are_shrunk(monkeypatch):
    monkeypatch.setattr(sys.modules[thumbnails.__module__], "PIXELS", 5 * 8 * 8)
    assert thumbnails(dataset(5, 1, 32, 32)).shape == (5, 1, 8, 8)
    assert thumbnails(dataset(5, 1, 1, 9)).shape == (5, 1, 1, 9)


@pytest.mark.parametrize("findings", [0, 3])
def test_what_the_page_steps_through_is_what_was_measured(results, findings):
    made = results(findings=findings, answers=2 if findings else 3, scenes=30)
    run = json.loads(stepping(made))
    assert len(run["row"]) == 30
    for p, scene, look in [(0, 0, 0), (1, 7, 2), (0, 29, 3)]:
        belief = made["log_belief"].values[p, 0, scene, look]
        truth = made["label"].values[scene]
        if findings:
            belief, truth = belief[run["asked"][scene]], truth[run["asked"][scene]]
        assert run["best"][p][scene][look] == belief.argmax()
        assert run["percent"][p][scene][look] == round(100 * np.exp(belief.max()))
        assert run["label"][scene] == truth
        if look:
            place = made["candidates"].values[run["design"][p][scene][look - 1]]
            assert np.array_equal(place, made["design"].values[p, 0, scene, look - 1])
    sheet = run["masks"]
    pixels = Image.open(io.BytesIO(base64.b64decode(sheet["source"].split(",")[1])))
    left = 3 % sheet["columns"] * sheet["width"]
    top = 3 // sheet["columns"] * sheet["height"]
    box = (left, top, left + sheet["width"], top + sheet["height"])
    assert np.array_equal(np.asarray(pixels.crop(box)) / 255, made["candidate_mask"].values[3])


def test_of_findings_one_that_holds_is_asked_for(results):
    made = results(findings=3, answers=2, scenes=30)
    run = json.loads(stepping(made))
    for scene, asked in enumerate(run["asked"]):
        present = np.flatnonzero(made["label"].values[scene])
        assert asked == (present[0] if len(present) else 2)


def test_a_name_cannot_end_the_element_that_it_stands_in(results, undrawn):
    made = results().assign_coords(answer=["</script><script>alert(1)</script>", "b", "c"])
    text = render(made)
    assert "</script><script>alert" not in text
    assert script("stepping.js")[1] in text
    assert len(re.findall("<script", text)) == 2


def test_results_without_pictures_have_a_report_without_stepping(results, undrawn):
    text = render(results().drop_vars("thumbnail"))
    assert "<script" not in text
    assert 'id="stepping"' not in text


def test_a_page_of_thousands_of_scenes_is_of_sensible_size(results, tmp_path):
    made = results(scenes=3000, policies=("boed", "random", "a", "b", "c"), seeds=1)
    pictures = np.random.default_rng(0).integers(256, size=(3000, 1, 48, 48), dtype=np.uint8)
    made["thumbnail"] = (["scene", "channel", "v", "u"], pictures)
    assert len(stepping(made)) < 10e6  # noise is the worst case; digits take a tenth


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium to run the page")
def test_buttons_and_keys_step_in_a_browser(results, examples, tmp_path):
    write_report(results(scenes=20), tmp_path / "report.html", examples())
    (tmp_path / "probe.html").write_text(STEPPING)
    command = [
        str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        "--enable-logging=stderr", "--allow-file-access-from-files",
        f"--user-data-dir={tmp_path / 'profile'}",
        "--virtual-time-budget=6000", "--dump-dom", (tmp_path / "probe.html").as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    title = done.stdout.split("<title>")[1].split("</title>")[0].split("|")
    assert title == [
        "1 of 20", "3 looks", "2 of 20", "3 looks", "3 of 20", "2 looks", "20 of 20", "2 looks",
        "drawn",
    ]  # fmt: skip
    assert "CONSOLE" not in done.stderr  # the page's policy let its own script run


def test_every_table_is_there_as_csv(results, undrawn, tmp_path):
    made = results(policies=("boed", "random", "oracle"))
    told = summary(made, 50)
    write_tables(report_tables(made, told), tmp_path / "tables")
    read = {
        path.stem: list(csv.DictReader(path.open())) for path in (tmp_path / "tables").iterdir()
    }
    assert set(read) == {"primary", "metrics", "paired", "costs", "gains", "timing", "run"}
    row = next(
        r
        for r in read["metrics"]
        if (r["policy"], r["looks"], r["metric"]) == ("random", "2", "nll")
    )
    assert float(row["mean"]) == told["policies"]["random"]["nll"]["mean"][2]
    assert len(read["metrics"]) == 3 * 4 * 3 + 3
    assert len(read["paired"]) == 3 * 4 * 3
    assert read["paired"][5]["certain_together"] in ("True", "False")
    assert [r["difference"] for r in read["primary"]] == ["boed - random"]
    assert dict(r.values() for r in read["run"])["command"] == "boed benchmark --data made-up"
    text = render(made, summary=told)
    links = {name: base64.b64decode(data).decode() for name, data in re.findall(
        r'download="(\w+)\.csv" href="data:text/csv;base64,([^"]*)"', text)}  # fmt: skip
    assert set(links) == {"primary", "metrics", "paired", "timing", "run"}
    assert links["metrics"] == (tmp_path / "tables" / "metrics.csv").read_text()


def test_curves_are_drawn_against_cost_where_costs_differ(results, undrawn):
    made = results(looks=2)
    assert not costs_differ(made)
    assert "Looks differ in cost" not in render(made)
    made["cost"][1] = 3 * made["cost"][1]
    assert costs_differ(made)
    text = render(made)
    assert "Looks differ in cost" in text
    assert 'download="costs.csv"' in text
    figure = figures.curves_figure(summary(made, 20), against="cost")
    lines = figure.axes[0].lines
    assert lines[0].get_xdata() == pytest.approx([0, 0.0625, 0.125])
    assert lines[1].get_xdata() == pytest.approx([0, 0.1875, 0.375])
    assert figure.axes[0].get_xlabel() == "mean cost of a scene"


@pytest.mark.parametrize("findings", [0, 3])
def test_failures_stand_beside_successes(results, findings):
    made = results(findings=findings, answers=2 if findings else 3, scenes=40)
    one = made.sel(policy="random", seed=0)
    chosen, cases = successes_and_failures(one, 4)
    assert len(set(chosen)) == 4
    assert cases[:2] == ["success"] * 2
    picked = np.take_along_axis(
        one["log_belief"].values[:, -1], one["label"].values[..., None], -1
    ).reshape(40, -1).mean(1)  # fmt: skip
    assert sorted(chosen[2:]) == sorted(np.argsort(picked)[:2])
    assert set(cases[2:]) <= {"failure", "unsure"}


@pytest.mark.parametrize(("scenes", "shown"), [(1, 1), (2, 2), (3, 3)])
def test_few_scenes_are_shown_once(results, scenes, shown):
    one = results(scenes=scenes).sel(policy="boed", seed=0)
    chosen, cases = successes_and_failures(one, 4)
    assert len(chosen) == len(set(chosen)) == len(cases) == shown


def test_panels_of_several_findings_name_them_and_the_truth(examples):
    made = examples(findings=3)
    figure = figures.panel_figure(made)
    assert figure.get_suptitle() == "the findings that are there: none of the 3 findings"
    told = [axis.get_xlabel() for axis in figure.axes if "finding" in axis.get_xlabel()]
    assert len(told) == 2
    assert all(each.startswith("finding 2: ") for each in told)
    made["label"][0, :2] = 1
    figure = figures.panel_figure(made)
    assert figure.get_suptitle() == "the findings that are there: finding 0, finding 1"
    told = [axis.get_xlabel() for axis in figure.axes if "finding" in axis.get_xlabel()]
    assert all("finding 0: " in each and "finding 1: " in each for each in told)


def test_panels_without_completions_or_scores_leave_their_columns_out(examples):
    made = examples()
    assert len(figures.panel_figure(made).axes) == 2 * 10 + 2
    made["gain"][:] = np.nan
    assert len(figures.panel_figure(made).axes) == 2 * 10
    made = made.isel(completion=slice(0))
    assert len(figures.panel_figure(made).axes) == 2 * 4
    made["eig"][:] = np.nan
    assert len(figures.panel_figure(made).axes) == 2 * 3
