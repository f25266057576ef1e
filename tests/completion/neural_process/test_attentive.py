"""The Attentive Neural Process: sets of points, pixel noise, what the loss sees, what it learns."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from boed.completion.neural_process.attentive import (
    AttentiveNeuralProcess,
    NeuralProcessConfig,
    Points,
    grid,
)
from boed.data.masks import squares
from boed.data.observation import Observation
from boed.training.config import TrainingConfig
from boed.training.loop import fit


def small(**changes) -> NeuralProcessConfig:
    fields = {"size": 8, "channels": 1, "resolution": 8, "heads": 2}
    fields |= {"width": 32, "hidden": 32, "latent": 8}
    return NeuralProcessConfig(**{**fields, **changes})


def model_of(**changes) -> AttentiveNeuralProcess:
    torch.manual_seed(0)
    return AttentiveNeuralProcess(small(**changes)).eval()


def observed(batch=6, channels=1, size=8, seed=0):
    """Scenes of noise with 0, 1, 2 ... squares seen."""
    generator = torch.Generator().manual_seed(seed)
    scene = torch.rand(batch, channels, size, size, generator=generator)
    counts = torch.arange(batch) % 6
    return scene, Observation.of(scene, squares(batch, size, counts=counts, generator=generator))


def one_dull_pixel(model: AttentiveNeuralProcess, spread: float = -20.0) -> None:
    """Let every pixel be Normal(mean, floor + 0.9 softplus(spread)), whatever is seen."""
    with torch.no_grad():
        model.output.weight.zero_()
        model.output.bias.zero_()
        model.output.bias[model.config.channels :] = spread


def test_the_published_size_has_the_stated_parameters():
    with torch.device("meta"):
        model = AttentiveNeuralProcess(AttentiveNeuralProcess.PUBLISHED)
    assert sum(p.numel() for p in model.parameters()) == 11_563_526  # App. B.2


def test_places_go_row_by_row():
    place = grid(4, 2)
    assert place.shape == (16, 2 + 8)
    assert place[:, :2].tolist()[:5] == [
        [-0.75, -0.75],
        [-0.75, -0.25],
        [-0.75, 0.25],
        [-0.75, 0.75],
        [-0.25, -0.75],
    ]
    assert torch.allclose(place[:, 4:6], (place[:, :2] * torch.pi).cos(), atol=1e-6)


def test_points_are_the_seen_pixels_in_order():
    model = model_of(channels=3)
    _, observation = observed(channels=3)
    image, fraction = model.coarse(observation)
    points = model.points(image, fraction[:, 0])
    assert points.valid.shape[1] == int(observation.mask.sum((1, 2, 3)).max())
    for b in range(6):
        seen = observation.mask[b, 0] > 0
        expected = (observation.values[b][:, seen].T - 0.5) / 0.25
        assert torch.allclose(points.value[b][points.valid[b]], expected, atol=1e-6)
        assert torch.equal(points.place[b][points.valid[b]], model.places[seen.flatten()])


def test_a_coarse_pixel_is_the_mean_of_what_is_seen_of_it():
    model = model_of(size=16)
    mask = torch.zeros(1, 1, 16, 16)
    mask[..., 0, :2] = 1  # two pixels of the first block
    mask[..., 5, 4] = 1  # one of another
    values = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    image, fraction = model.coarse(Observation(values * mask, mask))
    assert fraction[0, 0, 0, 0] == 0.5
    assert fraction[0, 0, 2, 2] == 0.25
    assert fraction.sum() == 0.75
    assert torch.isclose(image[0, 0, 0, 0], (values[0, 0, 0, :2].mean() - 0.5) / 0.25)
    assert torch.isclose(image[0, 0, 2, 2], (values[0, 0, 5, 4] - 0.5) / 0.25)
    assert (image != 0).sum() == 2


def test_the_order_of_the_context_does_not_matter():
    model = model_of()
    _, observation = observed()
    image, fraction = model.coarse(observation)
    points = model.points(image, fraction[:, 0])
    order = torch.randperm(points.valid.shape[1], generator=torch.Generator().manual_seed(1))
    other = Points(points.place[:, order], points.value[:, order], points.valid[:, order])
    place = model.places.expand(6, -1, -1)
    with torch.no_grad():
        torch.testing.assert_close(model.latent(points).mean, model.latent(other).mean)
        torch.testing.assert_close(model.attended(points, place), model.attended(other, place))


def test_padding_says_nothing():
    """A scene with few seen pixels is the same beside one with many."""
    model = model_of(noise=False)
    _, observation = observed()
    seeds = list(range(6))
    together = model.draw(observation, 2, seeds)
    alone = [model.draw(observation[b : b + 1], 2, [b]) for b in range(6)]
    torch.testing.assert_close(together, torch.cat(alone, dim=1), atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [8, 16])
def test_hidden_values_have_no_influence(size):
    model = model_of(size=size)
    scene, observation = observed(size=size)
    knowing = Observation(scene, observation.mask)  # also has the values that are hidden
    assert torch.equal(model.draw(knowing, 2), model.draw(observation, 2))


def test_seen_values_have_influence():
    model = model_of(noise=False)
    scene, observation = observed()
    other = model.draw(Observation.of(1 - scene, observation.mask), 1)
    change = (other - model.draw(observation, 1)).abs().amax((0, 2, 3, 4))
    assert change[0] == 0  # nothing seen
    assert (change[observation.fraction_seen > 0] > 1e-4).all()


def test_nothing_seen_is_finite_and_has_one_posterior():
    model = model_of()
    observation = Observation.nothing(3, 1, 8)
    image, fraction = model.coarse(observation)
    context = model.points(image, fraction[:, 0])
    q = model.latent(context)
    assert not context.valid.any()
    assert torch.equal(q.mean[0], q.mean[2])
    assert (model.attended(context, model.places.expand(3, -1, -1)) == 0).all()
    assert torch.isfinite(model.draw(observation, 2)).all()


def test_gradients_are_finite_where_some_scenes_show_nothing():
    model = model_of().train()
    scene, observation = observed()
    assert observation.fraction_seen[0] == 0
    model.loss(scene, observation).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


@pytest.mark.parametrize("noise", [True, False])
def test_pixel_noise_is_in_the_samples_or_not(noise):
    model = model_of(noise=noise)
    one_dull_pixel(model)
    drawn = model.draw(Observation.nothing(2, 1, 8), 50)
    if noise:  # 6,400 draws: the deviation is known to 1 %
        assert drawn.std() == pytest.approx(0.1, rel=0.05)
    else:
        assert torch.allclose(drawn, torch.tensor(0.5))


def test_noise_leaves_the_latent_variables_as_they_are():
    model, means = model_of(), model_of(noise=False)
    with torch.no_grad():
        for each in (model, means):
            each.output.bias[1:] = -20
    _, observation = observed()
    difference = (model.draw(observation, 200) - means.draw(observation, 200)).mean(0)
    assert difference.abs().max() < 0.05  # 7 standard errors of noise 0.1


@pytest.mark.parametrize("floor", [0.1, 0.02])
def test_the_deviation_has_a_floor(floor):
    model = model_of(floor=floor)
    for spread in (-50.0, 0.0):
        one_dull_pixel(model, spread)
        place = model.places.expand(2, -1, -1)
        p = model.decode(torch.randn(2, 8), torch.randn(2, 64, 32), place)
        expected = floor + 0.9 * torch.nn.functional.softplus(torch.tensor(spread))
        torch.testing.assert_close(p.stddev, expected.expand(2, 64, 1))


@pytest.mark.parametrize("kept", [0, 16])
def test_the_likelihood_is_of_hidden_pixels(kept):
    """Pixels left out are made up for: here all say the same, so that the sum is exact."""
    model = model_of(context=kept, targets=kept)
    one_dull_pixel(model)
    _, observation = observed()
    scene = torch.full((6, 1, 8, 8), 0.7)
    likelihood, _ = model.terms(scene, Observation.of(scene, observation.mask))
    each = Normal(0.5, 0.1).log_prob(torch.tensor(0.7))
    hidden = (1 - observation.mask).sum((1, 2, 3))
    torch.testing.assert_close(likelihood, each * hidden, rtol=1e-4, atol=1e-4)


def test_with_everything_seen_the_loss_is_zero():
    model = model_of()
    scene, _ = observed()
    likelihood, rate = model.terms(scene, Observation.of(scene, torch.ones(6, 1, 8, 8)))
    assert (likelihood == 0).all()
    assert rate.abs().max() < 1e-4  # q(z | all) is q(z | seen)


def test_the_rate_is_from_all_points_to_the_context():
    """KL(q(z | all) || q(z | seen)) with all = seen and hidden, not the other way round."""
    model = model_of()
    with torch.no_grad():
        model.latent_output.weight.mul_(10)
    scene, observation = observed()
    with torch.no_grad():
        _, rate = model.terms(scene, observation)
        both = []
        for each in (Observation.of(scene, torch.ones(6, 1, 8, 8)), observation):
            image, fraction = model.coarse(each)
            both.append(model.latent(model.points(image, fraction[:, 0])))
        q, prior = both
        z = q.sample((20_000,))
        log_ratio = (q.log_prob(z) - prior.log_prob(z)).sum(2)
    error = log_ratio.std(0) / 20_000**0.5
    assert ((rate - log_ratio.mean(0)).abs() < 5 * error + 1e-3).all()
    backward = kl_divergence(prior, q).sum(1)
    assert ((rate - backward).abs() > 5 * error + 1e-3).any()


def test_large_images_are_smooth_between_the_points():
    model = model_of(size=32)
    drawn = model.draw(Observation.nothing(1, 1, 32), 1)
    assert drawn.shape == (1, 1, 1, 32, 32)
    inside = drawn[0, 0, 0, 2:-2, 2:-2].unfold(0, 4, 4).unfold(1, 4, 4)  # between four points
    slope = inside.diff(dim=3)
    assert torch.allclose(slope[..., 0], slope[..., 2], atol=1e-5)


def test_it_learns_the_halves(train, val):
    """A bright left half means a dark right one; with nothing seen, both kinds come."""
    model = model_of(frequencies=2, latent_layers=0, context=24, targets=24)
    scene = val.scenes()
    observation = Observation.of(scene, squares(64, 8, generator=torch.Generator().manual_seed(0)))
    before = model.figures(scene, observation)["val_loss"]

    def loss(step: int) -> torch.Tensor:
        scenes = train.scenes(torch.randint(len(train), (32,)))
        return model.loss(scenes, Observation.of(scenes, squares(32, 8)))

    fit(
        model,
        loss,
        TrainingConfig(steps=150, batch=32, lr=5e-3, warmup=20, betas=(0.9, 0.99), ema=0.98),
    )
    assert model.figures(scene, observation)["val_loss"] < before - 0.5
    mask = torch.zeros(2, 1, 8, 8)
    mask[..., :4] = 1
    values = torch.tensor([200, 40]).view(2, 1, 1, 1) / 255
    right = model.sample(Observation(values * mask, mask), 24)[..., 4:].mean((2, 3, 4))
    assert (right[:, 0] < 0.5).float().mean() > 0.9
    assert (right[:, 1] > 0.5).float().mean() > 0.9
    samples = model.sample(Observation.nothing(1, 1, 8), 100)[:, 0]
    brighter = samples[..., :4].mean((1, 2, 3)) - samples[..., 4:].mean((1, 2, 3))
    assert brighter.std() > 0.25  # 0.63 apart where clearly of one kind, 0.03 if z says nothing
    assert 0.2 < (brighter > 0).float().mean() < 0.8


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"resolution": 5}, "size 8 is not a multiple of resolution 5"),
        ({"heads": 3}, "width 32 is not a multiple of heads 3"),
        ({"latent": 0}, "latent is 0, expected at least 1"),
        ({"targets": -1}, "targets is -1, expected at least 0"),
        ({"floor": 0.0}, "floor is 0.0, expected more than 0"),
    ],
)
def test_wrong_configurations(change, message):
    with pytest.raises(ValueError, match=message):
        small(**change)


def test_wrong_scenes_and_sizes():
    scene, observation = observed()
    with pytest.raises(ValueError, match=r"scene is \(5, 1, 8, 8\), expected .* \(6, 1, 8, 8\)"):
        model_of().loss(scene[:5], observation)
    for size in (0, 30, 96):
        with pytest.raises(ValueError, match=f"size {size} has no preset"):
            AttentiveNeuralProcess.preset(size, 1)


def test_presets_work_at_32_px_or_less():
    for size, resolution in ((28, 28), (32, 32), (64, 32), (128, 32)):
        config, _ = AttentiveNeuralProcess.preset(size, 3)
        assert (config.size, config.channels, config.resolution) == (size, 3, resolution)
        assert replace(config, noise=False).noise is False
