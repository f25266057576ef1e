"""Beliefs without regions: what is hidden is what is told, and only that."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from boed.classifiers.evaluation import occlusion
from boed.classifiers.evaluation.occlusion import (
    BORDER,
    EDGE,
    INSIDE,
    NOTHING,
    occluded_beliefs,
    regions,
)
from boed.data.observation import Observation


@pytest.mark.parametrize("shape", [(8, 8), (28, 28), (64, 64), (5, 5), (1, 1), (30, 64)])
def test_cells_cover_each_pixel_once_and_border_is_what_inside_is_not(
    shape: tuple[int, int],
) -> None:
    every = regions(*shape)
    cells = torch.stack([1 - each for name, each in every.items() if name.startswith("without")])
    assert len(cells) == min(8, shape[0]) * min(8, shape[1])
    assert torch.equal(cells.sum(0), torch.ones(shape))
    assert torch.equal(every[INSIDE] + every[EDGE], torch.ones(shape))
    assert every[NOTHING].sum() == 0
    width = max(round(BORDER * shape[0]), 1)
    assert (every[EDGE][:width] == 1).all()
    assert every[INSIDE].sum() == max(shape[0] - 2 * width, 0) * max(
        shape[1] - 2 * max(round(BORDER * shape[1]), 1), 0
    )


class Sums:
    """Says what it was shown: the sum of values and of the mask, as logits."""

    def log_probs(self, observation: Observation) -> torch.Tensor:
        both = torch.stack([observation.values.sum((1, 2, 3)), observation.mask.sum((1, 2, 3))], 1)
        return torch.log_softmax(both / 10, 1)


def test_each_region_is_judged_as_the_classifier_sees_it(monkeypatch: pytest.MonkeyPatch) -> None:
    scenes = torch.rand(5, 1, 9, 9, generator=torch.Generator().manual_seed(0))
    found = occluded_beliefs(Sums(), scenes)
    for row, seen in zip(found, regions(9, 9).values(), strict=True):
        alone = Sums().log_probs(Observation.of(scenes, seen.expand(5, 1, -1, -1)))
        np.testing.assert_allclose(row, alone, rtol=1e-6)
    monkeypatch.setattr(occlusion, "AT_ONCE", 9 * 9 * 2)
    np.testing.assert_allclose(occluded_beliefs(Sums(), scenes), found, rtol=1e-6)
