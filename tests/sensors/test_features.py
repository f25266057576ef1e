"""The entries of a table."""

from __future__ import annotations

import pytest
import torch

from boed.sensors import (
    Features,
)
from boed.sensors.sensor import look
from tests.sensors.observing import blank, one


def test_features_have_names_and_prices() -> None:
    sensor = Features(["age", "weight", "blood"], [0.5, 1, 20])
    row = torch.tensor([[[[0.2, 0.4, 0.9]]]])
    result = sensor.observe(blank((1, 3)), row, one(2))
    assert result.values.flatten().tolist() == pytest.approx([0, 0, 0.9])
    assert sensor.cost(torch.tensor([[2], [0]])).tolist() == [20, 0.5]
    assert sensor.names == ("age", "weight", "blood")
    assert Features(2).cost(one(1)).tolist() == [1]


def test_rows_of_a_model_that_knows_no_bounds_can_be_looked_up() -> None:
    """Features that were not read are 0, which may be less than anything in such a row."""
    row = torch.tensor([[[[0.4, 0.6, 1.07]]]])
    seen = look(Features(3), blank((1, 3)), row, design=one(2), seeds=[0])
    assert seen.values.flatten().tolist() == pytest.approx([0, 0, 1.07])
