"""Changes of training scenes: small, in range, of each kind."""

from __future__ import annotations

import pytest
import torch

from boed.classifiers.augmentation import AUGMENTATIONS, Augmentation


def square() -> torch.Tensor:
    scenes = torch.full((64, 1, 32, 32), 0.2)
    scenes[:, :, 12:20, 12:20] = 0.6
    return scenes


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_scenes_keep_their_shape_and_range(name):
    torch.manual_seed(0)
    scenes = torch.rand(6, 3, 16, 16)
    changed = AUGMENTATIONS[name](scenes)
    assert changed.shape == scenes.shape
    assert 0 <= changed.min() <= changed.max() <= 1
    assert torch.equal(changed, scenes) == (name == "none")


def test_the_light_one_moves_a_little():
    torch.manual_seed(0)
    moved = AUGMENTATIONS["light"](square())
    row = torch.arange(32.0)
    bright = (moved - moved.amin((2, 3), keepdim=True) - 0.1).clamp(min=0)
    centre = (bright.sum(3) * row).sum(2) / bright.sum((2, 3))
    assert (centre - 15.5).abs().max() < 0.06 * 32 + 1
    assert centre.std() > 0.5


@pytest.mark.parametrize(
    ("kind", "amount"),
    [
        ("degrees", 20),
        ("shift", 0.2),
        ("scale", 0.3),
        ("shear", 20),
        ("brightness", 0.5),
        ("contrast", 0.5),
        ("gamma", 0.5),
        ("blur", 0.05),
        ("noise", 0.1),
    ],
)
def test_each_amount_changes_scenes_by_itself_and_differently(kind, amount):
    torch.manual_seed(0)
    scenes = square()
    changed = Augmentation(**{kind: amount})(scenes)
    assert not torch.allclose(changed, scenes, atol=1e-3)
    difference = (changed - scenes).abs().mean((1, 2, 3))
    assert difference.std() > 1e-5


def test_what_comes_in_from_outside_goes_on_as_the_edge_does():
    torch.manual_seed(0)
    moved = Augmentation(degrees=20, shift=0.2)(torch.full((8, 1, 32, 32), 0.7))
    assert torch.allclose(moved, torch.tensor(0.7), atol=1e-5)
