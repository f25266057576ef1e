"""The GAN that is searched: its networks, and whom each loss moves."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from boed.completion.adversarial import dcgan
from boed.completion.adversarial.dcgan import DCGAN, MADE, REAL, DCGANConfig
from boed.completion.adversarial.latent_search import GANLatent

TINY = DCGANConfig(size=8, channels=1, latent=4, width=8, critic=8)


def tiny(**changes) -> DCGAN:
    torch.manual_seed(0)
    return DCGAN(replace(TINY, **changes))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [8, 28, 32, 64, 128])
def test_images_and_logits_have_their_shapes(size, channels):
    model = tiny(size=size, channels=channels)
    images = model.generator(torch.rand(3, 4))
    assert images.shape == (3, channels, size, size)
    assert images.abs().max() <= 1
    assert model.discriminator(images).shape == (3, 2)


def test_the_published_network_has_the_parameters_that_are_stated():
    model = DCGAN(GANLatent.PUBLISHED)
    networks = (model.generator, model.discriminator)
    counts = [sum(p.numel() for p in each.parameters()) for each in networks]
    assert counts == [12_658_435, 11_052_674]
    for count in counts:
        assert f"{count:,}" in (GANLatent.__doc__ or "")


@pytest.mark.parametrize(("which", "own"), [(0, "generator"), (1, "discriminator")])
def test_each_loss_moves_its_own_network(which, own):
    model = tiny()
    model.losses(torch.rand(6, 1, 8, 8))[which].backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == name.startswith(own), name


def test_the_losses_are_cross_entropies_of_two_classes():
    model = tiny()
    logits = {REAL: torch.tensor([[0.5, 2.0]]), MADE: torch.tensor([[1.0, -1.0]])}

    class Fixed(torch.nn.Module):
        def forward(self, image):
            return logits[REAL if image.amin() == 1 else MADE].expand(len(image), 2)

    model.discriminator = Fixed()
    generator, discriminator = model.losses(torch.ones(5, 1, 8, 8))
    log_real, log_made = (each.log_softmax(1)[0] for each in (logits[REAL], logits[MADE]))
    assert float(generator) == pytest.approx(float(-log_made[REAL]))
    assert float(discriminator) == pytest.approx(float(-log_real[REAL] - log_made[MADE]))


@pytest.mark.parametrize("flips", [True, False])
def test_scenes_are_flipped_where_that_is_asked_for(flips, monkeypatch):
    model, judged = tiny(flips=flips), []
    monkeypatch.setattr(dcgan, "frozen", lambda module, image: torch.zeros(len(image), 2))
    model.discriminator.register_forward_pre_hook(lambda _, given: judged.append(given[0]))
    scene = torch.rand(64, 1, 8, 8)
    model.losses(scene)
    real = judged[0]
    same = (real == 2 * scene - 1).flatten(1).all(1)
    turned = (real == (2 * scene - 1).flip(-1)).flatten(1).all(1)
    assert (same ^ turned).all()
    assert 10 < int(turned.sum()) < 54 if flips else same.all()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"latent": 0}, "latent is 0, expected at least 1"),
        ({"width": 0}, "width is 0, expected at least 1"),
        ({"critic": 0}, "critic is 0, expected at least 1"),
        ({"channels": 0}, "channels is 0, expected at least 1"),
        ({"size": 9}, "size is 9, expected an even number"),
        ({"size": 6}, "size is 6, expected an even number of at least 8"),
        ({"std": 0.0}, "std is 0.0, expected more than 0"),
    ],
)
def test_configurations_that_make_no_sense(changes, said):
    with pytest.raises(ValueError, match=said):
        replace(TINY, **changes)
