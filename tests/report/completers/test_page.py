"""The report of the completers says what was measured, and no more."""

from __future__ import annotations

import html.parser
import json
import math

import numpy as np
import pytest
import xarray as xr

from boed.completion.evaluation.results import (
    EXAMPLES,
    RESULTS,
    by_condition,
    holm,
    over_seeds,
    over_squares,
    sbc_rejected,
)
from boed.report.completers import figures
from boed.report.completers import page as page_module
from boed.report.completers.cells import Column, Section
from boed.report.completers.page import headline, render, write_completer_report
from boed.report.completers.table import markdown, section, table

CONDITIONS = ("0", "1", "2", "3", "4", "5", "holes")
LEVELS = (0.5, 0.8, 0.9)
NAMES = ("retrieval", "vaeac", "ce")


def make_evaluation(
    completers: tuple[str, ...] = NAMES,
    seeds: int = 3,
    scenes: int = 40,
    n: int = 10,
    use: bool = True,
    rng_seed: int = 0,
) -> xr.Dataset:
    """An evaluation in which the first completer is the best; "ce" is deterministic."""
    rng = np.random.default_rng(rng_seed)
    group = (*CONDITIONS, "all")
    hidden = np.array([1, 0.87, 0.75, 0.65, 0.56, 0.48, 0.12])
    bad = np.array([1 + 0.4 * i for i in range(len(completers))])
    same = np.array([name == "ce" for name in completers])

    def noise(*shape: int, scale: float = 0.03) -> np.ndarray:
        return 1 + scale * rng.normal(size=(len(completers), seeds, *shape))

    def by_group(base: np.ndarray) -> np.ndarray:
        return bad[:, None, None] * base * noise(len(group))

    def by_scene(base: np.ndarray, worse: np.ndarray = bad) -> np.ndarray:
        scale = 1 + 0.3 * rng.normal(size=scenes)
        grid = worse[:, None, None, None] * base[:, None]
        return np.abs(grid * scale * noise(len(CONDITIONS), scenes))

    share = np.append(hidden, 0.7)
    scene = ["completer", "seed", "condition", "scene"]
    test = scene[:3]
    l1, psnr = by_scene(0.2 * hidden), by_scene(20 / hidden**0.5, 1 / bad)
    observed = by_scene(0.01 * np.ones(7))
    observed[:, :, 0] = np.nan  # nothing was seen
    varied = np.where(same, 0, 1 / bad)
    ranks = rng.integers(0, n + 1, (len(completers), seeds, 7, scenes, 4))
    ends = rng.random(ranks.shape) < (0.25 * np.arange(len(completers)))[:, None, None, None, None]
    ranks = np.where(ends, n * rng.integers(0, 2, ranks.shape), ranks)
    fraction = np.linspace(0, 1, n + 2)
    bend = 0.1 * np.arange(len(completers))[:, None, None, None]
    tarp = fraction - bend * np.sin(2 * np.pi * fraction) * -1
    width = np.minimum(1, np.array([0.5, 0.8, 9 / 11])[:, None] / bad[:, None, None, None, None])
    inside = np.where(same[:, None, None, None, None], 0.02, width) * noise(7, 3, scenes)
    data = {
        "frechet": ([*test[:2], "group"], by_group(40 * share**2)),
        "kernel": ([*test[:2], "group"], by_group(0.02 * share)),
        **{
            name: ([*test[:2], "group"], by_group(np.full(8, 0.8)) / bad[:, None, None] ** 2)
            for name in ("precision", "recall", "density", "coverage")
        },
        **{
            f"{name}_floor": ("group", np.full(8, value))
            for name, value in (
                ("frechet", 0.9), ("kernel", 0.0), ("precision", 0.93), ("recall", 0.92),
                ("density", 1.0), ("coverage", 0.95),
            )
        },
        "observed_error": (scene, observed),
        "l1": (scene, l1),
        "l1_best": (scene, np.where(same[:, None, None, None], l1, 0.8 * l1)),
        "psnr": (scene, psnr),
        "psnr_best": (scene, np.where(same[:, None, None, None], psnr, psnr + 2)),
        "ssim": (scene, by_scene(1 - 0.5 * hidden, 1 / bad)),
        "ssim_best": (scene, by_scene(1 - 0.4 * hidden, 1 / bad)),
        "feature_distance": (scene, by_scene(6 * hidden, varied)),
        "pixel_std": (scene, by_scene(0.2 * hidden, varied)),
        "inception_score": (scene, 1 + by_scene(3 * hidden, varied)),
        "crps": (scene, by_scene(0.12 * hidden)),
        "energy": (scene, by_scene(0.15 * hidden)),
        "label_nll": (scene, by_scene(1.2 * hidden)),
        "label_correct": (scene, (rng.random((len(completers), seeds, 7, scenes)) < 0.7) * 1.0),
        "interval_coverage": ([*test, "level", "scene"], inside),
        "sbc_p": ([*test, "statistic"], np.minimum(1, rng.random((*ranks.shape[:3], 4)) *
                  10.0 ** (-6 * np.arange(len(completers)))[:, None, None, None])),
        "sbc_shift": ([*test, "statistic"], rng.normal(size=(*ranks.shape[:3], 4))),
        "sbc_spread": ([*test, "statistic"], rng.normal(size=(*ranks.shape[:3], 4)) +
                       5 * np.arange(len(completers))[:, None, None, None]),
        "sbc_rank": ([*scene, "statistic"], ranks),
        "tarp_p": (test, rng.random(ranks.shape[:3])),
        "tarp_bias": (test, -0.05 * bad[:, None, None] * noise(7)),
        "tarp_coverage": ([*test, "fraction"], tarp + np.zeros((*ranks.shape[:3], n + 2))),
        "label_ece": (test, 0.05 * bad[:, None, None] * noise(7)),
        "label_ece_floor": (test, 0.04 * noise(7)),
        "label_brier": (test, 0.5 * noise(7)),
        "bits_per_dim": (["completer", "condition"], np.where(
            np.array(completers)[:, None] == "vaeac", 3.1 * hidden, np.nan)),
        "seconds": (["completer", "seed"], 10 * bad[:, None] * noise()),
        "completions": (["completer", "seed"], np.full((len(completers), seeds), 5000)),
        "training_cpu_seconds": ("completer", [math.nan if name == "retrieval" else 3600.0
                                               for name in completers]),
        "training_steps": ("completer", [math.nan if name == "retrieval" else 6000.0
                                         for name in completers]),
        "parameters": ("completer", [math.nan if name == "retrieval" else 1_234_567.0
                                     for name in completers]),
    }  # fmt: skip
    coordinates = {
        "completer": list(completers),
        "seed": np.arange(seeds),
        "condition": list(CONDITIONS),
        "group": list(group),
        "scene": np.arange(scenes),
        "level": list(LEVELS),
        "implied_level": ("level", [0.5, 0.8, 9 / 11]),
        "fraction": fraction,
    }
    if use:
        rise = 1 - 0.5 * np.exp(-np.arange(6) / 2)
        accuracy = rise / bad[:, None, None] ** 0.2 * noise(6, scale=0.01)
        data["use_accuracy"] = (["completer", "seed", "look"], accuracy)
        data["use_nll"] = (["completer", "seed", "look"], -np.log(np.minimum(accuracy, 0.98)))
        coordinates["look"] = np.arange(6)
    attributes = {
        "data": "made-up", "split": "test", "size": 28, "sha256": "0123456789abcdef",
        "scenes": 1000, "deep": scenes, "n": n, "extractor": "features of a made-up classifier",
        "command": "boed evaluate completer --data made-up", "started": "2026-01-01 12:00",
        "versions": json.dumps({"torch": "2.13.0"}), "seconds": 321.0,
        "checkpoints": json.dumps({"vaeac": {"kind": "vaeac", "steps": 6000, "cpu_seconds": 3600}}),
    }  # fmt: skip
    return xr.Dataset(data, coordinates, attributes)


