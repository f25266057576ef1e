"""Default guides and critics: small networks, one per design, shaped by the sites' supports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyro.distributions as dist
import torch
import torch.nn.functional as F
from pyro.distributions import constraints
from pyro.distributions.transforms import AffineTransform, ReshapeTransform, biject_to
from torch import Tensor, nn

from boed.eig.model.pyro_model import SiteModel, Sites
from boed.eig.model.site_kinds import SiteKind, site_kinds

HIDDEN = 32
"""Units of a hidden layer."""


MOST_FACTORS = 16
"""More features than this and their products are left out."""


class PerDesign(nn.Module):
    """A network for every design: a linear path plus one or two hidden layers.

    `[*sample, D, inputs] -> [*sample, D, outputs]`; design d has weights of its own, so a design
    learns nothing false from its neighbours.
    """

    def __init__(self, designs: int, inputs: int, outputs: int, *, hidden: int = HIDDEN) -> None:
        super().__init__()
        self.sizes = [(inputs, hidden), (hidden, hidden), (hidden, outputs), (inputs, outputs)]
        self.weights = nn.ParameterList()
        self.biases = nn.ParameterList()
        for fan_in, fan_out in self.sizes:
            last = fan_out == outputs
            scale = 0.1 if last else 1.4
            weight = torch.randn(designs, fan_in, fan_out) * scale / max(1, fan_in) ** 0.5
            self.weights.append(nn.Parameter(weight))
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
        features = self._features(draws)
        self.register_buffer("mean", features.mean(0))
        self.register_buffer("scale", features.std(0).clamp(min=1e-3))
        self.products = products and features.shape[-1] <= MOST_FACTORS

    @property
    def size(self) -> int:
        """Number of features."""
        size = sum(kind.features for kind in self.kinds)
        return size + self.products * size * (size + 1) // 2

    def _features(self, values: Mapping[str, Tensor]) -> Tensor:
        return torch.cat([kind.encode(values[kind.name]) for kind in self.kinds], -1)

    def forward(self, values: Mapping[str, Tensor]) -> Tensor:
        """`[*batch, D, *shape]` per site to `[*batch, D, size]`."""
        features = self._features(values).to(self.mean)
        features = ((features - self.mean) / self.scale).clamp(-20, 20)
        if not self.products:
            return features
        count = features.shape[-1]
        row, column = torch.triu_indices(count, count, device=features.device)
        pairs = (features[..., row] * features[..., column]).clamp(-20, 20)
        return torch.cat([features, pairs], -1)


class SiteDistribution(nn.Module):
    """Distribution of one site given features, in a family that its support asks for.

    Continuous: a mixture of Gaussians with full covariance, mapped onto the support. Bounded
    integers and booleans: a table. Counts: negative binomial.
    """

    mean: Tensor
    scale: Tensor

    def __init__(
        self, kind: SiteKind, draws: Tensor, inputs: int, *, components: int, designs: int
    ) -> None:
        super().__init__()
        self.kind, self.components = kind, components
        if kind.choices > 2:
            outputs = kind.numel * kind.choices
        elif kind.choices == 2:
            outputs = kind.numel
        elif kind.choices == 0:
            outputs = 2 * kind.numel
        else:
            size = kind.unconstrained
            outputs = components * (1 + size + size * (size + 1) // 2)
        features = kind.encode(draws)
        self.register_buffer("mean", features.mean(0))
        self.register_buffer("scale", features.std(0).clamp(min=1e-3))
        self.network = PerDesign(designs, inputs, outputs)
        with torch.no_grad():
            self.network.biases[2].add_(self._start()[:, None])

    def _start(self) -> Tensor:
        """First biases `[D, outputs]`: the prior's frequencies or mean; mixtures apart."""
        kind, mean = self.kind, self.mean
        if kind.choices > 2:
            return mean.clamp(min=1e-3).log()
        if kind.choices == 2:
            return (mean - kind.low).clamp(1e-3, 1 - 1e-3).logit()
        if kind.choices == 0:
            return torch.cat([torch.zeros_like(mean), (mean.clamp(min=0.1) / 3).log()], -1)
        noise = torch.randn_like(self.network.biases[2][:, 0])
        return noise * (0.5 if self.components > 1 else 0.0)

    def forward(self, features: Tensor) -> Any:
        """The distribution, of the features' batch shape."""
        out = self.network(features)
        kind = self.kind
        if kind.choices < 0:
            return self._continuous(out)
        if kind.choices > 2:
            logits = out.unflatten(-1, (*kind.shape, kind.choices))
            base: Any = dist.Categorical(logits=logits)
            if kind.low:
                base = dist.TransformedDistribution(base, [AffineTransform(kind.low, 1.0)])
        elif kind.choices == 2:
            base = dist.Bernoulli(logits=out.unflatten(-1, (*kind.shape, 1))[..., 0])
            if kind.low:
                base = dist.TransformedDistribution(base, [AffineTransform(kind.low, 1.0)])
        else:
            count, odds = out.unflatten(-1, (2, *kind.shape, 1))[..., 0].unbind(out.ndim - 1)
            base = dist.NegativeBinomial(F.softplus(count + 3), logits=odds)
        return base.to_event(len(kind.shape))

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
        bijection = biject_to(self.kind.support)
        inner = torch.Size(bijection.inverse_shape(self.kind.shape))
        flat = torch.Size((size,))
        transforms: list[Any] = [] if inner == flat else [ReshapeTransform(flat, inner)]
        if not _is_real(self.kind.support):
            transforms.append(bijection)
        return dist.TransformedDistribution(base, transforms) if transforms else base


