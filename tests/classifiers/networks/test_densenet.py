"""The networks: shapes, folding, configurations that cannot be built."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from boed.classifiers.networks.densenet import DenseNetConfig, build
from boed.foundation.torchvision_compat import torchvision


def moved_norms(network):
    """Batch norms as after a training: no statistic and no scale at its start."""
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.running_mean.normal_(0, 0.3)
            norm.running_var.uniform_(0.5, 2)
            nn.init.normal_(norm.weight, 1, 0.2)
            nn.init.normal_(norm.bias, 0, 0.2)
    return network.eval()


@pytest.mark.parametrize("kind", ["small", "resnet18"])
def test_folding_keeps_the_outputs(kind):
    torch.manual_seed(0)
    config = DenseNetConfig(size=16, channels=3, outputs=4, kind=kind, width=8)
    network = moved_norms(build(config))
    stacked = torch.randn(5, 4, 16, 16)
    with torch.no_grad():
        before = network(stacked)
        network.fold()
        after = network(stacked)
        network.fold()  # a second time does nothing
        assert torch.equal(network(stacked), after)
    assert (before - after).abs().max() < 1e-5
    assert not any(isinstance(each, nn.BatchNorm2d) for each in network.modules())
    assert before.std() > 1e-3


@pytest.mark.parametrize(("size", "stem"), [(28, 4), (28, 2), (32, 2), (64, 4)])
def test_small_network_shapes(size, stem):
    config = DenseNetConfig(size=size, channels=1, outputs=7, stem=stem)
    assert build(config)(torch.rand(2, 2, size, size)).shape == (2, 7)


def test_densenet121_has_the_extra_input_and_its_size():
    config = DenseNetConfig(size=32, channels=1, outputs=15, kind="densenet121")
    network = build(config)
    assert network.features.conv0.weight.shape == (64, 2, 7, 7)
    # 7.98 M of the published network, less 985 classes and one input channel
    assert sum(p.numel() for p in network.parameters()) == 7978856 - 985 * 1025 - 64 * 49


def test_the_residual_network_has_the_layers_of_resnet18():
    config = DenseNetConfig(size=32, channels=3, outputs=10, kind="resnet18", stem=1, width=64)
    theirs = torchvision().models.resnet18(num_classes=10)
    expected = sum(p.numel() for p in theirs.parameters())
    expected -= 64 * (3 * 49 - 4 * 9)  # the 3x3 first convolution, which reads the mask, too
    expected += 10 * 512  # the largest activations beside their means
    assert sum(p.numel() for p in build(config).parameters()) == expected


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"kind": "resnet"},
            "kind is 'resnet': did you mean 'resnet18'.*one of small, densenet121",
        ),
        ({"stem": 3}, "size 32 is not a multiple of stem 3"),
        ({"growth": (16,)}, "growth has 1 entries for 3 blocks of layers"),
        ({"size": 8, "stem": 4}, "size 8 is too small for stem 4 and 3 blocks"),
        ({"kind": "densenet121", "size": 28}, "size 28 is too small for densenet121"),
        ({"kind": "resnet18", "stem": 3}, "size 32 is not a multiple of stem 3"),
        ({"kind": "resnet18", "size": 8}, "size 8 is too small for stem 2 and 4 stages"),
    ],
)
def test_networks_that_cannot_be_built(changes, message):
    with pytest.raises(ValueError, match=message):
        build(replace(DenseNetConfig(size=32, channels=1, outputs=2), **changes))


def test_statistics_that_cannot_standardise():
    with pytest.raises(ValueError, match=r"std is 0\.0, expected more than 0"):
        DenseNetConfig(size=32, channels=1, outputs=2, std=0.0)