def make_pictures(
    completers: tuple[str, ...] = NAMES, size: int = 12, channels: int = 1
) -> xr.Dataset:
    """Pictures of noise with all parts."""
    rng = np.random.default_rng(0)
    looks, free, foreign, models, k = 6, 2, 3, 2, 2
    image = ("channel", "row", "column")
    shape = (channels, size, size)
    mask = (rng.random((looks, size, size)) < np.arange(looks)[:, None, None] / 8) * 1.0
    truth = rng.random(shape)
    return xr.Dataset(
        {
            "sheet_truth": (image, truth),
            "sheet_observed": (("look", *image), truth * mask[:, None]),
            "sheet_mask": (("look", "row", "column"), mask),
            "sheet_sample": (
                ("completer", "look", "k", *image),
                rng.random((len(completers), looks, k, *shape)),
            ),
            "free_truth": (("f", *image), rng.random((free, *shape))),
            "free_mask": (("f", "row", "column"), (rng.random((free, size, size)) < 0.5) * 1.0),
            "free_sample": (
                ("completer", "f", "k", *image),
                rng.random((len(completers), free, k, *shape)),
            ),
            "foreign_image": (("foreign", *image), rng.random((foreign, *shape))),
            "foreign_reconstruction": (
                ("model", "foreign", *image),
                rng.random((models, foreign, *shape)),
            ),
        },
        {
            "completer": list(completers),
            "look": np.arange(looks),
            "foreign": ["cifar10", "noise", "text"],
            "model": ["vdvae", "aipo"],
        },
    )


