"""Editing: a step changes its own region alone, and sees what the steps before it did."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from boed.completion.editing import resample
from boed.data.observation import Observation


class Brighter:
    """Fills with a little more than the brightest that is seen, less what the seed says."""

    def sample(self, observation: Observation, n: int, seed: Any = 0) -> Tensor:
        brightest = observation.values.amax((1, 2, 3)) + 0.25
        filled = brightest.view(-1, 1, 1, 1).expand_as(observation.values)
        return observation.composite(filled.expand(n, *filled.shape))


def regions() -> list[Tensor]:
    found = []
    for row in (0, 2):
        region = torch.zeros(4, 4)
        region[row : row + 2] = 1
        found.append(region)
    return found


def test_steps_follow_one_another() -> None:
    scene = torch.full((2, 1, 4, 4), 0.25)
    first, second = resample(Brighter(), scene, regions())
    assert (first[:, :, :2] == 0.5).all()
    assert (first[:, :, 2:] == 0.25).all()
    assert (second[:, :, :2] == 0.5).all()
    assert (second[:, :, 2:] == 0.75).all()  # of what the first step drew
    assert (scene == 0.25).all()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([], "regions is empty"),
        ([torch.zeros(3, 4)], r"regions: 0 is \(3, 4\), expected \(4, 4\)"),
        ([torch.zeros(4, 4), torch.full((4, 4), 0.5)], "regions: 1 has values other than 0 and 1"),
    ],
)
def test_regions_that_are_none_are_refused(given: list[Tensor], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        resample(Brighter(), torch.zeros(1, 1, 4, 4), given)
