"""What values a model's site takes, and how a network reads them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from pyro.distributions import constraints
from pyro.distributions.transforms import biject_to
from torch import Tensor

from boed.eig.model.pyro_model import SiteModel, Sites

MOST_CHOICES = 200
"""More values than this and a bounded integer is treated as a count."""


@dataclass(frozen=True, kw_only=True)
class SiteKind:
    """What a guide must know about a site.

    Attributes:
        name: of the site.
        shape: its event shape.
        low: smallest value of a discrete site.
        choices: number of values of a discrete element: 2 or more; 0: unbounded count; -1:
            continuous.
        support: of a continuous site.
    """

    name: str
    shape: tuple[int, ...]
    low: float
    choices: int
    support: Any

    @property
    def numel(self) -> int:
        """Elements of one value."""
        return math.prod(self.shape)

    @property
    def unconstrained(self) -> int:
        """Elements of one value of a continuous site, mapped to the reals."""
        return math.prod(biject_to(self.support).inverse_shape(self.shape))

    @property
    def features(self) -> int:
        """Inputs that `encode` makes of one value."""
        if self.choices > 2:
            return self.numel * self.choices
        return self.numel if self.choices >= 0 else self.unconstrained

    def encode(self, value: Tensor) -> Tensor:
        """`[*batch, *shape]` to `[*batch, features]`: one-hot, count, or mapped to the reals."""
        flat = value.reshape(*value.shape[: value.ndim - len(self.shape)], self.numel)
        if self.choices > 2:
            return F.one_hot((flat - self.low).long(), self.choices).flatten(-2).to(value.dtype)
        if self.choices >= 0:
            return flat
        inner = biject_to(self.support).inv(value)
        return inner.reshape(*inner.shape[: flat.ndim - 1], self.unconstrained)


def site_kinds(
    problem: SiteModel, designs: Tensor, names: Sequence[str]
) -> tuple[list[SiteKind], Sites]:
    """What the named sites are, and draws of them to standardise by, `[n, D, *shape]`.

    Raises:
        ValueError: a support that no default guide covers.
    """
    number = max(16, 4096 // len(designs))
    trace = problem.trace(designs.expand(number, *designs.shape), {})
    kinds, draws = [], {}
    for name in names:
        site: Any = trace.nodes[name]
        draws[name] = site["value"]
        shape = tuple(site["value"].shape[2:])
        kinds.append(_kind(problem, name, shape, support_of(site, len(shape))))
    return kinds, draws


def support_of(site: Any, event_dims: int) -> Any:
    """Of a sampled site; a deterministic one counts as real."""
    if site["infer"].get("_deterministic", False):
        return constraints.independent(constraints.real, event_dims)
    return site["fn"].support


def _kind(problem: SiteModel, name: str, shape: tuple[int, ...], support: Any) -> SiteKind:
    """Sorts a site by its support."""
    base = support
    while isinstance(base, constraints.independent):
        base = base.base_constraint
    if base is constraints.boolean:
        return SiteKind(name=name, shape=shape, low=0, choices=2, support=support)
    if isinstance(base, type(constraints.integer_interval(0, 1))):
        low, high = (torch.as_tensor(each) for each in (base.lower_bound, base.upper_bound))
        least = float(low.min())
        choices = int(high.max()) - int(least) + 1
        if choices <= MOST_CHOICES:
            return SiteKind(
                name=name, shape=shape, low=least, choices=max(2, choices), support=support
            )
        return SiteKind(name=name, shape=shape, low=least, choices=0, support=support)
    if base is constraints.nonnegative_integer:
        return SiteKind(name=name, shape=shape, low=0, choices=0, support=support)
    if support.is_discrete:
        raise ValueError(
            f"site {name!r} has support {support}, for which {problem.estimator!r} has no default "
            "guide; give your own (guide=)"
        )
    try:
        biject_to(support).inverse_shape(shape)
    except NotImplementedError as error:
        raise ValueError(
            f"site {name!r} has support {support}, which cannot be mapped to the reals; give "
            f"{problem.estimator!r} your own guide (guide=)"
        ) from error
    return SiteKind(name=name, shape=shape, low=0, choices=-1, support=support)
