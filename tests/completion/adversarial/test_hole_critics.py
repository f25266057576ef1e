"""Hole fillers with a critic: whose turn it is, what rests, what is judged, and its bounds."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import pytest
import torch
from torch import nn

from boed.completion.adversarial.hole_critics import DCGANFiller, WGANFiller
from boed.completion.adversarial.hole_filler import L2CNN
from boed.completion.training import train_completer
from boed.data.dataset import Dataset
from boed.data.masks import squares
from boed.data.observation import Observation
from boed.foundation.files import load_weights
from boed.training.config import TrainingConfig
from boed.training.loop import fit

TINY = {"size": 8, "channels": 1, "width": 4, "bottleneck": 8}
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


def test_the_wasserstein_estimate_is_among_the_figures():
    model = tiny(WGANFiller)
    scene, seen = observed()
    with torch.no_grad():
        true, made = model.scores(scene, model.sample(seen, 1)[0])
    figures = model.figures(scene, seen)
    assert figures["val_wasserstein"] == pytest.approx(float(true.mean() - made.mean()), abs=1e-7)
