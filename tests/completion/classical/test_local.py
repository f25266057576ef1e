"""Total variation, low rank and patches of the same image where the answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from boed.completion.classical.filling import FILLINGS, HarmonicFill
from boed.completion.classical.low_rank import LowRankFill
from boed.completion.classical.patch_match import PatchMatchFill
from boed.completion.classical.tv import TotalVariationFill
from boed.data.dataset import Dataset
from boed.data.masks import dropped
from boed.data.observation import Observation


def library(size=8, channels=1):
    images = torch.full((2, channels, size, size), 99, dtype=torch.uint8)
    return Dataset(
        name="greys", split="train", images=images, labels=torch.arange(2), label_names=("a", "b")
    )


def hole(size=8, rows=slice(2, 6), columns=slice(2, 6)):
    mask = torch.ones(1, 1, size, size)
    mask[..., rows, columns] = 0
    return mask


def noise(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def filled(model, scene, mask):
    return model.sample(Observation.of(scene, mask), 1)[0]


@pytest.mark.parametrize("name", FILLINGS)
def test_a_constant_is_recovered(name):
    scene = torch.full((1, 3, 16, 16), 0.4)
    found = filled(FILLINGS[name](library(16, 3)), scene, hole(16, slice(9, 13), slice(9, 13)))
    expected = 0.4 if name != "ridge" else 99 / 255  # which knows the library alone
    torch.testing.assert_close(found[..., 9:13, 9:13], torch.full((1, 3, 4, 4), expected))


@pytest.mark.parametrize("across", [False, True])
def test_least_variation_recovers_a_step(across):
    scene = torch.zeros(1, 1, 8, 8)
    scene[..., 4:] = 1
    mask = hole(8, slice(1, 7), slice(3, 5))
    if across:
        scene, mask = scene.mT, mask.mT
    model = TotalVariationFill(library(), iterations=300, smoothing=1e-4)
    found = filled(model, scene, mask)
    torch.testing.assert_close(found, scene, atol=0.03, rtol=0)  # as far as it is smoothed
    assert (
        HarmonicFill(library()).sample(Observation.of(scene, mask), 1) - scene
    ).abs().max() > 0.3


@pytest.mark.parametrize("channels", [1, 3])
def test_variation_never_rises_and_is_the_least(channels):
    scene, hidden = noise(channels, 8, 8), hole()[0, 0] == 0
    model = TotalVariationFill(library(8, channels), iterations=300, smoothing=1e-2)
    states = list(model.steps(scene, hidden))
    energies = np.array([model.variation(each) for each in states])
    assert len(states) > 5
    assert (np.diff(energies) <= 1e-9).all()

    def energy(pixels):
        given = scene.double().clone()
        values = torch.from_numpy(pixels).requires_grad_()
        given[:, hidden] = values.view(channels, -1)
        down, right = given.diff(dim=1), given.diff(dim=2)
        squared = torch.zeros(8, 8, dtype=torch.double)
        squared = squared + torch.nn.functional.pad(down.square().sum(0), (0, 0, 0, 1))
        squared = squared + torch.nn.functional.pad(right.square().sum(0), (0, 1))
        total = (squared + 1e-4).sqrt().sum()
        return total.item(), torch.autograd.grad(total, values)[0].numpy()

    start = np.full(channels * 16, 0.5)
    best = minimize(energy, start, jac=True, method="L-BFGS-B", options={"ftol": 1e-14})
    assert energies[-1] == pytest.approx(best.fun, rel=1e-5)
    assert np.allclose(states[-1][:, hidden].flatten(), best.x, atol=5e-3)


@pytest.mark.parametrize("seed", range(2))
def test_a_matrix_of_rank_one_is_recovered(seed):
    generator = torch.Generator().manual_seed(seed)
    column, row = (0.2 + 0.8 * noise(32, seed=seed + k) for k in (0, 5))
    scene = torch.outer(column, row)[None, None]
    mask = dropped(1, 32, 0.3, generator=generator)
    found = filled(LowRankFill(library(32)), scene, mask)
    torch.testing.assert_close(found, scene, atol=1e-3, rtol=0)


def test_of_rows_that_are_not_seen_comes_the_mean():
    scene = noise(1, 1, 8, 8)
    found = filled(LowRankFill(library()), scene, hole(8, slice(0, 4), slice(0, 8)))
    mean = scene[:, :, 4:].mean()
    torch.testing.assert_close(found[:, :, :4], mean.expand(1, 1, 4, 8), atol=1e-3, rtol=0)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("period", [2, 3, 4])
def test_a_periodic_texture_is_filled_exactly(period, channels):
    texture = noise(1, channels, period, period).repeat(1, 1, 10, 10)[..., :20, :20]
    found = filled(
        PatchMatchFill(library(20, channels)), texture, hole(20, slice(5, 11), slice(12, 20))
    )
    torch.testing.assert_close(found, texture, atol=1e-6, rtol=0)


def test_where_no_patch_was_seen_whole_there_is_none_to_copy():
    mask = dropped(1, 32, 0.8, generator=torch.Generator().manual_seed(0))
    with pytest.raises(ValueError, match="patch is 5, but no 5 x 5 pixels of a scene were seen"):
        filled(PatchMatchFill(library(32)), noise(1, 1, 32, 32), mask)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (TotalVariationFill, {"iterations": 0}, "iterations is 0, expected at least 1"),
        (TotalVariationFill, {"smoothing": 0.0}, r"smoothing is 0\.0, expected more than 0"),
        (LowRankFill, {"iterations": 0}, "iterations is 0, expected at least 1"),
        (LowRankFill, {"scale": 0.0}, r"scale is 0\.0, expected more than 0"),
        (PatchMatchFill, {"iterations": -1}, "iterations is -1, expected at least 0"),
        (PatchMatchFill, {"patch": 4}, "patch is 4, expected an odd number from 3 to .* 8"),
        (PatchMatchFill, {"patch": 1}, "patch is 1, expected an odd number"),
        (PatchMatchFill, {"patch": 9}, "patch is 9, expected an odd number"),
    ],
)
def test_options_that_are_refused(kind, options, message):
    with pytest.raises(ValueError, match=message):
        kind(library(), **options)
