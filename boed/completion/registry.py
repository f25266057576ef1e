"""Completers by name, and checkpoints whatever they hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from torch import Tensor, nn

from boed.completion.completer import Completer
from boed.completion.learned import LearnedCompleter
from boed.completion.vae.latent import LatentPosterior
from boed.completion.vae.vdvae import VDVAE
from boed.foundation.arguments import checked
from boed.foundation.files import read_model
from boed.foundation.registry import Registry

LEARNED: Registry[type[LearnedCompleter]] = Registry(
    "completer",
    lazy={
        "aipo": "boed.completion.vae.aipo:AIPO",
        "aipo-r": "boed.completion.vae.aipo_r:AIPOR",
        "pic": "boed.completion.adversarial.pluralistic:Pluralistic",
        "np": "boed.completion.neural_process.process:NeuralProcess",
        "anp": "boed.completion.neural_process.attentive:AttentiveNeuralProcess",
        "ce": "boed.completion.adversarial.context_encoder:ContextEncoder",
        "l2-cnn": "boed.completion.adversarial.hole_filler:L2CNN",
        "dcgan": "boed.completion.adversarial.hole_critics:DCGANFiller",
        "wgan": "boed.completion.adversarial.hole_critics:WGANFiller",
        "gan-latent": "boed.completion.adversarial.latent_search:GANLatent",
        "vaeac": "boed.completion.vae.vaeac:VAEAC",
        "flow": "boed.completion.flow.matching:FlowMatching",
        "flow-distilled": "boed.completion.flow.distilled:DistilledFlow",
        "unsup": "boed.completion.unsupervised.model:Unsupervised",
        "misgan": "boed.completion.unsupervised.misgan:MisGAN",
        "diffusion": "boed.completion.flow.diffusion:DiffusionPosterior",
        "pc-cnn": "boed.completion.autoregressive.pixel_constrained:PixelConstrained",
        "pixelcnn-c": "boed.completion.autoregressive.conditional_pixel_cnn:ConditionalPixelCNN",
        "row-lstm": "boed.completion.autoregressive.pixel_rnn:RowLSTM",
        "diagonal-bilstm": "boed.completion.autoregressive.pixel_rnn:DiagonalBiLSTM",
        "flattened-row-lstm": "boed.completion.autoregressive.flattened_lstm:FlattenedRowLSTM",
        "pixelcnn-zone": "boed.completion.autoregressive.zone:ZonePixelCNN",
    },
)
"""Classes of the completers that are trained, imported when asked for."""


@checked
def load_completer(path: Path | str) -> Completer:
    """The completer of a checkpoint, whichever `boed train completer` wrote it.

    An unconditional VD-VAE comes back as `LatentPosterior`.

    Raises:
        ValueError: the file is missing, damaged, or holds no completer.
    """

    def built(header: dict[str, Any], tensors: dict[str, Tensor]) -> nn.Module:
        kind = header["kind"]
        return (VDVAE if kind == "vdvae" else LEARNED[kind]).built(header, tensors)

    model = read_model(path, built, "vdvae", *LEARNED)
    return LatentPosterior(model) if isinstance(model, VDVAE) else cast(LearnedCompleter, model)
