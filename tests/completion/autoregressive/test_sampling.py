"""Three routes to the same levels, and the law of what is drawn."""

from __future__ import annotations

import itertools

import pytest
import torch
from scipy import stats

from boed.completion.autoregressive import base
from boed.completion.autoregressive.base import ROUTES
from boed.completion.autoregressive.sampling import drawn
from boed.completion.levels import from_level, to_level
from boed.data.observation import Observation

SHAPES = [
    {"size": 6},
    {"size": 5, "levels": 16, "kernel": 5, "first_kernel": 3},
    {"size": 4, "channels": 3, "levels": 4},
    {"size": 4, "channels": 3, "levels": 5, "hidden": 9, "first_kernel": 5},
]


def partly(size: int, channels: int, seed: int) -> Observation:
    """Scenes seen at random pixels, one of which only below its middle and in a column."""
    generator = torch.Generator().manual_seed(seed)
    scenes = torch.rand(3, channels, size, size, generator=generator)
    mask = (torch.rand(3, 1, size, size, generator=generator) < 0.4).float()
    mask[1:, :, size // 2 :] = 1
    mask[:, :, :2] = 1
    mask[..., size // 2] = 1
    return Observation.of(scenes, mask)


def all_the_same(model, observation, n: int, seed: int) -> bool:
    ours, *others = (model.drawn(observation, n, seed, route=route) for route in ROUTES)
    return all(torch.equal(ours, other) for other in others)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("temperature", [1.0, 0.5, 0.0])
def test_incremental_naive_and_fixed_point_draw_the_same(make, shape, temperature):
    model = make(3, **shape, temperature=temperature)
    config = model.config
    assert all_the_same(model, partly(config.size, config.channels, seed=1), 2, seed=4)


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_so_they_do_for_twenty_networks_and_masks(make, shape):
    for seed in range(20):
        model = make(seed, **shape)
        config = model.config
        assert all_the_same(model, partly(config.size, config.channels, seed), 2, seed)
        if seed % 10 == 0:
            blank = Observation.nothing(2, config.channels, config.size)
            assert all_the_same(model, blank, 2, seed)


@pytest.mark.parametrize("route", ROUTES)
def test_whole_levels_are_drawn_and_seen_ones_kept(make, route):
    model = make(size=5, levels=4, channels=3)
    observation = partly(5, 3, seed=0)
    scenes = model.drawn(observation, 4, seed=3, route=route)
    assert torch.equal(scenes, from_level(to_level(scenes, 4), 4))
    seen = (observation.mask > 0).expand(scenes.shape)
    expected = from_level(to_level(observation.values, 4), 4).expand(scenes.shape)
    assert torch.equal(scenes[seen], expected[seen])
    assert not scenes.is_inference()


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("at_once", [1, 2, 5])
def test_drawing_a_few_at_once_changes_nothing(make, at_once, route, monkeypatch):
    model, observation = make(size=4, levels=4), partly(4, 1, seed=0)
    whole = model.drawn(observation, 4, seed=3)
    monkeypatch.setattr(base, "AT_ONCE", at_once)
    assert torch.equal(model.drawn(observation, 4, seed=3, route=route), whole)


def test_an_unknown_route_is_refused(make):
    with pytest.raises(ValueError, match="route is 'naif': did you mean 'naive'"):
        make().drawn(Observation.nothing(1, 1, 2), 1, route="naif")
    with pytest.raises(ValueError, match="n is 0, expected at least 1"):
        make().drawn(Observation.nothing(1, 1, 2), 0)
    with pytest.raises(ValueError, match="observation"):
        make().drawn(Observation.nothing(1, 1, 3), 1)


def test_levels_by_the_inverse_of_the_distribution_function():
    logits = torch.tensor([0.2, 0.0, 0.5, 0.3]).log().expand(4, 4)
    uniform = torch.tensor([0.0, 0.1999, 0.2001, 0.9999])
    assert drawn(logits, uniform).tolist() == [0, 0, 2, 3]
    impossible = torch.tensor([[0.0, 0.5, 0.0, 0.5]]).log().expand(3, 4)
    assert drawn(impossible, torch.tensor([0.0, 0.5, 1 - 2**-24])).tolist() == [1, 3, 3]
    cold = drawn(logits, torch.full((4,), 0.25), temperature=0.1)
    assert cold.tolist() == [2] * 4  # of 0.5^10 against 0.3^10 and 0.2^10
    assert drawn(logits, torch.rand(4), temperature=0).tolist() == [2] * 4
    assert drawn(logits[:1, :, None], torch.tensor([[0.7001]])).tolist() == [[3]]


def test_temperature_changes_samples_and_no_log_probability(make):
    observation, scenes = Observation.nothing(1, 1, 5), torch.rand(1, 1, 5, 5)
    models = [make(size=5, levels=4, temperature=each) for each in (1.0, 1e-4, 0.0)]
    warm, cold, greedy = (model.drawn(observation, 6, seed=0) for model in models)
    assert len(torch.unique(warm, dim=0)) == 6
    assert len(torch.unique(cold, dim=0)) == 1  # the likeliest level of each pixel
    assert torch.equal(cold, greedy)
    assert torch.equal(greedy, models[2].drawn(observation, 6, seed=1))
    assert [model.deterministic for model in models] == [False, False, True]
    nats = [model.log_prob(scenes, observation) for model in models]
    assert torch.equal(nats[0], nats[1])
    assert torch.equal(nats[0], nats[2])


def test_samples_have_the_law_that_log_prob_says(make):
    model = make(seed=4, scale=1.0)
    scene = torch.tensor([[[[1.0, 0.0], [0.0, 1.0]]]])
    observation = Observation.of(scene, torch.tensor([[[[0.0, 0.0], [1.0, 0.0]]]]))
    bits = torch.tensor(list(itertools.product((0.0, 1.0), repeat=3)))
    every = scene.repeat(8, 1, 1, 1)
    every[:, 0, 0, 0], every[:, 0, 0, 1], every[:, 0, 1, 1] = bits.T
    p = model.log_prob(every, observation.repeat(8)).double().exp()
    samples = model.sample(observation, 20_000, seed=1)[:, 0, 0]
    index = (4 * samples[:, 0, 0] + 2 * samples[:, 0, 1] + samples[:, 1, 1]).long()
    counts = torch.bincount(index, minlength=8)
    assert p.min() > 5e-4  # 10 expected of each
    assert stats.chisquare(counts, 20_000 * p / p.sum()).pvalue > 0.001


@pytest.mark.parametrize("channels", [1, 3])
def test_conditionals_by_enumeration(make, channels):
    """p(value | all before it) is what sums of exp(log_prob) over all scenes say it is."""
    model = make(seed=5, channels=channels)
    height, width = (2 if channels == 1 else 1), 2  # in colour the upper row is seen
    hidden = channels * height * width
    values = torch.tensor(list(itertools.product((0.0, 1.0), repeat=hidden)))
    in_order = values.view(-1, height, width, channels).permute(0, 3, 1, 2)  # raster, then channel
    scenes = torch.zeros(len(values), channels, 2, 2)
    scenes[..., 2 - height :, :] = in_order
    mask = torch.zeros(1, 1, 2, 2)
    mask[..., : 2 - height, :] = 1
    observation = Observation.of(scenes[:1], mask)
    p = model.log_prob(scenes, observation.repeat(len(scenes))).double().exp()
    logits = model.logits(model.quantised(scenes), model.condition(observation))
    bright = logits.softmax(1)[:, 1, :, 2 - height :].permute(0, 2, 3, 1).flatten(1)
    for row, scene in enumerate(values):
        for index in range(hidden):
            before = (values[:, :index] == scene[:index]).all(1)
            expected = p[before & (values[:, index] == 1)].sum() / p[before].sum()
            assert float(bright[row, index]) == pytest.approx(float(expected), abs=1e-5)


def test_so_they_have_in_colour(make):
    model = make(seed=4, scale=1.0, channels=3)
    scene = torch.rand(1, 3, 2, 2, generator=torch.Generator().manual_seed(0)).round()
    observation = Observation.of(scene, torch.tensor([[[[1.0, 1.0], [0.0, 1.0]]]]))
    bits = torch.tensor(list(itertools.product((0.0, 1.0), repeat=3)))
    every = scene.repeat(8, 1, 1, 1)
    every[:, :, 1, 0] = bits
    p = model.log_prob(every, observation.repeat(8)).double().exp()
    samples = model.sample(observation, 20_000, seed=2)[:, 0, :, 1, 0]
    index = (samples * torch.tensor([4.0, 2.0, 1.0])).sum(1).long()
    counts = torch.bincount(index, minlength=8)
    assert p.min() > 5e-4
    assert stats.chisquare(counts, 20_000 * p / p.sum()).pvalue > 0.001
