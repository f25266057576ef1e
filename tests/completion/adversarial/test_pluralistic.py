"""PIC: its priors, paths and attention, losses that stay apart, and what it learns."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from boed.completion.adversarial.attention import ShortLongAttention, ShortTermAttention
from boed.completion.adversarial.pluralistic import Pluralistic
from boed.completion.adversarial.pluralistic_networks import Clamp, PluralisticConfig
from boed.data.masks import squares
from boed.data.observation import Observation
from boed.training.config import TrainingConfig
from boed.training.loop import fit


def tiny(**changes) -> Pluralistic:
    torch.manual_seed(0)
    fields = {
        "size": 8,
        "channels": 1,
        "width": 16,
        "most": 16,
        "critic": 8,
        "levels": 1,
        "latent": 4,
        "inference": 1,
        "scales": 1,
        "attention": 0,
        "divergence": 1.0,
    }
    return Pluralistic(PluralisticConfig(**{**fields, **changes}))


def observed(batch=6, size=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    scene = torch.rand(batch, 1, size, size, generator=generator)
    counts = torch.arange(batch) % 3 + 1
    return scene, Observation.of(scene, squares(batch, size, counts=counts, generator=generator))


def test_the_published_network_has_the_published_parameters_but_for_what_is_said():
    model = Pluralistic(Pluralistic.PUBLISHED)  # meta tensors take longer
    count = sum(p.numel() for p in model.parameters())
    # each discriminator's attention has a long-term branch there that nothing calls
    unused = ShortLongAttention(128, 128)
    branch = sum(p.numel() for p in unused.merge.parameters()) + unused.alpha.numel()
    mask = 32 * (3 * 3 + 1)  # of the first layer and its shortcut
    assert count == 9_128_390 - 2 * branch + mask


@torch.no_grad()
def test_the_published_network_has_an_image_for_each_of_four_scales():
    model = Pluralistic(Pluralistic.PUBLISHED).eval()
    observation = Observation.nothing(1, 3, 256)
    features = model.seen_features(observation)
    images = model.generator(torch.zeros(1, 128, 8, 8), features, observation.mask)
    assert [image.shape[-1] for image in images] == [32, 64, 128, 256]
    assert model.discriminator(images[-1]).shape == (1, 1, 6, 6)


def test_the_fixed_prior_widens_with_the_fraction_hidden():
    model = tiny()
    seen = torch.tensor([0, 16, 32, 48, 64])
    mask = (torch.arange(64) < seen[:, None]).float().view(5, 1, 8, 8)
    observation = Observation.of(torch.rand(5, 1, 8, 8), mask)
    like = Normal(torch.zeros(5, 4, 4, 4), torch.ones(5, 4, 4, 4))
    width = model.fixed_prior(observation, like).scale[:, 0, 0, 0]
    expected = 1 / (1 + torch.exp(8 * (seen / 64 - 0.8)))
    torch.testing.assert_close(width, expected)
    assert (width.diff() < 0).all()


def test_divergences_have_their_published_directions():
    model = tiny()
    scene, observation = observed()
    paths = model.paths(scene, observation)
    fixed = model.fixed_prior(observation, paths.posterior)
    expected = (kl_divergence(fixed, paths.posterior), kl_divergence(paths.posterior, paths.prior))
    for found, each in zip(model.divergences(paths, observation), expected, strict=True):
        torch.testing.assert_close(found, each.mean())


def test_the_posterior_is_not_drawn_to_the_prior():
    model = tiny()
    scene, observation = observed()
    model.divergences(model.paths(scene, observation), observation)[1].backward()
    gradients = [p.grad for p in model.encoder.posterior.parameters()]
    assert all(gradient is None or not gradient.any() for gradient in gradients)
    assert any(p.grad is not None and p.grad.any() for p in model.encoder.prior.parameters())


def test_the_posterior_sees_the_hidden_part_alone_and_the_prior_the_seen_part():
    model = tiny().eval()
    scene, observation = observed()
    altered = scene.where(observation.mask > 0, 1 - scene)  # what is hidden differs
    first, second = model.paths(scene, observation), model.paths(altered, observation)
    assert torch.equal(first.prior.loc, second.prior.loc)
    assert not torch.equal(first.posterior.loc, second.posterior.loc)
    altered = scene.where(observation.mask == 0, 1 - scene)  # what is seen differs
    other = Observation.of(altered, observation.mask)
    third = model.paths(altered, other)
    assert torch.equal(first.posterior.loc, third.posterior.loc)
    assert not torch.equal(first.prior.loc, third.prior.loc)


@pytest.mark.parametrize("hidden", [True, False])
def test_generated_images_answer_for_seen_pixels_alone(hidden):
    model = tiny(divergence=0.0).eval()
    scene, observation = observed()
    mask = torch.full_like(observation.mask, 0.0 if hidden else 1.0)
    torch.manual_seed(1)
    generator, _ = model.losses(scene, Observation.of(scene, mask))
    generator.backward()
    torch.manual_seed(1)
    paths = model.paths(scene, Observation.of(scene, mask))
    rec, gen = (
        (each[-1] - (2 * scene - 1)).abs().mean() for each in (paths.reconstructed, paths.generated)
    )
    without = generator - model.config.reconstruction * (rec + (0 if hidden else gen))
    with torch.no_grad():  # what is left are the two adversarial terms
        judged = ((model.discriminator(paths.generated[-1]) - 1) ** 2).mean()
        scores = [model.discriminator_rec(x) for x in (paths.reconstructed[-1], 2 * scene - 1)]
        matched = ((scores[0] - scores[1]) ** 2).mean()
    torch.testing.assert_close(without, judged + matched, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("which", "own"), [(0, False), (1, True)])
def test_each_loss_moves_its_own_networks_alone(which, own):
    model = tiny().train()
    model.losses(*observed())[which].backward()
    for name in ("encoder", "generator", "discriminator", "discriminator_rec"):
        gradients = [p.grad for p in getattr(model, name).parameters() if p.grad is not None]
        moved = any(bool(gradient.any()) for gradient in gradients)
        assert moved == (name.startswith("discriminator") == own), name


def test_attention_starts_at_zero_weight():
    torch.manual_seed(0)
    x, encoded = torch.randn(2, 16, 4, 4), torch.randn(2, 8, 4, 4)
    mask = (torch.rand(2, 1, 4, 4) > 0.5).float()
    short = ShortTermAttention(16)
    assert torch.equal(short(x), x)
    both = ShortLongAttention(16, 8).eval()
    expected = both.merge(torch.cat([x, mask * encoded], dim=1))
    torch.testing.assert_close(both(x, encoded, mask), expected)
    both.alpha.data.fill_(1.0)
    assert (both(x, encoded, mask) - expected).abs().max() > 0.01


def test_attention_copies_what_stands_where_the_decoder_is_alike():
    attention = ShortLongAttention(4, 3)
    with torch.no_grad():
        attention.query.weight.fill_(10.0)
    x = torch.zeros(1, 4, 2, 2)
    x[..., 0, :] = 1.0
    x[..., 1, :] = -1.0
    values = torch.arange(4.0).view(1, 1, 2, 2).expand(1, 3, 2, 2)
    found = attention.attend(x, values)  # each row of the map looks alike
    torch.testing.assert_close(found[0, 0], torch.tensor([[0.5, 0.5], [2.5, 2.5]]))


def test_clamped_pixels_can_come_back():
    x = torch.tensor([-2.0, -2.0, 0.5, 2.0, 2.0], requires_grad=True)
    out = Clamp.apply(x)
    out.backward(torch.tensor([1.0, -1.0, 1.0, 1.0, -1.0]))
    assert torch.equal(out, torch.tensor([-1.0, -1.0, 0.5, 1.0, 1.0]))
    assert torch.equal(x.grad, torch.tensor([0.0, -1.0, 1.0, 1.0, 0.0]))


def test_samples_differ_by_seed_and_leave_the_model_as_it_was():
    model = tiny().train()
    _, observation = observed()
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    first, again, other = (model.sample(observation, 3, seed=s) for s in (0, 0, 1))
    assert torch.equal(first, again)
    hidden = (observation.mask == 0).expand_as(first[0])
    for one, two in ((first[0], first[1]), (first[0], other[0])):
        assert ((one - two).abs()[hidden] > 1e-4).float().mean() > 0.9
    assert model.training
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())


@pytest.mark.slow
def test_training_finds_the_brighter_half(train, val):
    model = tiny(mean=0.47, std=0.32).train()
    settings = TrainingConfig(
        steps=80, batch=32, lr=5e-3, warmup=10, weight_decay=0.0, betas=(0.5, 0.999), ema=0.95
    )
    scenes = val.scenes()
    mask = torch.zeros(len(val), 1, 8, 8)
    mask[..., 2:5, 1:4] = 1  # the left half is seen in part
    observation = Observation.of(scenes, mask)
    before = model.figures(scenes, observation)

    def loss(step: int) -> torch.Tensor:
        batch = train.scenes(torch.randint(len(train), (32,)))
        return model.loss(batch, Observation.of(batch, squares(32, 8)))

    fit(model, loss, settings)
    after = model.figures(scenes, observation)
    assert after["val_loss"] < before["val_loss"] / 2
    assert after["val_l1_reconstructed"] < 0.1  # halves differ by 0.63
    assert after["val_discriminator_loss"] < 1.0  # of two that give 0.5 to everything: 0.5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"levels": 2}, "cannot be halved 2 times"),
        ({"attention": 1}, "attention is 1"),
        ({"scales": 2}, "scales 2"),
        ({"critic": 3}, "critic is 3"),
        ({"width": 32}, "width is 32"),
        ({"latent": 0}, "latent is 0"),
        ({"std": 0.0}, "std is 0.0"),
    ],
)
def test_configurations_that_make_no_sense_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        tiny(**changes)


@pytest.mark.parametrize("size", [30, 48, 65])
def test_sizes_without_preset_are_refused(size):
    with pytest.raises(ValueError, match=f"size {size} has no preset"):
        Pluralistic.preset(size, 1)
