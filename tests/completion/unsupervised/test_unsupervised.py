"""The three networks of unsupervised inpainting: what each loss is, and whom it moves."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
import torch

from boed.completion.adversarial.losses import evaluating
from boed.completion.training import train_completer
from boed.completion.unsupervised.model import Unsupervised, UnsupervisedConfig, hinge
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


def test_of_whole_scenes_generator_and_discriminator_take_turns():
    for step, expected in enumerate(({"discriminator"}, {"generator"})):
        network = model()
        network.take_turn(step)
        network.loss(greys()[0], measured()).backward()
        assert moved(network) == expected
        assert resting(network) == set(PARTS) - expected


def test_hinge_by_hand():
    real, one, other = torch.tensor([2.0, 0.5]), torch.tensor([-3.0, 0.0]), torch.tensor([1.0])
    assert float(hinge(real, [one])) == pytest.approx(0.25 + 0.5)
    assert float(hinge(real, [one, other])) == pytest.approx(0.25 + (0.5 + 2.0) / 2)


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
    network, y, seen = model(encode_y=0), measured(), []

    def judged(real, made):
        seen.append((real, made))
        return torch.zeros(())

    monkeypatch.setattr(network, "adversarial", judged)
    network.partial_loss(y, y)
    (real, (other,)) = seen[0]
    assert torch.equal(real.values, y.values)
    rows = {tuple(each.flatten().tolist()) for each in y.mask}
    assert {tuple(each.flatten().tolist()) for each in other.mask} == rows
    both = (y.mask * other.mask) == 1
    assert torch.equal(other.values[both], y.values[both])


def test_where_all_is_seen_it_is_an_ordinary_discriminator_s_loss():
    """With masks of ones F is the identity (Bora et al. 2018), and x~ is x."""
    network, whole = model(encode_z=0, encode_y=0), Observation.everything(greys()[0])
    with evaluating(network):
        scores = network.discriminator(whole.network_input(TINY.mean, TINY.std))
        expected = hinge(scores, [scores])
        found = network.partial_loss(whole, whole)
        assert found.item() == pytest.approx(expected.item())


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
        ({"encode_z": -1.0}, "encode_z is -1.0, expected at least 0"),
        ({"encode_y": float("nan")}, "encode_y is nan, expected at least 0"),
        ({"size": 9}, "size is 9, expected a multiple of 2"),
    ],
)
def test_configurations_that_make_no_sense(changes, said):
    with pytest.raises(ValueError, match=said):
        replace(TINY, **changes)
