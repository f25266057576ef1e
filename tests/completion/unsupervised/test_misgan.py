"""MisGAN: its gradient penalty, whom each turn moves, and what its critics are shown."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from boed.completion.registry import LEARNED
from boed.completion.unsupervised import misgan
from boed.completion.unsupervised.generator import GeneratorConfig, Trunk
from boed.completion.unsupervised.misgan import MisGAN, MisGANConfig, gradient_penalty
from boed.data.observation import Observation

TINY = MisGANConfig(
    size=8, channels=1, stem=2, widths=(8,), latent=2, critic=8, most=8, scene_latent=4
)
CRITICS, GENERATORS = {"critic", "imputer_critic"}, {"scenes", "generator"}


def model(**changes) -> MisGAN:
    torch.manual_seed(0)
    made = MisGAN(replace(TINY, **changes))
    with torch.no_grad():
        made.generator.last.weight.normal_(0, 0.1)  # which starts at 0
    return made


def measured(n=16):
    generator = torch.Generator().manual_seed(0)
    scenes = torch.rand(n, 1, 8, 8, generator=generator)
    return Observation.of(scenes, torch.rand(n, 1, 8, 8, generator=generator).round())


class Linear(nn.Module):
    """D(x) = w . x, whose gradient is w everywhere."""

    def __init__(self, norm, shape=(2, 4, 4)):
        super().__init__()
        weight = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        self.weight = nn.Parameter(norm * weight / weight.norm())

    def forward(self, x):
        return (self.weight * x).flatten(1).sum(1, keepdim=True)


@pytest.mark.parametrize("norm", [0.5, 1.0, 2.0])
def test_penalty_of_a_linear_critic(norm):
    """(|w| - 1)^2, and its gradient, of second order, is 2 (|w| - 1) w / |w|."""
    critic, real, made = Linear(norm), torch.rand(6, 2, 4, 4), torch.rand(6, 2, 4, 4)
    penalty = gradient_penalty(critic, real, made)
    assert float(penalty.detach()) == pytest.approx((norm - 1) ** 2, abs=1e-6)
    penalty.backward()
    expected = 2 * (norm - 1) * critic.weight.detach() / norm
    assert torch.allclose(critic.weight.grad, expected, atol=1e-5)


def test_penalty_of_a_curved_critic_reaches_its_weights_between_the_two():
    """D(x) = a |x|^2 / 2, whose gradient is a x, between x = 0 and x = 1 of one pixel."""

    class Curved(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Parameter(torch.tensor(1.0))

        def forward(self, x):
            return self.a * x.square().sum((1, 2, 3)) / 2

    torch.manual_seed(0)
    critic, n = Curved(), 200_000
    penalty = gradient_penalty(critic, torch.ones(n, 1, 1, 1), torch.zeros(n, 1, 1, 1))
    assert float(penalty.detach()) == pytest.approx(1 / 3, abs=0.01)  # the mean of (u - 1)^2
    penalty.backward()
    assert float(critic.a.grad) == pytest.approx(-1 / 3, abs=0.01)  # of 2 (u - 1) u


def test_the_loss_of_critics_is_distances_and_ten_times_penalties(monkeypatch):
    network = model()
    network.critic, network.imputer_critic = Linear(2.0, (2, 8, 8)), Linear(3.0, (2, 8, 8))
    network.take_turn(0)
    y, distances = measured(), []
    wholes = []
    monkeypatch.setattr(network, "read", lambda each: wholes.append(full(each)) or wholes[-1])
    loss = float(network.partial_loss(y, y).detach())
    other, whole, filled, real = wholes[-4], wholes[-3], wholes[-2], wholes[-1]
    for critic, *pair in ((network.critic, real, other), (network.imputer_critic, whole, filled)):
        first, second = (float(critic(each).mean().detach()) for each in pair)
        distances.append(first - second)
    assert loss == pytest.approx(10 * (1 + 4) - sum(distances), rel=1e-4)


def full(observation):
    return torch.cat([observation.values, observation.mask], dim=1)


@pytest.mark.parametrize("step", range(6))
def test_each_turn_moves_its_own_networks(step):
    """Five steps of both critics, then one of both generators; those that rest have no gradient."""
    network = model()
    network.take_turn(step)
    network.partial_loss(measured(), measured()).backward()
    expected = CRITICS if step < 5 else GENERATORS
    for name in CRITICS | GENERATORS:
        part = getattr(network, name)
        gradients = [each.grad for each in part.parameters()]
        if name in expected:
            assert sum(float(each.abs().sum()) for each in gradients if each is not None) > 0
        else:
            assert all(each is None for each in gradients)


@pytest.mark.parametrize("beta", [0.0, 0.1])
def test_beta_is_what_the_scenes_generator_minds_of_completions(beta):
    """With a critic of observations that is constant nothing else moves it."""
    network = model(beta=beta)
    nn.init.zeros_(network.critic.head.weight)
    network.take_turn(5)
    network.partial_loss(measured(), measured()).backward()
    moved = sum(float(each.grad.abs().sum()) for each in network.scenes.parameters())
    assert (moved > 0) == (beta > 0)


def test_completions_keep_what_was_seen_and_scenes_are_seen_under_masks_of_the_data(monkeypatch):
    network, y, shown = model(), measured(), []
    monkeypatch.setattr(network, "read", lambda each: shown.append(each) or full(each))
    network.take_turn(5)
    network.partial_loss(y, y)
    filled = next(e for e in shown if bool((e.mask == 1).all()) and same(e.values, y))
    assert filled.values.shape == y.values.shape
    masks = {tuple(each.flatten().tolist()) for each in y.mask}
    under = [e for e in shown if {tuple(m.flatten().tolist()) for m in e.mask} == masks]
    assert any(not torch.equal(each.mask, y.mask) for each in under)


def same(values, y):
    return torch.equal(values[y.mask == 1], y.values[y.mask == 1])


def test_critics_are_not_normalised():
    for each in (model().critic, model().imputer_critic):
        assert not [layer for layer in each.modules() if hasattr(layer, "parametrizations")]


@pytest.mark.parametrize("size", [28, 32, 64])
@pytest.mark.parametrize("name", ["unsup", "misgan"])
def test_the_preset_for_digits_has_one_generator_for_both(name, size):
    config, training = LEARNED[name].architectures["digits"](size, 1)
    other = LEARNED["unsup"].architectures["digits"](size, 1)[0]
    fields = GeneratorConfig.__dataclass_fields__.keys() - {"critic_steps"}
    assert all(getattr(config, each) == getattr(other, each) for each in fields)
    assert training.weight_decay == 0


@pytest.mark.parametrize(("size", "stem"), [(8, 1), (28, 1), (28, 2), (32, 2), (64, 4)])
def test_scenes_are_of_the_size_of_observations(size, stem):
    config = MisGANConfig(size=size, channels=3, widths=(8,), critic=8, most=8, critic_stem=stem)
    scenes = misgan.SceneGenerator(config)(torch.randn(2, config.scene_latent))
    assert scenes.shape == (2, 3, size, size)
    assert 0 <= scenes.min() <= scenes.max() <= 1
    assert Trunk(config, 1)(torch.rand(2, 4, size, size)).shape == (2, 1)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"scene_latent": 0}, "scene_latent is 0, expected at least 1"),
        ({"critic_steps": 0}, "critic_steps is 0, expected at least 1"),
        ({"penalty": -1.0}, "penalty is -1.0, expected at least 0"),
        ({"beta": float("nan")}, "beta is nan, expected at least 0"),
        ({"critic_stem": 3}, "size is 8, expected a multiple of 6"),
    ],
)
def test_configurations_that_make_no_sense(changes, said):
    with pytest.raises(ValueError, match=said):
        replace(TINY, **changes)
