"""AIPO: seen pixels kept, samples that belong to their scene, a bound, and what it learns."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Normal

from boed.completion import AIPO, VDVAE, Completer
from boed.completion.training import train_completer
from boed.completion.vae.vdvae import draw
from boed.data.masks import squares
from boed.data.observation import Observation
from boed.foundation.files import load_weights, save_weights
from boed.training.config import TrainingConfig


@pytest.fixture
def untrained(config):
    torch.manual_seed(0)
    return AIPO(VDVAE(config())).eval()


def observed(batch=5, channels=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    scene = torch.rand(batch, channels, 8, 8, generator=generator)
    return scene, Observation.of(scene, squares(batch, 8, generator=generator))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("n", [1, 12])
def test_samples_keep_every_seen_pixel_exactly(config, channels, n):
    torch.manual_seed(1)
    model = AIPO(VDVAE(config(channels=channels)))
    scene, observation = observed(channels=channels)
    samples = model.sample(observation, n)
    assert samples.shape == (n, 5, channels, 8, 8)
    seen = (observation.mask > 0).expand(n, 5, channels, 8, 8)
    assert torch.equal(samples[seen], scene.expand_as(samples)[seen])
    assert 0 <= samples.min() <= samples.max() <= 1
    hidden = samples[~seen]
    assert torch.equal(hidden, (hidden * 255).round() / 255)


def test_with_everything_seen_samples_are_the_scene(untrained):
    scene, _ = observed()
    samples = untrained.sample(Observation.of(scene, torch.ones(5, 1, 8, 8)), 3)
    assert torch.equal(samples, scene.expand(3, -1, -1, -1, -1))


def test_with_nothing_seen_samples_differ_from_one_another(untrained):
    samples = untrained.sample(Observation.nothing(2, 1, 8), 4).flatten(0, 1)
    assert torch.pdist(samples.flatten(1)).min() > 0.1


def test_heads_far_outside_of_their_training_make_no_pixel_nan(config):
    """As after a rare draw: a log deviation of 1,000 from which nothing finite comes."""
    torch.manual_seed(0)
    model = AIPO(VDVAE(config()))
    for block in model.vae.blocks:
        for head in (block.prior, block.partial):
            torch.nn.init.constant_(head.layers[-1].bias, 1_000.0)
    samples = model.sample(observed()[1], 4)
    assert samples.isfinite().all()
    assert model.vae.sample(4).isfinite().all()


def test_a_scene_s_samples_do_not_depend_on_its_batch(brief):
    model = brief[0]
    _, observation = observed(9)
    seeds = list(range(100, 109))
    together = model.sample(observation, 6, seeds)
    assert torch.equal(together, model.sample(observation, 6, seeds))
    alone = [model.sample(observation[b : b + 1], 6, seeds[b : b + 1]) for b in range(9)]
    parts = [model.sample(observation[p], 6, seeds[p]) for p in (slice(0, 4), slice(4, 9))]
    for other in (torch.cat(alone, dim=1), torch.cat(parts, dim=1)):
        # sums in another order may tip a pixel over to the next grey level, very rarely
        assert (together != other).float().mean() < 1e-3
        assert (together - other).abs().max() < 1.5 / 255
    assert not torch.equal(together, model.sample(observation, 6, [s + 1 for s in seeds]))


def test_one_seed_for_a_batch_gives_its_scenes_different_noise(untrained):
    first, second = untrained.sample(Observation.nothing(2, 1, 8), 1, seed=5)[0]
    assert not torch.equal(first, second)


def test_bound_is_the_mean_log_weight_and_below_the_importance_estimate(brief, val):
    """Against log p(scene | z) c(z | observation) / q(z | scene), written out (Eq. 10)."""
    model, draws = brief[0], 300
    scene = val.scenes(slice(4))
    masks = squares(4, 8, generator=torch.Generator().manual_seed(2))
    observation = Observation.of(scene, masks)
    vae = model.vae
    with torch.no_grad():
        many = scene.repeat(draws, 1, 1, 1)
        full, states = vae.activations(many), vae.start(len(many))
        partial = model.partial_activations(observation.repeat(draws))
        log_weight = torch.zeros(len(many))
        torch.manual_seed(0)
        for level, block in enumerate(vae.blocks):
            resolution = vae.decoder_blocks[level].resolution
            state = vae.mixed(states, level)
            _, feature = block.prior_head(state)
            q_mean, q_log = block.posterior_head(state, full[resolution])
            c_mean, c_log = block.partial_head(state, partial[resolution])
            q, c = Normal(q_mean, q_log.exp()), Normal(c_mean, c_log.exp())
            z = q.sample()
            log_weight += (c.log_prob(z) - q.log_prob(z)).flatten(1).sum(1)
            states[resolution] = block.merge(state, feature, z)
        log_weight += vae.likelihood.log_prob(vae.pixel_parameters(states), many).sum((1, 2))
        weights = log_weight.view(draws, 4).double()
        bound = torch.stack([model.log_prob(scene, observation, s) for s in range(100)]).double()
    error = weights.std(0) / math.sqrt(draws) + bound.std(0) / 10
    assert ((bound.mean(0) - weights.mean(0)).abs() < 5 * error).all()
    assert (bound.mean(0) < weights.logsumexp(0) - math.log(draws)).all()


@pytest.mark.parametrize("couplings", [0, 2])
@pytest.mark.parametrize("widths", ["", "8:6,1:10"])
def test_heads_together_are_the_heads_one_by_one(config, widths, couplings):
    """Bound and gradients of the fused convolutions against one head after the other."""
    torch.manual_seed(5)
    model = AIPO(VDVAE(config(widths=widths, couplings=couplings)))
    with torch.no_grad():  # priors begin at zero
        for each in model.parameters():
            each.add_(0.1 * torch.randn_like(each))
    scene, observation = observed()
    vae = model.vae
    full, partial = vae.activations(scene), model.partial_activations(observation)
    states, rate = vae.start(len(scene)), torch.zeros(len(scene))
    torch.manual_seed(7)
    for level, block in enumerate(vae.blocks):
        resolution = vae.decoder_blocks[level].resolution
        state = vae.mixed(states, level)
        _, feature = block.prior_head(state)
        q = block.posterior_head(state, full[resolution])
        z = draw(q, None)
        rate = rate + model._rate(block, q, z, block.partial_head(state, partial[resolution]))
        states[resolution] = block.merge(state, feature, z)
    distortion = vae.likelihood.log_prob(vae.pixel_parameters(states), scene).sum((1, 2))
    torch.manual_seed(7)
    together = model.rate_distortion(scene, observation, seed=None)
    assert torch.allclose(torch.stack(together), torch.stack([distortion, rate]), rtol=1e-4)
    parameters = [p for name, p in model.named_parameters() if "couplings" not in name]
    gradients = [
        torch.autograd.grad((one - other).sum(), parameters, materialize_grads=True)
        for one, other in (together, (distortion, rate))
    ]
    for fused, plain in zip(*gradients, strict=True):
        assert (fused - plain).norm() <= 1e-4 * plain.norm() + 1e-4


@pytest.mark.slow
def test_training_raises_the_bound(trained, config, val):
    torch.manual_seed(0)
    untrained = AIPO(VDVAE(config()))
    scene = val.scenes()
    observation = Observation.of(scene, squares(64, 8, generator=torch.Generator().manual_seed(0)))
    with torch.no_grad():
        before = untrained.log_prob(scene, observation).mean()
        after = trained[0].log_prob(scene, observation).mean()
    assert after > before + 64  # more than a nat for each pixel


@pytest.mark.slow
def test_the_rate_falls_with_what_is_seen(trained, val):
    scene = val.scenes()
    with torch.no_grad():
        rates = [
            trained[0].rate_distortion(scene, observation, 0)[1].mean()
            for observation in (
                Observation.of(scene, torch.ones(64, 1, 8, 8)),
                Observation.nothing(64, 1, 8),
            )
        ]
    assert rates[0] < rates[1] - 0.3  # which half is bright is one bit, 0.69 nats


@pytest.mark.slow
def test_it_learns_what_a_look_tells(trained):
    """A bright left half means a dark right one, and the other way round."""
    model = trained[0]
    mask = torch.zeros(2, 1, 8, 8)
    mask[..., :4] = 1
    values = torch.tensor([200, 40]).view(2, 1, 1, 1) / 255
    samples = model.sample(Observation(values * mask, mask), 24)
    right = samples[..., 4:].mean((2, 3, 4))
    assert (right[:, 0] < 0.5).float().mean() > 0.9
    assert (right[:, 1] > 0.5).float().mean() > 0.9


@pytest.mark.slow
def test_with_nothing_seen_both_kinds_come(train, val, config, tmp_path):
    """A model whose latent variables are all global draws whole images of either kind."""
    model = train_completer(
        "aipo",
        train,
        val,
        training=TrainingConfig(steps=300, batch=32, lr=5e-3, warmup=20, ema=0.98, every=300),
        out=tmp_path / "whole.safetensors",
        config=config(encoder="1x2", decoder="1x3", stem=8, width=48),
    )
    samples = model.sample(Observation.nothing(1, 1, 8), 200)[:, 0]
    brighter = samples[..., :4].mean((1, 2, 3)) - samples[..., 4:].mean((1, 2, 3))
    assert (brighter.abs() > 0.3).float().mean() > 0.7  # 0.63 apart where clearly of one kind
    assert 0.3 < (brighter > 0).float().mean() < 0.7


def test_frozen_training_leaves_the_vae_as_it_is(config):
    torch.manual_seed(0)
    vae = VDVAE(config())
    model = AIPO.from_vae(vae)
    names = {name for name, p in model.named_parameters() if p.requires_grad}
    assert names
    assert all(name.startswith("partial_encoder.") or ".partial." in name for name in names)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.01)
    scene, observation = observed()
    loss = model.loss(scene, observation)
    loss.backward()
    optimiser.step()
    for name, p in model.named_parameters():
        assert torch.equal(p, before[name]) == (name not in names), name
    assert all(block.partial is None for block in vae.blocks)  # the given one is untouched
    torch.manual_seed(9)
    expected = model.rate_distortion(scene, observation, None)[1].mean() / 64
    torch.manual_seed(9)
    assert torch.equal(model.loss(scene, observation), expected)


def test_joint_loss_is_the_negative_bound_per_dimension(untrained):
    scene, observation = observed()
    torch.manual_seed(4)
    loss = untrained.loss(scene, observation)
    torch.manual_seed(4)
    bound = untrained.log_prob(scene, observation, seed=None)
    assert torch.allclose(loss, -bound.mean() / 64, rtol=1e-6)


def test_a_saved_model_gives_the_same_samples(brief):
    model, path = brief
    again = AIPO.load(path)
    assert again.config == model.config
    assert again.provenance["data"]["name"] == "halves"
    _, observation = observed()
    assert torch.equal(again.sample(observation, 3), model.sample(observation, 3))


def test_wrong_inputs(untrained):
    scene, observation = observed()
    for wrong in (
        Observation.nothing(2, 1, 16),
        Observation.nothing(2, 3, 8),
        Observation(torch.zeros(2, 1, 16, 8), torch.zeros(2, 1, 16, 8)),
    ):
        with pytest.raises(ValueError, match="completer aipo is for 1 channels of 8 pixels"):
            untrained.sample(wrong, 1)
    with pytest.raises(ValueError, match="n is 0, expected at least 1"):
        untrained.sample(observation, 0)
    with pytest.raises(ValueError, match="seed has 2 entries for a batch of 5 scenes"):
        untrained.sample(observation, 1, [1, 2])
    with pytest.raises(ValueError, match="observation has 320 NaN or infinite pixels"):
        untrained.sample(Observation(observation.values * math.nan, observation.mask), 1)
    with pytest.raises(ValueError, match="2 scenes but 5 observations"):
        untrained.log_prob(scene[:2], observation)
    with pytest.raises(ValueError, match=r"scene is \(5, 1, 4, 4\); this model was made for"):
        untrained.log_prob(torch.rand(5, 1, 4, 4), observation)
    with pytest.raises(ValueError, match="scene has 320 NaN or infinite pixels"):
        untrained.log_prob(scene * math.nan, observation)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "vdvae"}, "holds 'vdvae', expected 'aipo'"),
        ({"config": {"size": 8}}, "does not fit its configuration"),
        ({"config": None}, "does not fit its configuration"),
        ({"width": 8}, "does not fit its configuration"),
        ({"depth": 3}, "does not fit its configuration"),
        ({"encoder": "rubbish"}, "does not fit its configuration: encoder 'rubbish'"),
    ],
)
def test_wrong_checkpoints(brief, tmp_path, change, message):
    tensors, header = load_weights(brief[1])
    if set(change) <= {"kind", "config"}:
        header |= change
    else:
        header["config"] |= change
    path = tmp_path / "wrong.safetensors"
    save_weights(path, tensors, header)
    with pytest.raises(ValueError, match=rf"checkpoint .*wrong.safetensors {message}"):
        AIPO.load(path)


def test_a_checkpoint_without_configuration_or_not_there(tmp_path):
    path = tmp_path / "bare.safetensors"
    save_weights(path, {"a": torch.zeros(1)}, {"kind": "aipo"})
    with pytest.raises(ValueError, match=r"bare\.safetensors does not fit its configuration"):
        AIPO.load(path)
    with pytest.raises(ValueError, match="does not exist"):
        AIPO.load(tmp_path / "missing.safetensors")


def test_it_is_a_completer(untrained):
    assert isinstance(untrained, Completer)
