"""Pixel likelihoods against slow exact arithmetic, and sampling against the likelihoods."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext

import pytest
import torch

from boed.completion.vae.likelihoods import Bernoulli, DiscretisedLogistics, likelihood

LEVELS = torch.arange(256) / 255


def parameters_of(model, shape=(1, 1), scale=1.0, seed=0):
    """Random parameters `[1, P, *shape]`, log scales around -2."""
    generator = torch.Generator().manual_seed(seed)
    values = scale * torch.randn(1, model.n_parameters, *shape, generator=generator)
    each = model.n_parameters // model.components
    log_scales = values.view(1, model.components, each, *shape)
    log_scales[:, :, 1 + model.channels : 1 + 2 * model.channels] -= 2
    return values


def split(model, values):
    """Logits, means, log scales and couplings of one pixel as floats, component by component."""
    each, c = model.n_parameters // model.components, model.channels
    rows = values.flatten().double().view(model.components, each).tolist()
    return [(row[0], row[1 : 1 + c], row[1 + c : 1 + 2 * c], row[1 + 2 * c :]) for row in rows]


def bin_probability(level, mean, log_scale):
    """Mass of a logistic in a grey level's bin, to many digits (`level` 0..255)."""

    def sigmoid(x):
        return 1 / (1 + (-x).exp())

    centre = Decimal(2 * level) / 255 - 1
    scale = Decimal(max(log_scale, -7.0)).exp()
    upper = (centre + Decimal(1) / 255 - Decimal(mean)) / scale
    lower = (centre - Decimal(1) / 255 - Decimal(mean)) / scale
    if level == 0:
        return sigmoid(upper)
    if level == 255:
        return sigmoid(-lower)
    return sigmoid(upper) - sigmoid(lower) if upper < 0 else sigmoid(-lower) - sigmoid(-upper)


def reference(model, values, levels):
    """log p of the first channels of one pixel, written out in slow exact arithmetic."""
    with localcontext() as context:
        context.prec = 50
        rows = split(model, values)
        normaliser = sum(Decimal(row[0]).exp() for row in rows)
        total = Decimal(0)
        for logit, means, scales, couplings in rows:
            term = Decimal(logit).exp() / normaliser
            seen = [2 * level / 255 - 1 for level in levels]
            for channel, level in enumerate(levels):
                mean = means[channel]
                if channel == 1 and couplings:
                    mean += math.tanh(couplings[0]) * seen[0]
                if channel == 2 and couplings:
                    mean += math.tanh(couplings[1]) * seen[0] + math.tanh(couplings[2]) * seen[1]
                term *= bin_probability(level, mean, scales[channel])
            total += term
        return float(total.ln())


@pytest.mark.parametrize("scale", [0.3, 1.0, 3.0])
@pytest.mark.parametrize("components", [1, 5])
def test_grey_probabilities_of_all_levels_sum_to_one(scale, components):
    model = DiscretisedLogistics(1, components)
    values = parameters_of(model, (3, 2), scale)
    images = LEVELS.view(256, 1, 1, 1).expand(256, 1, 3, 2)
    total = model.log_prob(values.expand(256, -1, -1, -1), images).double().exp().sum(0)
    assert (total - 1).abs().max() < 2e-5


def test_grey_matches_exact_arithmetic():
    model = DiscretisedLogistics(1, 2)
    values = parameters_of(model, scale=1.5, seed=1)
    for level in (0, 1, 17, 128, 254, 255):
        got = model.log_prob(values, torch.full((1, 1, 1, 1), level / 255))
        assert float(got) == pytest.approx(reference(model, values, [level]), rel=1e-4, abs=1e-4)


def test_rgb_matches_exact_arithmetic():
    model = DiscretisedLogistics(3, 2)
    values = parameters_of(model, seed=2)
    for levels in ([0, 0, 0], [255, 3, 200], [40, 255, 128], [90, 91, 92]):
        image = torch.tensor(levels).view(1, 3, 1, 1) / 255
        got = model.log_prob(values, image)
        assert float(got) == pytest.approx(reference(model, values, levels), rel=1e-4, abs=1e-4)


def test_rgb_marginals_by_the_chain_rule():
    """Summing over blue, then green, leaves the mass of what remains; over red, one."""
    model = DiscretisedLogistics(3, 2)
    values = parameters_of(model, seed=3)
    green, blue = torch.meshgrid(LEVELS, LEVELS, indexing="ij")

    def joint(red):
        image = torch.stack([torch.full_like(green, red / 255), green, blue])[None]
        parameters = values.expand(1, -1, 256, 256)
        return model.log_prob(parameters, image)[0].double().exp()

    for red in (0, 100, 255):
        mass = joint(red)
        assert float(mass.sum().log()) == pytest.approx(reference(model, values, [red]), abs=1e-4)
        expected = reference(model, values, [red, 31])
        assert float(mass[31].sum().log()) == pytest.approx(expected, rel=1e-4, abs=1e-4)
    coarse = DiscretisedLogistics(1, 2)  # p(red) alone is the grey model of the first columns
    columns = values.view(1, 2, 10, 1, 1)[:, :, [0, 1, 4]].reshape(1, 6, 1, 1)
    red_only = coarse.log_prob(columns.expand(256, -1, -1, -1), LEVELS.view(256, 1, 1, 1))
    assert float(red_only.double().exp().sum()) == pytest.approx(1, abs=2e-5)
    assert float(red_only[100]) == pytest.approx(reference(model, values, [100]), abs=1e-4)


