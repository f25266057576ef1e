"""The CIFAR-10 report's hole fillers: what their losses count, whose turn it is, and any mask."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import pairwise

import pytest
import torch
from torch import nn

from boed.completion.adversarial.hole_critics import DCGANFiller, WGANFiller
from boed.completion.adversarial.hole_filler import L2CNN, HoleFillerConfig, augmented
from boed.completion.adversarial.losses import evaluating
from boed.completion.registry import LEARNED
from boed.completion.training import train_completer
from boed.data.dataset import Dataset
from boed.data.masks import named, squares
from boed.data.observation import Observation
from boed.foundation.files import load_weights
from boed.training.config import TrainingConfig
from boed.training.loop import fit

TINY = {"size": 8, "channels": 1, "width": 4, "bottleneck": 8}
KINDS = (L2CNN, DCGANFiller, WGANFiller)
JUDGED = (DCGANFiller, WGANFiller)


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


def parts(model):
    """State by network, parameters and buffers."""
    found = {"generator": {}, "critic": {}}
    for name, each in model.state_dict().items():
        found[name.partition(".")[0]][name] = each.clone()
    return found


def resting(model):
    return {
        name.partition(".")[0]
        for name, parameter in model.named_parameters()
        if parameter.grad is None
    }


def same(one, other):
    return all(torch.equal(each, other[name]) for name, each in one.items())


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


@pytest.mark.parametrize("kind", JUDGED)
@pytest.mark.parametrize(
    ("patch", "overlap", "width"), [(0, 20.0, 16), (0, 0.0, 16), (8, 0.0, 8), (8, 20.0, 16)]
)
def test_what_the_critic_judges(kind, patch, overlap, width, monkeypatch):
    """The scene with the seen pixels put back in; of a patch without overlap that alone."""
    model = tiny(kind, size=16, patch=patch, overlap=overlap)
    scene, seen = observed(3, 16)
    judged = []
    monkeypatch.setattr(model.critic, "forward", lambda x: judged.append(x) or x.mean((1, 2, 3)))
    model.take_turn(0)
    model.loss(scene, seen)
    true, made = (0.5 + 0.5 * each for each in judged)
    margin = (16 - width) // 2
    middle = slice(margin, 16 - margin)
    assert torch.allclose(true, scene[..., middle, middle], atol=1e-6)
    mask = seen.mask[..., middle, middle]
    assert torch.allclose(made * mask, true * mask, atol=1e-6)
    assert not torch.allclose(made, true, atol=1e-2)


@pytest.mark.parametrize("kind", JUDGED)
@pytest.mark.parametrize("separate", [True, False])
def test_batches_of_one_kind_know_nothing_of_the_other(kind, separate):
    model = tiny(kind, separate=separate)
    scenes, _ = observed(4)
    one, other = (model.scores(scenes, made)[0] for made in (scenes / 2, scenes / 3))
    assert torch.equal(one, other) == separate


@pytest.mark.parametrize("kind", JUDGED)
@pytest.mark.parametrize("critic_steps", [1, 3])
def test_networks_take_turns(kind, critic_steps):
    """First the generator's pretraining, then the critic's steps before each of the generator."""
    model = tiny(kind, critic_steps=critic_steps, pretraining=1 / 3)
    cycle = critic_steps + 1
    resters = []
    for step in range(3 * cycle):
        model.zero_grad()
        before = parts(model)
        model.take_turn(step)
        model.loss(*observed(), progress=step / (3 * cycle)).backward()
        (rester,) = resting(model)
        resters.append(rester)
        assert same(before[rester], parts(model)[rester])  # batch statistics, too
    turns = [*["generator"] * critic_steps, "critic"]
    assert resters == ["critic"] * cycle + turns * 2


@pytest.mark.parametrize("kind", JUDGED)
def test_with_alpha_1_the_generator_learns_as_the_l2_cnn(kind):
    """And so it does while it is pretrained."""
    shape = {"overlap": 20.0, "encoder": "vgg"}
    plain = tiny(**shape)
    models = [tiny(kind, alpha=1.0, **shape), tiny(kind, pretraining=0.5, **shape)]
    plain.loss(*observed()).backward()
    for model, progress in zip(models, (1.0, 0.4), strict=True):
        model.generator.load_state_dict(plain.generator.state_dict())
        model.take_turn(0)  # which would be the critic's
        model.loss(*observed(), progress=progress).backward()
        assert resting(model) == {"critic"}
        for name, parameter in plain.generator.named_parameters():
            assert torch.equal(parameter.grad, model.generator.get_parameter(name).grad), name


@pytest.mark.parametrize("kind", JUDGED)
def test_with_less_the_generator_hears_the_critic(kind):
    gradients, changes = [], {} if kind is DCGANFiller else {"weight_limit": 1.0}
    for alpha in (1.0, 0.5):
        model = tiny(kind, alpha=alpha, **changes)
        model.loss(*observed()).backward()
        gradients.append(model.generator.decoder[-1].weight.grad * (1.0 if alpha == 1 else 2.0))
    assert not torch.allclose(*gradients)


def test_the_critic_s_scores_by_hand():
    true, made = torch.tensor([2.0, 0.0]), torch.tensor([1.0, -4.0])
    gan, wgan = tiny(DCGANFiller, noisy=False, flipped=0.0), tiny(WGANFiller)
    expected = nn.functional.softplus(-true).mean() + nn.functional.softplus(made).mean()
    assert torch.allclose(gan.criticism(true, made), expected)
    assert torch.allclose(gan.disbelief(made), -made.sigmoid().log().mean())
    assert float(wgan.criticism(true, made)) == pytest.approx(-1.5 - 1.0)
    assert float(wgan.disbelief(made)) == pytest.approx(1.5)


@pytest.mark.parametrize("true", [True, False])
def test_noisy_labels_stay_where_cross_entropy_has_a_minimum(true):
    labels = tiny(DCGANFiller).labels(20_000, true)
    assert 0 <= labels.min() <= labels.max() <= 1
    others = (labels < 0.5) == true
    assert float(others.double().mean()) == pytest.approx(0.05, abs=0.01)
    usual = labels[~others]
    if true:  # half of U(0.9, 1.1) is above 1
        assert usual.min() >= 0.9
        assert float((usual == 1).double().mean()) == pytest.approx(0.5, abs=0.02)
    else:
        assert usual.max() <= 0.2
        assert float(usual.mean()) == pytest.approx(0.1, abs=0.005)


def test_the_wgan_s_critic_stays_within_bounds_and_networks_rest_in_others_turns(tmp_path):
    """After every update, with the average; and moments do not move in another's turn."""
    model = tiny(WGANFiller, weight_limit=0.02, critic_steps=2, pretraining=1 / 8)
    state, states = tmp_path / "a.training.safetensors", []
    settings = TrainingConfig(
        steps=8, batch=6, warmup=0, every=1, weight_decay=0.1, precision="fp32"
    )

    def loss(step):
        model.take_turn(step)
        return model.loss(*observed(seed=step), progress=step / 8)

    def watch(step, _):
        critic = [each.detach() for each in model.critic.parameters()]
        assert max(float(each.abs().max()) for each in critic) <= 0.02
        if state.exists():  # that of the step before
            states.append(load_weights(state)[0])

    fit(model, loss, settings, state=state, on_step=watch, after_update=model.after_update)
    states.append(load_weights(state)[0])
    names = [name for name, _ in model.named_parameters()]
    for step, (before, after) in enumerate(pairwise(states), start=1):
        turn = "critic" if step % 3 < 2 else "generator"
        changed = {name.partition(".")[0] for name in names if not torch.equal(
            before[f"model.{name}"], after[f"model.{name}"])}  # fmt: skip
        moved = {
            names[int(key.split(".")[1])].partition(".")[0]
            for key, each in after.items()
            if key.startswith("moment.") and not torch.equal(each, before.get(key, each + 1))
        }
        assert changed == moved == {turn}
        averages = [v for k, v in after.items() if k.startswith("average.critic")]
        assert averages
        assert max(float(each.abs().max()) for each in averages) <= 0.02