def _is_real(support: Any) -> bool:
    """Whether a support is all reals, of any event shape."""
    while isinstance(support, constraints.independent):
        support = support.base_constraint
    return support in (constraints.real, constraints.real_vector)


class Conditional(nn.Module):
    """q(sites | given sites) for every design; the sites follow one another, so they may depend.

    q(s_1, s_2, ... | g) = q(s_1 | g) q(s_2 | s_1, g) ...

    Args:
        problem: the model.
        designs: the candidates `[D, *K]`; the guide serves these alone.
        sites: what it is a distribution of.
        given: what it depends on, none for a marginal.
        components: of the Gaussian mixtures.

    Raises:
        ValueError: a site whose support no default guide covers, or a continuous one that takes
            single values with positive probability.
    """

    def __init__(
        self,
        problem: SiteModel,
        designs: Tensor,
        sites: Sequence[str],
        *,
        given: Sequence[str],
        components: int = 4,
    ) -> None:
        super().__init__()
        self.given = tuple(given)
        self.designs = len(designs)
        kinds, draws = site_kinds(problem, designs, [*given, *sites])
        self.inputs = nn.ModuleDict()
        self.outputs = nn.ModuleDict()
        for index, kind in enumerate(kinds):
            if kind.name in self.given:
                continue
            _check_atoms(problem, kind, draws[kind.name])
            inputs = Standardiser(kinds[:index], draws) if index else None
            if inputs is not None:
                self.inputs[_key(kind.name)] = inputs
            self.outputs[_key(kind.name)] = SiteDistribution(
                kind,
                draws[kind.name],
                inputs.size if inputs else 1,
                components=components,
                designs=len(designs),
            )
        self.sites = tuple(sites)
        self.to(device=designs.device, dtype=designs.dtype)

    def distribution(self, site: str, values: Mapping[str, Tensor]) -> Any:
        """Of one site, given the sites before it; of batch shape `[D]` if there are none."""
        key = _key(site)
        if key in self.inputs:
            return self.outputs[key](self.inputs[key](values))
        return self.outputs[key](next(self.parameters()).new_zeros(self.designs, 1))

    def log_prob(self, values: Mapping[str, Tensor], batch: tuple[int, ...]) -> Tensor:
        """log q(sites | given) in nats, `[*batch]`."""
        parts = [self.distribution(site, values).log_prob(values[site]) for site in self.sites]
        return torch.stack(torch.broadcast_tensors(*parts)).sum(0).expand(batch)

    def sample(self, given: Mapping[str, Tensor], n: int) -> tuple[Sites, Tensor]:
        """n draws for every element of the batch, `[n, *batch, *event]`, and their log q."""
        values = {name: value.expand(n, *value.shape) for name, value in given.items()}
        log_q: Tensor | float = 0.0
        for index, site in enumerate(self.sites):
            if index == 0:  # depends on what is given alone, the same for all n
                law = self.distribution(site, given)
                values[site] = law.sample((n,))
            else:
                law = self.distribution(site, values)
                values[site] = law.sample()
            log_q = log_q + law.log_prob(values[site])
        return {site: values[site] for site in self.sites}, torch.as_tensor(log_q)


def _check_atoms(problem: SiteModel, kind: SiteKind, draws: Tensor) -> None:
    """Raises a ValueError if draws of a continuous site repeat: a density cannot describe them."""
    if kind.choices >= 0:
        return
    ordered = draws.flatten(2).sort(0).values if kind.shape else draws.sort(0).values
    repeated = float((ordered[1:] == ordered[:-1]).float().mean(0).max())
    if repeated > 0.02:
        raise ValueError(
            f"site {kind.name!r} repeats single values in {repeated:.0%} of its draws; no default "
            f"guide of {problem.estimator!r} has such atoms: give your own (guide=), or take an "
            "estimator that needs no density of it, such as pce, posterior or infonce"
        )


class Critic(nn.Module):
    """T(theta, y) = <g(theta), h(y)> + b(theta) + c(y) for every design, universal in the width.

    Args:
        problem: the model.
        designs: the candidates; the critic serves these alone.
        width: of the embeddings g and h.
    """

    def __init__(self, problem: SiteModel, designs: Tensor, width: int = HIDDEN) -> None:
        super().__init__()
        targets, draws = site_kinds(problem, designs, problem.target)
        outcomes, seen = site_kinds(problem, designs, problem.observation)
        self.of_target = Standardiser(targets, draws, products=True)
        self.of_outcome = Standardiser(outcomes, seen, products=True)
        self.target = PerDesign(len(designs), self.of_target.size, width + 1)
        self.outcome = PerDesign(len(designs), self.of_outcome.size, width + 1)
        self.width = width
        self.to(device=designs.device, dtype=designs.dtype)

    def embed(
        self, latents: Mapping[str, Tensor], outcomes: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Vectors `[*batch, D, width + 2]` whose inner product is T."""
        target = self.target(self.of_target(latents))
        outcome = self.outcome(self.of_outcome(outcomes))
        one = target.new_ones(1)
        left = torch.cat([target, one.expand(*target.shape[:-1], 1)], -1)
        right = torch.cat(
            [
                outcome[..., : self.width],
                one.expand(*outcome.shape[:-1], 1),
                outcome[..., self.width :],
            ],
            -1,
        )
        return left, right

    def forward(self, latents: Mapping[str, Tensor], outcomes: Mapping[str, Tensor]) -> Tensor:
        """T of matching pairs, `[*batch, D]`."""
        left, right = self.embed(latents, outcomes)
        return (left * right).sum(-1)


def _key(site: str) -> str:
    """A site's name as a module's."""
    return "site_" + site.replace(".", "_")
