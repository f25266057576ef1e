"""Architectures of a completer's own, by name: those who have them, and all others."""

from __future__ import annotations

import pytest
import torch

from boed.completion.registry import LEARNED
from boed.completion.training import ARCHITECTURES, TRAINED, preset, standardised_for, start_from
from boed.data.dataset import Dataset

OWN = {
    "pc-cnn": ("binary", "mnist", "celeba"),
    "pixelcnn-c": ("binary",),
    "row-lstm": ("binary", "mnist", "cifar"),
    "diagonal-bilstm": ("binary", "mnist", "cifar"),
    "flattened-row-lstm": ("binary",),
    "pixelcnn-zone": ("binary",),
    "unsup": ("digits",),
    "misgan": ("digits",),
}
OF_LEVELS = [name for name in OWN if "binary" in OWN[name]]


def images(size: int, channels: int) -> Dataset:
    pixels = torch.randint(0, 256, (4, channels, size, size), dtype=torch.uint8)
    return Dataset(
        name="dots",
        split="train",
        images=pixels,
        labels=torch.arange(4) % 2,
        label_names=("a", "b"),
    )


def test_all_of_them_are_known_by_the_command_line():
    for name in LEARNED:
        assert tuple(LEARNED[name].architectures) == OWN.get(name, ())
        assert set(LEARNED[name].architectures) <= set(ARCHITECTURES)


@pytest.mark.parametrize("name", OF_LEVELS)
@pytest.mark.parametrize("channels", [1, 3])
def test_binary_is_the_preset_with_two_levels(name, channels):
    config, training = preset(name, images(32, channels), "binary")
    small, same = preset(name, images(32, channels))
    assert (config.levels, config.channels) == (2, channels)
    assert small.levels == (16 if channels == 1 else 32)
    assert training == same


@pytest.mark.parametrize(
    ("name", "architecture", "size", "channels"),
    [
        ("pc-cnn", "mnist", 28, 1),
        ("pc-cnn", "celeba", 32, 3),
        ("row-lstm", "mnist", 28, 1),
        ("diagonal-bilstm", "mnist", 28, 1),
        ("row-lstm", "cifar", 32, 3),
        ("diagonal-bilstm", "cifar", 32, 3),
    ],
)
def test_the_published_ones_are_for_images_of_their_size(name, architecture, size, channels):
    config, _ = preset(name, images(size, channels), architecture)
    assert standardised_for(config, images(size, channels)).levels == config.levels
    with pytest.raises(ValueError, match=f"is for {channels} channels of {size} pixels"):
        standardised_for(config, images(64, channels))


@pytest.mark.parametrize(
    ("name", "architecture"),
    [
        (name, architecture)
        for name in TRAINED
        for architecture in ("digits", "binary", "mnist", "cifar", "celeba")
        if architecture not in OWN.get(name, ())
    ],
)
def test_other_completers_have_none_of_them(name, architecture):
    with pytest.raises(ValueError, match=f"architecture is '{architecture}'.*xpected one of small"):
        preset(name, images(32, 1), architecture)


@pytest.mark.parametrize("name", OF_LEVELS)
def test_weights_of_other_levels_are_refused(name):
    two, sixteen = (
        LEARNED[name].of(preset(name, images(28, 1), a)[0]) for a in ("binary", "small")
    )
    with pytest.raises(ValueError, match="init has other layers than the model to train: "):
        start_from(sixteen, two)


@pytest.mark.parametrize("name", OWN)
def test_they_have_none_of_others(name):
    with pytest.raises(ValueError, match=f"cifar10 is a VD-VAE, for aipo.* not for {name}"):
        preset(name, images(32, 1), "cifar10")
