"""Context Encoder: the overlap, two losses that stay apart, one guess, and what it learns."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from boed.completion.adversarial.context_encoder import ContextEncoder, ContextEncoderConfig
from boed.data.masks import squares
from boed.data.observation import Observation
from boed.training.config import TrainingConfig
from boed.training.loop import fit


def tiny(**changes) -> ContextEncoder:
    torch.manual_seed(0)
    fields = {"size": 8, "channels": 1, "width": 8, "bottleneck": 16, "critic": 8}
    return ContextEncoder(ContextEncoderConfig(**{**fields, **changes}))


def observed(batch=6, size=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    scene = torch.rand(batch, 1, size, size, generator=generator)
    counts = torch.arange(batch) % 3 + 1
    return scene, Observation.of(scene, squares(batch, size, counts=counts, generator=generator))


@pytest.mark.slow
@pytest.mark.parametrize(("size", "published"), [(32, 34_094_528), (256, 71_321_536)])
def test_the_published_network_has_the_published_parameters_and_weights_for_the_mask(
    size, published
):
    with torch.device("meta"):
        model = ContextEncoder(replace(ContextEncoder.PUBLISHED, size=size))
    numbers = {name: p.numel() for name, p in model.named_parameters()}
    ours = sum(n for name, n in numbers.items() if not name.startswith("discriminator"))
    assert ours == published + 64 * 4 * 4


def test_overlap_is_the_seen_band_beside_the_hidden_region():
    model = tiny(size=64)  # band of 2
    mask = torch.ones(1, 1, 64, 64)
    mask[..., 20:30, 20:30] = 0
    weights = model.overlap_weights(mask)[0, 0]
    expected = torch.zeros(64, 64)
    expected[18:32, 18:32] = 10
    expected[20:30, 20:30] = 1
    assert torch.equal(weights, expected)


@pytest.mark.parametrize(("size", "band"), [(28, 1), (32, 1), (64, 2), (128, 4), (256, 8)])
def test_the_band_grows_with_the_image(size, band):
    assert ContextEncoderConfig(size=size, channels=1).band == band


@pytest.mark.parametrize("size", [8, 28, 32, 64, 192])
def test_the_decoder_comes_back_to_the_image_s_size(size):
    scene, observation = observed(2, size)
    assert tiny(size=size).sample(observation, 1)[0].shape == scene.shape


def test_seen_pixels_away_from_the_band_do_not_enter_the_error():
    model = tiny().eval()
    scene, _ = observed(1)
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., 2:7, 2:7] = 1
    observation = Observation.of(scene, mask)
    weights = model.overlap_weights(observation.mask).expand_as(scene)
    far, near = weights == 0, weights == 10
    assert (far.sum(), near.sum()) == (9, 16)
    with torch.no_grad():
        before = model.losses(scene, observation)[0]
        # the scene differs from what was seen there, which only the error can notice
        assert torch.equal(model.losses(scene.where(~far, 1 - scene), observation)[0], before)
        assert model.losses(scene.where(~near, 1 - scene), observation)[0] != before


@pytest.mark.parametrize(("which", "own"), [(0, False), (1, True)])
def test_each_loss_moves_its_own_network_alone(which, own):
    model = tiny().train()
    model.losses(*observed())[which].backward()
    for name, parameter in model.named_parameters():
        moved = parameter.grad is not None and bool((parameter.grad != 0).any())
        assert moved == (name.startswith("discriminator") == own), name


def test_the_generator_learns_from_the_discriminator():
    model = tiny().train()
    scene, observation = observed()
    model.reconstruction = 0.0  # the adversarial part alone
    model.losses(scene, observation)[0].backward()
    gradient = model.decoder[-1].weight.grad
    assert gradient is not None
    assert gradient.norm() > 0


def test_all_samples_are_one_scene_whatever_the_seed():
    model = tiny().train()
    _, observation = observed()
    statistics = {name: buffer.clone() for name, buffer in model.named_buffers()}
    first, second = model.sample(observation, 4, seed=0), model.sample(observation, 2, seed=1)
    assert model.deterministic
    assert torch.equal(first, first[:1].expand_as(first))
    assert torch.equal(first[0], second[0])
    assert model.training
    assert all(torch.equal(buffer, statistics[name]) for name, buffer in model.named_buffers())


@pytest.mark.slow
def test_training_finds_the_brighter_half(train, val):
    model = tiny(mean=0.47, std=0.32).train()
    settings = TrainingConfig(
        steps=150, batch=32, lr=3e-3, warmup=10, weight_decay=0.0, betas=(0.5, 0.999), ema=0.95
    )
    masks = torch.zeros(len(val), 1, 8, 8)
    masks[..., 2:5, 1:4] = 1  # the left half is seen in part
    scenes = val.scenes()
    observation = Observation.of(scenes, masks)
    before = model.figures(scenes, observation)

    def loss(step: int) -> torch.Tensor:
        batch = train.scenes(torch.randint(len(train), (32,)))
        return model.loss(batch, Observation.of(batch, squares(32, 8)))

    fit(model, loss, settings)
    after = model.figures(scenes, observation)
    assert after["val_loss"] < before["val_loss"] / 4
    assert after["val_mse_hidden"] < 0.02  # the mean of both kinds of scene is 0.1 away
    right = model.eval().sample(observation, 1)[0, :, :, :, 4:].mean((1, 2, 3))
    assert torch.equal(right > 0.5, val.labels == 1)


@pytest.mark.parametrize("changes", [{"size": 7}, {"size": 6}, {"width": 0}, {"std": 0.0}])
def test_configurations_that_make_no_sense_are_refused(changes):
    with pytest.raises(
        ValueError, match=f"{next(iter(changes))} is {next(iter(changes.values()))}"
    ):
        tiny(**changes)


@pytest.mark.parametrize("size", [30, 48, 65])
def test_sizes_without_preset_are_refused(size):
    with pytest.raises(ValueError, match=f"size {size} has no preset"):
        ContextEncoder.preset(size, 1)
