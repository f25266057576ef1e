"""Calibration passes an exact posterior and finds each way of breaking it, with its sign."""

from __future__ import annotations

import math

import pytest
import torch

from boed.completion.evaluation import (
    calibration,
    crps,
    energy_score,
    implied_levels,
    interval_coverage,
    projections,
    rank_uniformity,
    sbc_ranks,
    tarp,
)

SCENES = 300
LEVELS = (0.5, 0.8)
FOUND = 1e-3  # a p-value by which a broken sampler counts as found
NUMBERS = [10, 50]

BROKEN = {
    "over-confident": {"spread": 0.6},
    "collapsed": {"between": 0.05},
    "under-confident": {"spread": 1.6},
    "too bright": {"shift": 0.1},
    "too dark": {"shift": -0.1},
}
WIDTH = {"over-confident": -1, "collapsed": -1, "under-confident": 1}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def uniform_ranks(batch: int, n: int, generator: torch.Generator) -> torch.Tensor:
    return torch.randint(0, n + 1, (batch,), generator=generator)


@pytest.fixture(scope="module")
def made(world):
    return world(SCENES)


def sbc(made, scenes, statistics=6):
    """The uniformity of each projection's ranks."""
    truth, samples = (projections(each, statistics, seed=0) for each in (made.truth, scenes))
    ranks = sbc_ranks(truth, samples, seeded())
    return [rank_uniformity(column, len(scenes)) for column in ranks.T]


@pytest.mark.parametrize("n", NUMBERS)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_an_exact_posterior_passes(made, n, seed):
    """8 tests at 1 %, corrected; intervals within 4 standard errors over scenes."""
    scenes = made.samples(n, seed)
    found = [each.p_value for each in sbc(made, scenes)]
    curve = tarp(made.truth.flatten(1), scenes.flatten(2), seeded())
    assert min(*found, curve.p_value) > 0.01 / 8
    assert abs(curve.bias) < 0.07  # its standard error: below 0.5 / sqrt(300) = 0.029
    covered = interval_coverage(scenes, made.truth, made.hidden, levels=LEVELS)
    error = covered.std(1) / math.sqrt(SCENES)
    assert ((covered.mean(1) - torch.tensor(LEVELS)).abs() < 4 * error).all()


@pytest.mark.parametrize("n", NUMBERS)
@pytest.mark.parametrize("kind", BROKEN)
def test_ranks_find_a_broken_posterior(made, kind, n):
    found = sbc(made, made.samples(n, 1, **BROKEN[kind]))
    assert found[0].p_value < FOUND  # the mean brightness
    if kind in WIDTH:  # every direction is too narrow, or too wide
        assert all(each.p_value < FOUND for each in found)
        assert all(each.dispersion * WIDTH[kind] < -3 for each in found)
        assert abs(found[0].shift) < 4
    else:  # the truth is below completions that are too bright
        assert found[0].shift * BROKEN[kind]["shift"] < 0
        assert abs(found[0].shift) > 10


@pytest.mark.parametrize("n", NUMBERS)
@pytest.mark.parametrize("kind", BROKEN)
def test_tarp_finds_a_broken_posterior(made, kind, n):
    found = tarp(made.truth.flatten(1), made.samples(n, 1, **BROKEN[kind]).flatten(2), seeded())
    assert found.p_value < FOUND
    if kind in WIDTH:
        assert found.bias * WIDTH[kind] > 0.1  # over three standard errors


@pytest.mark.parametrize("n", NUMBERS)
@pytest.mark.parametrize("kind", BROKEN)
def test_intervals_find_a_broken_posterior(made, kind, n):
    """Below the level, by ten standard errors, unless it is too wide."""
    scenes = made.samples(n, 1, **BROKEN[kind])
    covered = interval_coverage(scenes, made.truth, made.hidden, levels=LEVELS)
    gap = covered.mean(1) - torch.tensor(LEVELS)
    assert (gap * WIDTH.get(kind, -1) > 10 * covered.std(1) / math.sqrt(SCENES)).all()


@pytest.mark.parametrize("score", [crps, energy_score])
@pytest.mark.parametrize("kind", BROKEN)
def test_the_exact_posterior_scores_best(made, kind, score):
    """Scene by scene against the exact one: worse by four standard errors."""
    exact = score(made.samples(20, 1), made.truth, made.hidden)
    broken = score(made.samples(20, 1, **BROKEN[kind]), made.truth, made.hidden)
    worse = broken - exact
    assert worse.mean() > 4 * worse.std() / math.sqrt(SCENES)


