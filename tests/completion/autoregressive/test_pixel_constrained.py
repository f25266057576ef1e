"""The Pixel Constrained CNN: as published, what it sees, and what it learns."""

from __future__ import annotations

import math

import pytest
import torch

from boed.completion.autoregressive.pixel_constrained import (
    PUBLISHED,
    PixelConstrained,
    PixelConstrainedConfig,
)
from boed.completion.ranking import log_probs, rank_of_truth
from boed.data.observation import Observation

TINY = {"size": 4, "channels": 1, "filters": 8, "blocks": 2, "first_kernel": 3, "dilations": (1, 2)}


def prior(filters: int, kernel: int, blocks: int, widths: list[int], channels: int) -> int:
    """Weights and biases of the PixelCNN by hand: of kernels without masked taps."""
    half, wide = kernel // 2, 2 * filters
    own = channels > 1  # the first layer's own pixel, whose channels before are seen
    vertical = channels * wide * half * kernel + wide
    horizontal = channels * wide * (half + own) + wide
    link_and_out = wide * wide + filters * filters + filters
    first = vertical + horizontal + link_and_out
    vertical = filters * wide * (half + 1) * kernel + wide
    horizontal = filters * wide * (half + 1) + wide
    head = sum(a * b + b for a, b in zip([filters, *widths], widths, strict=False))
    return first + blocks * (vertical + horizontal + link_and_out) + head


def conditioning(inputs: int, filters: int, kernel: int, blocks: int, outputs: int) -> int:
    enter = inputs * filters * kernel**2 + filters
    block = 2 * filters**2 + filters**2 * kernel**2 + 3 * 2 * filters
    return enter + blocks * block + filters * outputs + outputs


@pytest.mark.parametrize(
    ("name", "expected", "total"),
    [
        ("mnist", prior(32, 5, 14, [2], 1) + conditioning(2, 32, 5, 14, 2), 987_588),
        ("celeba", prior(66, 5, 16, [1023, 96], 3) + conditioning(4, 66, 5, 16, 96), 4_958_145),
    ],
)
def test_the_published_networks_have_the_paper_s_layers(name, expected, total):
    with torch.device("meta"):
        model = PixelConstrained(PUBLISHED[name][0])
    assert sum(each.numel() for each in model.parameters()) == expected == total


@pytest.mark.parametrize("name", [pytest.param("celeba", marks=pytest.mark.slow), "mnist"])
def test_the_published_networks_take_a_step(name):
    config, training = PUBLISHED[name]
    assert (training.lr, training.batch, training.precision) == (4e-4, 64, "fp32")
    torch.manual_seed(0)
    model = PixelConstrained(config)
    scene = torch.rand(1, config.channels, config.size, config.size)
    observation = Observation.of(scene, (torch.rand_like(scene[:, :1]) < 0.2).float())
    loss = model.loss(scene, observation)
    loss.backward()
    assert 1 < float(loss.detach()) / math.log(config.levels) < 8  # two cross entropies, untrained
    assert all(torch.isfinite(each.grad).all() for each in model.parameters())


def test_presets():
    for (size, channels), levels in {(28, 1): 16, (32, 1): 16, (32, 3): 32, (64, 1): 32}.items():
        config, training = PixelConstrained.preset(size, channels)
        assert (config.size, config.channels, config.levels) == (size, channels, levels)
        assert training.precision == "fp32"
    assert PixelConstrained.architectures["binary"](32, 1)[0].levels == 2
    assert PixelConstrainedConfig.small(32, 1, levels=2)[0].norm == "group"
    with pytest.raises(ValueError, match="size 48 has no preset; expected 28, 32 or a mult"):
        PixelConstrained.preset(48, 1)


@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_seen_reaches_every_pixel_and_what_is_hidden_none(channels):
    torch.manual_seed(0)
    config = PixelConstrainedConfig(
        size=6, channels=channels, levels=2, filters=12, dilations=(1, 2), norm="batch"
    )
    model = PixelConstrained(config).double().eval()
    mask = torch.ones(1, 1, 6, 6, dtype=torch.double)
    mask[..., 2:4] = 0
    values = torch.rand(1, channels, 6, 6, dtype=torch.double)

    def at_the_first_pixel(scene):
        seen = torch.cat([model.standardised(scene) * mask, mask], dim=1)
        return model.conditioning(seen)[0, :, 0, 0]

    jacobian = torch.autograd.functional.jacobian(at_the_first_pixel, values)
    reaches = (jacobian != 0).any(0)[0].any(0)
    assert torch.equal(reaches, mask[0, 0] == 1)


