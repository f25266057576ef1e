"""The partial posterior as a normalising flow: invertible, and rightly measured."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from boed.completion import AIPO, VDVAE, VDVAEConfig, load_completer
from boed.completion.vae.aipo_r import AIPOR
from boed.completion.vae.couplings import Couplings
from boed.completion.vae.vdvae import draw, log_density
from boed.data.observation import Observation

CONFIG = VDVAEConfig(
    size=8, channels=1, encoder="8x1,8d8,1x1", decoder="1x1,8m1", width=8, latent=3, components=2
)


def moved(module: torch.nn.Module, by: float = 0.3) -> torch.nn.Module:
    """Away from the identity that the layers begin as."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(by * torch.randn_like(parameter))
    return module


@pytest.mark.parametrize("channels", [2, 3, 16])
@pytest.mark.parametrize("layers", [1, 2, 5])
def test_there_and_back_and_the_determinant_is_autograd_s(channels, layers):
    flow = moved(Couplings(channels, 4, layers=layers)).double()
    z, context = torch.randn(2, channels, 2, 3).double(), torch.randn(2, 4, 2, 3).double()
    u, log_det = flow.inverse(z, context)
    assert torch.allclose(flow(u, context), z)
    assert not torch.allclose(u, z, atol=0.01)
    for row in range(2):
        jacobian = torch.autograd.functional.jacobian(
            lambda each, row=row: flow.inverse(each[None], context[row : row + 1])[0][0], z[row]
        )
        expected = jacobian.reshape(z[0].numel(), -1).slogdet().logabsdet
        assert torch.allclose(log_det[row], expected)


def test_it_begins_as_the_identity():
    flow, z = Couplings(3, 2, layers=4), torch.randn(2, 3, 2, 2)
    u, log_det = flow.inverse(z, torch.randn(2, 2, 2, 2))
    assert torch.equal(u, z)
    assert torch.equal(log_det, torch.zeros(2))


def test_log_density_is_that_of_a_normal():
    mean, log_std, z = torch.randn(3, 2, 4, 4, 4).unbind(0)
    expected = torch.distributions.Normal(mean, log_std.exp()).log_prob(z).flatten(1).sum(1)
    assert torch.allclose(log_density((mean, log_std), z), expected, atol=1e-5)


def test_as_the_identity_the_rate_is_the_exact_kl_on_average():
    torch.manual_seed(0)
    flowing = AIPO.of(replace(CONFIG, couplings=2))
    gaussian = AIPO.of(CONFIG)
    gaussian.load_state_dict(flowing.state_dict(), strict=False)
    scene = torch.rand(1, 1, 8, 8).expand(400, -1, -1, -1)
    observation = Observation.of(scene, torch.ones(1, 1, 8, 8).expand(400, -1, -1, -1))
    with torch.no_grad():
        exact = gaussian.rate_distortion(scene, observation, 0)[1]
        estimated = flowing.rate_distortion(scene, observation, 0)[1]
    difference = estimated - exact
    error = float(difference.std()) / 400**0.5
    assert error > 0
    assert abs(float(difference.mean())) < 4 * error


def test_it_learns_what_a_gaussian_cannot_hold():
    """Channels that lie on a bow: z2 is z1^2 and a little noise."""
    torch.manual_seed(0)
    first = torch.randn(512, 1, 1, 1)
    z = torch.cat([first, first**2 + 0.1 * torch.randn_like(first)], dim=1)
    context = torch.zeros(512, 1, 1, 1)
    mean, log_std = z.mean(0, keepdim=True), z.std(0, keepdim=True).log()
    gaussian = float(log_density((mean.expand_as(z), log_std.expand_as(z)), z).mean())
    flow = Couplings(2, 1, layers=2)
    optimiser = torch.optim.Adam(flow.parameters(), lr=0.02)
    for _ in range(150):
        u, log_det = flow.inverse(z, context)
        density = log_density((mean.expand_as(z), log_std.expand_as(z)), u) + log_det
        optimiser.zero_grad()
        (-density.mean()).backward()
        optimiser.step()
    assert float(density.detach().mean()) > gaussian + 0.8


def test_samples_come_from_the_flow(tmp_path):
    torch.manual_seed(0)
    model = AIPO.of(replace(CONFIG, couplings=2))
    gaussian = AIPO.of(CONFIG)
    gaussian.load_state_dict(model.state_dict(), strict=False)
    nothing = Observation.nothing(2, 1, 8)
    assert torch.equal(model.sample(nothing, 3, seed=0), gaussian.sample(nothing, 3, seed=0))
    for block in model.vae.blocks:
        moved(block.couplings)
    model.save(tmp_path / "flow.safetensors", {})
    samples = model.sample(nothing, 3, seed=0)
    assert not torch.equal(samples, gaussian.sample(nothing, 3, seed=0))
    again = load_completer(tmp_path / "flow.safetensors")
    assert again.config.couplings == 2
    assert torch.allclose(again.sample(nothing, 3, seed=0), samples, atol=2e-3)


def test_its_gradient_reaches_all_of_the_flow():
    torch.manual_seed(0)
    model = AIPO.of(replace(CONFIG, couplings=2))
    scene = torch.rand(4, 1, 8, 8)
    model.loss(scene, Observation.nothing(4, 1, 8)).backward()
    for block in model.vae.blocks:
        assert all(each.grad is not None for each in block.couplings.parameters())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: replace(CONFIG, couplings=-1), "couplings is -1, expected at least 0"),
        (lambda: replace(CONFIG, couplings=1, latent=1), "latent has to be 2 or more"),
        (lambda: AIPOR.of(replace(CONFIG, couplings=1)), "aipo-r's partial posterior is Gaussian"),
    ],
)
def test_what_cannot_be(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_plain_vae_has_none():
    vae = VDVAE(replace(CONFIG, couplings=2))
    assert not [name for name in vae.state_dict() if "couplings" in name]
    assert torch.isfinite(draw((torch.zeros(2, 3, 1, 1), torch.zeros(2, 3, 1, 1)), None)).all()
