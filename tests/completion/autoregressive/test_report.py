"""The models of the CIFAR-10 inpainting report: what they learn, and from what."""

from __future__ import annotations

import math

import pytest
import torch

from boed.completion.autoregressive import zone
from boed.completion.autoregressive.flattened_lstm import FlattenedRowLSTM, FlattenedRowLSTMConfig
from boed.completion.autoregressive.zone import ZonePixelCNN, ZonePixelCNNConfig, zones
from boed.data.observation import Observation

TINY = {"size": 6, "channels": 1, "levels": 2}


def trained(model, scenes, *, steps: int, lr: float):
    torch.manual_seed(0)
    optimiser = torch.optim.Adam(model.parameters(), lr=lr)
    blank = Observation.nothing(len(scenes), scenes.shape[1], scenes.shape[2])
    for _ in range(steps):
        optimiser.zero_grad()
        model.loss(scenes, blank).backward()
        optimiser.step()
    return model.eval()


def rows_of_one_level() -> torch.Tensor:
    bits = torch.arange(64)[:, None] >> torch.arange(6) & 1
    return bits.float()[:, None, :, None].expand(-1, 1, -1, 6).contiguous()


def test_a_greedy_zone_copies_its_left_neighbour():
    torch.manual_seed(0)
    model = ZonePixelCNN(ZonePixelCNNConfig(**TINY, filters=16, dropout=0.0, zones=96))
    scenes = rows_of_one_level()
    trained(model, scenes, steps=50, lr=1e-2)
    mask = torch.zeros(64, 1, 6, 6)
    mask[..., :2] = 1
    observation = Observation.of(scenes, mask)
    assert model.deterministic
    assert torch.equal(model.sample(observation, 2), scenes.expand(2, -1, -1, -1, -1))
    assert torch.equal(model.sample(observation, 1, seed=5), scenes[None])


def test_an_lstm_learns_stripes():
    torch.manual_seed(0)
    model = FlattenedRowLSTM(FlattenedRowLSTMConfig(**TINY, hidden=8, window=12))
    stripes = (torch.arange(6) % 2).float().expand(1, 1, 6, 6)
    trained(model, stripes, steps=80, lr=5e-2)
    blank = Observation.nothing(1, 1, 6)
    assert -model.log_prob(stripes, blank) / 36 < 0.01
    assert torch.equal(model.sample(blank, 1)[0], stripes)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_window_carries_the_state_of_what_comes_before(channels):
    """All windows that there may be have on average the loss of whole images."""
    torch.manual_seed(0)
    shape = {"size": 3, "channels": channels, "levels": 4}
    scene, blank = torch.rand(2, channels, 3, 3), Observation.nothing(2, channels, 3)
    one, whole = (
        FlattenedRowLSTM(FlattenedRowLSTMConfig(**shape, hidden=5, window=w)) for w in (1, 0)
    )
    one.load_state_dict(whole.state_dict())
    with torch.no_grad():
        losses = {round(float(one.loss(scene, blank)), 6) for _ in range(250)}
        expected = float(whole.loss(scene, blank))
    assert len(losses) == 9 * channels
    assert sum(losses) / len(losses) == pytest.approx(expected, abs=1e-5)


def test_all_zones_of_a_step_are_zones_of_its_images():
    scene = torch.rand(2, 3, 4, 7)
    every = zones(scene).unflatten(0, (2, 4, 7))
    assert torch.equal(every[..., -1, -1].permute(0, 3, 1, 2), scene)
    assert torch.equal(every[1, 3, 5, :, 1:], scene[1, :, :, 1:6])
    assert (every[0, 0, 0].flatten(1)[:, :-1] == 0).all()


def test_logits_of_many_zones_are_those_of_a_few_at_once(monkeypatch):
    model = ZonePixelCNN(ZonePixelCNNConfig(size=6, channels=3, levels=4, filters=4)).eval()
    image = torch.rand(2, 3, 6, 6)
    condition = model.condition(Observation.nothing(2, 3, 6))
    whole = model.logits(image, condition)
    monkeypatch.setattr(zone, "AT_ONCE", 5)
    torch.testing.assert_close(model.logits(image, condition), whole)


@pytest.mark.parametrize("make", ["flattened-row-lstm", "pixelcnn-zone"], indirect=True)
def test_figures_draw_from_no_generator(make):
    """Their losses are of random pixels, and training goes on from the same random numbers."""
    model, state = make(size=6, levels=4), torch.get_rng_state()
    scene, blank = torch.rand(2, 1, 6, 6), Observation.nothing(2, 1, 6)
    state = torch.get_rng_state()
    assert model.figures(scene, blank) == model.figures(scene, blank)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("make", ["row-lstm", "diagonal-bilstm", "flattened-row-lstm",
                                  "pixelcnn-zone"], indirect=True)  # fmt: skip
def test_what_is_seen_later_is_not_looked_at(make):
    model = make(size=6, levels=4, scale=2.0)
    scene, mask = torch.rand(1, 1, 6, 6), torch.zeros(1, 1, 6, 6)
    mask[..., 4:, :] = 1
    later = Observation.of(scene, mask)
    drawn, blank = model.drawn(later, 20), model.drawn(Observation.nothing(1, 1, 6), 20)
    assert torch.equal(drawn[..., :4, :], blank[..., :4, :])
    other = torch.where(mask.flip(2) > 0, 1 - scene, scene)  # of which the first rows are seen
    above = [Observation.of(each, mask.flip(2)) for each in (scene, other)]
    assert model.log_prob(scene, above[0]) != model.log_prob(other, above[1])


def test_an_untrained_model_knows_about_as_much_as_chance():
    for model_of, config_of in (
        (ZonePixelCNN, ZonePixelCNNConfig),
        (FlattenedRowLSTM, FlattenedRowLSTMConfig),
    ):
        model = model_of(config_of(size=6, channels=3, levels=32)).eval()
        loss = model.loss(torch.rand(2, 3, 6, 6), Observation.nothing(2, 3, 6))
        assert float(loss.detach()) == pytest.approx(math.log(32), abs=0.2)


@pytest.mark.parametrize(
    ("config_of", "field", "value", "message"),
    [
        (ZonePixelCNNConfig, "filters", 0, "filters is 0, expected at least 1"),
        (ZonePixelCNNConfig, "zones", 0, "zones is 0, expected at least 1"),
        (ZonePixelCNNConfig, "dropout", -0.1, "dropout is -0.1, expected at least 0"),
        (ZonePixelCNNConfig, "dropout", 1.0, "dropout is 1.0, expected at most 0.9"),
        (ZonePixelCNNConfig, "temperature", -1.0, "temperature is -1.0, expected at least 0"),
        (ZonePixelCNNConfig, "levels", 300, "levels is 300"),
        (FlattenedRowLSTMConfig, "hidden", 0, "hidden is 0, expected at least 1"),
        (FlattenedRowLSTMConfig, "window", -1, "window is -1, expected at least 0"),
        (FlattenedRowLSTMConfig, "size", 0, "size is 0, expected at least 1"),
        (FlattenedRowLSTMConfig, "std", 0.0, "std is 0.0, expected more than 0"),
    ],
)
def test_what_configurations_refuse(config_of, field, value, message):
    with pytest.raises(ValueError, match=message):
        config_of(**{**TINY, field: value})
