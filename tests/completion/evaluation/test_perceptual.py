"""LPIPS by a user's backbone: what the package says, and what is refused."""

from __future__ import annotations

import builtins
import sys
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from boed.cli import app
from boed.completion.evaluation.perceptual import LPIPS, from_truth


def unit(layer, eps=1e-10):
    return layer / (layer.square().sum(1, keepdim=True).sqrt() + eps)


class Backbone(nn.Module):
    """Two layers, in slices as the package has them."""

    def __init__(self):
        super().__init__()
        self.slice1 = nn.Sequential()
        self.slice1.add_module("0", nn.Conv2d(3, 64, 11, 4, 2))
        self.slice2 = nn.Sequential()
        self.slice2.add_module("3", nn.Conv2d(64, 8, 3))

    def forward(self, x):
        first = self.slice1(x).relu()
        return first, self.slice2(first).relu()


class Package(nn.Module):
    """The parts of `lpips.LPIPS` that are used, and its distance as the paper writes it."""

    def __init__(self, net, pnet_rand, verbose):
        super().__init__()
        assert pnet_rand  # nothing is downloaded
        self.kind, self.net = net, Backbone()
        self.scaling_layer = nn.Identity()
        heads = [nn.Conv2d(width, 1, 1, bias=False) for width in (64, 8)]
        for seed, head in enumerate(heads):
            torch.manual_seed(seed)
            nn.init.uniform_(head.weight)
        self.lins = [SimpleNamespace(model=nn.Sequential(nn.Dropout(), head)) for head in heads]

    def forward(self, x, y):
        layers = zip(self.net(2 * x - 1), self.net(2 * y - 1), self.lins, strict=True)
        weighted = [lin.model[-1]((unit(a) - unit(b)).square()) for a, b, lin in layers]
        return sum(each.mean((1, 2, 3)) for each in weighted)


def state():
    """As torchvision's alexnet has it, as far as the backbone above goes."""
    torch.manual_seed(3)
    return {
        "features.0.weight": torch.randn(64, 3, 11, 11) / 10,
        "features.0.bias": torch.randn(64) / 10,
        "features.3.weight": torch.randn(8, 64, 3, 3) / 10,
        "features.3.bias": torch.randn(8) / 10,
        "classifier.1.weight": torch.zeros(1),
    }


@pytest.fixture
def weights(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "lpips", SimpleNamespace(LPIPS=Package, normalize_tensor=unit))
    torch.save(state(), tmp_path / "alexnet.pth")
    return tmp_path / "alexnet.pth"


def brute(perceptual, scenes, truth):
    package = perceptual._model
    colour = [each.expand(-1, 3, -1, -1) for each in (*scenes, truth)]
    n = len(scenes)
    to_truth = torch.stack([package(each, colour[-1]) for each in colour[:-1]])
    pairs = [package(colour[i], colour[j]) for i in range(n) for j in range(i)]
    return to_truth, torch.stack(pairs).mean(0)


@pytest.mark.parametrize("channels", [1, 3])
def test_embeddings_give_the_distances_of_the_package(weights, channels):
    perceptual = LPIPS(weights)
    assert perceptual.name == "LPIPS (alex)"
    scenes, truth = torch.rand(4, 2, channels, 40, 40), torch.rand(2, channels, 40, 40)
    found = from_truth(perceptual, scenes, truth)
    for mine, theirs in zip(found, brute(perceptual, scenes, truth), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-7)
        assert (mine > 1e-4).all()


def test_the_backbone_is_the_users(weights):
    held = state()
    torch.testing.assert_close(
        LPIPS(weights)._model.net.slice2[0].weight, held["features.3.weight"]
    )


@pytest.mark.parametrize("kind", ["alexnet", "vgg16", "squeezenet1_1"])
def test_the_real_package(kind, tmp_path, monkeypatch):
    pytest.importorskip("lpips")
    import lpips

    from boed.foundation.torchvision_compat import torchvision

    torch.manual_seed(0)
    network = getattr(torchvision().models, kind)(weights=None)
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    perceptual = LPIPS(tmp_path / "weights.pth")
    scenes, truth = torch.rand(2, 1, 3, 64, 64), torch.rand(1, 3, 64, 64)
    found = from_truth(perceptual, scenes, truth)[0][:, 0]
    theirs = lpips.LPIPS.forward(perceptual._model, scenes[:, 0], truth, normalize=True)
    torch.testing.assert_close(found, theirs.flatten(), rtol=1e-3, atol=1e-6)


def lacking(held, key):
    return {name: each for name, each in held.items() if name != key}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "do not exist"),
        (b"no weights", "cannot be read"),
        ([1, 2], "are no state dictionary of torchvision's alexnet, vgg16"),
        ({"features.0.weight": torch.zeros(64, 3, 7, 7)}, "are no state dictionary"),
        (lacking(state(), "features.3.bias"), "are no whole alex"),
        ({**state(), "features.3.weight": torch.zeros(1)}, "are no whole alex"),
    ],
)
def test_weights_that_are_refused(content, words, weights, tmp_path):
    path = tmp_path / "wrong.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(ValueError, match=rf"lpips weights .*wrong\.pth {words}"):
        LPIPS(path)


def test_scenes_that_are_too_small(weights):
    with pytest.raises(ValueError, match="lpips: scenes are 28 x 28 pixels, expected 32 or more"):
        LPIPS(weights).embedded(torch.rand(1, 1, 28, 28))


def test_without_the_package(weights, monkeypatch):
    monkeypatch.delitem(sys.modules, "lpips")
    known = builtins.__import__

    def missing(name, *rest, **more):
        if name == "lpips":
            raise ImportError(name)
        return known(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ValueError, match=r"lpips needs .*: pip install 'boed\[lpips\]'"):
        LPIPS(weights)


def test_the_command_refuses_a_missing_file(tmp_path):
    arguments = ["evaluate", "completer", "aipo", "--lpips", str(tmp_path / "none.pth")]
    result = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "run")])
    assert result.exit_code == 2
    assert "--lpips is" in " ".join(result.output.split())
    assert not (tmp_path / "run").exists()