@pytest.fixture(scope="module")
def made() -> xr.Dataset:
    return make_evaluation()


@pytest.fixture(scope="module")
def shown(made) -> str:
    return render(made, make_pictures())


@pytest.fixture
def undrawn(monkeypatch) -> None:
    """Figures are made but not drawn, which takes the most time."""
    for kind in ("svg", "png"):
        monkeypatch.setattr(page_module, kind, lambda figure: "data:image/none,")


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


def column(values, better="lower", **given) -> Column:
    """A column of completers a, b, ... from rows of seeds, or from one number each."""
    array = np.array(values, float)
    dims = ["completer", "seed"][: array.ndim]
    names = [chr(ord("a") + i) for i in range(len(array))]
    return Column(
        label="made",
        better=better,
        values=xr.DataArray(array, dims=dims, coords={"completer": names}),
        **given,
    )


def cells_of(made_column: Column) -> list:
    values = made_column.values
    seeds = range(values.sizes.get("seed", 1))
    spread = xr.ones_like(values.isel(seed=0) if "seed" in values.dims else values)
    dataset = xr.Dataset({"pixel_std": spread}, {"seed": seeds})
    return [row.cells[0] for row in section(dataset, [made_column], title="made", note="").rows]


def cell(parts: list[Section], title: str, label: str, name: str):
    each = next(part for part in parts if part.title == title)
    index = [c.label for c in each.columns].index(label)
    return next(row for row in each.rows if row.name == name).cells[index]


def test_intervals_are_student_t():
    """t_0.975 with 2 degrees of freedom is 4.303; of 1, 2, 6 the mean is 3 and s = sqrt(7)."""
    mean, half, seeds = over_seeds(xr.DataArray([[1.0, 2.0, 6.0]], dims=["completer", "seed"]))
    assert float(mean[0]) == pytest.approx(3.0)
    assert float(half[0]) == pytest.approx(4.30265 * math.sqrt(7 / 3), rel=1e-4)
    assert int(seeds[0]) == 3


@pytest.mark.parametrize("values", [[2.0], [2.0, np.nan], [np.nan, np.nan]])
def test_fewer_than_two_seeds_have_no_interval(values):
    mean, half, _ = over_seeds(xr.DataArray([values], dims=["completer", "seed"]))
    assert np.isnan(half[0])
    np.testing.assert_equal(float(mean[0]), values[0])