@pytest.mark.parametrize("mean", [-30.0, -1.0, 0.0, 1.0, 30.0])
@pytest.mark.parametrize("log_scale", [-20.0, -7.0, 0.0, 20.0])
def test_tails_are_exact_and_have_finite_gradients(mean, log_scale):
    model = DiscretisedLogistics(1, 1)
    values = torch.tensor([0.0, mean, log_scale]).view(1, 3, 1, 1).requires_grad_()
    for level in (0, 1, 128, 254, 255):
        got = model.log_prob(values, torch.full((1, 1, 1, 1), level / 255))
        exact = reference(model, values.detach(), [level]) if abs(mean) < 2 else None
        assert torch.isfinite(got).all()
        if exact is not None:
            assert float(got.detach()) == pytest.approx(exact, rel=2e-4, abs=2e-3)
        (gradient,) = torch.autograd.grad(got.sum(), values)
        assert torch.isfinite(gradient).all()
    if log_scale <= -7 and abs(mean) == 30:  # scales have a floor: e^-7, not e^-20
        got = model.log_prob(values, torch.full((1, 1, 1, 1), 128 / 255))
        assert float(got.detach()) == pytest.approx(-30 * math.exp(7), rel=0.01)


def drawn(model, values, n, seed=0):
    """n one-pixel samples `[n, C]` as grey levels."""
    side = math.isqrt(n)
    generator = torch.Generator().manual_seed(seed)
    uniform = torch.rand(1, model.n_uniform, side, side, generator=generator)
    image = model.sample(values.expand(1, -1, side, side), uniform)
    levels = image * 255
    assert torch.equal(image, levels.round() / 255)
    assert 0 <= image.min() <= image.max() <= 1
    return levels.round().long()[0].flatten(1).T


@pytest.mark.parametrize("shift", [-1.0, 0.0, 1.0])  # mass at black, in the middle, at white
def test_grey_samples_follow_the_probabilities(shift):
    model = DiscretisedLogistics(1, 3)
    values = parameters_of(model, scale=0.5, seed=4).view(1, 3, 3, 1, 1)
    values[:, :, 1] = values[:, :, 1] / 2 + shift
    values = values.reshape(1, 9, 1, 1)
    exact = model.log_prob(values.expand(256, -1, -1, -1), LEVELS.view(256, 1, 1, 1)).exp()
    counts = drawn(model, values, 90_000)[:, 0].bincount(minlength=256)
    assert (counts / 90_000 - exact.flatten()).abs().sum() / 2 < 0.025  # total variation


def test_rgb_samples_follow_the_couplings():
    """Green follows red so closely that a bin more or less is another probability."""
    model = DiscretisedLogistics(3, 1)
    #                      logit  means        log scales         couplings before tanh
    values = torch.tensor([0.0, 0.0, 0.0, 0.0, -1.5, -7.0, -6.0, 5.0, -0.5, 0.7])
    values = values.view(1, 10, 1, 1)
    samples = drawn(model, values, 10_000)
    assert samples[:, 0].unique().numel() > 100
    image = (samples.T / 255).view(1, 3, 100, 100)
    parameters = values.expand(1, -1, 100, 100)
    # E[-log p] of the samples is the entropy; each conditional's entropy by summation over levels
    level = LEVELS.view(256, 1, 1)
    for channel in (1, 2):
        candidates = image.expand(256, -1, -1, -1).clone()
        candidates[:, channel] = level
        if channel == 1:  # without blue: sum it out by giving it a free hand
            free = parameters.clone()
            free[:, 6] = 30.0
            log_p = model.log_prob(free.expand(256, -1, -1, -1), candidates)
        else:
            log_p = model.log_prob(parameters.expand(256, -1, -1, -1), candidates)
        log_p = log_p.log_softmax(0)
        seen = samples[:, channel].view(1, 100, 100)
        score = -log_p.gather(0, seen)[0]
        spread = float((score.double().std() + 1e-3) / 100)
        expected = -(log_p.exp() * log_p).sum(0)
        assert abs(float((score - expected).mean())) < 6 * spread


def test_bernoulli():
    model = Bernoulli(2)
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(4, 2, 3, 3, generator=generator)
    image = (torch.rand(4, 2, 3, 3, generator=generator) > 0.5).float()
    expected = torch.distributions.Bernoulli(logits=logits).log_prob(image).sum(1)
    assert torch.allclose(model.log_prob(logits, image), expected, atol=1e-6)
    one = Bernoulli(1)
    grey = logits[:, :1]
    both = one.log_prob(grey, torch.ones_like(grey)).exp()
    both = both + one.log_prob(grey, torch.zeros_like(grey)).exp()
    assert torch.allclose(both, torch.ones_like(both), atol=1e-6)
    uniform = torch.rand(20_000, 1, 1, 1, generator=generator)
    frequency = one.sample(torch.full((20_000, 1, 1, 1), 0.8), uniform).mean()
    assert float(frequency) == pytest.approx(1 / (1 + math.exp(-0.8)), abs=0.015)
    extreme = torch.tensor([-500.0, 500.0]).view(2, 1, 1, 1)
    assert torch.isfinite(one.log_prob(extreme, torch.ones(2, 1, 1, 1))).all()


@pytest.mark.parametrize(("channels", "parameters"), [(1, 15), (2, 25), (3, 50)])
def test_number_of_parameters(channels, parameters):
    assert likelihood("logistics", channels, 5).n_parameters == parameters


def test_unknown_likelihood():
    with pytest.raises(ValueError, match=r"likelihood is 'gauss'.*one of logistics, bernoulli"):
        likelihood("gauss", 1)
