"""Where policies look, on the mean scene: how much of it is the border."""

from __future__ import annotations

import numpy as np
import pytest

from boed.report.density import at_the_border, density, density_figure, shows_pixels
from boed.report.page import render


@pytest.mark.parametrize(
    ("place", "expected"),
    [((0, 0), 39 / 64), ((12, 12), 0.0), ((24, 12), 24 / 64), (None, np.nan)],
)
def test_the_part_in_the_border_is_that_of_the_pixels_in_view(results, place, expected):
    made = results(policies=("boed", "random"), looks=2)  # 32 px, a border of 3, patches of 8
    design = made["design"].astype(float)
    design[0] = np.nan if place is None else np.array(place)
    made["design"] = design
    found = at_the_border(density(made))
    assert np.isclose(found[0], expected, equal_nan=True)
    assert 0 < found[1] < 1
    figure = density_figure(made)
    assert [axis.get_title().split("\n")[0] for axis in figure.axes[:2]] == ["boed", "random"]
    assert ("no look" in figure.axes[0].get_title()) == (place is None)


@pytest.mark.parametrize("lacking", ["direct", "thumbnail", "rows"])
def test_only_looks_at_pixels_are_laid_on_the_mean_scene(results, lacking):
    made = results()
    made.attrs["direct"] = True
    assert shows_pixels(made)
    if lacking == "direct":
        made.attrs["direct"] = False
    elif lacking == "thumbnail":
        made = made.drop_vars("thumbnail")
    else:
        made = made.isel(y=slice(1))
    assert not shows_pixels(made)


@pytest.mark.slow
def test_the_page_has_it_where_there_is_one(results):
    made = results(scenes=30)
    assert "on the mean of the scenes" not in render(made)
    made.attrs["direct"] = True
    assert "on the mean of the scenes" in render(made)
