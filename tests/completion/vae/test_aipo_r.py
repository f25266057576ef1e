"""AIPO-R: where it starts, its objective, what it ignores, and that it seeks a mode."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from boed.completion import VDVAE
from boed.completion.training import train_completer, train_vae
from boed.completion.vae.aipo import AIPO
from boed.completion.vae.aipo_r import AIPOR
from boed.data.masks import squares
from boed.data.observation import Observation
from boed.training.config import TrainingConfig

SETTINGS = TrainingConfig(steps=200, batch=32, lr=5e-3, warmup=20, ema=0.98, every=200)


@pytest.fixture(scope="module")
def vae(config):
    """A VAE of random weights, none of which is zero as at the start of a training."""
    torch.manual_seed(0)
    model = VDVAE(config(encoder="1x2", decoder="1x3", stem=8))
    with torch.no_grad():
        for each in model.parameters():
            each.add_(0.05 * torch.randn_like(each))
    return model.eval()


def seen(val, count=2):
    scene = val.scenes(slice(8))
    generator = torch.Generator().manual_seed(2)
    masks = squares(8, 8, counts=torch.full((8,), count), generator=generator)
    return scene, Observation.of(scene, masks)


def test_it_starts_as_the_full_encoder_that_does_not_see_the_mask(vae, val):
    """With everything seen the partial posterior is then the full one."""
    model = AIPOR.from_vae(vae)
    scene = val.scenes(slice(4))
    everything = Observation.of(scene, torch.ones(4, 1, 8, 8))
    with torch.no_grad():
        full, partial = model.vae.activations(scene), model.partial_activations(everything)
        assert all(torch.allclose(full[r], partial[r], atol=1e-5) for r in full)
        distortion, rate = model.rate_distortion(scene, everything, 0)
        assert rate.abs().max() < 1e-4
        torch.manual_seed(0)
        likelihood, _ = model.seen_rate(scene, everything)
    assert (likelihood - distortion).abs().max() < 0.2 * distortion.abs().max()  # other noise
    assert all(not p.requires_grad for p in model.vae.encoder.parameters())


def test_the_objective_is_eq_15_written_out(vae, val):
    model = AIPOR.from_vae(vae)
    scene, observation = seen(val)
    with torch.no_grad():
        torch.manual_seed(3)
        likelihood, rate = model.seen_rate(scene, observation)
        torch.manual_seed(3)
        states, expected = vae.start(8), torch.zeros(8)
        partial = model.partial_activations(observation)
        for block in model.vae.blocks:
            state = states[1]
            (p_mean, p_log), feature = block.prior_head(state)
            q_mean, q_log = block.partial_head(state, partial[1])
            q, p = Normal(q_mean, q_log.exp()), Normal(p_mean, p_log.exp())
            expected += kl_divergence(q, p).flatten(1).sum(1)
            z = q_mean + q_log.exp() * torch.randn_like(q_mean)
            states[1] = block.merge(state, feature, z)
        pixels = model.vae.pixel_parameters(states)
        each = model.vae.likelihood.log_prob(pixels, scene) * observation.mask[:, 0]
    assert torch.allclose(rate, expected, rtol=1e-4)
    assert torch.allclose(likelihood, each.sum((1, 2)), rtol=1e-4)


@pytest.mark.parametrize(("progress", "temperature"), [(0.0, 10.0), (0.25, 10**0.5), (0.5, 1.0)])
def test_the_likelihood_has_its_temperature(vae, val, progress, temperature):
    model = AIPOR.from_vae(vae)
    scene, observation = seen(val)
    with torch.no_grad():
        torch.manual_seed(1)
        likelihood, rate = model.seen_rate(scene, observation)
        torch.manual_seed(1)
        loss = model.loss(scene, observation, progress)
    expected = (rate - likelihood / temperature).mean() / 64
    assert torch.allclose(loss, expected, rtol=1e-5)


def test_hidden_pixels_do_not_matter(vae, val):
    model = AIPOR.from_vae(vae)
    scene, observation = seen(val)
    other = torch.where(observation.mask > 0, scene, 1 - scene)
    losses = []
    for each in (scene, other):
        torch.manual_seed(0)
        losses.append(float(model.loss(each, observation).detach()))
    assert losses[0] == losses[1]


@pytest.mark.slow
def test_training_lowers_the_bound_and_seeks_a_mode(config, train, val, tmp_path):
    """Where nothing tells the halves apart AIPO-R may keep to one; AIPO draws both."""
    shape = config(encoder="1x2", decoder="1x3", stem=8)
    vae = train_vae(train, val, shape, training=SETTINGS, out=tmp_path / "vae.safetensors")
    both = {}
    for name in ("aipo", "aipo-r"):
        out = tmp_path / f"{name}.safetensors"
        model = train_completer(name, train, val, training=SETTINGS, out=str(out), vae=vae)
        assert isinstance(model, AIPO)
        assert model.provenance["objective"] == f"{name}, pretrained VAE"
        samples = model.sample(Observation.nothing(1, 1, 8), 64, seed=0)[:, 0]
        left = samples[..., :4].mean((1, 2, 3)) > samples[..., 4:].mean((1, 2, 3))
        both[name] = min(float(left.float().mean()), float((~left).float().mean()))
    assert both["aipo"] > 0.2
    scene, observation = seen(val)
    before, after = AIPOR.from_vae(vae), model
    assert (
        after.figures(scene, observation)["val_seen_nats_per_dim"]
        < (before.figures(scene, observation)["val_seen_nats_per_dim"])
    )


def test_without_a_trained_vae_it_trains_jointly(train, val, config, tmp_path):
    out = tmp_path / "joint.safetensors"
    settings = TrainingConfig(steps=4, batch=8, warmup=2, every=4)
    model = train_completer("aipo-r", train, val, training=settings, out=out, config=config())
    assert type(AIPOR.load(out)) is type(model) is AIPOR
    with pytest.raises(ValueError, match="holds 'aipo-r', expected 'aipo'"):
        AIPO.load(out)
    with pytest.raises(ValueError, match="holds 'aipo-r', expected 'vdvae'"):
        VDVAE.load(out)