def test_seeds_without_a_value_are_told():
    texts = [each.text for each in cells_of(column([[1.0, np.nan], [np.nan, np.nan], [2.0, 3.0]]))]
    assert texts[0] == "1.00 (1 of 2 seeds)"
    assert texts[1] == "–"
    assert texts[2] == f"2.50 ± {12.7062 * math.sqrt(0.5) / math.sqrt(2):.2f}"  # t, 1 degree


@pytest.mark.parametrize(
    ("values", "better", "places"),
    [
        ([3.0, 1.0, 2.0, 4.0], "lower", [0, 1, 2, 0]),
        ([3.0, 1.0, 2.0, 4.0], "higher", [2, 0, 0, 1]),
        ([3.0, 1.0, 2.0, 4.0], "none", [0, 0, 0, 0]),
        ([1.0, 1.0, 2.0, 3.0], "lower", [1, 1, 0, 0]),  # nobody is second
        ([1.0, 2.0, 2.0, 3.0], "lower", [1, 2, 2, 0]),
        ([1.0, 2.0, 2.0, 2.0], "lower", [1, 0, 0, 0]),  # most are second
        ([1.0, 1.0, 1.0, 1.0], "lower", [0, 0, 0, 0]),
        ([1.001, 1.002, 2.0, 3.0], "lower", [1, 1, 0, 0]),  # equal as written
        ([np.nan, 2.0, 1.0, np.nan], "lower", [0, 2, 1, 0]),
        ([np.nan, 2.0, np.nan, np.nan], "lower", [0, 0, 0, 0]),  # alone
        ([np.inf, 2.0, 1.0, 0.5], "higher", [1, 2, 0, 0]),
    ],
)
def test_best_and_second_best(values, better, places):
    assert [each.place for each in cells_of(column(values, better))] == places


def test_nearest_to_the_reference_is_best():
    found = cells_of(column([0.70, 0.84, 0.95], "target", reference=0.8))
    assert [each.place for each in found] == [2, 1, 0, 0]
    assert found[-1].text == "0.800"


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([117.6, 49.2, 27.7], ["117.6", "49.2", "27.7"]),
        ([0.0123, 0.0456], ["0.0123", "0.0456"]),
        ([1234567.0, 3000.0], ["1,234,567", "3,000"]),
        ([0.0, -0.0001], ["0.00000", "-0.00010"]),
        ([np.inf, 1.0], ["∞", "1.00"]),
    ],
)
def test_numbers_are_written_with_the_decimals_they_need(values, texts):
    assert [each.text for each in cells_of(column(values))] == texts


def test_scenes_are_averaged_before_seeds(made):
    """The mean over scenes and squares of each seed by hand, then over seeds."""
    values = made["l1"].values[1, :, :6]  # without the holes
    by_seed = values.mean((1, 2))
    found = cell(table(made), "Fidelity", "L1", "vaeac")
    assert found.mean == pytest.approx(by_seed.mean())
    assert found.half == pytest.approx(4.30265 * by_seed.std(ddof=1) / math.sqrt(3), rel=1e-4)


def test_squares_that_nobody_has_are_left_out(made):
    """Nothing is seen with 0 squares, so the observed error is the mean over 1 to 5."""
    expected = made["observed_error"].values[0, :, 1:6].mean()
    assert cell(table(made), "Fidelity", "observed error", "retrieval").mean == pytest.approx(
        expected
    )


def test_completers_are_not_compared_on_other_squares():
    values = xr.DataArray(
        [[1.0, 3.0, np.nan, 9.0], [2.0, np.nan, np.nan, 9.0]],
        dims=["completer", "condition"],
        coords={"condition": ["0", "1", "2", "holes"]},
    )
    np.testing.assert_equal(over_squares(values).values, [2.0, np.nan])


def test_exact_scenes_keep_psnr_finite(made):
    """Of errors 0 and 0.01 the mean is 0.005, 23.01 dB."""
    one = made.isel(completer=[0], seed=[0], condition=[0], scene=[0, 1]).copy(deep=True)
    one["psnr"].values[:] = np.array([np.inf, 20.0])
    assert float(by_condition(one, "psnr").squeeze()) == pytest.approx(23.0103, abs=1e-4)


