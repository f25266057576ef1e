"""Neural Processes: sets of points, pixel noise, what the loss sees, what they learn."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from boed.completion.neural_process.attentive import AttentiveNeuralProcess
from boed.completion.neural_process.points import Points, grid
from boed.completion.neural_process.process import NeuralProcess
from boed.data.masks import squares
from boed.data.observation import Observation
from boed.training.config import TrainingConfig
from boed.training.loop import fit

KINDS = {"np": NeuralProcess, "anp": AttentiveNeuralProcess}


def small(kind: str, **changes):
    fields = {"size": 8, "channels": 1, "resolution": 8}
    fields |= {"width": 32, "hidden": 32, "latent": 8}
    if kind == "anp":
        fields["heads"] = 2
    return KINDS[kind].Config(**{**fields, **changes})


@pytest.fixture(params=KINDS)
def model_of(request):
    def made(**changes):
        torch.manual_seed(0)
        return KINDS[request.param](small(request.param, **changes)).eval()

    return made


def observed(batch=6, channels=1, size=8, seed=0):
    """Scenes of noise with 0, 1, 2 ... squares seen."""
    generator = torch.Generator().manual_seed(seed)
    scene = torch.rand(batch, channels, size, size, generator=generator)
    counts = torch.arange(batch) % 6
    return scene, Observation.of(scene, squares(batch, size, counts=counts, generator=generator))


def one_dull_pixel(model: NeuralProcess, spread: float = -20.0) -> None:
    """Let every pixel be Normal(mean, floor + 0.9 softplus(spread)), whatever is seen."""
    with torch.no_grad():
        model.output.weight.zero_()
        model.output.bias.zero_()
        model.output.bias[model.config.channels :] = spread


def linear(*widths: int) -> int:
    return sum(a * b + b for a, b in pairwise(widths))


def test_the_published_size_has_the_stated_parameters():
    with torch.device("meta"):
        models = {name: kind(kind.PUBLISHED) for name, kind in KINDS.items()}
    count = {name: sum(p.numel() for p in model.parameters()) for name, model in models.items()}
    assert count["anp"] == 11_563_526  # App. B.2 of Harvey et al. 2021
    points, z = linear(5, 512, 512, 512), linear(512, 512, 1024)
    decoder = linear(2 + 512 + 512, 512, 512, 512, 512, 6)
    assert count["np"] == 2 * points + z + decoder


def test_a_neural_process_knows_the_mean_of_its_context():
    torch.manual_seed(0)
    model = NeuralProcess(small("np")).eval()
    _, observation = observed()
    image, fraction = model.coarse(observation)
    points = model.points(image, fraction[:, 0])
    place = model.places.expand(6, -1, -1)
    taken, twice = (model.from_context(each, place) for each in (points, points.joined(points)))
    torch.testing.assert_close(taken, twice)
    torch.testing.assert_close(model.latent(points).mean, model.latent(points.joined(points)).mean)
    each = model.point_input(points.whole[1:2, points.valid[1]])[0]
    torch.testing.assert_close(taken[1, 5], each.mean(0))
    assert torch.equal(taken[:, 0], taken[:, -1])


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


def test_points_are_the_seen_pixels_in_order(model_of):
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


def test_a_coarse_pixel_is_the_mean_of_what_is_seen_of_it(model_of):
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


def test_the_order_of_the_context_does_not_matter(model_of):
    model = model_of()
    _, observation = observed()
    image, fraction = model.coarse(observation)
    points = model.points(image, fraction[:, 0])
    order = torch.randperm(points.valid.shape[1], generator=torch.Generator().manual_seed(1))
    other = Points(points.place[:, order], points.value[:, order], points.valid[:, order])
    place = model.places.expand(6, -1, -1)
    with torch.no_grad():
        torch.testing.assert_close(model.latent(points).mean, model.latent(other).mean)
        torch.testing.assert_close(
            model.from_context(points, place), model.from_context(other, place)
        )


def test_padding_says_nothing(model_of):
    """A scene with few seen pixels is the same beside one with many."""
    model = model_of(noise=False)
    _, observation = observed()
    seeds = list(range(6))
    together = model.draw(observation, 2, seeds)
    alone = [model.draw(observation[b : b + 1], 2, [b]) for b in range(6)]
    torch.testing.assert_close(together, torch.cat(alone, dim=1), atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [8, 16])
def test_hidden_values_have_no_influence(model_of, size):
    model = model_of(size=size)
    scene, observation = observed(size=size)
    knowing = Observation(scene, observation.mask)  # also has the values that are hidden
    assert torch.equal(model.draw(knowing, 2), model.draw(observation, 2))


def test_seen_values_have_influence(model_of):
    model = model_of(noise=False)
    scene, observation = observed()
    other = model.draw(Observation.of(1 - scene, observation.mask), 1)
    change = (other - model.draw(observation, 1)).abs().amax((0, 2, 3, 4))
    assert change[0] == 0  # nothing seen
    assert (change[observation.fraction_seen > 0] > 1e-4).all()


def test_nothing_seen_is_finite_and_has_one_posterior(model_of):
    model = model_of()
    observation = Observation.nothing(3, 1, 8)
    image, fraction = model.coarse(observation)
    context = model.points(image, fraction[:, 0])
    q = model.latent(context)
    assert not context.valid.any()
    assert torch.equal(q.mean[0], q.mean[2])
    assert (model.from_context(context, model.places.expand(3, -1, -1)) == 0).all()
    assert torch.isfinite(model.draw(observation, 2)).all()


def test_gradients_are_finite_where_some_scenes_show_nothing(model_of):
    model = model_of().train()
    scene, observation = observed()
    assert observation.fraction_seen[0] == 0
    model.loss(scene, observation).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


@pytest.mark.parametrize("noise", [True, False])
def test_pixel_noise_is_in_the_samples_or_not(model_of, noise):
    model = model_of(noise=noise)
    one_dull_pixel(model)
    drawn = model.draw(Observation.nothing(2, 1, 8), 50)
    if noise:  # 6,400 draws: the deviation is known to 1 %
        assert drawn.std() == pytest.approx(0.1, rel=0.05)
    else:
        assert torch.allclose(drawn, torch.tensor(0.5))


def test_noise_leaves_the_latent_variables_as_they_are(model_of):
    model, means = model_of(), model_of(noise=False)
    with torch.no_grad():
        for each in (model, means):
            each.output.bias[1:] = -20
    _, observation = observed()
    difference = (model.draw(observation, 200) - means.draw(observation, 200)).mean(0)
    assert difference.abs().max() < 0.05  # 7 standard errors of noise 0.1


@pytest.mark.parametrize("floor", [0.1, 0.02])
def test_the_deviation_has_a_floor(model_of, floor):
    model = model_of(floor=floor)
    for spread in (-50.0, 0.0):
        one_dull_pixel(model, spread)
        place = model.places.expand(2, -1, -1)
        p = model.decode(torch.randn(2, 8), torch.randn(2, 64, 32), place)
        expected = floor + 0.9 * torch.nn.functional.softplus(torch.tensor(spread))
        torch.testing.assert_close(p.stddev, expected.expand(2, 64, 1))


@pytest.mark.parametrize("kept", [0, 16])
def test_the_likelihood_is_of_hidden_pixels(model_of, kept):
    """Pixels left out are made up for: here all say the same, so that the sum is exact."""
    model = model_of(context=kept, targets=kept)
    one_dull_pixel(model)
    _, observation = observed()
    scene = torch.full((6, 1, 8, 8), 0.7)
    likelihood, _ = model.terms(scene, Observation.of(scene, observation.mask))
    each = Normal(0.5, 0.1).log_prob(torch.tensor(0.7))
    hidden = (1 - observation.mask).sum((1, 2, 3))
    torch.testing.assert_close(likelihood, each * hidden, rtol=1e-4, atol=1e-4)


def test_with_everything_seen_the_loss_is_zero(model_of):
    model = model_of()
    scene, _ = observed()
    likelihood, rate = model.terms(scene, Observation.of(scene, torch.ones(6, 1, 8, 8)))
    assert (likelihood == 0).all()
    assert rate.abs().max() < 1e-4  # q(z | all) is q(z | seen)


def test_the_rate_is_from_all_points_to_the_context(model_of):
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


def test_large_images_are_smooth_between_the_points(model_of):
    model = model_of(size=32)
    drawn = model.draw(Observation.nothing(1, 1, 32), 1)
    assert drawn.shape == (1, 1, 1, 32, 32)
    inside = drawn[0, 0, 0, 2:-2, 2:-2].unfold(0, 4, 4).unfold(1, 4, 4)  # between four points
    slope = inside.diff(dim=3)
    assert torch.allclose(slope[..., 0], slope[..., 2], atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model_of", "changes", "steps"),
    [("anp", {"latent_layers": 0}, 150), ("np", {}, 300)],
    indirect=["model_of"],
)
def test_they_learn_the_halves(model_of, changes, steps, train, val):
    """A bright left half means a dark right one; with nothing seen, both kinds come."""
    model = model_of(frequencies=2, context=24, targets=24, **changes)
    scene = val.scenes()
    observation = Observation.of(scene, squares(64, 8, generator=torch.Generator().manual_seed(0)))
    before = model.figures(scene, observation)["val_loss"]

    def loss(step: int) -> torch.Tensor:
        scenes = train.scenes(torch.randint(len(train), (32,)))
        return model.loss(scenes, Observation.of(scenes, squares(32, 8)))

    fit(
        model,
        loss,
        TrainingConfig(steps=steps, batch=32, lr=5e-3, warmup=20, betas=(0.9, 0.99), ema=0.98),
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
    ("kind", "change", "message"),
    [
        ("anp", {"heads": 3}, "width 32 is not a multiple of heads 3"),
        ("anp", {"heads": 0}, "heads is 0, expected at least 1"),
        ("anp", {"cross_layers": 0}, "cross_layers is 0, expected at least 1"),
        ("anp", {"self_layers": -1}, "self_layers is -1, expected at least 0"),
        ("anp", {"latent_layers": -1}, "latent_layers is -1, expected at least 0"),
        *(
            (kind, change, message)
            for kind in KINDS
            for change, message in (
                ({"resolution": 5}, "size 8 is not a multiple of resolution 5"),
                ({"latent": 0}, "latent is 0, expected at least 1"),
                ({"targets": -1}, "targets is -1, expected at least 0"),
                ({"floor": 0.0}, "floor is 0.0, expected more than 0"),
            )
        ),
    ],
)
def test_wrong_configurations(kind, change, message):
    with pytest.raises(ValueError, match=message):
        small(kind, **change)


def test_wrong_scenes_and_sizes(model_of):
    scene, observation = observed()
    with pytest.raises(ValueError, match=r"scene is \(5, 1, 8, 8\), expected .* \(6, 1, 8, 8\)"):
        model_of().loss(scene[:5], observation)
    for size in (0, 30, 96):
        for kind in KINDS.values():
            with pytest.raises(ValueError, match=f"size {size} has no preset"):
                kind.preset(size, 1)


@pytest.mark.parametrize("kind", KINDS.values())
def test_presets_work_at_32_px_or_less(kind):
    for size, resolution in ((28, 28), (32, 32), (64, 32), (128, 32)):
        config, _ = kind.preset(size, 3)
        assert (config.size, config.channels, config.resolution) == (size, 3, resolution)
        assert replace(config, noise=False).noise is False
