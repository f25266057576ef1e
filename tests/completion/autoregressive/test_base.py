"""Exact log-probabilities: they sum to one, alone as in a batch, of hidden pixels only."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from boed.completion.levels import from_level, to_level
from boed.completion.log_probability import meaning
from boed.data.observation import Observation

MASKS = [torch.tensor(each, dtype=torch.float) for each in itertools.product((0, 1), repeat=4)]


def completions(levels: int, scene: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """All scenes of the levels with the pixels that are seen of `scene`, [L^hidden, C, H, W]."""
    hidden = (mask.expand_as(scene) == 0).flatten()
    values = itertools.product(range(levels), repeat=int(hidden.sum()))
    each = from_level(torch.tensor(list(values)).long(), levels)
    every = scene.flatten().expand(len(each), -1).clone()
    every[:, hidden] = each
    return every.unflatten(1, scene.shape)


@pytest.mark.parametrize("levels", [2, 3])
def test_probabilities_of_all_completions_sum_to_one(make, levels):
    model, scene = make(levels=levels), torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    for mask in MASKS:
        observation = Observation.of(scene[None], mask.view(1, 1, 2, 2))
        every = completions(levels, scene, mask.view(1, 2, 2))
        nats = model.log_prob(every, observation.repeat(len(every))).double()
        assert float(nats.exp().sum()) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("seen", [0, 1, 2, 3])
def test_so_they_do_in_colour(make, seen):
    model, scene = make(channels=3), torch.rand(3, 2, 2).round()
    mask = torch.tensor([1.0, 1.0, 0.0, 0.0]).roll(seen).view(1, 2, 2)
    every = completions(2, scene, mask)
    assert len(every) == 2**6
    nats = model.log_prob(every, Observation.of(scene[None], mask[None]).repeat(64)).double()
    assert float(nats.exp().sum()) == pytest.approx(1, abs=1e-5)


def situation(size: int = 6, channels: int = 1):
    generator = torch.Generator().manual_seed(2)
    scenes = torch.rand(4, channels, size, size, generator=generator)
    mask = (torch.rand(4, 1, size, size, generator=generator) < 0.3).float()
    return scenes, Observation.of(scenes, mask)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_batch_has_the_log_probabilities_of_each_alone(make, channels):
    """The paper's code takes the first scene's pixels for all."""
    model = make(size=6, levels=4, channels=channels)
    scenes, observation = situation(channels=channels)
    batched = model.log_prob(scenes, observation)
    alone = [model.log_prob(scenes[b : b + 1], observation[b : b + 1]) for b in range(4)]
    assert torch.allclose(batched, torch.cat(alone), atol=1e-4)
    assert len(set(batched.tolist())) == 4
    logits = model.logits(model.quantised(scenes), model.condition(observation)).log_softmax(1)
    levels, expected = to_level(scenes, 4), 0.0
    for c, i, j in itertools.product(range(channels), range(6), range(6)):
        if observation.mask[1, 0, i, j] == 0:
            expected += float(logits[1, levels[1, c, i, j], c, i, j])
    assert float(batched[1]) == pytest.approx(expected, abs=1e-4)


def test_of_a_scene_seen_whole_it_is_zero_and_of_hidden_pixels_exact(make):
    model = make(size=6, levels=4)
    scenes, observation = situation()
    assert model.log_prob(scenes, Observation.everything(scenes)).tolist() == [0] * 4
    assert str(meaning(model)) == "exact, 4 levels, hidden pixels"
    figures = model.figures(scenes, observation)
    nats = -model.log_prob(scenes, observation).double()
    assert figures["val_nats_hidden"] == pytest.approx(float(nats.mean()))
    bits = nats.sum() / (observation.mask == 0).sum() / math.log(2)
    assert figures["val_bits_hidden_of_4"] == pytest.approx(float(bits))


def test_only_levels_matter(make):
    model = make(size=6, levels=4)
    scenes, observation = situation()
    levels = model.quantised(scenes)
    assert torch.equal(
        model.log_prob(scenes, observation),
        model.log_prob(levels, Observation.of(levels, observation.mask)),
    )


def test_what_log_prob_refuses(make):
    model = make(size=6)
    scenes, observation = situation()
    with pytest.raises(ValueError, match=r"scene differs from the observation at \d+ seen values"):
        model.log_prob(1 - scenes, observation)
    with pytest.raises(ValueError, match=r"scene is \(2, 1, 6, 6\), expected that of the obs"):
        model.log_prob(scenes[:2], observation)
    with pytest.raises(ValueError, match=r"scene spans \[0, 2"):
        model.log_prob(scenes * 0 + 2 * (observation.mask == 0), observation)
    with pytest.raises(ValueError, match="scene has 144 NaN"):
        model.log_prob(scenes * math.nan, observation)
    with pytest.raises(ValueError, match="is for 1 channels of 6 pixels"):
        model.log_prob(scenes, Observation.nothing(4, 1, 5))


def test_what_an_indirect_sensor_shows_is_no_seen_pixel(make):
    model = make(size=6)
    scenes, direct = situation()
    readings = torch.ones(4, 2)
    indirect = Observation(direct.values, direct.mask, readings=readings, taken=readings)
    assert torch.isfinite(model.log_prob(1 - scenes, indirect)).all()
    assert (model.drawn(indirect, 2) != model.quantised(indirect.values)).any()
