"""VAEAC: its bound, its regularised prior, what the decoder reads, what it learns."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Gamma, Normal

from boed.completion.vae.vaeac import VAEAC, VAEACConfig
from boed.data.masks import squares
from boed.data.observation import Observation
from boed.training.config import TrainingConfig
from boed.training.loop import fit


def small(**changes) -> VAEACConfig:
    fields = {"size": 8, "channels": 1, "widths": (16, 32), "blocks": 1, "latent": 4}
    return VAEACConfig(**{**fields, "components": 3, **changes})


def model_of(**changes) -> VAEAC:
    torch.manual_seed(0)
    return VAEAC(small(**changes)).eval()


def observed(batch=6, channels=1, size=8, seed=0):
    """Scenes of noise with 0, 1, 2 ... squares seen."""
    generator = torch.Generator().manual_seed(seed)
    scene = torch.rand(batch, channels, size, size, generator=generator)
    counts = torch.arange(batch) % 6
    return scene, Observation.of(scene, squares(batch, size, counts=counts, generator=generator))


@pytest.fixture(scope="module")
def learnt(train) -> VAEAC:
    """Trained for some seconds on the halves."""
    model = model_of()

    def loss(step: int) -> torch.Tensor:
        scenes = train.scenes(torch.randint(len(train), (32,)))
        return model.loss(scenes, Observation.of(scenes, squares(32, 8)))

    fit(model, loss, TrainingConfig(steps=300, batch=32, lr=5e-3, warmup=20, ema=0.98))
    return model.eval()


def test_the_published_size():
    with torch.device("meta"):
        model = VAEAC(VAEAC.PUBLISHED)
    # their list of layers has 4,907,710: the 1x1 layers at z are fewer here, the 3x3 ones more
    assert sum(p.numel() for p in model.parameters()) == 4_361_754
    assert model.config.resolutions == [128, 64, 32, 16, 8, 4, 2]


def test_bound_is_the_mean_log_weight_and_below_the_importance_estimate(learnt, val):
    """Against p(hidden | z, seen) p(z | seen) / q(z | scene), written out."""
    draws, scene = 300, val.scenes(slice(6))
    _, observation = observed()
    observation = Observation.of(scene, observation.mask)
    with torch.no_grad():
        q, _ = learnt.proposal(learnt.encoder_input(scene, observation.mask))
        prior, skips = learnt.condition(observation)
        torch.manual_seed(0)
        log_weights = []
        for _ in range(draws):
            z = q.sample()
            pixels = learnt.likelihood.log_prob(learnt.decode(z, skips), scene)
            pixels = torch.where(observation.mask[:, 0] > 0, 0, pixels).sum((1, 2))
            log_weights.append(pixels + (prior.log_prob(z) - q.log_prob(z)).sum(1))
        weights = torch.stack(log_weights).double()
        bound = torch.stack([learnt.log_prob(scene, observation, s) for s in range(100)]).double()
    error = weights.std(0) / math.sqrt(draws) + bound.std(0) / 10
    assert ((bound.mean(0) - weights.mean(0)).abs() < 5 * error).all()
    assert (bound.mean(0) < weights.logsumexp(0) - math.log(draws)).all()


def test_seen_pixels_do_not_count():
    model = model_of()
    scene, observation = observed()
    distortion, rate, _ = model.terms(scene, Observation.of(scene, torch.ones(6, 1, 8, 8)), 0)
    assert (distortion == 0).all()
    assert (rate >= 0).all()
    distortion, _, _ = model.terms(scene, observation, 0)
    per_pixel = distortion / (1 - observation.mask).sum((1, 2, 3))
    assert (per_pixel < -2).all()  # nats, of noise over 256 levels


def test_the_loss_is_the_negative_bound_and_the_prior_held():
    model = model_of(sigma_mu=0.5, sigma_sigma=0.3)
    scene, observation = observed()
    torch.manual_seed(4)
    loss = model.loss(scene, observation)
    torch.manual_seed(4)
    bound = model.log_prob(scene, observation, seed=None)
    prior, _ = model.condition(observation)
    held = model.regularisation(prior)
    torch.testing.assert_close(loss, -(bound + held).mean() / 64)


def test_regularisation_is_a_normal_and_a_gamma_density():
    model = model_of(sigma_mu=2.0, sigma_sigma=0.3)
    normal, gamma = Normal(0.0, 2.0), Gamma(1.3, 0.3)

    def density(prior: Normal) -> torch.Tensor:
        return (normal.log_prob(prior.mean) + gamma.log_prob(prior.stddev)).sum(1)

    torch.manual_seed(0)
    one, two = (Normal(torch.randn(5, 4), torch.rand(5, 4) + 0.1) for _ in range(2))
    difference = model.regularisation(one) - model.regularisation(two)
    torch.testing.assert_close(difference, density(one) - density(two), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_hidden_values_have_no_influence(channels):
    model = model_of(channels=channels)
    scene, observation = observed(channels=channels)
    knowing = Observation(scene, observation.mask)  # also has the values that are hidden
    assert torch.equal(model.draw(knowing, 2), model.draw(observation, 2))


def test_the_decoder_is_told_of_the_observation():
    """The same z gives other pixels where something else was seen."""
    model = model_of()
    scene, observation = observed()
    z = torch.zeros(6, 4)
    with torch.no_grad():
        pixels = [
            model.decode(z, model.condition(each)[1])
            for each in (observation, Observation.of(1 - scene, observation.mask))
        ]
    change = (pixels[0] - pixels[1]).abs().amax((1, 2, 3))
    assert change[0] == 0  # nothing seen
    assert (change[observation.fraction_seen > 0] > 1e-4).all()


def test_samples_have_the_pixels_noise():
    """Also where z says nothing; grey levels are the likelihood's 256."""
    model = model_of()
    with torch.no_grad():
        model.decoder.head[0].weight.zero_()
    drawn = model.draw(Observation.nothing(1, 1, 8), 200)[:, 0, 0]
    assert (drawn.std(0) > 0.05).all()
    assert torch.equal(drawn, (drawn * 255).round() / 255)
    neighbours = torch.corrcoef(torch.stack([drawn[:, 3, 3], drawn[:, 3, 4]]))[0, 1]
    assert neighbours.abs() < 0.35  # 5 standard errors: nothing else ties pixels to one another


