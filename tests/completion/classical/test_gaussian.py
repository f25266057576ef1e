"""The Gaussian mixture: its posterior is that of the textbook, whatever was read."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from boed.completion import Completer, complete
from boed.completion.classical.gaussian import GaussianMixture
from boed.data.dataset import Dataset
from boed.data.observation import Observation
from boed.data.readers.tables import table

SHAPE = (1, 2, 3)


def scenes(number=400, seed=0):
    """Two classes of correlated 2 x 3 pixels, as floats in [0, 1]."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(2, size=number)
    mixing = rng.normal(size=(6, 6)) * 0.06
    means = np.array([[0.35] * 6, [0.6, 0.5, 0.4, 0.6, 0.5, 0.4]])
    flat = (means[labels] + rng.normal(size=(number, 6)) @ mixing).clip(0, 1)
    images = torch.from_numpy(flat).float().reshape(number, *SHAPE)
    return Dataset(
        name="pairs",
        split="train",
        images=images,
        labels=torch.from_numpy(labels),
        label_names=("low", "high"),
    )


def mixed(scene):
    """Four readings: an offset and sums of pixels."""
    generator = torch.Generator().manual_seed(1)
    return 0.3 + scene.flatten(1) @ torch.randn(6, 4, generator=generator)


def observed(scene, transform, seen):
    """Scenes whose entries `seen` were read, directly or through the transform."""
    if transform is None:
        mask = torch.zeros(len(scene), 6)
        mask[:, seen] = 1
        return Observation.of(scene, mask.view(-1, 1, 2, 3))
    readings = transform(scene)
    taken = torch.zeros_like(readings)
    taken[:, seen] = 1
    blank = Observation.nothing(len(scene), 1, (2, 3))
    return Observation(blank.values, blank.mask, readings=readings * taken, taken=taken)


def textbook(model, observation, seen, transform):
    """Weights, means and covariances of the posterior of one scene, by the closed form."""
    operator = np.eye(6)[seen]
    offset = np.zeros(len(seen))
    read = observation.values.flatten().numpy()[seen]
    if transform is not None:
        offset = mixed(torch.zeros(1, *SHAPE))[0].numpy()[seen]
        operator = (mixed(torch.eye(6).view(6, *SHAPE)).numpy()[:, seen] - offset).T
        read = observation.readings[0].numpy()[seen]
    posterior = []
    for weight, mean, loading in zip(model.weights, model.means, model.loadings, strict=True):
        m = mean.numpy()
        s = (loading @ loading.T).numpy() + model.variance * np.eye(6)
        g = operator @ s @ operator.T + model.noise**2 * np.eye(len(seen))
        gain = s @ operator.T @ np.linalg.inv(g)
        expected = operator @ m + offset
        evidence = float(weight) * multivariate_normal(expected, g).pdf(read)
        posterior.append((evidence, m + gain @ (read - expected), s - gain @ operator @ s))
    total = sum(part[0] for part in posterior)
    return [(part[0] / total, *part[1:]) for part in posterior]


CASES = [
    pytest.param(None, [0, 4], id="pixels"),
    pytest.param(mixed, [1, 2], id="readings"),
]


@pytest.mark.parametrize("components", ["classes", 1, 3])
@pytest.mark.parametrize(("transform", "seen"), CASES)
def test_samples_have_the_moments_of_the_closed_form(components, transform, seen):
    model = GaussianMixture(scenes(), components, 4, noise=0.05, transform=transform)
    assert model.loadings.shape == (len(model.weights), 6, 4)
    observation = observed(scenes(1, seed=5).scenes(), transform, seen)
    weights, means, covariances = zip(*textbook(model, observation, seen, transform), strict=True)
    weights = np.array(weights)
    assert np.allclose(model.log_probs(observation).exp()[0], weights, atol=1e-4)
    mean = weights @ np.stack(means)
    centred = np.stack(means) - mean
    covariance = np.einsum("k,kij->ij", weights, np.stack(covariances))
    covariance = covariance + np.einsum("k,ki,kj->ij", weights, centred, centred)
    drawn = model.sample(observation, 20000)[:, 0].flatten(1).double().numpy()
    free = [pixel for pixel in range(6) if transform is not None or pixel not in seen]
    deviation = np.sqrt(np.diag(covariance))[free]
    # 5 sigma of 20,000 draws
    assert (np.abs(drawn.mean(0) - mean)[free] / deviation < 5 / math.sqrt(20000)).all()
    error = np.cov(drawn.T)[np.ix_(free, free)] - covariance[np.ix_(free, free)]
    assert (np.abs(error) / np.outer(deviation, deviation) < 0.05).all()


@pytest.mark.parametrize("components", ["classes", 3])
@pytest.mark.parametrize(("transform", "seen"), CASES)
def test_log_prob_is_the_density_of_the_posterior(components, transform, seen):
    model = GaussianMixture(scenes(), components, 4, noise=0.05, transform=transform)
    truth = scenes(2, seed=6).scenes()
    observation = observed(scenes(2, seed=5).scenes(), transform, seen)
    for b in range(2):
        parts = textbook(model, observation[b : b + 1], seen, transform)
        density = sum(
            w * multivariate_normal(m, s).pdf(truth[b].flatten().numpy()) for w, m, s in parts
        )
        found = model.log_prob(truth, observation)[b].item()
        assert found == pytest.approx(math.log(density), abs=1e-3)


