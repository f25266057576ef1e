"""The entries of a table."""

from __future__ import annotations

import pytest
import torch

from boed.sensors import (
    Features,
)
from tests.sensors.observing import blank, one


def test_features_have_names_and_prices() -> None:
    sensor = Features(["age", "weight", "blood"], [0.5, 1, 20])
    row = torch.tensor([[[[0.2, 0.4, 0.9]]]])
    result = sensor.observe(blank((1, 3)), row, one(2))
    assert result.values.flatten().tolist() == pytest.approx([0, 0, 0.9])
    assert sensor.cost(torch.tensor([[2], [0]])).tolist() == [20, 0.5]
    assert sensor.names == ("age", "weight", "blood")
    assert Features(2).cost(one(1)).tolist() == [1]