def test_a_sampler_of_the_prior_passes_ranks_and_scores_worse(world):
    """Ranks cannot tell that the observation was ignored; the scores can."""
    made, others = world(SCENES), world(10 * SCENES, seed=1)
    scenes = others.truth.unflatten(0, (10, SCENES))
    assert min(each.p_value for each in sbc(made, scenes)) > 0.01 / 6
    exact = made.samples(10, 1)
    for score in (crps, energy_score):
        worse = score(scenes, made.truth, made.hidden) - score(exact, made.truth, made.hidden)
        assert worse.mean() > 4 * worse.std() / math.sqrt(SCENES)


@pytest.mark.parametrize("n", [2, 5, 10, 50])
@pytest.mark.parametrize("batch", [10, 60])
def test_uniform_ranks_raise_the_alarm_as_often_as_stated(batch, n):
    """5 % of 1000 tables, within four standard errors (0.7 %); z-scores have variance 1."""
    generator = seeded(batch + n)
    found = [rank_uniformity(uniform_ranks(batch, n, generator), n) for _ in range(1000)]
    alarms = torch.tensor([each.p_value < 0.05 for each in found]).double().mean()
    assert alarms == pytest.approx(0.05, abs=4 * 0.007)
    scores = torch.tensor([[each.shift, each.dispersion] for each in found])
    torch.testing.assert_close(scores.var(0), torch.ones(2), atol=0.2, rtol=0)


def test_with_four_completions_the_statistic_is_pearsons():
    ranks = torch.tensor([0, 0, 1, 2, 2, 2, 4, 4, 4, 4])
    count, expected = torch.bincount(ranks, minlength=5).double(), 2
    pearson = float(((count - expected) ** 2 / expected).sum())
    assert rank_uniformity(ranks, 4).statistic == pytest.approx(pearson)


def test_ranks_count_samples_below_and_break_ties_evenly():
    samples = torch.tensor([0.1, 0.2, 0.5, 0.5, 0.9])[:, None, None].expand(5, 4000, 1)
    truth = torch.full((4000, 1), 0.5)
    ranks = sbc_ranks(truth, samples, seeded())
    count = torch.bincount(ranks[:, 0], minlength=6)
    assert count[[0, 1, 5]].tolist() == [0, 0, 0]
    assert (count[2:5] - 4000 / 3).abs().max() < 4 * math.sqrt(4000 * 2 / 9)
    assert torch.equal(ranks, sbc_ranks(truth, samples, seeded()))
    assert (sbc_ranks(truth + 0.1, samples, seeded()) == 4).all()


def test_equal_scenes_where_all_is_seen_have_uniform_ranks(made):
    """Projections of equal images are equal, so that ties are seen as such."""
    scenes = made.truth.expand(10, *made.truth.shape)
    assert min(each.p_value for each in sbc(made, scenes)) > 0.01 / 6
    assert tarp(made.truth.flatten(1), scenes.flatten(2), seeded()).p_value > 0.01


def test_a_deterministic_completer_is_found(made):
    """n equal scenes: the ranks are 0 or n, no interval holds the truth."""
    mean = made.mean.view(made.truth.shape).float()
    scenes = mean.expand(10, *mean.shape)
    assert all(each.p_value < FOUND and each.dispersion > 10 for each in sbc(made, scenes))
    assert interval_coverage(scenes, made.truth, made.hidden).nanmean() == 0
    error = ((mean - made.truth).abs() * made.hidden).sum((1, 2, 3)) / made.hidden.sum((1, 2, 3))
    torch.testing.assert_close(crps(scenes, made.truth, made.hidden), error)


def test_tarp_curves_are_levels_and_fractions():
    """One dimension, reference 0: truth 0.5 with all samples beyond, truth 9 with all within."""
    samples = torch.linspace(1, 2, 3)[:, None, None].expand(3, 4, 1)
    truth = torch.tensor([[0.5], [0.5], [0.5], [9.0]])
    found = tarp(truth, samples, seeded(), references=torch.zeros(4, 1))
    torch.testing.assert_close(found.levels, torch.tensor([0, 0.25, 0.5, 0.75, 1]).double())
    torch.testing.assert_close(found.coverage, torch.tensor([0, 0.75, 0.75, 0.75, 1]).double())
    assert found.bias == pytest.approx((0.25 + 0 + 0) / 3)


def test_tarp_ignores_what_truth_and_samples_share(made):
    """The seen pixels of composited completions add the same to all distances."""
    both = torch.cat([made.truth[None], made.samples(10, 1), made.truth.roll(1, 0)[None]])
    found = []
    for scenes in (both, both * made.hidden):
        flat = scenes.flatten(2)
        found.append(tarp(flat[0], flat[1:-1], seeded(), references=flat[-1]).coverage)
    torch.testing.assert_close(*found, atol=0.004, rtol=0)  # one scene by rounding at most


