"""Flow matching and diffusion: exact where the answer is known, and what they learn."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from boed.completion.flow.diffusion import Denoiser, DiffusionConfig, DiffusionPosterior
from boed.completion.flow.matching import FlowConfig, FlowMatching
from boed.completion.flow.unet import UNet, UNetConfig
from boed.completion.training import train_completer
from boed.data.observation import Observation
from boed.training.config import TrainingConfig

SMALL = {"size": 8, "channels": 1, "stem": 1, "widths": (16, 16), "mean": 0.4, "std": 0.2}


class TowardsGaussian(nn.Module):
    """The velocity that carries N(0, 1) to N(m, s^2), pixel by pixel, in closed form."""

    def __init__(self, mean: float, std: float) -> None:
        super().__init__()
        self.mean, self.std = mean, std

    def forward(self, image, t):
        x, t = image[:, :1], t[:, None, None, None]
        m, s = self.mean, self.std
        variance = (1 - t) ** 2 + (t * s) ** 2
        return m + (t * s**2 - (1 - t)) / variance * (x - t * m)


def test_the_flow_to_a_gaussian_is_integrated_rightly():
    model = FlowMatching(FlowConfig(**SMALL, steps=20))
    model.network = TowardsGaussian(0.3, 0.5)
    scenes = model.draw(Observation.nothing(1, 1, 8), 300, seed=0)
    values = (scenes - 0.4) / 0.2
    # 19,200 draws: standard errors 0.004 and 0.003, and what the midpoint rule leaves
    assert abs(float(values.mean()) - 0.3) < 0.02
    assert abs(float(values.std()) - 0.5) < 0.02


def test_the_velocity_s_loss_is_least_at_the_conditional_mean():
    """Scenes that are all alike: E[x_1 - x_0 | x_t] = (x_1 - x_t) / (1 - t) leaves no error."""

    class Known(nn.Module):
        def forward(self, image, t):
            return (1.0 - image[:, :1]) / (1 - t[:, None, None, None])

    model = FlowMatching(FlowConfig(**SMALL))
    scene = torch.full((16, 1, 8, 8), 0.6)  # standardised: 1
    observation = Observation.nothing(16, 1, 8)
    torch.manual_seed(0)
    untrained = float(model.loss(scene, observation).detach())
    model.network = Known()
    torch.manual_seed(0)
    assert float(model.loss(scene, observation)) < 1e-6 < untrained


class OfGaussian(nn.Module):
    """The denoiser of N(0, 1) pixels."""

    def forward(self, x, sigma):
        level = torch.as_tensor(sigma).flatten()[:1]
        return x / (1 + level**2)


def test_diffusion_with_the_exact_denoiser_draws_from_the_prior():
    model = DiffusionPosterior(DiffusionConfig(**SMALL, steps=60))
    model.denoiser = OfGaussian()
    values = (model.draw(Observation.nothing(1, 1, 8), 200, seed=0) - 0.4) / 0.2
    inside = values[(values > -1.9) & (values < 2.9)]  # what is not cut off at 0 and 1
    assert abs(float(inside.mean())) < 0.1
    assert 0.85 < float(values.std()) < 1.05


def test_guidance_draws_towards_what_was_seen():
    model = DiffusionPosterior(DiffusionConfig(**SMALL, steps=60))
    model.denoiser = OfGaussian()
    mask = torch.zeros(2, 1, 8, 8)
    mask[..., :4] = 1
    scenes = torch.full((2, 1, 8, 8), 0.7)
    drawn = model.draw(Observation.of(scenes, mask), 30, seed=1)
    there = float(drawn[..., :4].mean())
    elsewhere = float(drawn[..., 4:].mean())
    assert abs(there - 0.7) < 0.06
    assert abs(elsewhere - 0.4) < 0.06  # independent pixels: nothing is learned of them


def test_a_denoiser_is_the_identity_without_noise_and_the_mean_in_nothing_but_noise():
    torch.manual_seed(0)
    denoiser = Denoiser(UNetConfig(**SMALL))
    x = torch.randn(3, 1, 8, 8)
    assert torch.allclose(denoiser(x, 1e-4), x, atol=1e-3)
    assert denoiser(1e4 * x, torch.tensor([1e4, 1e4, 1e4])).abs().max() < 1e-2


def test_the_network_reads_its_noise_level_and_extra_channels():
    torch.manual_seed(0)
    network = UNet(UNetConfig(**SMALL), extra=1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    image = torch.randn(1, 2, 8, 8)
    level = torch.tensor([0.3])
    out = network(image, level)
    assert out.shape == (1, 1, 8, 8)
    assert not torch.allclose(out, network(image, level + 0.3), atol=1e-3)
    changed = image.clone()
    changed[:, 1, 0, 0] += 1
    assert not torch.allclose(out, network(changed, level), atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["flow", "diffusion"])
def test_training_completes_the_bright_half(name, train, val, tmp_path):
    config = {"flow": FlowConfig, "diffusion": DiffusionConfig}[name](**SMALL)
    settings = TrainingConfig(
        steps=200, batch=32, lr=4e-3, betas=(0.9, 0.99), clip=1.0, warmup=20, ema=0.98, every=200
    )
    losses: list[float] = []
    model = train_completer(
        name, train, val, training=settings, out=tmp_path / "m.safetensors", config=config,
        on_step=lambda step, loss: losses.append(loss),
    )  # fmt: skip
    assert sum(losses[-20:]) < 0.5 * sum(losses[:20])
    mask = torch.zeros(2, 1, 8, 8)
    mask[..., :4, :4] = 1  # the upper left corner tells which half is bright
    observation = Observation.of(val.scenes(slice(2)), mask)  # label 0, then label 1
    samples = model.sample(observation, 40, seed=0)[..., 4:, :]  # of what is hidden, the lower half
    left_brighter = samples[..., :4].mean((2, 3, 4)) > samples[..., 4:].mean((2, 3, 4))
    assert float(left_brighter[:, 0].float().mean()) > 0.7
    assert float(left_brighter[:, 1].float().mean()) < 0.3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": 9}, "size is 9, expected a multiple of 2"),
        ({"widths": (12,)}, r"widths is \(12,\), expected multiples of 8"),
        ({"std": 0.0}, r"std is 0\.0, expected more than 0"),
        ({"blocks": 0}, "blocks is 0, expected at least 1"),
    ],
)
def test_wrong_networks(changes, message):
    with pytest.raises(ValueError, match=message):
        UNetConfig(**{**SMALL, **changes})


def test_wrong_samplers():
    with pytest.raises(ValueError, match="steps is 0, expected at least 1"):
        FlowConfig(**SMALL, steps=0)
    with pytest.raises(ValueError, match="steps is 1, expected at least 2"):
        DiffusionConfig(**SMALL, steps=1)
    with pytest.raises(ValueError, match="lowest is 30, expected between 0 and 10"):
        DiffusionConfig(**SMALL, lowest=30)