def test_holm():
    """0.01 <= 0.05 / 4 and 0.015 <= 0.05 / 3, but 0.03 > 0.05 / 2, and what follows stays."""
    p = np.array([0.04, 0.01, np.nan, 0.015, 0.03])
    assert holm(p).tolist() == [False, True, False, True, False]
    assert holm(np.array([0.001, 0.002])).all()
    assert not holm(np.array([np.nan])).any()


def test_share_of_rejected_tests(made):
    p = np.full(made["sbc_p"].shape, 0.5)
    p[0, 0, 0, :2] = 1e-6  # 2 of the 24 tests of one completer and seed
    p[1, :, 6] = 1e-6  # the holes do not count
    p[2] = np.nan
    share = sbc_rejected(made.assign(sbc_p=made["sbc_p"].copy(data=p)))
    np.testing.assert_allclose(share.values, [[2 / 24, 0, 0], [0, 0, 0], [np.nan] * 3])


def test_parts_of_the_table(made):
    parts = table(made)
    assert [each.title for each in parts] == [
        "Realism", "Fidelity", "Diversity", "Calibration", "Scores of the posterior", "Use", "Cost",
    ]  # fmt: skip
    assert all(len(each.columns) <= 7 for each in parts)
    assert cell(parts, "Realism", "Fréchet (all)", "real against real").mean == 0.9
    assert cell(parts, "Calibration", "intervals, 0.9", "calibrated").mean == pytest.approx(9 / 11)
    assert cell(parts, "Scores of the posterior", "bits/dim", "ce").text == "–"
    assert cell(parts, "Scores of the posterior", "bits/dim", "vaeac").half != 0  # NaN: no seeds
    assert cell(parts, "Cost", "parameters", "retrieval").text == "–"
    assert cell(parts, "Cost", "parameters", "ce").text == "1,234,567"
    assert cell(parts, "Diversity", "pixel std", "ce").mean == 0
    assert [row.deterministic for row in parts[1].rows] == [False, False, True]
    rate = (made["completions"] / made["seconds"]).mean("seed").values[0]
    assert cell(parts, "Cost", "completions/s", "retrieval").mean == pytest.approx(float(rate))


def test_what_was_not_measured_has_no_column_and_no_section(made, undrawn):
    less = made.drop_vars(
        ["label_nll", "label_correct", "label_ece", "label_ece_floor", "label_brier",
         "inception_score", "use_accuracy", "use_nll"]
    )  # fmt: skip
    less["bits_per_dim"] = less["bits_per_dim"] * np.nan
    labels = [c.label for each in table(less) for c in each.columns]
    assert "CRPS" in labels
    assert not {"label NLL (nats)", "bits/dim", "inception score"} & set(labels)
    page = Page(render(less))
    sections = {attrs["id"] for tag, attrs in page.tags if tag == "h2"}
    assert sections == {"measures", "curves", "ranks", "tarp", "run"}
    assert len([1 for tag, _ in page.tags if tag == "img"]) == 3


def bits(made: xr.Dataset, **said: tuple[int, str]) -> list[Column]:
    """Columns of bits, each completer having so many levels and the pixels that count."""
    known = {
        name: {"log_prob_is": "exact", "levels": levels, "counts": counts}
        for name, (levels, counts) in said.items()
    }
    more = made.assign(bits_per_dim=made["bits_per_dim"].fillna(1.0))
    more.attrs["log_probs"] = json.dumps(known)
    parts = {each.title: each for each in table(more)}
    scores = parts["Scores of the posterior"]
    for name in said:
        assert f"{name} (exact, {said[name][0]} levels, {said[name][1]} pixels)" in scores.note
    return [each for each in scores.columns if each.label.startswith("bits/dim")]


