"""Learned distributions of one site, in a family that its values ask for."""

from __future__ import annotations

from typing import Any

import pyro.distributions as dist
import torch
import torch.nn.functional as F
from pyro.distributions import constraints
from pyro.distributions.transforms import ReshapeTransform
from torch import Tensor, nn

from boed.eig.model.count_law import CountLaw
from boed.eig.model.networks import PerDesign
from boed.eig.model.site_kinds import MOST_CHOICES, SiteKind


class SiteLaw(dist.TorchDistribution):  # type: ignore[misc]
    """A distribution whose values have the type that the model's own draws have.

    Args:
        base: of values from 0 up where these are discrete.
        dtype: of the values.
        low: added to the base's values.
        base_dtype: floating type in which densities are computed.
    """

    arg_constraints = {}  # noqa: RUF012

    def __init__(
        self, base: Any, *, dtype: torch.dtype, low: float, base_dtype: torch.dtype
    ) -> None:
        self.base, self.dtype, self.low, self.base_dtype = base, dtype, low, base_dtype
        self.has_rsample = base.has_rsample
        super().__init__(base.batch_shape, base.event_shape, validate_args=False)

    def expand(self, batch_shape: Any, _instance: Any = None) -> SiteLaw:
        base = self.base.expand(batch_shape)
        return SiteLaw(base, dtype=self.dtype, low=self.low, base_dtype=self.base_dtype)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        value: Tensor = (self.base.sample(torch.Size(sample_shape)) + self.low).to(self.dtype)
        return value

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        value: Tensor = self.base.rsample(torch.Size(sample_shape)).to(self.dtype)
        return value

    def log_prob(self, value: Tensor) -> Tensor:
        """Log probability or density in nats."""
        result: Tensor = self.base.log_prob(value.to(self.base_dtype) - self.low)
        return result


class SiteDistribution(nn.Module):
    """Distribution of one site given features, in a family that its support asks for.

    Continuous: a mixture of Gaussians with full covariance, mapped onto the support. Bounded
    integers, booleans and one-hot vectors: a table. Counts: a table of those that are drawn, mixed
    with a negative binomial for all others.

    Args:
        kind: the site, of any family but "other".
        draws: of it, `[n, D, *shape]`, to start from.
        inputs: number of features.
        components: of the mixture.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, kind: SiteKind, draws: Tensor, inputs: int, *, components: int) -> None:
        super().__init__()
        self.kind, self.components = kind, components
        outputs = kind.features
        if kind.family == "count":
            self.common = _frequencies(kind, draws)
            outputs = kind.numel * (self.common.shape[-1] + 3)
        elif kind.family == "real":
            size = kind.unconstrained
            outputs = components * (1 + size + size * (size + 1) // 2)
        mean, scale = kind.moments(draws)
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)
        self.network = PerDesign(draws.shape[1], inputs, outputs)
        with torch.no_grad():
            self.network.biases[2].add_(self._start()[:, None])

    def _start(self) -> Tensor:
        """First biases `[D, outputs]`: the prior's frequencies or mean; mixtures apart."""
        kind, mean = self.kind, self.mean
        if kind.family in ("table", "one_hot"):
            return mean.clamp(min=1e-3).log()
        if kind.family == "binary":
            return (mean - kind.low).clamp(1e-3, 1 - 1e-3).logit()
        if kind.family == "count":
            odds = ((mean - kind.low).clamp(min=0.1) / 3).log()[..., None]
            common = self.common.clamp(min=1e-3).log()  # and as likely a part of the tail as any
            parts = [common, torch.full_like(odds, 0.05).log(), torch.zeros_like(odds), odds]
            return torch.cat(parts, -1).flatten(1)
        noise = torch.randn_like(self.network.biases[2][:1, 0])  # the same for all designs
        return noise * (0.5 if self.components > 1 else 0.0)

    def forward(self, features: Tensor) -> SiteLaw:
        """The distribution, of the features' batch shape."""
        out = self.network(features)
        kind = self.kind
        if kind.family == "real":
            return SiteLaw(self._continuous(out), dtype=kind.dtype, low=0.0, base_dtype=out.dtype)
        if kind.family == "table":
            base: Any = dist.Categorical(logits=out.unflatten(-1, (*kind.shape, kind.choices)))
        elif kind.family == "one_hot":
            base = dist.OneHotCategorical(logits=out.unflatten(-1, kind.shape))
        elif kind.family == "binary":
            base = dist.Bernoulli(logits=out.unflatten(-1, (*kind.shape, 1))[..., 0])
        else:
            each = out.unflatten(-1, (*kind.shape, -1))
            base = CountLaw(each[..., :-2], F.softplus(each[..., -2] + 3), each[..., -1])
        base = base.to_event(len(kind.shape) - len(base.event_shape))
        return SiteLaw(base, dtype=kind.dtype, low=kind.low, base_dtype=out.dtype)

    def _continuous(self, out: Tensor) -> Any:
        size, parts = self.kind.unconstrained, self.components
        out = out.unflatten(-1, (parts, -1))
        weight, loc, lower = out.split([1, size, size * (size + 1) // 2], -1)
        tril = out.new_zeros(*lower.shape[:-1], size, size)
        row, column = torch.tril_indices(size, size, device=out.device)
        tril[..., row, column] = lower
        diagonal = F.softplus(tril.diagonal(dim1=-2, dim2=-1) + 0.54) + 1e-4
        tril = torch.tril(tril, -1) + torch.diag_embed(diagonal)
        loc = loc * self.scale[:, None] + self.mean[:, None]
        tril = tril * self.scale[:, None, :, None]
        if parts == 1:
            base: Any = dist.MultivariateNormal(loc[..., 0, :], scale_tril=tril[..., 0, :, :])
        else:
            base = dist.MixtureSameFamily(
                dist.Categorical(logits=weight[..., 0]),
                dist.MultivariateNormal(loc, scale_tril=tril),
            )
        inner = torch.Size(self.kind.unconstrained_shape)
        flat = torch.Size((size,))
        transforms: list[Any] = [] if inner == flat else [ReshapeTransform(flat, inner)]
        if not _is_real(self.kind.support):
            transforms.append(self.kind.bijection)
        return dist.TransformedDistribution(base, transforms) if transforms else base


def _frequencies(kind: SiteKind, draws: Tensor) -> Tensor:
    """How often each count is drawn, `[D, numel, C]`, of the lowest `MOST_CHOICES` at most."""
    counts = (
        (draws - kind.low).long().flatten(2) if kind.shape else (draws - kind.low).long()[..., None]
    )
    choices = min(int(counts.max()) + 1, MOST_CHOICES)
    return torch.stack([(counts == each).float().mean(0) for each in range(choices)], -1)


def _is_real(support: Any) -> bool:
    """Whether a support is all reals, of any event shape."""
    while isinstance(support, constraints.independent):
        support = support.base_constraint
    return support in (constraints.real, constraints.real_vector)
