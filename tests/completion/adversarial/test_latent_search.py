"""Search in a latent space: its weights, its losses, and where it comes to where that is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import lsq_linear
from torch import nn

from boed.completion.adversarial.dcgan import MADE, REAL
from boed.completion.adversarial.latent_search import GANLatent, GANLatentConfig, context_weights
from boed.completion.classical.blending import poisson_blend
from boed.completion.classical.retrieval import Retrieval
from boed.completion.completer import complete
from boed.data.dataset import Dataset
from boed.data.observation import Observation

TINY = GANLatentConfig(
    size=8, channels=1, latent=4, width=8, critic=8, iterations=20, rate=0.05, window=3
)


def model(**changes) -> GANLatent:
    """Untrained, with weights that make scenes of some contrast."""
    torch.manual_seed(0)
    made = GANLatent(replace(TINY, **changes)).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return made


def observed(batch=3, size=8, seed=0, share=0.5) -> Observation:
    generator = torch.Generator().manual_seed(seed)
    scenes = torch.rand(batch, 1, size, size, generator=generator)
    mask = (torch.rand(batch, 1, size, size, generator=generator) < share).float()
    return Observation.of(scenes, mask)


def test_weights_of_one_missing_pixel():
    mask = torch.ones(1, 1, 15, 15)
    mask[..., 7, 7] = 0
    expected = torch.zeros(1, 1, 15, 15)
    expected[..., 4:11, 4:11] = 1 / 49
    expected[..., 7, 7] = 0
    torch.testing.assert_close(context_weights(mask), expected)
    assert int((context_weights(mask) > 0).sum()) == 48


def test_weights_at_the_border_are_over_the_pixels_inside():
    mask = torch.ones(1, 1, 15, 15)
    mask[..., 0, 0] = 0
    weights = context_weights(mask)[0, 0]
    assert float(weights[0, 1]) == pytest.approx(1 / (4 * 5))
    assert float(weights[3, 3]) == pytest.approx(1 / 49)
    assert float(weights[4, 4]) == 0


@pytest.mark.parametrize("mask", [torch.ones(1, 1, 9, 9), torch.zeros(1, 1, 9, 9)])
def test_weights_are_nothing_where_all_is_seen_or_hidden(mask):
    assert not context_weights(mask).any()


def test_the_context_loss_is_a_weighted_sum():
    """Of pixels in [-1, 1]: twice the difference in [0, 1]."""
    given, z = observed(), torch.rand(3, 4)
    for norm, power in (("l1", 1), ("l2", 2)):
        for weighted in (True, False):
            network = model(norm=norm, weighted=weighted)
            image, context, _ = network.losses(z, given)
            off = (2 * (0.5 + 0.5 * image - given.values)).abs() ** power
            weights = context_weights(given.mask, 3) if weighted else given.mask
            torch.testing.assert_close(context, (weights * off).sum((1, 2, 3)))


def test_the_prior_loss_in_both_forms():
    given, z = observed(), torch.rand(3, 4)
    for form in ("saturating", "non-saturating"):
        network = model(prior=0.5, prior_form=form)
        image, _, prior = network.losses(z, given)
        chances = network.gan.discriminator(image).softmax(1)
        expected = (1 - chances[:, REAL]).log() if form == "saturating" else -chances[:, REAL].log()
        torch.testing.assert_close(prior, 0.5 * expected, atol=1e-6, rtol=1e-4)
        assert MADE != REAL


class Linear(nn.Module):
    """G(z) = A z, of whatever size."""

    def __init__(self, size, latent, scale):
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.a = nn.Parameter(scale * torch.randn(size**2, latent, generator=generator))
        self.size = size

    def forward(self, z):
        return (z @ self.a.T).view(-1, 1, self.size, self.size)


@pytest.mark.parametrize("scale", [2.0, 0.1])
def test_of_a_linear_generator_it_is_least_squares_in_a_box(scale):
    """With the larger scale the optimum lies inside; with the smaller one at the box's sides."""
    network = model(norm="l2", weighted=False, prior=0, iterations=250, rate=0.03)
    network.gan.generator = Linear(8, 4, scale)
    given = observed(2)
    found = network.search(given, 2, seed=3)
    free = []
    for b in range(2):
        seen = given.mask[b, 0].flatten().numpy() > 0
        a = network.gan.generator.a.detach().double().numpy()[seen]
        y = (2 * given.values[b, 0].flatten().double().numpy() - 1)[seen]
        expected = lsq_linear(a, y, bounds=(-1, 1)).x
        free.append(np.allclose(expected, np.linalg.lstsq(a, y, rcond=None)[0], atol=1e-6))
        for k in range(2):
            assert np.allclose(found.z[k, b].numpy(), expected, atol=5e-3)
    assert all(free) == (scale == 2.0)