def test_the_prior_has_the_moments_of_the_data():
    library = scenes(2000)
    model = GaussianMixture(library, 1, factors=6)
    flat = library.scenes().flatten(1).double()
    assert torch.allclose(model.means[0], flat.mean(0), atol=1e-6)
    covariance = model.loadings[0] @ model.loadings[0].T
    assert torch.allclose(covariance, flat.T.cov(correction=0), atol=1e-5)
    few = GaussianMixture(library, 1, factors=2)
    spectrum = torch.linalg.eigvalsh(flat.T.cov(correction=0))
    assert few.variance == pytest.approx(spectrum[:4].mean().item(), rel=1e-4)


def test_samples_agree_with_what_was_seen():
    model = GaussianMixture(scenes(), noise=1e-3)
    truth = scenes(8, seed=3).scenes()
    direct = observed(truth, None, [0, 3])
    drawn = model.sample(direct, 50, seed=2)
    assert torch.equal(drawn * direct.mask, direct.values.expand_as(drawn))
    assert drawn.var(0)[:, 0, 0, 1].min() > 1e-5
    reading = GaussianMixture(scenes(), noise=1e-3, transform=mixed)
    indirect = observed(truth, mixed, [0, 1, 2])
    read = mixed(reading.sample(indirect, 50, seed=2).flatten(0, 1)).unflatten(0, (50, 8))
    assert (read - indirect.readings)[..., :3].abs().max() < 0.006  # 6 sigma


def test_classes_come_along():
    """As labels of the completions, and as a belief that is better than chance."""
    library, test = scenes(), scenes(300, seed=9)
    model = GaussianMixture(library)
    observation = observed(test.scenes(), None, [0, 3])
    belief = model.log_probs(observation)
    assert torch.allclose(belief.exp().sum(1), torch.ones(300), atol=1e-5)
    assert (belief.argmax(1) == test.labels).float().mean() > 0.8
    found = complete(model, observation, 200)
    assert found.labels.shape == (200, 300)
    error = (found.labels == 1).float().mean(0) - belief[:, 1].exp()
    assert error.abs().max() < 5 * 0.5 / math.sqrt(200)
    assert complete(GaussianMixture(library, 2), observation, 3).labels is None


def test_a_scene_depends_on_its_own_seed_and_observation():
    """Also where scenes with different readings share a batch, and with nothing seen."""
    model = GaussianMixture(scenes(), transform=mixed)
    truth = scenes(4, seed=4).scenes()
    parts = [observed(truth[b : b + 1], mixed, list(range(b))) for b in range(4)]
    batch = Observation(
        **{
            name: torch.cat([getattr(part, name) for part in parts])
            for name in ("values", "mask", "readings", "taken")
        }
    )
    together = model.sample(batch, 3, [5, 6, 7, 8])
    for b, part in enumerate(parts):
        assert torch.allclose(together[:, b], model.sample(part, 3, [5 + b])[:, 0], atol=1e-6)
    blank = Observation.nothing(1, 1, (2, 3))
    assert torch.allclose(model.sample(blank, 3, [5]), together[:, :1], atol=1e-6)
    state = torch.get_rng_state()
    model.sample(batch, 3)
    assert torch.equal(state, torch.get_rng_state())


def test_it_tells_wines_apart():
    model = GaussianMixture(table("wine", "train"))
    test = table("wine", "test")
    everything = Observation.of(test.scenes(), torch.ones(len(test), 1, 1, 13))
    right = model.log_probs(everything).argmax(1) == test.labels
    assert right.float().mean() > 0.9
    assert isinstance(model, Completer)


def test_refuses():
    library = scenes(20)
    for noise in (0, -1, math.nan):
        with pytest.raises(ValueError, match="noise is"):
            GaussianMixture(library, noise=noise)
    with pytest.raises(ValueError, match="factors is 0"):
        GaussianMixture(library, factors=0)
    with pytest.raises(ValueError, match="components is 21, and pairs has 20 scenes"):
        GaussianMixture(library, 21)
    findings = replace(library, labels=torch.ones(20, 2, dtype=torch.int64))
    with pytest.raises(ValueError, match="pairs has findings, not classes"):
        GaussianMixture(findings)
    with pytest.raises(ValueError, match="pairs has 0 scenes of 'high'"):
        GaussianMixture(replace(library, labels=torch.zeros(20, dtype=torch.int64)))
    with pytest.raises(ValueError, match="transform is not affine"):
        GaussianMixture(library, transform=lambda scene: scene.flatten(1) ** 2)
    model = GaussianMixture(library)
    with pytest.raises(ValueError, match="n is 0, expected at least 1"):
        model.sample(Observation.nothing(1, 1, (2, 3)), 0)
    with pytest.raises(ValueError, match=r"fitted to \(1, 2, 3\)"):
        model.sample(Observation.nothing(1, 1, 4), 1)
    with pytest.raises(ValueError, match="a transform from scenes to readings"):
        model.sample(observed(library.scenes([0]), mixed, [0]), 1)
    pixels = observed(library.scenes([0]), None, [0])
    with pytest.raises(ValueError, match="pixels that were seen but no readings"):
        GaussianMixture(library, transform=mixed).sample(pixels, 1)
    with pytest.raises(ValueError, match="observation has NaN"):
        model.sample(Observation.of(pixels.values * math.nan, pixels.mask), 1)
