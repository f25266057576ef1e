"""Diversity from many pairs: what brute force gives, however completions are batched."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from boed.completion.evaluation.evaluate import evaluate
from boed.completion.evaluation.pairs import Moments, many_pairs
from boed.completion.evaluation.plan import Plan, completions_each
from boed.data.observation import Observation
from tests.completion.evaluation.test_evaluate import PLAN, Noisy, Once, Pixels, images


class Halved:
    """A perceptual distance: half of the squared distance of pixels."""

    name = "halved"

    def check(self, scenes):
        pass

    def embedded(self, scenes):
        return (scenes / 2**0.5).flatten(1)


class Recorded(Noisy):
    def __init__(self):
        self.scenes = []

    def sample(self, observation, n, seed=0):
        self.scenes.append(super().sample(observation, n, seed))
        return self.scenes[-1]


def measured(completer, plan):
    seen = Observation.nothing(plan.diversity_scenes, 1, 8)
    told = []
    figures = many_pairs(
        completer,
        seen,
        plan=plan,
        extractor=Pixels(),
        perceptual=Halved(),
        purpose=(0, "1"),
        report=told.append,
    )
    assert sum(told) == plan.diversity_scenes * plan.diversity_completions
    return figures


@pytest.mark.parametrize("batch", [3, 8, 64])
def test_all_pairs_count_once(batch):
    completer, plan = Recorded(), Plan(diversity_scenes=2, diversity_completions=8, batch=batch)
    figures = measured(completer, plan)
    parts = torch.cat(completer.scenes).squeeze(1).unflatten(0, (2, 8))
    levels = (parts * 255).round() / 255
    assert len(levels.flatten(0, 1).flatten(1).unique(dim=0)) == 16  # no seed twice
    features, lpips = [], []
    for scenes in levels:
        for i in range(8):
            for j in range(i):
                pair = Pixels().features(scenes[[i, j]])
                features.append((pair[0] - pair[1]).norm())
                lpips.append((scenes[i] - scenes[j]).square().sum() / 2)
    torch.testing.assert_close(figures["pair_distance"], torch.stack(features).mean())
    torch.testing.assert_close(figures["pair_lpips"], torch.stack(lpips).mean())


def test_equal_completions_are_at_no_distance():
    figures = measured(Once(), Plan(diversity_scenes=1, diversity_completions=5))
    assert figures["pair_distance"] == 0
    assert abs(figures["pair_lpips"]) < 1e-9


def test_moments_of_far_away_vectors():
    vectors = 1e3 + torch.randn(50, 7, generator=torch.Generator().manual_seed(0)).double()
    moments = Moments()
    for some in vectors.split(9):
        moments.add(some)
    expected = torch.cdist(vectors, vectors).square().sum() / (50 * 49)
    assert moments.mean_of_pairs() == pytest.approx(float(expected), rel=1e-6)


def test_the_evaluation_holds_them_and_the_table_says_how_many():
    from boed.report.completers.table import markdown

    test, library = images(80, 1, "test"), images(120, 0, "train")
    shared = {"test": test, "library": library, "extractor": Pixels()}
    completers = {"noisy": Noisy(), "once": Once()}
    few = replace(PLAN, counts=(2,), holes=False)
    plan = replace(few, diversity_scenes=3, diversity_completions=9)
    found = evaluate(completers, **shared, plan=plan, perceptual=Halved())
    assert found["pair_distance"].dims == ("completer", "seed", "condition")
    assert (found["pair_distance"].sel(completer="noisy") > 0).all()
    assert (found["pair_distance"].sel(completer="once") == 0).all()
    plain = evaluate(completers, **shared, plan=few)
    assert not {"pair_distance", "pair_lpips", "lpips"} & set(plain)
    assert plain["feature_distance"].equals(found["feature_distance"])
    text = markdown(found)
    for heading in ("LPIPS, best of 6", "feature distance, 3 x 36 pairs", "LPIPS, 3 x 36 pairs"):
        assert heading in text
        assert heading not in markdown(plain)
    assert completions_each(plan) - completions_each(few) == 27


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"diversity_completions": 1}, "diversity_completions is 1, expected at least 2"),
        ({"diversity_completions": -1}, "diversity_completions is -1, expected at least 0"),
        ({"diversity_scenes": 0}, "diversity_scenes is 0, expected at least 1"),
        (
            {"diversity_scenes": 99, "diversity_completions": 2},
            "diversity_scenes is 99, expected at most `scenes`, 40",
        ),
    ],
)
def test_numbers_that_are_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        replace(PLAN, **changes)


def test_more_pairs_than_memory(monkeypatch):
    monkeypatch.setenv("BOED_MEMORY_GIB", "0.001")
    test, library = images(80, 1, "test"), images(120, 0, "train")
    plan = replace(PLAN, diversity_completions=2000)
    with pytest.raises(ValueError, match="diversity_completions 2000: distances of all pairs"):
        evaluate({"once": Once()}, test, library, extractor=Pixels(), plan=plan)
