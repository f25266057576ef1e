"""The CIFAR-10 report's hole fillers: their sizes, what their loss counts, and any mask."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from boed.completion.adversarial.hole_critics import DCGANFiller, WGANFiller
from boed.completion.adversarial.hole_filler import L2CNN, HoleFillerConfig, augmented
from boed.completion.adversarial.losses import evaluating
from boed.completion.registry import LEARNED
from boed.data.masks import named, squares
from boed.data.observation import Observation
from boed.training.config import TrainingConfig
from boed.training.loop import fit

TINY = {"size": 8, "channels": 1, "width": 4, "bottleneck": 8}
KINDS = (L2CNN, DCGANFiller, WGANFiller)


def tiny(kind=L2CNN, **changes):
    torch.manual_seed(0)
    fields = TINY | ({} if kind is L2CNN else {"critic": 4, "pretraining": 0})
    return kind(kind.Config(**{**fields, **changes})).train()


def observed(batch=6, size=8, channels=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    scene = torch.rand(batch, channels, size, size, generator=generator)
    counts = torch.arange(batch) % 3 + 1
    return scene, Observation.of(scene, squares(batch, size, counts=counts, generator=generator))


def grid(height: int, width: int, lines: range, columns: range, value=1.0):
    mask = torch.zeros(height, width)
    mask[lines.start : lines.stop, columns.start : columns.stop] = value
    return mask


@pytest.mark.parametrize(
    ("kind", "generator", "critic"),
    [
        (L2CNN, 9_836_675, 0),
        (DCGANFiller, 9_836_675, 1_146_561),
        (WGANFiller, 10_499_139, 1_736_897),
    ],
)
def test_the_published_networks_have_their_sizes(kind, generator, critic):
    model = kind(kind.PUBLISHED)
    numbers = {"generator": 0, "critic": 0}
    for name, parameter in model.named_parameters():
        numbers[name.partition(".")[0]] += parameter.numel()
    assert numbers == {"generator": generator, "critic": critic}
    into, out = (each for each in model.generator.bottleneck if hasattr(each, "kernel_size"))
    assert into.weight.shape == out.weight.shape == (1024, 256, 4, 4)


@pytest.mark.parametrize(("encoder", "number"), [("plain", 6), ("vgg", 7)])
@pytest.mark.parametrize("downsampling", ["pool", "stride"])
def test_convolutions_and_where_they_halve(encoder, number, downsampling):
    model = tiny(WGANFiller, size=32, encoder=encoder, downsampling=downsampling)
    strides = {
        name: [each.stride[0] for each in network.modules() if isinstance(each, nn.Conv2d)]
        for name, network in (("encoder", model.generator.encoder), ("critic", model.critic.layers))
    }
    assert all(
        each.kernel_size == (3, 3)
        for network in (model.generator.encoder, model.generator.decoder, model.critic.layers)
        for each in network.modules()
        if hasattr(each, "kernel_size") and not isinstance(each, nn.MaxPool2d)
    )
    halving = [1, 2, 1, 2, *[1] * (number - 5), 2]
    pools = sum(isinstance(each, nn.MaxPool2d) for each in model.generator.modules())
    assert strides["critic"] == halving
    assert strides["encoder"] == (halving if downsampling == "stride" else [1] * number)
    assert pools == (3 if downsampling == "pool" else 0)


@pytest.mark.parametrize("size", [8, 28, 32, 64])
@pytest.mark.parametrize("downsampling", ["pool", "stride"])
def test_the_decoder_comes_back_to_the_image_s_size(size, downsampling):
    scene, seen = observed(2, size)
    model = tiny(size=size, downsampling=downsampling)
    assert model.sample(seen, 1)[0].shape == scene.shape


def test_the_error_is_the_report_s_l2_of_the_hole():
    """1 / n^2 of the squared errors, summed over channels."""
    mask = 1 - grid(8, 8, range(2, 4), range(2, 4))[None, None]
    scene = torch.zeros(1, 3, 8, 8)
    guess = torch.ones_like(scene)
    guess[:, :, 2:4, 2:4] = torch.arange(12.0).view(1, 3, 2, 2) / 12
    expected = sum((k / 12) ** 2 for k in range(12)) / 4
    error = tiny(channels=3).error(guess, scene, Observation.of(scene, mask))
    assert float(error) == pytest.approx(expected)


def test_overlap_weighs_the_band_and_only_the_hole_is_used():
    model = tiny(size=32, overlap=20.0)
    mask = named("centre_hole:0.25")(1, 32)
    scene = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    seen = Observation.of(scene, mask)
    guess = scene.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(
        64 * model.error(guess + 0.5, scene, seen), guess
    )  # twice the weight times a half
    expected = grid(32, 32, range(8, 24), range(8, 24), 20.0)
    expected[12:20, 12:20] = 1
    assert torch.allclose(gradient[0, 0], expected)
    sample = model.sample(seen, 1)[0]
    assert torch.equal(sample * mask, scene * mask)
    assert not torch.equal(sample, scene)


@pytest.mark.parametrize("size", [8, 28, 32, 64])
def test_the_band_grows_with_the_image(size):
    assert HoleFillerConfig(size=size, channels=1).band == max(1, round(size / 8))


def test_a_patch_is_the_middle_alone_and_any_mask_is_answered():
    model = tiny(size=16, patch=8, mean=0.25).eval()
    scene, _ = observed(2, 16)
    blank = Observation.nothing(2, 1, 16)
    drawn = model.draw(blank, 1)[0]
    around = grid(16, 16, range(4, 12), range(4, 12)) == 0
    assert (drawn[..., around] == 0.25).all()
    assert (drawn[..., ~around] != 0.25).all()
    before = model.error(drawn, scene, blank)
    elsewhere = torch.where(around, 1 - scene, scene)
    assert torch.equal(model.error(drawn, elsewhere, blank), before)
    assert model.error(drawn, 1 - scene, blank) != before


@pytest.mark.parametrize("kind", KINDS)
def test_all_samples_are_one_scene_whatever_the_seed(kind):
    model = tiny(kind, dropout=0.5)
    _, seen = observed()
    before = {name: each.clone() for name, each in model.state_dict().items()}
    first, second = model.sample(seen, 4, seed=0), model.sample(seen, 2, seed=1)
    assert torch.equal(first, first[:1].expand_as(first))
    assert torch.equal(first[0], second[0])
    assert model.training
    assert all(torch.equal(each, before[name]) for name, each in model.state_dict().items())


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_is_for_training(kind):
    model = tiny(kind, dropout=0.5)
    _, seen = observed()
    assert not torch.equal(model.guess(seen), model.guess(seen))
    with evaluating(model):
        assert torch.equal(model.guess(seen), model.guess(seen))


@pytest.mark.parametrize("channels", [1, 3])
def test_augmented_scenes_are_seen_as_they_are_changed(channels, monkeypatch):
    model = tiny(channels=channels, augmentation=True)
    scene, seen = observed(channels=channels)
    counted = []
    monkeypatch.setattr(
        model, "error", lambda guess, truth, shown: counted.append((truth, shown)) or guess.sum()
    )
    torch.manual_seed(0)
    model.loss(scene, seen)
    with evaluating(model):
        model.loss(scene, seen)
    (changed, shown), (unchanged, _) = counted
    assert torch.equal(unchanged, scene)
    assert not torch.allclose(changed, scene, atol=1e-3)
    assert torch.equal(shown.values, changed * seen.mask)


def test_augmentation_stays_near_the_scene():
    scene = torch.rand(40, 3, 8, 8) * 0.5 + 0.25
    torch.manual_seed(0)
    changed = augmented(scene)
    assert changed.shape == scene.shape
    assert 0 <= changed.min() <= changed.max() <= 1
    assert 0 < float((changed - scene).abs().mean()) < 0.1
    assert float((changed.mean((2, 3)) - scene.mean((2, 3))).abs().max()) < 0.1


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_training_finds_the_brighter_half(kind, train, val):
    judged = {} if kind is L2CNN else {"pretraining": 0.5}
    model = tiny(kind, width=8, bottleneck=16, mean=0.47, std=0.32, **judged)
    settings = TrainingConfig(
        steps=200, batch=32, lr=3e-3, warmup=10, weight_decay=0.0, betas=(0.5, 0.99), ema=0.95
    )
    masks = torch.zeros(len(val), 1, 8, 8)
    masks[..., 2:5, 1:4] = 1  # the left half is seen in part
    seen = Observation.of(val.scenes(), masks)
    before = model.figures(val.scenes(), seen)["val_mse_hidden"]

    def loss(step: int) -> torch.Tensor:
        model.take_turn(step)
        batch = train.scenes(torch.randint(len(train), (32,)))
        seen = Observation.of(batch, squares(32, 8))
        return model.loss(batch, seen, progress=step / settings.steps)

    fit(model, loss, settings, after_update=model.after_update)
    after = model.figures(val.scenes(), seen)["val_mse_hidden"]
    assert after < before / 2


@pytest.mark.parametrize(
    ("kind", "changes", "said"),
    [
        (L2CNN, {"encoder": "vgc"}, "encoder is 'vgc': did you mean 'vgg'"),
        (L2CNN, {"downsampling": "max"}, "downsampling is 'max', expected one of pool, stride"),
        (L2CNN, {"size": 9}, "size is 9, expected an even number of at least 8 pixels"),
        (L2CNN, {"size": 6}, "size is 6, expected an even number"),
        (L2CNN, {"width": 0}, "width is 0, expected at least 1"),
        (L2CNN, {"bottleneck": 0}, "bottleneck is 0, expected at least 1"),
        (L2CNN, {"patch": 6}, "patch is 6, expected one of 0, 4, 8 pixels of 8"),
        (L2CNN, {"overlap": -1.0}, "overlap is -1.0, expected at least 0"),
        (L2CNN, {"dropout": 0.95}, "dropout is 0.95, expected at most 0.9"),
        (L2CNN, {"augmentation": 1}, "augmentation is 1, expected true or false"),
        (L2CNN, {"augmentation": True, "channels": 2}, "channels is 2; expected 1 or 3"),
        (L2CNN, {"std": 0.0}, "std is 0.0, expected more than 0"),
        (DCGANFiller, {"alpha": 1.1}, "alpha is 1.1, expected at most 1"),
        (DCGANFiller, {"critic": 0}, "critic is 0, expected at least 1"),
        (DCGANFiller, {"critic_steps": 0}, "critic_steps is 0, expected at least 1"),
        (DCGANFiller, {"pretraining": -0.1}, "pretraining is -0.1, expected at least 0"),
        (DCGANFiller, {"pretraining": 2000}, "pretraining is 2000, expected at most 1"),
        (DCGANFiller, {"separate": "no"}, "separate is 'no', expected true or false"),
        (DCGANFiller, {"noisy": 0}, "noisy is 0, expected true or false"),
        (DCGANFiller, {"flipped": 1.5}, "flipped is 1.5, expected at most 1"),
        (WGANFiller, {"weight_limit": 0.0}, "weight_limit is 0.0, expected more than 0"),
        (WGANFiller, {"weight_limit": float("nan")}, "weight_limit is nan, expected more than 0"),
    ],
)
def test_configurations_that_make_no_sense(kind, changes, said):
    with pytest.raises(ValueError, match=said):
        kind.Config(**{**TINY, **changes})


@pytest.mark.parametrize("kind", KINDS)
def test_names_and_sizes(kind):
    assert LEARNED[kind.name] is kind
    assert kind.preset(32, 3)[0].size == 32
    with pytest.raises(ValueError, match="size 48 has no preset; expected 28, 32 or a multiple"):
        kind.preset(48, 1)
    assert replace(kind.PUBLISHED, mean=0.4).mean == 0.4
