"""The report is one page that says what came out, whatever the run was like."""

import html.parser
import json
import shutil
import subprocess

import numpy as np
import pytest

from boed.report import figures, render, sides, write_report
from boed.report.statistics import summary

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


class Page(html.parser.HTMLParser):
    """Collects tags, attributes and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def test_report_is_self_contained_and_complete(results, examples, tmp_path):
    made = results()
    write_report(made, tmp_path / "report.html", examples(number=2))
    page = Page((tmp_path / "report.html").read_text())
    images = [attrs for tag, attrs in page.tags if tag == "img"]
    assert len(images) == 5  # curves, two panels, looks, calibration
    assert all(each["src"].startswith("data:image/") for each in images)
    assert all(each["alt"] for each in images)
    sources = [attrs["srcset"] for tag, attrs in page.tags if tag == "source"]
    assert len(sources) == 2  # curves and calibration for phones
    assert all(each.startswith("data:image/") for each in sources)
    assert not any(tag in ("link", "iframe") for tag, _ in page.tags)
    scripts = [attrs for tag, attrs in page.tags if tag == "script"]
    assert [each.get("type") for each in scripts] == ["application/json", None]
    assert not any("src" in each for each in scripts)
    links = [attrs["href"] for tag, attrs in page.tags if tag == "a"]
    assert links
    assert all(each.startswith("data:text/csv;base64,") for each in links)
    for said in ("made-up", "0123456789abcdef", "boed benchmark --data made-up", "2.13.0"):
        assert said in page.text
    mean = summary(made)["policies"]["boed"]["accuracy"]["mean"][3]
    assert f"{mean:.3f} [" in page.text


@pytest.mark.parametrize(
    "kind",
    [
        {"policies": ("random",)},
        {"policies": ("boed",), "seeds": 1, "looks": 1},
        {"findings": 3, "answers": 2},
        {"policies": ("boed", "boed-entropy", "random", "oracle")},
    ],
)
def test_every_kind_of_run_has_a_report(results, kind):
    assert Page(render(results(**kind))).text.count("Where to look next")


def test_one_class_has_no_auroc_and_says_nothing_of_it(results):
    made = results(answers=2)
    made["label"] = made["label"] * 0
    page = Page(render(made))
    assert "AUROC" not in page.text.replace("Higher AUROC and accuracy", "")


def test_what_comes_from_data_is_escaped(results):
    made = results()
    made.attrs["data"] = "<script>alert(1)</script>"
    made.attrs["policies"] = json.dumps({"boed": "<img src=x onerror=alert(1)>"})
    text = render(made)
    assert "<script>alert" not in text
    assert "<img src=x" not in text
    assert "&lt;script&gt;alert(1)" in text


def with_winner(made, winner):
    """The same run, in which one policy is nearly always right and the others know nothing."""
    label = np.eye(made.sizes["answer"])[made["label"].values]
    noise = np.random.default_rng(0).random(made["log_belief"].shape)
    for index, name in enumerate(made["policy"].values):
        logits = noise[index] + (3 * label[None, :, None] if name == winner else 0)
        logits = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        made["log_belief"].values[index, :, :, 1:] = logits[:, :, 1:]
    return made


def test_differences_are_marked_where_the_first_policy_is_certainly_better(results):
    found = summary(results(policies=("boed", "centre_out", "random"), scenes=40), resamples=20)
    nll = found["paired"]["boed - random"]["nll"]
    for group in found["paired"].values():
        for curve in group.values():
            curve["low"], curve["high"] = [-1.0] * 4, [1.0] * 4  # nothing is certain
    nll["low"], nll["high"] = [0, -2.0, -2.0, 1.0], [0, -1.0, 1.0, 2.0]
    assert sides(found)["boed - random"] == {("nll", 1): "better", ("nll", 3): "worse"}
    text = render(results(policies=("boed", "centre_out", "random"), scenes=40), summary=found)
    assert (text.count('aria-label="better"'), text.count('aria-label="worse"')) == (1, 1)
    sure = found["together"]["boed - random"]["nll"]
    assert text.count('"better">▲') == sure[1]
    assert text.count('"better">△') == (not sure[1])
    assert "1 more comparison:" in text  # boed - centre_out, beside those with random


@pytest.mark.slow
def test_budget_and_noise_are_told(results):
    made = results()
    assert "PatchSensor, 25 candidates" in render(made)
    made.attrs["sensor"] = '{"kind": "Ring", "candidates": 7, "noise": 0.25}'
    made.attrs["budget"] = '{"cost": 0.5, "seconds": null}'
    text = render(made)
    assert "Ring, 7 candidates, noise 0.25" in text
    assert "cost 0.5" in text


def test_looks_that_were_not_taken_are_not_drawn(results):
    made = results(looks=2)
    made["design"] = made["design"].astype(float)
    made["design"][:, :, :, 1] = np.nan
    counts = [axis.images[0].get_array() for axis in figures.looks_figure(made).axes[:4]]
    assert [float(count.sum()) for count in counts] == pytest.approx([64.0, 64.0, 0.0, 0.0])


@pytest.mark.slow
def test_the_same_results_give_the_same_page(results, examples):
    made = results(scenes=30)
    assert render(made, examples()) == render(made, examples())


def test_a_report_that_fails_leaves_the_old_one(results, tmp_path):
    path = tmp_path / "report.html"
    path.write_text("old")
    with pytest.raises(ValueError, match="log_belief"):
        write_report(results().drop_vars("log_belief"), path)
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["report.html"]


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium to lay the page out")
@pytest.mark.parametrize("width", [390, 1280])
def test_page_fits_the_screen(results, examples, tmp_path, width):
    """No sideways scrolling of the page at phone and desktop width, in a real browser."""
    path = tmp_path / "report.html"
    write_report(results(), path, examples())
    # headless windows have a least width, so the page is laid out in a frame of the asked one
    probe = (
        f'<iframe src="report.html" style="width:{width}px;height:800px;border:0"></iframe>'
        "<script>onload = () => { const d = document.querySelector('iframe').contentDocument;"
        "document.title = d.documentElement.scrollWidth + ' ' +"
        "[...d.images].every(i => i.naturalWidth > 0); }</script>"
    )
    (tmp_path / "probe.html").write_text(probe)
    command = [
        str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        "--enable-logging=stderr", "--allow-file-access-from-files",
        f"--user-data-dir={tmp_path / 'profile'}",
        "--virtual-time-budget=4000", "--dump-dom", (tmp_path / "probe.html").as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    title = done.stdout.split("<title>")[1].split("</title>")[0].split()
    assert int(title[0]) <= width
    assert title[1] == "true"
    assert "CONSOLE" not in done.stderr  # nothing blocked, nothing failed


@pytest.mark.parametrize("baseline", ["random", "boed"])
def test_the_interval_of_the_sentence_stands_in_the_table(results, baseline):
    """Whichever way round the pair is shown."""
    made = results()
    made.attrs["baseline"] = baseline
    found = summary(made, 100)
    page = render(made, summary=found)
    told = found["primary"]["differences"]["random"]
    low, high = (told["low"], told["high"])
    if baseline == "boed":
        low, high = -high, -low
    assert page.count(f"together [{low:+.3f}, {high:+.3f}]") == 1


def test_one_look_is_not_called_looks(results):
    page = render(results(looks=1, seeds=1))
    for words in ("1 look,", "1 seed."):
        assert words in page
    assert "1 looks" not in page