def test_samples_differ_by_z(learnt):
    with torch.no_grad():
        _, skips = learnt.condition(Observation.nothing(1, 1, 8))
        parameters = learnt.decode(3 * torch.randn(2, 4), [s.repeat(2, 1, 1, 1) for s in skips])
    assert (parameters[0] - parameters[1]).abs().max() > 0.1


def test_training_raises_the_bound(learnt, val):
    scene = val.scenes()
    observation = Observation.of(scene, squares(64, 8, generator=torch.Generator().manual_seed(0)))
    before = model_of().figures(scene, observation)["val_bits_per_dim"]
    after = learnt.figures(scene, observation)["val_bits_per_dim"]
    assert 5.3 < after < before - 1  # 41 equally likely levels are 5.36 bits


def test_it_learns_what_a_look_tells(learnt):
    """A bright left half means a dark right one, and the other way round."""
    mask = torch.zeros(2, 1, 8, 8)
    mask[..., :4] = 1
    values = torch.tensor([200, 40]).view(2, 1, 1, 1) / 255
    right = learnt.sample(Observation(values * mask, mask), 24)[..., 4:].mean((2, 3, 4))
    assert (right[:, 0] < 0.5).float().mean() > 0.9
    assert (right[:, 1] > 0.5).float().mean() > 0.9


def test_with_nothing_seen_both_kinds_come(learnt):
    samples = learnt.sample(Observation.nothing(1, 1, 8), 100)[:, 0]
    brighter = samples[..., :4].mean((1, 2, 3)) - samples[..., 4:].mean((1, 2, 3))
    assert (brighter.abs() > 0.3).float().mean() > 0.7  # 0.63 apart where clearly of one kind
    assert 0.2 < (brighter > 0).float().mean() < 0.8


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"widths": ()}, r"widths is \(\), expected one positive width"),
        ({"widths": (8,) * 5}, "size 8 with stem 1 cannot be halved 4 times, as 5 widths"),
        ({"stem": 3}, "size 8 with stem 3 cannot be halved"),
        ({"blocks": 0}, "blocks is 0, expected at least 1"),
        ({"sigma_mu": 0.0}, "sigma_mu is 0.0, expected more than 0"),
    ],
)
def test_wrong_configurations(change, message):
    with pytest.raises(ValueError, match=message):
        small(**change)


def test_wrong_scenes_and_sizes():
    scene, observation = observed()
    model = model_of()
    with pytest.raises(ValueError, match=r"scene is \(5, 1, 8, 8\), expected .* \(6, 1, 8, 8\)"):
        model.log_prob(scene[:5], observation)
    with pytest.raises(ValueError, match="scene has 384 NaN or infinite pixels"):
        model.log_prob(scene * math.nan, observation)
    for size in (0, 30, 96):
        with pytest.raises(ValueError, match=f"size {size} has no preset"):
            VAEAC.preset(size, 1)


def test_widths_may_come_as_a_list():
    assert small(widths=[16, 32]) == small()
