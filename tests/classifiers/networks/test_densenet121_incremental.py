"""DenseNet-121 for inference equals torchvision's, whole and where only a box changed."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from boed.classifiers.classifier import NearbyClassifier
from boed.classifiers.densenet_classifier import DenseNetClassifier
from boed.classifiers.networks.boxes import Box
from boed.classifiers.networks.densenet import DenseNetConfig, build
from boed.classifiers.networks.densenet121_incremental import DenseNet121, Threshold
from boed.data.observation import Observation


def network(size: int, channels: int = 1) -> nn.Module:
    """Random weights and statistics, with some batch norms that turn their input around."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = build(
            DenseNetConfig(size=size, channels=channels, outputs=3, kind="densenet121")
        ).eval()
        for module in made.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.3)
                module.running_var.uniform_(0.5, 2)
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, 0, 0.3)
                with torch.no_grad():
                    module.weight[::7] *= -1
                    module.weight[3] = 0
    return made.requires_grad_(False)


@pytest.fixture(scope="module")
def net() -> nn.Module:
    return network(64)


@pytest.mark.parametrize("size", [29, 64])
def test_equals_torchvisions(net: nn.Module, size: int) -> None:
    images = torch.randn(3, 2, size, size)
    torch.testing.assert_close(DenseNet121(net)(images), net(images), atol=2e-5, rtol=1e-4)


def test_bf16_is_near_and_not_the_same(net: nn.Module) -> None:
    images = torch.randn(4, 2, 64, 64)
    exact, rounded = net(images), DenseNet121(net, torch.bfloat16)(images)
    assert rounded.dtype == torch.float32
    assert 0 < float((exact - rounded).abs().max()) < 0.03


@pytest.mark.parametrize(
    ("size", "box"),
    [
        (64, (0, 0, 16, 16)),
        (64, (48, 48, 16, 16)),
        (64, (21, 33, 5, 9)),
        (64, (0, 30, 64, 1)),
        (64, (0, 0, 64, 64)),
        (90, (37, 51, 11, 8)),
        (128, (96, 3, 32, 32)),
        (160, (50, 7, 1, 1)),
        (160, (45, 76, 38, 33)),
    ],
)
def test_a_changed_box_gives_what_the_whole_image_gives(
    net: nn.Module, size: int, box: tuple[int, int, int, int]
) -> None:
    row, column, height, width = box
    base = torch.randn(2, 2, size, size)
    which = torch.tensor([1, 0, 1])
    images = base[which].clone()
    images[:, :, row : row + height, column : column + width] = torch.randn(3, 2, height, width)
    fast = DenseNet121(net)
    found = fast.around(base)(images, which, Box.around((images != base[which]).any(1)))
    torch.testing.assert_close(found, net(images), atol=2e-5, rtol=1e-4)


def test_boxes_of_several_places_share_their_size(net: nn.Module) -> None:
    base = torch.randn(1, 2, 128, 128)
    images = base.repeat(4, 1, 1, 1)
    for image, (row, column) in zip(images, [(0, 0), (0, 96), (96, 0), (48, 50)], strict=True):
        image[:, row : row + 32, column : column + 32] = torch.randn(2, 32, 32)
    box = Box.around((images != base).any(1))
    assert box.length == (32, 32)
    assert box.start.tolist() == [[0, 0], [0, 96], [96, 0], [48, 50]]
    found = DenseNet121(net).around(base)(images, torch.zeros(4, dtype=torch.long), box)
    torch.testing.assert_close(found, net(images), atol=2e-5, rtol=1e-4)


def test_an_image_in_which_nothing_changed_is_the_base(net: nn.Module) -> None:
    base = torch.randn(1, 2, 64, 64)
    nowhere = Box.around(torch.zeros(1, 64, 64, dtype=torch.bool))
    found = DenseNet121(net).around(base)(base, torch.tensor([0]), nowhere)
    torch.testing.assert_close(found, net(base), atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("kernel", [(7, 2, 3), (3, 2, 1), (3, 1, 1), (2, 2, 0)])
def test_a_box_goes_through_a_convolution_as_a_change_does(kernel: tuple[int, int, int]) -> None:
    width, stride, padding = kernel
    weight = torch.ones(1, 1, width, width)
    for start, length in [(0, 1), (7, 4), (8, 5), (20, 12)]:
        image = torch.zeros(1, 1, 32, 32)
        image[..., start : start + length, start : start + length] = 1
        reached = torch.conv2d(image, weight, stride=stride, padding=padding)[0, 0] > 0
        box = Box(torch.tensor([[start, start]]), (length, length)).through(*kernel)
        index, inside = box.pixels((len(reached), len(reached)))
        covered = torch.zeros_like(reached).view(-1)
        covered[index[inside]] = True
        assert bool((covered.view_as(reached) | ~reached).all())
        assert int(covered.sum()) <= (int(reached.any(0).sum()) + 1) ** 2


def test_a_threshold_is_norm_relu_and_convolution() -> None:
    torch.manual_seed(1)
    norm, conv = nn.BatchNorm2d(6).eval(), nn.Conv2d(6, 4, 1, bias=False)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    x = torch.randn(5, 6, 3, 3)
    made = Threshold.of(norm, conv, torch.float32)
    made = replace(made, bias=made.bias.float())
    found = made.convolved(made.clamped(x.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)
    torch.testing.assert_close(found, conv(norm(x).relu()), atol=1e-5, rtol=1e-5)


@pytest.fixture
def loaded(tmp_path) -> DenseNetClassifier:  # type: ignore[no-untyped-def]
    config = DenseNetConfig(size=64, channels=1, outputs=3, kind="densenet121")
    model = DenseNetClassifier(config, ("a", "b", "c"))
    model.network = network(64)
    model.save(tmp_path / "net.safetensors", {})
    return DenseNetClassifier.load(tmp_path / "net.safetensors")


def test_a_loaded_classifier_believes_the_same_by_all_ways(loaded: DenseNetClassifier) -> None:
    scenes = torch.rand(3, 1, 64, 64)
    mask = torch.zeros(3, 1, 64, 64)
    mask[:, :, :20, 5:25] = 1
    before = Observation.of(scenes, mask)
    mask = mask.clone()
    mask[:, :, 30:46, 40:56] = 1
    after = Observation.of(scenes, mask)
    expected = loaded.logits(after).log_softmax(1)
    assert isinstance(loaded, NearbyClassifier)
    torch.testing.assert_close(loaded.log_probs(after), expected, atol=2e-5, rtol=1e-4)
    nearby = loaded.around(before)(after[torch.tensor([2, 0])], torch.tensor([2, 0]))
    torch.testing.assert_close(nearby, expected[[2, 0]], atol=2e-5, rtol=1e-4)


def test_precision(loaded: DenseNetClassifier) -> None:
    everything = Observation.of(torch.rand(2, 1, 64, 64), torch.ones(2, 1, 64, 64))
    exact = loaded.log_probs(everything)
    loaded.precision = "bf16"
    rounded = loaded.log_probs(everything)
    assert 0 < float((exact - rounded).abs().max()) < 0.05
    loaded.precision = "fp32"
    assert torch.equal(loaded.log_probs(everything), exact)
    with pytest.raises(ValueError, match=r"precision is 'fp8'.*one of fp32, bf16"):
        loaded.precision = "fp8"  # type: ignore[assignment]
    with pytest.raises(ValueError, match="for a loaded classifier"):
        DenseNetClassifier(loaded.config, ("a", "b", "c")).precision = "bf16"
