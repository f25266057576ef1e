"""The border's share and the maps: right where it is known what the belief is read from."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
import torch

from boed.classifiers.evaluation.evaluate import RESULTS, Suite, evaluate
from boed.data.dataset import Dataset
from boed.data.observation import Observation
from boed.report.classifiers.occlusion import in_words, occlusion
from boed.report.classifiers.page import render, tables
from boed.report.classifiers.statistics import statistics

SIZE = 20


class Reads:
    """Believes what one pixel says, if it is seen."""

    def __init__(self, *places: tuple[int, int], findings: bool = False) -> None:
        self.places, self.findings = places, findings

    def log_probs(self, observation: Observation) -> torch.Tensor:
        logit = torch.zeros(len(observation))
        for row, column in self.places:
            seen = observation.mask[:, 0, row, column]
            logit += seen * (observation.values[:, 0, row, column] - 0.5 * seen) * 8
        found = torch.log_softmax(torch.stack([-logit, logit], 1), 1)
        return torch.stack([found, found], 1) if self.findings else found


def data(findings: bool = False) -> Dataset:
    labels = torch.arange(16) % 2
    images = torch.where(labels == 1, 0.75, 0.25)[:, None, None, None].expand(-1, 1, SIZE, SIZE)
    return Dataset(
        name="flat",
        split="val",
        images=images.clone(),
        labels=torch.stack([labels, labels], 1) if findings else labels,
        label_names=("dark", "bright"),
        patients=np.arange(16) // 2,
    )


@pytest.mark.parametrize("findings", [False, True])
@pytest.mark.parametrize(
    ("places", "share"),
    [(((0, 0),), 1.0), (((10, 10),), 0.0), (((0, 0), (10, 10)), 0.5), (((10, 10), (9, 9)), 0.0)],
)
def test_the_share_is_the_borders_where_the_belief_is_read_there(
    places: tuple[tuple[int, int], ...], share: float, findings: bool
) -> None:
    suite = Suite(scenes=16, looks=(1,), strengths=(2,))
    classifier = Reads(*places, findings=findings)
    results = evaluate({"<one>": classifier}, data(findings), suite)
    RESULTS.check(results)
    found = occlusion(results, resamples=50)["<one>"]
    value, low, high = found.border.share
    assert value == pytest.approx(share, abs=1e-5)
    assert low - 1e-5 <= value <= high + 1e-5
    marked = np.zeros((8, 8), bool)
    for row, column in places:
        marked[int(row / SIZE * 8), int(column / SIZE * 8)] = True
    assert ((found.belief > 1e-4) == marked).all()
    assert ((found.nll > 1e-4) == marked).all()
    assert (found.border.nll[0] > 1e-4) == (share > 0)
    assert in_words("one", found.border, SIZE).startswith(f"one: {share:.0%} [")
    assert (
        len(
            list(
                csv.DictReader(
                    io.StringIO(tables(results, statistics(results, resamples=2))["occlusion"])
                )
            )
        )
        == 2 * 64 + 2
    )


def test_a_belief_that_nothing_changes_has_no_share() -> None:
    suite = Suite(scenes=16, looks=(1,), strengths=(2,))
    results = evaluate({"<deaf>": Reads()}, data(), suite)
    found = occlusion(results, resamples=5)["<deaf>"]
    assert np.isnan(found.border.share).all()
    assert "no part of it is the border's" in in_words("deaf", found.border, SIZE)
    page = render(results, statistics(results, resamples=5))
    assert "&lt;deaf&gt;: whole scenes do not change" in page


def test_results_from_before_have_no_such_section() -> None:
    results = evaluate({"a": Reads((0, 0))}, data(), Suite(scenes=16, looks=(1,), strengths=(2,)))
    before = results.drop_vars(["occluded_log_belief", "region"])
    RESULTS.check(before)
    assert occlusion(before) == {}
    found = statistics(before, resamples=5)
    assert "Where the belief comes from" not in render(before, found)
    assert "occlusion" not in tables(before, found)
