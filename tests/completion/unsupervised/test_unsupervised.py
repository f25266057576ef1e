"""The three networks of unsupervised inpainting: what each loss is, and whom it moves."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
import torch
import torch.nn.functional as F

from boed.completion.adversarial.losses import evaluating
from boed.completion.training import train_completer
from boed.completion.unsupervised.model import (
    REGRESSION,
    SUPERVISIONS,
    Unsupervised,
    UnsupervisedConfig,
    hinge,
)
from boed.data.incomplete import Incomplete
from boed.data.observation import Observation
from boed.training.config import TrainingConfig

TINY = UnsupervisedConfig(
    size=8, channels=1, stem=2, widths=(8,), latent=2, critic=8, most=8, mean=0.5, std=0.3
)
PARTS = ("generator", "discriminator", "encoder")


def model(**changes):
    torch.manual_seed(0)
    made = Unsupervised(replace(TINY, **changes))
    with torch.no_grad():
        made.generator.last.weight.normal_(0, 0.1)  # which starts at 0, where z is not heard
    return made


def greys(n=16, seed=0):
    """Scenes of one grey each, 0.2 or 0.8, of which half of the pixels were seen."""
    generator = torch.Generator().manual_seed(seed)
    scenes = (torch.rand(n, 1, 1, 1, generator=generator).round() * 0.6 + 0.2).expand(n, 1, 8, 8)
    return scenes, torch.rand(n, 1, 8, 8, generator=generator).round()


def measured(n=16):
    return Observation.of(*greys(n))


def moved(network):
    return {p for p in PARTS if any(
        each.grad is not None and each.grad.abs().sum() > 0
        for each in getattr(network, p).parameters()
    )}  # fmt: skip


def resting(network):
    return {p for p in PARTS if all(e.grad is None for e in getattr(network, p).parameters())}


@pytest.mark.parametrize("critic_steps", [1, 3])
@pytest.mark.parametrize(("encode_z", "encode_y"), [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_each_loss_moves_its_own_networks(encode_z, encode_y, critic_steps):
    """The encoder by the losses that have one; networks that rest have no gradient at all."""
    for step in range(critic_steps + 1):
        network = model(encode_z=encode_z, encode_y=encode_y, critic_steps=critic_steps)
        network.take_turn(step)
        network.partial_loss(measured(), measured()).backward()
        expected = {"discriminator"}
        if step == critic_steps:
            expected = {"generator", "encoder"} if encode_z or encode_y else {"generator"}
        assert moved(network) == expected
        assert resting(network) == set(PARTS) - expected


@pytest.mark.parametrize("supervision", ["unpaired", "paired"])
def test_of_whole_scenes_generator_and_discriminator_take_turns(supervision):
    for step, expected in enumerate(({"discriminator"}, {"generator"})):
        network = model(supervision=supervision)
        network.take_turn(step)
        network.loss(greys()[0], measured()).backward()
        assert moved(network) == expected
        assert resting(network) == set(PARTS) - expected


def test_hinge_by_hand():
    real, one, other = torch.tensor([2.0, 0.5]), torch.tensor([-3.0, 0.0]), torch.tensor([1.0])
    assert float(hinge(real, [one])) == pytest.approx(0.25 + 0.5)
    assert float(hinge(real, [one, other])) == pytest.approx(0.25 + (0.5 + 2.0) / 2)


def judged_by(network, monkeypatch):
    """What `adversarial` is given, which then counts for nothing."""
    given = []

    def judged(real, made):
        given.append((real, *made))
        return torch.zeros(())

    monkeypatch.setattr(network, "adversarial", judged)
    return given


class Perfect(Unsupervised):
    """A generator that knows each scene: its one grey is there to be seen."""

    def made(self, observation, z):
        grey = observation.values.amax((1, 2, 3), keepdim=True)
        return grey.expand_as(observation.values)


def test_a_perfect_generator_restores_what_was_measured():
    losses = []
    for weight in (1.0, 1e6):
        torch.manual_seed(0)
        network = Perfect(replace(TINY, encode_z=0, encode_y=weight))
        network.take_turn(1)
        losses.append(float(network.partial_loss(measured(), measured()).detach()))
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)
    flawed = model(encode_z=0, encode_y=1e6)
    flawed.take_turn(1)
    assert float(flawed.partial_loss(measured(), measured()).detach()) > 100


def test_what_the_discriminator_judges_has_masks_of_the_data(monkeypatch):
    """Those of the batch in another order, and what was made under them keeps what was seen."""
    network, y = model(encode_y=0), measured()
    seen = judged_by(network, monkeypatch)
    network.partial_loss(y, y)
    ((real, other),) = seen
    assert torch.equal(real, network.read(y))
    rows = {tuple(each.flatten().tolist()) for each in y.mask}
    assert {tuple(each.flatten().tolist()) for each in other[:, 1:]} == rows
    both = (y.mask * other[:, 1:]) == 1
    assert torch.equal(other[:, :1][both], real[:, :1][both])


def test_where_all_is_seen_it_is_an_ordinary_discriminator_s_loss():
    """With masks of ones F is the identity (Bora et al. 2018), and x~ is x."""
    network, whole = model(encode_z=0, encode_y=0), Observation.everything(greys()[0])
    with evaluating(network):
        scores = network.discriminator(whole.network_input(TINY.mean, TINY.std))
        expected = hinge(scores, [scores])
        found = network.partial_loss(whole, whole)
        assert found.item() == pytest.approx(expected.item())


@pytest.mark.parametrize("supervision", SUPERVISIONS)
def test_what_is_known_of_whole_scenes_is_what_supervision_says(supervision, monkeypatch):
    """None: what is hidden changes nothing. Else D judges whole scenes, if paired beside masks."""
    network, (scenes, mask) = model(supervision=supervision), greys()
    y, given, losses = Observation.of(scenes, mask), judged_by(network, monkeypatch), []
    network.take_turn(1)
    for hidden in (0.0, 1.0):
        torch.manual_seed(0)
        other = torch.where(mask == 1, scenes, torch.full_like(scenes, hidden))
        losses.append(float(network.loss(other, y).detach()))
    (first, *made), (second, *_) = given
    assert torch.equal(first, second) == (supervision == "none")
    assert (losses[0] == pytest.approx(losses[1], rel=1e-5)) == (supervision != "paired")
    if supervision != "none":
        beside = mask if supervision == "paired" else torch.ones_like(mask)
        assert torch.equal(second[:, :1], network.standardised(other))
        assert torch.equal(second[:, 1:], beside)
        (completed,) = made
        assert torch.equal(completed[:, :1][mask == 1], network.standardised(scenes)[mask == 1])
        assert torch.equal(completed[:, 1:], beside)


def test_pairs_are_fitted_by_the_squared_error_of_hidden_pixels(monkeypatch):
    network, (scenes, mask) = model(supervision="paired"), greys()
    y = Observation.of(scenes, mask)
    judged_by(network, monkeypatch)
    monkeypatch.setattr(network, "made", lambda *_: torch.full_like(scenes, 0.2))
    network.take_turn(1)
    expected = REGRESSION * ((2 * (0.2 - scenes)) ** 2)[mask == 0].mean()
    assert float(network.loss(scenes, y)) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("supervision", SUPERVISIONS[1:])
def test_supervision_needs_whole_scenes(supervision, tmp_path):
    config, training = replace(TINY, supervision=supervision), TrainingConfig(steps=1)
    run = partial(train_completer, "unsup", data("train"), data("val"), training=training)
    with pytest.raises(ValueError, match=f"supervision is '{supervision}', which needs whole sc"):
        run(config=config, out=tmp_path / "m.safetensors")
    assert not list(tmp_path.iterdir())


def coins(n=24):
    """Halves of 0.2 or 0.8, by fair coins of which one is seen."""
    scenes = (torch.randint(2, (n, 2)).float() * 0.6 + 0.2).repeat_interleave(4, 1)
    left = torch.rand(n, 1, 1, 1).round().expand(-1, 1, 8, 4)
    return Observation.of(
        scenes[:, None, None].expand(-1, 1, 8, -1), torch.cat([left, 1 - left], 3)
    )


@pytest.mark.slow
def test_with_the_losses_of_z_completions_differ_where_what_is_seen_says_nothing():
    """A mean over three trainings: 0.06 was measured after 300 steps, and 0.001 without them."""
    stds = {0.0: 0.0, 1.0: 0.0}
    for weight in stds:
        for seed in range(3):
            torch.manual_seed(seed)
            small = {"stem": 4, "critic_stem": 2, "encode_z": weight, "encode_y": weight}
            network = Unsupervised(replace(TINY, **small))
            optimiser = torch.optim.Adam(network.parameters(), 1e-2, betas=(0.0, 0.99))
            for step in range(240):
                y = coins()
                network.take_turn(step)
                optimiser.zero_grad(set_to_none=True)
                network.partial_loss(y, y).backward()
                optimiser.step()
            y = coins()
            std = network.eval().sample(y, 20).std(0)
            stds[weight] += float(std[y.mask == 0].mean()) / 3
    assert stds[1.0] > 2 * stds[0.0]
    assert stds[1.0] > 0.01


def test_spectral_norms_come_to_one():
    network = model()
    for _ in range(60):
        network.discriminator(measured().network_input(0.5, 0.3))
    norms = [
        float(torch.linalg.matrix_norm(layer.weight.flatten(1).detach(), 2))
        for layer in network.discriminator.modules()
        if hasattr(layer, "parametrizations")
    ]
    assert len(norms) > 6
    assert all(abs(norm - 1) < 0.01 for norm in norms), norms


def test_samples_are_of_as_many_z():
    network = model().eval()
    drawn = network.draw(measured(3), 4, seed=0)
    assert (drawn[0] - drawn[1]).abs().max() > 1e-4
    assert torch.equal(drawn, network.draw(measured(3), 4, seed=0))


@pytest.mark.parametrize("latent", [1, 4, 6])
def test_each_number_of_z_is_one_channel_of_the_generator_s_first_layer(latent):
    network, z = model(latent=latent), torch.randn(3, latent)
    channels = F.pixel_unshuffle(network._planes(z), TINY.stem)
    assert torch.equal(channels[:, :latent], z[..., None, None].expand(-1, -1, 4, 4))
    assert (channels[:, latent:] == 0).all()
    assert channels.shape[1] < latent + TINY.stem**2


def data(split, n=32):
    scenes, masks = greys(n, seed=len(split))
    return Incomplete(name="greys", split=split, images=scenes.contiguous(), masks=masks)


@pytest.mark.parametrize(("steps", "expected"), [(2, {"discriminator"}), (3, set(PARTS))])
def test_training_follows_the_turns(steps, expected, tmp_path):
    settings = TrainingConfig(steps=steps, batch=4, warmup=0, every=9, precision="fp32")
    run = partial(train_completer, "unsup", data("train"), data("val"))
    config = replace(TINY, critic_steps=2)
    begun = run(training=replace(settings, lr=1e-30, weight_decay=0.0), config=config,
                out=tmp_path / "begun.safetensors")  # fmt: skip
    ended = run(training=settings, config=config, out=tmp_path / "ended.safetensors")
    changed = {
        name.partition(".")[0]
        for name, parameter in ended.named_parameters()
        if not torch.equal(parameter, begun.get_parameter(name))
    }
    assert changed == expected


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"latent": 0}, "latent is 0, expected at least 1"),
        ({"critic_steps": 0}, "critic_steps is 0, expected at least 1"),
        ({"critic": 0}, "critic is 0, expected at least 1"),
        ({"critic_stem": 8}, "size is 8, expected a multiple of 16, twice critic_stem 8"),
        ({"supervision": "pairs"}, "supervision is 'pairs': did you mean 'paired'"),
        ({"encode_z": -1.0}, "encode_z is -1.0, expected at least 0"),
        ({"encode_y": float("nan")}, "encode_y is nan, expected at least 0"),
        ({"size": 9}, "size is 9, expected a multiple of 2"),
    ],
)
def test_configurations_that_make_no_sense(changes, said):
    with pytest.raises(ValueError, match=said):
        replace(TINY, **changes)
