"""Harmonic fill and ridge regression against what they are by definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from boed.completion.classical.filling import FILLINGS, HarmonicFill, RidgeFill
from boed.data.dataset import Dataset
from boed.data.observation import Observation


def library(channels: int = 1, size: int = 8, number: int = 30) -> Dataset:
    generator = torch.Generator().manual_seed(0)
    shape = (number, channels, size, size)
    return Dataset(
        name="dots",
        split="train",
        images=torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator),
        labels=torch.arange(number) % 2,
        label_names=("a", "b"),
    )


def hole(batch: int = 1, size: int = 8) -> torch.Tensor:
    mask = torch.ones(batch, 1, size, size)
    mask[..., 2:6, 3:6] = 0
    return mask


def test_harmonic_fill_of_a_ramp_is_exact():
    rows, columns = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij")
    ramps = torch.stack([rows / 10, columns / 10, (rows + 2 * columns) / 30])[None]
    filled = HarmonicFill(library(3)).sample(Observation.of(ramps, hole()), 1)[0]
    torch.testing.assert_close(filled, ramps, atol=1e-6, rtol=0)


@pytest.mark.parametrize("seed", range(4))
def test_a_hidden_pixel_is_the_mean_of_its_neighbours(seed):
    generator = torch.Generator().manual_seed(seed)
    scenes = torch.rand(2, 3, 8, 8, generator=generator)
    mask = (torch.rand(2, 1, 8, 8, generator=generator) < 0.2).float()
    observation = Observation.of(scenes, mask)
    filled = HarmonicFill(library(3)).sample(observation, 1)[0].double()
    padded = torch.nn.functional.pad(filled, (1, 1, 1, 1), value=torch.nan)
    beside = torch.stack(
        [padded[:, :, :-2, 1:-1], padded[:, :, 2:, 1:-1], padded[:, :, 1:-1, :-2],
         padded[:, :, 1:-1, 2:]]
    )  # fmt: skip
    hidden = (mask == 0).expand_as(filled)
    torch.testing.assert_close(filled[hidden], beside.nanmean(0)[hidden], atol=1e-6, rtol=0)
    for each, seen in zip(filled, mask, strict=True):
        for channel in each:
            known = channel[seen[0] > 0]
            assert known.min() - 1e-6 <= channel.min() <= channel.max() <= known.max() + 1e-6


@pytest.mark.parametrize(("channels", "images"), [(1, 30), (3, 12)])
def test_ridge_is_its_formula(channels, images):
    scenes = library(channels)
    model = RidgeFill(scenes, images=images, frame=2, penalty=0.5)
    given = torch.rand(2, channels, 8, 8)
    filled = model.sample(Observation.of(given, hole(2)), 1)[0]
    hidden, frame = (torch.zeros(8, 8, dtype=torch.bool) for _ in range(2))
    frame[:8, 1:8], hidden[2:6, 3:6] = True, True
    frame &= ~hidden
    x, y = (model.scenes[:, :, each].flatten(1).double().numpy() for each in (frame, hidden))
    deviations = x - x.mean(0)
    weights = np.linalg.solve(
        deviations.T @ deviations + 0.5 * np.eye(x.shape[1]), deviations.T @ (y - y.mean(0))
    )
    read = given[:, :, frame].flatten(1).double().numpy()
    expected = ((read - x.mean(0)) @ weights + y.mean(0)).clip(0, 1)
    ours = filled[:, :, hidden].flatten(1)
    torch.testing.assert_close(ours, torch.from_numpy(expected).float(), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", FILLINGS)
def test_of_nothing_comes_the_mean_and_scenes_do_not_mix(name):
    scenes = library(3)
    options = {"patch": 3} if name == "patch-match" else {}  # no larger one was seen whole
    model, given = FILLINGS[name](scenes, **options), torch.rand(3, 3, 8, 8)
    mask = torch.cat([torch.zeros(1, 1, 8, 8), hole(1), torch.ones(1, 1, 8, 8)])
    observation = Observation.of(given, mask)
    filled = model.sample(observation, 2, seed=4)
    torch.testing.assert_close(filled[0, 0], scenes.scenes().mean(0))
    assert torch.equal(filled[:, 2], given[2].expand(2, -1, -1, -1))
    assert torch.equal(filled[0], filled[1])
    alone = [model.sample(observation[b : b + 1], 1)[0] for b in range(3)]
    torch.testing.assert_close(filled[0], torch.cat(alone))


@pytest.mark.parametrize("kind", FILLINGS.values())
def test_what_is_refused(kind):
    model, blank = kind(library()), Observation.nothing(2, 1, 8)
    readings = torch.ones(2, 3)
    indirect = Observation(blank.values, blank.mask, readings=readings, taken=readings)
    with pytest.raises(ValueError, match=f"readings of an indirect sensor; {kind.__name__} fills"):
        model.sample(indirect, 1)
    with pytest.raises(ValueError, match="seed has 3 entries for a batch of 2"):
        model.sample(blank, 1, [1, 2, 3])
    with pytest.raises(ValueError, match="library"):
        kind(torch.rand(4, 1, 8, 8))


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("images", 0, "images is 0, expected at least 1"),
        ("frame", 0, "frame is 0, expected at least 1"),
        ("penalty", 0.0, "penalty is 0.0, expected more than 0"),
    ],
)
def test_options_of_ridge_that_are_refused(option, value, message):
    with pytest.raises(ValueError, match=message):
        RidgeFill(library(), **{option: value})