@pytest.mark.parametrize(
    ("other", "label"),
    [((2, "all"), "bits/dim, 2 levels, all pixels"),
     ((256, "hidden"), "bits/dim, 256 levels, hidden pixels"),
     ((2, "hidden"), "bits/dim, 2 levels, hidden pixels")],
)  # fmt: skip
def test_bits_of_other_kinds_never_stand_in_one_column(made, other, label):
    columns = bits(made, vaeac=(256, "all"), ce=other)
    assert [each.label for each in columns] == ["bits/dim, 256 levels, all pixels", label]
    for column, name in zip(columns, ("vaeac", "ce"), strict=True):
        known = column.values["completer"][column.values.notnull().values]
        assert list(map(str, known.values)) == [name]
    (both,) = bits(made, vaeac=(256, "all"), ce=(256, "all"))
    assert int(both.values.notnull().sum()) == 2


def test_metrics_of_the_papers_are_on_the_page_but_not_in_the_table(made, undrawn):
    more = made.assign(dict.fromkeys(("relative_l1", "decibels", "share_within"), made["l1"]))
    titles = [title for title, _ in page_module.by_squares(more)]
    assert titles[-3:] == [
        "PSNR (mean of dB)", "Relative L1 (%)", "Share of hidden pixels within 5 levels",
    ]  # fmt: skip
    assert markdown(more) == markdown(made)
    assert "Relative L1 (%)" in render(more)


def test_masks_by_name_are_columns_of_their_own(made, undrawn):
    places = {"condition": [*CONDITIONS[:6], "top:14"], "group": [*CONDITIONS[:6], "top:14", "all"]}
    named = made.assign_coords(places)
    assert [each.label for each in table(named)[0].columns][:2] == [
        "Fréchet (all)",
        "kernel distance",
    ]
    crps = dict(page_module.by_squares(named))["CRPS"]
    assert [each.label for each in crps.columns][-2:] == ["5 squares", "top:14"]
    axis = figures.curves_figure(named).axes[0]
    assert [tick.get_text() for tick in axis.get_xticklabels()] == [*"012345", "top:14", "all"]


def test_holes_may_be_missing(made, undrawn):
    fewer = made.sel(condition=["0", "1"], group=["0", "1", "all"])
    assert "Fréchet (holes)" not in [c.label for c in table(fewer)[0].columns]
    assert "What may be there" in render(fewer)


def test_markdown_has_the_numbers_of_the_table(made):
    text = markdown(made)
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(rows) == 7 * (1 + len(NAMES)) + 2  # headings, completers, two references
    best = cell(table(made), "Realism", "Fréchet (all)", "retrieval")
    assert f"| retrieval | **{best.text}** |" in text
    assert "| ce † |" in text
    widths = {line.count("|") for line in rows[:5]}
    assert widths == {9}


def test_markdown_escapes_names(made):
    hostile = made.assign_coords(completer=["a|b", "<img src=x>", "*c*_d_`e`"])
    text = markdown(hostile)
    assert "| a\\|b |" in text
    assert "<img" not in text
    assert "\\*c\\*\\_d\\_\\`e\\`" in text


def test_page_is_self_contained_and_complete(made, shown):
    page = Page(shown)
    images = [attrs for tag, attrs in page.tags if tag == "img"]
    assert len(images) == 7  # curves, ranks, TARP, use, sheet, free-form, foreign
    assert all(each["src"].startswith("data:image/") for each in images)
    assert all(each["alt"] for each in images)
    sources = [attrs["srcset"] for tag, attrs in page.tags if tag == "source"]
    assert len(sources) == 3
    assert not any(tag in ("script", "link", "iframe") for tag, _ in page.tags)
    for said in (
        "made-up", "0123456789abcdef", "boed evaluate completer --data made-up", "2.13.0",
        "1000 images", "40 scenes", "n = 10", "3 sampling seeds", "features of a made-up",
    ):  # fmt: skip
        assert said in " ".join(page.text.split())
    assert cell(table(made), "Realism", "recall", "vaeac").number in page.text


