"""Training may start from a model of another size."""

from dataclasses import replace

import pytest
import torch

from boed.completion import AIPO, VDVAE, VDVAEConfig
from boed.completion.training import start_from

SMALL = VDVAEConfig(
    size=8, channels=1, encoder="8x1,8d8,1x1", decoder="1x1,8m1", width=8, latent=2, components=2
)


def test_weights_are_taken_over_and_biases_resized():
    large = replace(SMALL, size=16, encoder="16x1,16d16,1x1", decoder="1x1,16m1")
    trained, model = AIPO(VDVAE(SMALL)), AIPO(VDVAE(large))
    with torch.no_grad():
        trained.vae.biases["8"].fill_(0.25)
        trained.vae.biases["1"].fill_(-1)
    start_from(model, trained)
    assert torch.equal(model.partial_encoder.stem.weight, trained.partial_encoder.stem.weight)
    assert torch.allclose(model.vae.biases["16"], torch.tensor(0.25))
    assert torch.allclose(model.vae.biases["1"], torch.tensor(-1.0))


def test_other_layers_are_refused():
    with pytest.raises(ValueError, match="other layers"):
        start_from(AIPO(VDVAE(replace(SMALL, width=12))), AIPO(VDVAE(SMALL)))
