"""The VD-VAE: its bound against importance sampling, its start, sampling, sizes, errors."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from boed.completion import AIPO, VDVAE, VDVAEConfig
from boed.completion.vae import vdvae as module


def importance_weights(vae, scene, draws, seed=0):
    """log p(scene | z) p(z) / q(z | scene), `draws` z for each scene: `[draws, B]`, written out."""
    torch.manual_seed(seed)
    batch = len(scene)
    scenes = scene.repeat(draws, 1, 1, 1)
    activations, states = vae.activations(scenes), vae.start(len(scenes))
    total = torch.zeros(len(scenes))
    for level, block in enumerate(vae.blocks):
        resolution = vae.decoder_blocks[level].resolution
        state = vae.mixed(states, level)
        (p_mean, p_log), feature = block.prior_head(state)
        q_mean, q_log = block.posterior_head(state, activations[resolution])
        p, q = Normal(p_mean, p_log.exp()), Normal(q_mean, q_log.exp())
        z = q.sample()
        total += (p.log_prob(z) - q.log_prob(z)).flatten(1).sum(1)
        states[resolution] = block.merge(state, feature, z)
    likelihood = vae.likelihood.log_prob(vae.pixel_parameters(states), scenes)
    return (total + likelihood.flatten(1).sum(1)).view(draws, batch)


@pytest.fixture
def perturbed(config):
    """An untrained model whose prior is not at zero any more."""
    torch.manual_seed(3)
    vae = VDVAE(config(components=2))
    with torch.no_grad():
        for block in vae.blocks:
            block.prior.layers[-1].weight.normal_(0, 0.1)
    return vae.eval()


def test_bound_is_the_mean_log_weight_and_below_the_importance_estimate(perturbed):
    scene = torch.rand(3, 1, 8, 8).mul(255).round() / 255
    with torch.no_grad():
        weights = importance_weights(perturbed, scene, 400).double()
        bound = torch.stack([perturbed.elbo(scene, seed) for seed in range(60)]).double()
        estimate = weights.logsumexp(0) - math.log(400)
    error = (weights.std(0) / 20 + bound.std(0) / 60**0.5).clamp(min=1e-3)
    assert ((bound.mean(0) - weights.mean(0)).abs() < 5 * error).all()
    assert (bound.mean(0) < estimate).all()


def test_kl_matches_torch_distributions():
    torch.manual_seed(0)
    q, p = ((torch.randn(4, 3, 2, 2), torch.randn(4, 3, 2, 2)) for _ in range(2))
    expected = kl_divergence(Normal(q[0], q[1].exp()), Normal(p[0], p[1].exp())).flatten(1).sum(1)
    assert torch.allclose(module.kl_divergence(q, p), expected, rtol=1e-5)
    assert module.kl_divergence(q, q).abs().max() < 1e-5


def test_the_prior_starts_as_a_standard_normal_without_residual(config):
    vae = VDVAE(config())
    for block, described in zip(vae.blocks, vae.decoder_blocks, strict=True):
        state = torch.randn(2, 16, described.resolution, described.resolution)
        (mean, log_std), feature = block.prior_head(state)
        assert mean.abs().max() == log_std.abs().max() == feature.abs().max() == 0


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("stem", [1, 2])
@pytest.mark.parametrize("name", ["logistics", "bernoulli"])
def test_shapes(config, channels, stem, name):
    strings = {"encoder": "4x1,4d4,1x1", "decoder": "1x1,4m1"} if stem == 2 else {}
    vae = VDVAE(config(channels=channels, stem=stem, likelihood=name, **strings))
    scene = (torch.rand(2, channels, 8, 8) > 0.5).float()
    bound = vae.elbo(scene)
    assert bound.shape == (2,)
    (-bound.mean()).backward()
    used = [p.grad for p in vae.parameters()]
    assert all(g is not None and torch.isfinite(g).all() for g in used)
    images = vae.sample(3, seed=1)
    assert images.shape == (3, channels, 8, 8)
    levels = 1 if name == "bernoulli" else 255
    assert torch.equal(images, (images * levels).round() / levels)
    assert 0 <= images.min() <= images.max() <= 1
    assert vae.dimensions == channels * 64


def test_28_pixels_by_way_of_14_and_7(config):
    vae = VDVAE(
        config(size=28, encoder="28d2,14d2,7d7,1", decoder="1,7m1,14m7,28m14", width=4, latent=2)
    )
    assert vae.elbo(torch.rand(1, 1, 28, 28)).isfinite().all()
    assert vae.sample(1).shape == (1, 1, 28, 28)


def test_widths_per_resolution_and_no_bias_above_64(config):
    with torch.device("meta"):
        vae = VDVAE(
            config(size=128, encoder="128d2,64d64,1", decoder="1,64m1,128m64", widths="128:4,1:8")
        )
    assert vae.widths == {1: 8, 64: 16, 128: 4}
    assert set(vae.biases) == {"1", "64"}
    small = VDVAE(config(widths="8:4,1:32"))
    assert small.elbo(torch.rand(2, 1, 8, 8)).isfinite().all()


def test_samples_are_the_seed_s_alone(perturbed):
    images = perturbed.sample(4, seed=7)
    assert torch.equal(images, perturbed.sample(4, seed=7))
    assert torch.equal(images[:2], perturbed.sample(2, seed=7))
    assert not torch.equal(images, perturbed.sample(4, seed=8))
    scene = torch.rand(2, 1, 8, 8)
    with torch.no_grad():
        assert torch.equal(perturbed.elbo(scene, seed=1), perturbed.elbo(scene, seed=1))
        assert not torch.equal(perturbed.elbo(scene, seed=1), perturbed.elbo(scene, seed=2))


def test_the_paper_s_cifar10_model_has_its_number_of_parameters():
    with torch.device("meta"):
        vae = VDVAE(
            VDVAEConfig(
                size=32,
                channels=3,
                encoder="32x11,32d2,16x6,16d2,8x6,8d2,4x3,4d4,1x3",
                decoder="1x1,4m1,4x2,8m4,8x5,16m8,16x10,32m16,32x21",
            )
        )
        unconditional = sum(p.numel() for p in vae.parameters())
        partial = sum(p.numel() for p in AIPO(vae).parameters()) - unconditional
    assert round(unconditional / 1e6) == 39  # Harvey et al. 2021, App. B.1
    assert round(partial / 1e6) == 18


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stem": 3}, "size 8 is not a multiple of stem 3"),
        ({"stem": 2}, "encoder works at resolution 8, expected size / stem = 8 / 2 = 4"),
        ({"decoder": "1x1,4m1"}, "decoder works at resolution 4, expected size / stem"),
        ({"decoder": "2x1,8m2"}, r"decoder resolutions \[2\] never occur in the encoder"),
        ({"widths": "16:4"}, r"widths names resolutions \[16\]; there are \[1, 4, 8\]"),
        ({"likelihood": "gauss"}, "likelihood is 'gauss'"),
        ({"std": 0.0}, "std is 0.0, expected more than 0"),
        ({"std": math.nan}, "std is nan, expected more than 0"),
        ({"bottleneck": 0.0}, "bottleneck is 0.0, expected more than 0"),
        ({"latent": 0}, "latent is 0, expected at least 1"),
        ({"stem": 0}, "stem is 0, expected at least 1"),
    ],
)
def test_configurations_that_do_not_fit(config, changes, message):
    with pytest.raises(ValueError, match=message):
        VDVAE(config(**changes))


def test_wrong_scenes_and_numbers(perturbed):
    with pytest.raises(ValueError, match=r"scene is \(2, 1, 16, 16\); this model was made for"):
        perturbed.elbo(torch.rand(2, 1, 16, 16))
    with pytest.raises(ValueError, match=r"scene is \(2, 3, 8, 8\); this model was made for"):
        perturbed.elbo(torch.rand(2, 3, 8, 8))
    with pytest.raises(ValueError, match="scene has 64 NaN or infinite pixels"):
        perturbed.elbo(torch.full((1, 1, 8, 8), math.nan))
    with pytest.raises(ValueError, match="n is 0, expected at least 1"):
        perturbed.sample(0)