@pytest.mark.slow
def test_what_comes_from_data_is_escaped(made):
    name = "<script>alert(1)</script>"
    hostile = made.assign_coords(completer=[name, "$\\frac$", "<img src=x>"])
    hostile.attrs = made.attrs | {
        "data": name,
        "extractor": name,
        "checkpoints": json.dumps({name: {"kind": name}}),
    }
    pictures = make_pictures().assign_coords(
        completer=hostile["completer"], foreign=[name, "$x", "b"]
    )
    text = render(hostile, pictures)
    assert "<script>" not in text
    assert "<img src=x" not in text
    assert text.count("&lt;script&gt;alert(1)") > 10


def test_pictures_may_be_fewer(made, undrawn):
    pictures = make_pictures().drop_vars(["free_truth", "free_mask", "free_sample"])
    page = Page(render(made, pictures))
    assert {"sheet", "foreign"} <= {attrs["id"] for tag, attrs in page.tags if tag == "h2"}
    assert "Masks of any form" not in page.text


def with_scores(made: xr.Dataset, frechet: list[list[float]]) -> list[str]:
    values = made["frechet"].copy(deep=True)
    values.loc[{"group": "all"}] = frechet
    return headline(table(made.assign(frechet=values)))


def test_headline_tells_the_best(made):
    said = with_scores(made, [[9, 10, 11], [1, 2, 3], [19, 20, 21]])
    assert said[0].startswith("Realism: vaeac has the lowest Fréchet distance (vaeac 2.0")
    assert len(said) == 4
    assert said[3].startswith("Use: retrieval has the highest accuracy after 3 looks")


def test_headline_admits_what_is_not_certain(made):
    some = with_scores(made, [[9, 10, 11], [8, 9, 10], [90, 91, 92]])
    assert "no difference in Fréchet distance is certain between vaeac and retrieval" in some[0]
    all_near = with_scores(made, [[9, 10, 11], [8, 9, 10], [9, 11, 13]])
    assert all_near[0].startswith("Realism: no difference in Fréchet distance is certain (vaeac")


def test_headline_of_one_seed_or_one_completer(made, undrawn):
    assert "without several seeds" in headline(table(made.isel(seed=[0])))[0]
    assert headline(table(made.isel(completer=[0]))) == []
    assert "What may be there" in render(made.isel(completer=[0], seed=[0]))


def test_without_decisions_use_is_the_label(made):
    said = headline(table(made.drop_vars(["use_accuracy", "use_nll"])))
    assert said[3].startswith("Use: retrieval has the lowest label NLL")


def break_infinite(made):
    made["crps"].values[0, 0, 0, 0] = np.inf
    return made


def break_rank(made):
    made["sbc_rank"].values[0, 0, 0, 0, 0] = 11
    return made


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda made: made.drop_vars("crps"), "no variable 'crps'"),
        (lambda made: made.assign(frechet=made["crps"]), "frechet has dimensions"),
        (lambda made: made.isel(scene=[]), "has no scene"),
        (lambda made: made.assign_coords(completer=["a", "a", "b"]), "coordinate completer"),
        (lambda made: made.drop_vars("group"), "coordinate group"),
        (lambda made: made.isel(group=slice(0, 7)), "group is"),
        (lambda made: made.isel(condition=[6]), "numbers of squares"),
        (lambda made: made.assign_attrs(n="many"), "attribute n is 'many'"),
        (break_infinite, "crps holds infinite"),
        (lambda made: made.assign_attrs(log_probs="{"), "attribute log_probs is '{', expected"),
        (lambda made: made.assign_attrs(log_probs="[1]"), "attribute log_probs is"),
        (lambda made: made.assign_attrs(log_probs='{"ce": {}}'), "attribute log_probs is"),
        (break_rank, "sbc_rank must be within 0 to n = 10"),
    ],
)
def test_other_data_sets_are_refused(made, broken, message):
    with pytest.raises(ValueError, match=message):
        RESULTS.check(broken(made.copy(deep=True)))


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda made: made.drop_vars("sheet_mask"), "no variable 'sheet_mask'"),
        (lambda made: made[["completer"]], "examples has none of"),
        (lambda made: made.rename({"look": "step"}), "sheet_observed has dimensions"),
        (lambda made: made.drop_vars("model"), "coordinate model"),
    ],
)
def test_other_pictures_are_refused(broken, message):
    with pytest.raises(ValueError, match=message):
        EXAMPLES.check(broken(make_pictures()))


