"""Latent posteriors against a VAE whose posterior is known: both samplers must agree with it."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from boed.completion import VDVAE
from boed.completion.vae.latent import LatentPosterior
from boed.data.observation import Observation


class TwoKinds(nn.Module):
    """Stands for a VAE: one number z; the image is dark where z < 0, bright where z > 0.

    Pixels are Bernoulli with probability sigmoid(3 z), so that p(z | k bright of m seen pixels)
    is one integral away.
    """

    latent_shapes = ((1, 1, 1),)

    def __init__(self, config) -> None:
        super().__init__()
        from boed.completion.vae.likelihoods import likelihood

        self.config = config
        self.gain = nn.Parameter(torch.ones(1))
        self.likelihood = likelihood("bernoulli", 1)
        self.provenance = {}

    def decode(self, noise):
        return (3 * noise[0]).expand(-1, 1, 8, 8)

    def check_scene(self, scene):
        VDVAE.check_scene(self, scene)


def posterior_mean_of_z(bright: int, seen: int) -> float:
    z = torch.linspace(-6, 6, 20001, dtype=torch.float64)
    log = -(z**2) / 2 + bright * nn.functional.logsigmoid(3 * z)
    log = log + (seen - bright) * nn.functional.logsigmoid(-3 * z)
    weight = (log - log.max()).exp()
    return float((weight * (3 * z).sigmoid()).sum() / weight.sum())


def observation(bright: int, seen: int) -> Observation:
    values, mask = torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 8, 8)
    mask.view(-1)[:seen] = 1
    values.view(-1)[:bright] = 1
    return Observation(values, mask)


@pytest.mark.parametrize(
    ("method", "bright", "seen"),
    [
        ("importance", 0, 0),
        ("importance", 2, 3),
        ("nuts", 2, 3),
        pytest.param("nuts", 0, 0, marks=pytest.mark.slow),
    ],
)
def test_the_posterior_is_that_of_the_model(config, method, bright, seen):
    n = 400 if method == "importance" else 120
    model = LatentPosterior(TwoKinds(config()), method, particles=4000, warmup=60, thinning=2)
    drawn = model.draw(observation(bright, seen), n, seed=3)
    found = float(drawn.mean())
    expected = posterior_mean_of_z(bright, seen)
    # a draw's mean pixel varies by at most 0.5; NUTS's are correlated
    assert abs(found - expected) < 4 * 0.5 / math.sqrt(n / 2)


def test_more_seen_leaves_fewer_particles(config):
    model = LatentPosterior(TwoKinds(config()), particles=2000)
    sizes = [float(model.effective_sample_size(observation(k, k))[0]) for k in (0, 2, 20)]
    assert sizes[0] == pytest.approx(2000)
    assert sizes[0] > sizes[1] > sizes[2] >= 1


def test_the_memory_bound_changes_nothing(config):
    torch.manual_seed(0)
    vae = VDVAE(config(encoder="1x1", decoder="1x2", stem=8))
    given = observation(2, 3)
    whole = LatentPosterior(vae, particles=500).draw(given, 3, seed=1)
    assert torch.equal(whole, LatentPosterior(vae, particles=500, memory=1).draw(given, 3, seed=1))


def test_wrong_settings(config):
    vae = VDVAE(config())
    with pytest.raises(ValueError, match="method is 'hmc', expected one of importance, nuts"):
        LatentPosterior(vae, "hmc")
    for name in ("particles", "warmup", "thinning", "memory"):
        with pytest.raises(ValueError, match=f"{name} is 0, expected at least 1"):
            LatentPosterior(vae, **{name: 0})
