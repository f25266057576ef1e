"""Figures have the parts they should, and show the numbers they are given."""

import io

import numpy as np
import pytest

from boed.report import figures
from boed.report.statistics import summary


def rendered(figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=50)
    return buffer.getvalue()


def test_curves_show_means_and_the_whole_scene(results):
    found = summary(results(), resamples=50)
    figure = figures.curves_figure(found)
    titles = [axis.get_title() for axis in figure.axes]
    assert titles == ["accuracy", "AUROC", "negative log-likelihood (nats)"]
    line = figure.axes[0].lines[0]
    assert line.get_label() == "boed"
    assert np.allclose(line.get_ydata(), found["policies"]["boed"]["accuracy"]["mean"])
    assert figure.axes[0].lines[-1].get_ydata()[0] == found["full_image"]["accuracy"]
    assert rendered(figure).startswith(b"\x89PNG")


def test_curves_leave_out_a_metric_that_exists_nowhere(results):
    one_class = results(answers=2)
    one_class["label"] = one_class["label"] * 0
    figure = figures.curves_figure(one_class)
    assert [axis.get_title() for axis in figure.axes][:2] == [
        "accuracy",
        "negative log-likelihood (nats)",
    ]


@pytest.mark.parametrize("stacked", [False, True])
def test_curves_side_by_side_or_stacked_for_phones(results, stacked):
    figure = figures.curves_figure(summary(results(), resamples=20), stacked=stacked)
    width, height = figure.get_size_inches()
    assert len(figure.axes) == 3
    assert (height > 1.5 * width) == stacked
    rendered(figure)
    legend = figure.legends[0].get_window_extent()
    assert legend.x0 >= 0
    assert legend.x1 <= figure.bbox.width


def test_panel_tells_the_true_answer_where_it_is_known(examples):
    assert figures.panel_figure(examples()).get_suptitle() == "the true answer: zero"
    assert figures.panel_figure(examples().drop_vars("label")).get_suptitle() == ""


def test_panel_has_a_row_per_look_and_outlines_the_chosen_patch(examples):
    one = examples(looks=3)
    figure = figures.panel_figure(one, 0)
    axes = np.array(figure.axes[:30]).reshape(3, 10)
    row, column = one["design"].values[0, 1]
    edges = np.array(axes[1, 7].collections[0].get_segments())
    assert len(edges) == 4 * 8  # a patch of 8 x 8 px
    assert edges.reshape(-1, 2).min(0).tolist() == [column - 0.5, row - 0.5]
    assert edges.reshape(-1, 2).max(0).tolist() == [column + 7.5, row + 7.5]
    assert rendered(figure)


@pytest.mark.parametrize(("policies", "looks"), [(("boed",), 1), (("boed", "random"), 3)])
def test_looks_figure_counts_every_scene_once(results, policies, looks):
    made = results(policies=policies, looks=looks)
    figure = figures.looks_figure(made)
    seen = figure.axes[0].images[0].get_array()
    assert seen.sum() == pytest.approx(8 * 8)  # a patch of 8 x 8 px on average
    assert len(figure.axes) == len(policies) * looks + 1


@pytest.mark.parametrize("findings", [0, 3])
def test_calibration_figure_has_a_line_per_number_of_looks(results, findings):
    made = results(findings=findings, answers=2 if findings else 3)
    figure = figures.calibration_figure(made)
    labels = [line.get_label() for line in figure.axes[0].lines[1:]]
    assert [label.split(",")[0] for label in labels] == ["1 look", "2 looks", "3 looks"]
    assert rendered(figure)


def test_completions_sheet_in_grey_and_colour():
    rng = np.random.default_rng(0)
    for channels in (1, 3):
        figure = figures.completions_figure(
            rng.random((6, channels, 16, 16)),
            np.ones((6, 1, 16, 16)),
            rng.random((6, 5, channels, 16, 16)),
            truth=rng.random((channels, 16, 16)),
        )
        assert len(figure.axes) == 6 * 7
        assert rendered(figure)


def test_values_of_looks_lie_where_the_looks_are():
    corners = np.array([[0, 0], [0, 6], [6, 0], [6, 6]])
    masks = np.zeros((4, 8, 8))
    for mask, (row, column) in zip(masks, corners, strict=True):
        mask[row : row + 2, column : column + 2] = 1
    image = figures._on_scene(np.array([1.0, 2.0, 3.0, 4.0]), masks)
    assert image[0, 0] == 1
    assert image[0, 7] == 2
    assert image[7, 0] == 3
    assert image[7, 7] == 4
    assert np.isnan(image[4, 4])  # no look shows it


def test_intervals_stand_side_by_side(results):
    figure = figures.curves_figure(summary(results(policies=("boed", "scan", "random")), 50))
    bars = [each.get_segments()[1][0][0] for each in figure.axes[0].collections]
    assert len(set(np.round(bars, 3))) == 3
    assert max(abs(np.array(bars) - 1)) < 0.2


def test_eig_maps_have_a_scale_in_nats(examples):
    made = examples()
    figure = figures.panel_figure(made)
    scales = [child for axis in figure.axes for child in axis.child_axes]
    maps = made["eig"].values[0]
    assert len(scales) == len(maps)
    for scale, eig in zip(scales, maps, strict=True):
        ends = [float(tick.get_text()) for tick in scale.get_xticklabels()]
        assert ends == pytest.approx([eig.min(), eig.max()], abs=0.006)


@pytest.mark.parametrize(("scenes", "said"), [(4, True), (120, False)])
def test_calibration_of_few_scenes_says_why_it_is_empty(results, scenes, said):
    figure = figures.calibration_figure(results(scenes=scenes, seeds=1))
    texts = [text.get_text() for axis in figure.axes for text in axis.texts]
    told = "not drawn: no bin has\n10 of the 4 answers"
    assert texts == ([told] * 2 if said else [])