def test_a_report_that_fails_leaves_the_old_one(made, undrawn, tmp_path):
    path = tmp_path / "report.html"
    path.write_text("old")
    with pytest.raises(ValueError, match="crps"):
        write_completer_report(made.drop_vars("crps"), path)
    assert path.read_text() == "old"
    write_completer_report(made, path)
    assert path.read_text().startswith("<!doctype html>")
    assert [each.name for each in tmp_path.iterdir()] == ["report.html"]


def test_eleven_completers_can_be_told_apart():
    names = tuple(f"completer {i}" for i in range(11))
    figure = figures.curves_figure(make_evaluation(names, scenes=8))
    lines = figure.axes[0].get_lines()[:22:2]
    looks = {(line.get_color(), line.get_marker()) for line in lines}
    assert len(looks) == len({colour for colour, _ in looks}) == 11


def test_curves_show_means_floor_and_groups(made):
    axis = figures.curves_figure(made).axes[0]
    expected = made["frechet"].mean("seed").sel(completer="vaeac")
    drawn = next(line for line in axis.get_lines() if line.get_label() == "vaeac")
    np.testing.assert_allclose(drawn.get_ydata(), expected.values[:6])
    assert [tick.get_text() for tick in axis.get_xticklabels()] == [*"012345", "holes", "all"]
    assert any(line.get_linestyle() == "--" for line in axis.get_lines())


@pytest.mark.parametrize("n", [2, 10, 24])
def test_ranks_of_a_calibrated_completer_are_flat(made, n):
    """As many of each rank: every bar is 1, whichever ranks share one."""
    ranks = np.resize(np.arange(n + 1), (1, 1, 6, 10 * (n + 1), 1))
    one = xr.Dataset(
        {
            "sbc_rank": (["completer", "seed", "condition", "scene", "statistic"], ranks),
            "sbc_p": (["completer", "seed", "condition", "statistic"], np.ones((1, 1, 6, 1))),
        },
        {"completer": ["a"], "condition": list("012345")},
        {"n": n},
    )
    bars = figures.ranks_figure(one).axes[0].patches
    np.testing.assert_allclose([bar.get_height() for bar in bars], 1.0)
    assert sum(bar.get_width() for bar in bars) == pytest.approx(0.92)


def test_sheets_of_colour_scenes():
    pictures = make_pictures(("a", "b"), channels=3)
    sheet = figures.sheet_figure(pictures)
    drawn = [axis for axis in sheet.axes if axis.images]
    assert len(drawn) == 6 * (1 + 2 * 2 + 1)  # seen, two completions of two completers, scene
    np.testing.assert_allclose(
        drawn[1].images[0].get_array(), np.moveaxis(pictures["sheet_sample"].values[0, 0, 0], 0, -1)
    )
    assert len([axis for axis in figures.free_figure(pictures).axes if axis.images]) == 2 * 6
    assert len(figures.foreign_figure(pictures).axes) == 3 * 3


def test_reconstructions_have_their_errors_and_masks_their_names():
    pictures = make_pictures()
    pictures["foreign_reconstruction"][0, 1] = pictures["foreign_image"][1] + 0.1
    said = [axis.get_xlabel() for axis in figures.foreign_figure(pictures).axes]
    assert said[:3] == ["", "", ""]
    assert said[4] == "20.0 dB"
    assert all(each.endswith(" dB") for each in said[3:])
    unnamed = [axis.get_ylabel() for axis in figures.free_figure(pictures).axes]
    assert not any(unnamed)
    named = figures.free_figure(pictures.assign_coords(f=["left half", "every fourth row"]))
    labels = [axis.get_ylabel() for axis in named.axes if axis.get_ylabel()]
    assert labels == ["left half", "every\nfourth\nrow"]