@pytest.mark.parametrize("n", [2, 3, 9, 10])
def test_intervals_hold_the_truth_as_often_as_implied(n):
    """Truth and completions of one skewed law; 40000 pixels, four standard errors."""
    generator = seeded(n)
    drawn = torch.rand(n + 1, 100, 1, 20, 20, generator=generator) ** 3
    levels = (0.3, 0.5, 0.73, 0.99)
    found = interval_coverage(drawn[1:], drawn[0], torch.ones(100, 1, 20, 20), levels=levels).mean(
        1
    )
    torch.testing.assert_close(found.double(), implied_levels(n, levels), atol=0.01, rtol=0)


def test_the_levels_that_n_completions_can_have():
    expected = torch.tensor([0.5, 0.8, 9 / 11]).double()
    torch.testing.assert_close(implied_levels(10), expected)
    torch.testing.assert_close(implied_levels(2), torch.full((3,), 1 / 3).double())
    torch.testing.assert_close(implied_levels(19, (0.9,)), torch.tensor([0.9]).double())


def test_pixels_tied_with_all_completions_are_covered_at_the_level():
    """As the black background of digits: known for sure, neither over- nor under-confident."""
    black = torch.zeros(10, 2, 1, 4, 4)
    hidden = torch.ones(2, 1, 4, 4)
    hidden[1] = 0
    found = interval_coverage(black, black[0], hidden)
    torch.testing.assert_close(found[:, 0].double(), implied_levels(10))
    assert found[:, 1].isnan().all()


@pytest.mark.parametrize("n", [2, 20])
def test_scores_are_unbiased_at_any_number(n):
    """N(0, 1) pixels: CRPS 1 / sqrt(pi); energy Gamma((D + 1) / 2) / Gamma(D / 2) / sqrt(D)."""
    drawn = torch.randn(n + 1, 20000, 1, 2, 2, generator=seeded(n))
    hidden = torch.ones(20000, 1, 2, 2)
    pixel = crps(drawn[1:], drawn[0], hidden)
    whole = energy_score(drawn[1:], drawn[0], hidden)
    expected = math.gamma(2.5) / math.gamma(2) / 2
    assert float(pixel.mean()) == pytest.approx(
        1 / math.sqrt(math.pi), abs=4 * float(pixel.std()) / 141
    )
    assert float(whole.mean()) == pytest.approx(expected, abs=4 * float(whole.std()) / 141)


