"""The Attentive Neural Process of Kim et al. 2019: pixels as points, completed by attention."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from boed.completion.neural_process.points import Points
from boed.completion.neural_process.process import NeuralProcess, NeuralProcessConfig, layers
from boed.foundation.checks import at_least, attributes


@dataclass(frozen=True, kw_only=True)
class AttentiveNeuralProcessConfig(NeuralProcessConfig):
    """Architecture of an Attentive Neural Process.

    Attributes:
        heads: of every attention layer.
        self_layers: self-attention layers of the context in the deterministic path.
        latent_layers: self-attention layers in the latent path.
        cross_layers: attention layers from targets to context.

    Raises:
        ValueError: a number out of range, a resolution that does not divide the size, or heads
            that cannot share the width.
    """

    heads: int = 8
    self_layers: int = 2
    latent_layers: int = 2
    cross_layers: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(1, **attributes(self, "heads", "cross_layers"))
        at_least(0, **attributes(self, "self_layers", "latent_layers"))
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")


class Attention(nn.Module):
    """Attention with several heads, then two layers, each with a residual and layer norm.

    That of the Image Transformer (Parmar et al. 2018) as the neural-process literature has it,
    without a projection of the heads' output. The norms have no parameters.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.inner = layers(width, width, width)
        self.norm = nn.LayerNorm(width, elementwise_affine=False)

    def forward(
        self,
        query: Float[Tensor, "B Q D"],
        key: Float[Tensor, "B K D"],
        value: Float[Tensor, "B K D"],
        valid: Bool[Tensor, "B K"],
    ) -> Float[Tensor, "B Q D"]:
        q, k, v = (
            each.unflatten(2, (self.heads, -1)).transpose(1, 2)
            for each in (self.query(query), self.key(key), self.value(value))
        )
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=valid[:, None, None])
        out = self.norm(query + attended.transpose(1, 2).flatten(2))
        return self.norm(out + self.inner(out))


class AttentiveNeuralProcess(NeuralProcess):
    """An ANP over pixels (Kim et al. 2019), set up as a baseline by Harvey et al. 2021, App. B.2.

    Seen pixels are the context, hidden ones the targets. The deterministic path lets the context
    attend to itself and each target to the context; the latent path averages the context to
    q(z | context). A pixel is Gaussian given both. Trained on
    log p(targets | z, context) - KL(q(z | context and targets) || q(z | context)).

    Differences: norms without parameters, which give the number of parameters that the paper
    states exactly, where its code as published has 12,288 more; every scene of a batch has a mask
    of its own; the likelihood is over hidden pixels, as the paper says, while its code has all;
    targets left out of a training step are made up for in the likelihood. Above `resolution`,
    samples show what averages over blocks of pixels may be, and no finer detail.

    The small presets also see sines and cosines of the coordinates and average the latent path
    without attention: with the published layers z stays unused for the first thousands of steps.
    """

    name: ClassVar[str] = "anp"
    Config: ClassVar[type[Any]] = AttentiveNeuralProcessConfig
    config: AttentiveNeuralProcessConfig
    PUBLISHED: ClassVar[NeuralProcessConfig] = AttentiveNeuralProcessConfig(size=32, channels=3)
    """That of Harvey et al. 2021 for CIFAR-10; 256 px had `resolution=64`."""
    SMALL: ClassVar[dict[str, Any]] = {
        **NeuralProcess.SMALL,
        "heads": 2,
        "self_layers": 1,
        "latent_layers": 0,
    }

    def attention(self, number: int) -> nn.ModuleList:
        """So many layers of it."""
        width, heads = self.config.width, self.config.heads
        return nn.ModuleList(Attention(width, heads) for _ in range(number))

    def make_latent_path(self) -> None:
        width = self.config.width
        self.latent_input = layers(self.config.point, width, width, width)
        self.latent_attention = self.attention(self.config.latent_layers)
        self.latent_hidden = nn.Linear(width, width)
        self.latent_output = nn.Linear(width, 2 * self.config.latent)

    def make_deterministic_path(self) -> None:
        super().make_deterministic_path()
        place, width = self.config.place, self.config.width
        self.point_attention = self.attention(self.config.self_layers)
        self.key_input = layers(place, width, width)
        self.query_input = layers(place, width, width)
        self.cross_attention = self.attention(self.config.cross_layers)

    def latent_features(self, points: Points) -> Float[Tensor, "B K D"]:
        x = super().latent_features(points)
        for layer in self.latent_attention:
            x = layer(x, x, x, points.keys)
        return x

    def from_context(
        self, context: Points, place: Float[Tensor, "B T P"]
    ) -> Float[Tensor, "B T D"]:
        r = self.point_input(context.whole)
        for layer in self.point_attention:
            r = layer(r, r, r, context.keys)
        key, query = self.key_input(context.place), self.query_input(place)
        for layer in self.cross_attention:
            query = layer(query, key, r, context.keys)
        return torch.where(context.some[:, None, None], query, 0)
