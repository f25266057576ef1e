"""Small networks, one per design, on sites whose values are standardised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from boed.eig.model.site_kinds import SiteKind

HIDDEN = 32
"""Units of a hidden layer."""

MOST_FACTORS = 16
"""More features than this and their products are left out."""


class PerDesign(nn.Module):
    """A network for every design: a linear path plus one or two hidden layers.

    `[*sample, D, inputs] -> [*sample, D, outputs]`; design d has weights of its own, so a design
    learns nothing false from its neighbours; all begin with the same ones, so that neighbours
    end near to one another.
    """

    def __init__(self, designs: int, inputs: int, outputs: int, *, hidden: int = HIDDEN) -> None:
        super().__init__()
        self.sizes = [(inputs, hidden), (hidden, hidden), (hidden, outputs), (inputs, outputs)]
        self.weights = nn.ParameterList()
        self.biases = nn.ParameterList()
        for fan_in, fan_out in self.sizes:
            last = fan_out == outputs
            scale = 0.1 if last else 1.4
            weight = torch.randn(1, fan_in, fan_out) * scale / max(1, fan_in) ** 0.5
            self.weights.append(nn.Parameter(weight.repeat(designs, 1, 1)))
            self.biases.append(nn.Parameter(torch.zeros(designs, 1, fan_out)))

    def forward(self, inputs: Tensor) -> Tensor:
        batch = inputs.shape[:-1]
        flat = inputs.reshape(-1, *inputs.shape[-2:]).transpose(0, 1)  # [D, n, inputs]
        hidden = F.gelu(torch.baddbmm(self.biases[0], flat, self.weights[0]))
        hidden = F.gelu(torch.baddbmm(self.biases[1], hidden, self.weights[1]))
        outputs = torch.baddbmm(self.biases[2], hidden, self.weights[2])
        outputs = outputs + torch.bmm(flat, self.weights[3])
        return outputs.transpose(0, 1).reshape(*batch, -1)


class Standardiser(nn.Module):
    """Sites to features of mean 0 and standard deviation 1, per design.

    Args:
        kinds: the sites.
        draws: of them, `[n, D, *shape]`, to standardise by.
        products: add the products of all pairs of features, in which log-ratios of Gaussians are
            linear; unless there are more than `MOST_FACTORS` features.
    """

    mean: Tensor
    scale: Tensor

    def __init__(
        self, kinds: Sequence[SiteKind], draws: Mapping[str, Tensor], products: bool = False
    ) -> None:
        super().__init__()
        self.kinds = list(kinds)
        mean, scale = zip(*(kind.moments(draws[kind.name]) for kind in kinds), strict=True)
        self.register_buffer("mean", torch.cat(mean, -1))
        self.register_buffer("scale", torch.cat(scale, -1))
        self.products = products and self.mean.shape[-1] <= MOST_FACTORS

    @property
    def size(self) -> int:
        """Number of features."""
        size = sum(kind.features for kind in self.kinds)
        return size + self.products * size * (size + 1) // 2

    def forward(self, values: Mapping[str, Tensor]) -> Tensor:
        """`[*batch, D, *shape]` per site to `[*batch, D, size]`."""
        features = torch.cat([kind.encode(values[kind.name]) for kind in self.kinds], -1)
        features = ((features - self.mean) / self.scale).clamp(-20, 20)
        if not self.products:
            return features
        count = features.shape[-1]
        row, column = torch.triu_indices(count, count, device=features.device)
        pairs = (features[..., row] * features[..., column]).clamp(-20, 20)
        return torch.cat([features, pairs], -1)