@pytest.mark.parametrize("block", [50, calibration.BLOCK])
def test_scores_by_hand(block, monkeypatch):
    """Hidden pixels (0, 3) and (0, 4) away: 0 and 5 in norm; scenes are on their own."""
    monkeypatch.setattr(calibration, "BLOCK", block)
    truth = torch.zeros(3, 1, 2, 2)
    hidden = torch.tensor([[1.0, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]).view(3, 1, 2, 2)
    scenes = torch.zeros(2, 3, 1, 2, 2)
    scenes[1] = torch.tensor([3.0, 4.0, 7.0, 7.0]).view(1, 2, 2)
    # mean |x - y| is half of the distance, and so is the pair's term
    zeros = torch.tensor([0.0, 0.0, math.nan])
    torch.testing.assert_close(crps(scenes, truth, hidden), zeros, equal_nan=True)
    torch.testing.assert_close(energy_score(scenes, truth, hidden), zeros, equal_nan=True)
    scenes[0] = scenes[1]
    found = crps(scenes, truth, hidden)
    torch.testing.assert_close(found, torch.tensor([3.5, 4, math.nan]), equal_nan=True)
    found = energy_score(scenes, truth, hidden)
    expected = torch.tensor([5 / math.sqrt(2), 4, math.nan])
    torch.testing.assert_close(found, expected, equal_nan=True)


def test_only_the_energy_score_sees_that_pixels_vary_together():
    """Two equal pixels; completions with the right marginals that vary apart."""
    drawn = torch.randn(21, 4000, 1, 1, 1, generator=seeded()).expand(-1, -1, -1, 1, 2)
    apart = torch.randn(20, 4000, 1, 1, 2, generator=seeded(1))
    hidden = torch.ones(4000, 1, 1, 2)
    truth = drawn[0]
    same = crps(apart, truth, hidden) - crps(drawn[1:], truth, hidden)
    worse = energy_score(apart, truth, hidden) - energy_score(drawn[1:], truth, hidden)
    assert same.mean().abs() < 4 * same.std() / math.sqrt(4000)
    assert worse.mean() > 4 * worse.std() / math.sqrt(4000)


def test_projections_are_fixed_linear_and_shaped(made):
    scenes = made.samples(3, 0)
    found = projections(scenes, 5, seed=0)
    assert found.shape == (3, SCENES, 5)
    torch.testing.assert_close(found[..., 0], scenes.mean((2, 3, 4)))
    torch.testing.assert_close(found[1], projections(scenes[1], 5, seed=0))
    torch.testing.assert_close(found[1, 2], projections(scenes[1, 2], 5, seed=0))
    assert not torch.allclose(found[..., 1:], projections(scenes, 5, seed=1)[..., 1:])
    both = projections(scenes[0] + 2 * scenes[1], 5, seed=0)
    torch.testing.assert_close(both, found[0] + 2 * found[1])
    directions = projections(torch.eye(36).view(36, 1, 6, 6), 5, seed=0)
    assert torch.linalg.matrix_rank(directions) == 5


def test_ranks_of_composited_and_of_masked_completions_are_the_same(made):
    scenes = made.samples(10, 1)
    composited = sbc_ranks(projections(made.truth, 4, 0), projections(scenes, 4, 0), seeded())
    masked = sbc_ranks(
        projections(made.truth * made.hidden, 4, 0),
        projections(scenes * made.hidden, 4, 0),
        seeded(),
    )
    assert (composited == masked).double().mean() > 0.999  # up to rounding


def test_global_randomness_is_left_alone(made):
    before = torch.get_rng_state()
    scenes = made.samples(4, 1)
    sbc(made, scenes)
    tarp(made.truth.flatten(1), scenes.flatten(2), seeded())
    assert torch.equal(before, torch.get_rng_state())


def test_bad_input_is_refused():
    scenes, truth, hidden = (
        torch.zeros(4, 3, 1, 6, 6),
        torch.zeros(3, 1, 6, 6),
        torch.ones(3, 1, 6, 6),
    )
    for metric in (crps, energy_score, interval_coverage):
        with pytest.raises(ValueError, match="n = 1 completions, expected 2"):
            metric(scenes[:1], truth, hidden)
        with pytest.raises(ValueError, match="truth is"):
            metric(scenes, truth[:2], hidden)
        with pytest.raises(ValueError, match="truth has 108 NaN"):
            metric(scenes, truth * math.nan, hidden)
    with pytest.raises(ValueError, match=r"levels has \[1\.5\]"):
        interval_coverage(scenes, truth, hidden, levels=(1.5, 0.5))
    with pytest.raises(ValueError, match=r"truth must be \[B, S\]"):
        sbc_ranks(torch.zeros(3, 2), torch.zeros(4, 3, 1), seeded())
    with pytest.raises(ValueError, match="samples has 1 NaN"):
        sbc_ranks(torch.zeros(1, 1), torch.full((1, 1, 1), math.nan), seeded())
    with pytest.raises(ValueError, match=r"ranks spans 0\.\.7, expected 0\.\.5"):
        rank_uniformity(torch.tensor([0, 7]), 5)
    with pytest.raises(ValueError, match="n is 1"):
        rank_uniformity(torch.tensor([0, 1]), 1)
    with pytest.raises(ValueError, match=r"truth must be \[B, D\]"):
        tarp(torch.zeros(3, 2), torch.zeros(4, 3, 1), seeded())
    with pytest.raises(ValueError, match="3 or more without references"):
        tarp(torch.zeros(2, 2), torch.zeros(4, 2, 2), seeded())
    with pytest.raises(ValueError, match="references is"):
        tarp(torch.zeros(3, 2), torch.zeros(4, 3, 2), seeded(), references=torch.zeros(3, 1))
    with pytest.raises(ValueError, match="number is 0"):
        projections(truth, 0, 0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_same_figures(made):
    scenes, truth, hidden = made.samples(10, 1), made.truth, made.hidden
    for metric in (crps, energy_score, interval_coverage):
        found = metric(scenes.cuda(), truth.cuda(), hidden.cuda())
        torch.testing.assert_close(found.cpu(), metric(scenes, truth, hidden))
    here = tarp(truth.flatten(1), scenes.flatten(2), seeded())
    there = tarp(truth.flatten(1).cuda(), scenes.flatten(2).cuda(), seeded())
    torch.testing.assert_close(there.coverage, here.coverage, atol=0.01, rtol=0)
    assert projections(scenes.cuda(), 3, 0).is_cuda