def dots(size=8, channels=1):
    shape = (24, channels, size, size)
    images = torch.randint(
        0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(3)
    )
    return Dataset(
        name="dots",
        split="train",
        images=images,
        labels=torch.arange(24) % 2,
        label_names=("a", "b"),
    )


@pytest.mark.parametrize(("kind", "stopped"), [(DCGANFiller, 2), (WGANFiller, 2), (WGANFiller, 5)])
def test_a_training_killed_within_a_critic_s_cycle_goes_on_to_the_same_weights(
    kind, stopped, tmp_path
):
    """Before the generator's first turn, when it has no moments yet, and after it."""
    config = tiny(kind, critic_steps=3).config
    settings = TrainingConfig(
        steps=9, batch=4, warmup=0, every=stopped, rates={"critic": 0.5}, precision="fp32"
    )
    run = partial(
        train_completer, kind.name, dots(), dots(), training=settings, config=config,
        masks="centre_hole",
    )  # fmt: skip

    def stop(step, _):
        if step == stopped + 1:
            raise KeyboardInterrupt

    whole = run(out=tmp_path / "whole.safetensors")
    with pytest.raises(KeyboardInterrupt):
        run(out=tmp_path / "parts.safetensors", on_step=stop)
    resumed = run(out=tmp_path / "parts.safetensors")
    assert same(whole.state_dict(), resumed.state_dict())
    if kind is WGANFiller:
        assert max(float(p.detach().abs().max()) for p in resumed.critic.parameters()) <= 0.01


@pytest.mark.parametrize("kind", KINDS)
def test_all_samples_are_one_scene_whatever_the_seed(kind):
    model = tiny(kind, dropout=0.5)
    _, seen = observed()
    before = parts(model)
    first, second = model.sample(seen, 4, seed=0), model.sample(seen, 2, seed=1)
    assert torch.equal(first, first[:1].expand_as(first))
    assert torch.equal(first[0], second[0])
    assert model.training
    assert all(same(before[name], parts(model)[name]) for name in before)


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


def test_the_wasserstein_estimate_is_among_the_figures():
    model = tiny(WGANFiller)
    scene, seen = observed()
    with torch.no_grad():
        true, made = model.scores(scene, model.sample(seen, 1)[0])
    figures = model.figures(scene, seen)
    assert figures["val_wasserstein"] == pytest.approx(float(true.mean() - made.mean()), abs=1e-7)


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