def test_z_stays_in_its_box():
    network, heard = model(rate=0.5), []
    network.gan.generator.register_forward_pre_hook(
        lambda _, z: heard.append(z[0].detach().clone())
    )
    network.search(observed(), 2, seed=1)
    assert len(heard) == TINY.iterations + 1
    assert all(each.abs().max() <= 1 for each in heard)
    assert heard[-1].abs().max() == 1  # it was held back


def test_a_scene_alone_is_searched_as_in_a_batch(monkeypatch):
    network, given = model(), observed()
    together = network.sample(given, 3, [5, 6, 7])
    alone = [network.sample(given[b : b + 1], 3, [5 + b]) for b in range(3)]
    torch.testing.assert_close(together, torch.cat(alone, dim=1), atol=1e-5, rtol=0)
    monkeypatch.setattr("boed.completion.adversarial.latent_search.AT_ONCE", 2)
    torch.testing.assert_close(together, network.sample(given, 3, [5, 6, 7]), atol=1e-5, rtol=0)


def test_a_planted_scene_is_found():
    """By the best of a few searches, nearer in what is hidden than the nearest of 200 scenes."""
    network = model(latent=3, iterations=150)
    generator = torch.Generator().manual_seed(2)
    z = 1.8 * torch.rand(204, 3, generator=generator) - 0.9
    with torch.no_grad():
        scenes = 0.5 + 0.5 * network.gan.generator(z)
    planted, others = scenes[:4], scenes[4:]
    mask = (torch.rand(4, 1, 8, 8, generator=generator) < 0.5).float()
    given = Observation.of(planted, mask)
    began = model(latent=3, iterations=1, rate=1e-9).search(given, 4, seed=0).context
    found = network.search(given, 4, seed=0)
    assert (found.context.amin(0) < began.amin(0) / 10).all()
    best = found.context.argmin(0)
    made = found.made[best, torch.arange(4)]
    library = Dataset(
        name="made",
        split="train",
        images=(others * 255).round().to(torch.uint8),
        labels=torch.zeros(200, dtype=torch.int64),
        label_names=("a", "b"),
    )
    nearest = complete(Retrieval(library), given, 1).scenes[0]

    def error(scene):
        return ((scene - planted).abs() * (1 - mask)).sum((1, 2, 3))

    assert (error(made) < error(nearest)).all()


def test_without_the_prior_there_is_no_discriminator():
    network = model(prior=0)
    expected = network.sample(observed(), 2, seed=1)
    network.gan.discriminator = None
    assert torch.equal(network.sample(observed(), 2, seed=1), expected)
    assert not network.search(observed(), 2).prior.any()
    assert not torch.equal(model(prior=5.0).sample(observed(), 2, seed=1), expected)


def test_networks_and_random_numbers_stay_as_they_were():
    network = model().train()
    before = {name: each.clone() for name, each in network.state_dict().items()}
    state = torch.get_rng_state()
    network.sample(observed(), 2, seed=1)
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(before[name], each) for name, each in network.state_dict().items())
    assert all(each.grad is None for each in network.parameters())
    assert network.training


@pytest.mark.parametrize("blend", ["poisson", "overlay"])
def test_what_is_hidden_is_blended_or_laid_under(blend):
    network, given = model(blend=blend), observed()
    made = network.search(given, 2, seed=1).made
    drawn = network.draw(given, 2, seed=1)
    hidden = (given.mask == 0).expand_as(drawn)
    expected = poisson_blend(made, given).clamp(0, 1) if blend == "poisson" else made
    assert torch.equal(drawn[hidden], expected[hidden])
    assert torch.equal(drawn[~hidden], made[~hidden])


def test_of_nothing_seen_comes_what_a_random_z_makes_and_of_everything_that():
    network = model(prior=1.0)
    scenes = torch.rand(2, 1, 8, 8)
    mask = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 1, 8, 8)
    given = Observation.of(scenes, mask)
    found = network.search(given, 3, seed=4)
    begun = model(prior=1.0, iterations=1).search(given, 3, seed=4)
    assert torch.equal(found.z, begun.z)  # not one step was made
    drawn = network.draw(given, 3, seed=4)
    assert torch.equal(drawn[:, 0], found.made[:, 0])
    assert torch.equal(drawn[:, 1], scenes[1].expand(3, -1, -1, -1))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"iterations": 0}, "iterations is 0, expected at least 1"),
        ({"rate": 0.0}, "rate is 0.0, expected more than 0"),
        ({"prior": -1.0}, "prior is -1.0, expected at least 0"),
        ({"prior_form": "code"}, "prior_form is 'code'"),
        ({"norm": "l3"}, "norm is 'l3'"),
        ({"blend": "posson"}, "blend is 'posson': did you mean 'poisson'"),
        ({"window": 4}, "window is 4, expected an odd number"),
        ({"window": 1}, "window is 1, expected an odd number"),
    ],
)
def test_configurations_that_make_no_sense(changes, said):
    with pytest.raises(ValueError, match=said):
        replace(TINY, **changes)