def test_what_the_networks_read_is_what_is_seen(make):
    model = make(size=6)
    scene = torch.rand(1, 1, 6, 6)
    mask = (torch.rand(1, 1, 6, 6) < 0.5).float()
    observation = Observation.of(scene, mask)
    changed = Observation(torch.where(mask > 0, observation.values, 0.9), mask)
    assert torch.equal(model.network_input(observation)[:, 0] * (1 - mask[:, 0]), 0 * mask[:, 0])
    assert torch.equal(model.network_input(observation), model.network_input(changed))
    assert torch.equal(model.drawn(observation, 2), model.drawn(changed, 2))


def train(scenes, masks, *, alpha: float = 1.0, steps: int = 50) -> PixelConstrained:
    torch.manual_seed(0)
    model = PixelConstrained(PixelConstrainedConfig(**TINY, alpha=alpha))
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = 2e-2 * (1 - step / steps)
        optimiser.zero_grad()
        model.loss(scenes, Observation.of(scenes, masks())).backward()
        optimiser.step()
    return model.eval()


def halves() -> torch.Tensor:
    left = torch.zeros(1, 4, 4)
    left[..., :2] = 1
    return torch.stack([left, 1 - left])


@pytest.mark.slow
def test_it_learns_two_images():
    def one_pixel_of_half_of_them():
        mask = torch.zeros(8, 16)
        mask[torch.arange(4), torch.randint(16, (4,))] = 1
        return mask[torch.randperm(8)].view(8, 1, 4, 4)

    model = train(halves().repeat(4, 1, 1, 1), one_pixel_of_half_of_them, steps=300)
    blank = Observation.nothing(2, 1, 4)
    p = model.log_prob(halves(), blank).exp()
    assert p.min() > 0.3
    assert 0.9 < p.sum() <= 1
    last = torch.zeros(2, 1, 4, 4)
    last[..., -1, -1] = 1  # the last pixel in raster order, which only the second network sees
    seen = Observation.of(halves(), last)
    assert (model.log_prob(halves(), seen).exp() > 0.9).all()
    assert torch.equal(model.sample(seen, 8).mean(0).round(), halves())
    others = torch.stack([seen.composite(halves().flip(0)), seen.composite(torch.rand(2, 1, 4, 4))])
    nats = log_probs(model, torch.cat([halves()[None], others]), seen)
    assert rank_of_truth(nats[0], nats[1:]).tolist() == [1, 1]


@pytest.mark.parametrize(("alpha", "learns"), [(0.0, False), (1.0, True)])
def test_alpha_trains_the_network_over_what_is_seen_by_itself(alpha, learns):
    """Scenes all bright or all dark, of which the last pixel is seen.

    The PixelCNN tells all pixels from the first one, so that the other network learns of the first
    pixel alone, unless it has a loss of its own.
    """
    scenes = torch.cat([torch.zeros(4, 1, 4, 4), torch.ones(4, 1, 4, 4)])
    masks = torch.zeros(8, 1, 4, 4)
    masks[..., -1, -1] = 1
    model = train(scenes, lambda: masks, alpha=alpha)
    observation = Observation.of(scenes, masks)
    figures = model.figures(scenes, observation)
    assert (figures["val_nats_seen_alone"] < 0.1 * math.log(2)) == learns


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("levels", 1, "levels is 1"),
        ("levels", 257, "levels is 257"),
        ("kernel", 4, "kernel is 4, expected an odd number of at least 3"),
        ("first_kernel", 1, "first_kernel is 1, expected an odd number of at least 3"),
        ("filters", 0, "filters is 0, expected at least 1"),
        ("filters", 16, "filters is 16, expected a multiple of the 3 channels"),
        ("hidden", 10, "hidden is 10, expected a multiple of the 3 channels"),
        ("hidden", -3, "hidden is -3, expected at least 0"),
        ("blocks", 0, "blocks is 0, expected at least 1"),
        ("temperature", -0.5, "temperature is -0.5, expected at least 0"),
        ("std", 0.0, "std is 0.0, expected more than 0"),
        ("dilations", (1, 0), "dilations is 0, expected at least 1"),
        ("norm", "layer", "norm is 'layer', expected one of batch, group"),
        ("alpha", -1.0, "alpha is -1.0, expected at least 0"),
    ],
)
def test_what_configurations_refuse(field, value, message):
    fields = {"size": 8, "channels": 3, "filters": 12, field: value}
    with pytest.raises(ValueError, match=message):
        PixelConstrainedConfig(**fields)
