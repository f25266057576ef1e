"""What values a model's site takes, and how a network reads them."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pyro.distributions import constraints
from pyro.distributions.transforms import biject_to
from torch import Tensor

from boed.eig.model.pyro_model import SiteModel, Sites

MOST_CHOICES = 200
"""More values than this and a bounded integer is treated as a count."""

Family = Literal["real", "binary", "table", "one_hot", "count", "other"]
"""Continuous; two values; some values; a choice as a vector of 0 and 1; integers without a bound
that holds for all draws; anything else, which networks read as numbers and no default guide draws.
"""


@dataclass(frozen=True, kw_only=True)
class SiteKind:
    """What a network must know about a site.

    Attributes:
        name: of the site.
        shape: its event shape.
        family: what its values are.
        support: as a constraint; bounds are `[D, *shape]`, or one number.
        low: smallest value of a discrete site.
        choices: number of values of a table's element.
        moving: its bounds differ from draw to draw, so that `support` leaves them out.
        dtype: of its values.
        feature_dtype: of what `encode` returns.
        bijection: from the reals to a continuous site's support.
        unconstrained_shape: of a continuous value mapped to the reals.
    """

    name: str
    shape: tuple[int, ...]
    family: Family
    support: Any
    low: float = 0.0
    choices: int = 0
    moving: bool
    dtype: torch.dtype
    feature_dtype: torch.dtype
    bijection: Any = None
    unconstrained_shape: tuple[int, ...] = ()

    @property
    def numel(self) -> int:
        """Elements of one value."""
        return math.prod(self.shape)

    @property
    def unconstrained(self) -> int:
        """Elements of one value of a continuous site, mapped to the reals."""
        return math.prod(self.unconstrained_shape)

    @property
    def features(self) -> int:
        """Inputs that `encode` makes of one value."""
        if self.family == "table":
            return self.numel * self.choices
        return self.unconstrained if self.family == "real" else self.numel

    def encode(self, value: Tensor) -> Tensor:
        """`[*batch, *shape]` to `[*batch, features]`: one-hot, number, or mapped to the reals."""
        batch = value.shape[: value.ndim - len(self.shape)]
        flat = value.reshape(*batch, self.numel)
        if self.family == "table":
            index = (flat - self.low).long()
            return F.one_hot(index, self.choices).flatten(-2).to(self.feature_dtype)
        if self.family == "real":
            inner = self.bijection.inv(value.to(self.feature_dtype))
            return inner.reshape(*batch, self.unconstrained)
        return flat.to(self.feature_dtype)

    def moments(self, draws: Tensor) -> tuple[Float[Tensor, "D F"], Float[Tensor, "D F"]]:
        """Mean and standard deviation of the features of draws `[n, D, *shape]`.

        For dividing by: discrete features vary by 1e-3 at least; a continuous one that is constant
        but for rounding gets its own size, whatever its unit.
        """
        features = self.encode(draws)
        scale = features.std(0)
        if self.family != "real":
            return features.mean(0), scale.clamp(min=1e-3)
        size = features.abs().amax(0)
        constant = scale <= torch.finfo(scale.dtype).eps * size
        return features.mean(0), scale.where(~constant, size.where(size > 0, 1.0))


def site_kinds(
    problem: SiteModel, designs: Tensor, names: Sequence[str]
) -> tuple[list[SiteKind], Sites]:
    """What the named sites are, and draws of them to standardise by, `[n, D, *shape]`."""
    number = max(16, 4096 // len(designs))
    trace = problem.trace(designs.expand(number, *designs.shape), {})
    kinds, draws = [], {}
    for name in names:
        site: Any = trace.nodes[name]
        draws[name] = site["value"]
        kinds.append(_kind(problem, name, site["value"], _support_of(site)))
    return kinds, draws


def _support_of(site: Any) -> Any:
    """Of a sampled site, None where its distribution states none; a deterministic site is real."""
    if site["infer"].get("_deterministic", False):
        return constraints.independent(constraints.real, site["value"].ndim - 2)
    try:
        support = site["fn"].support
        return support if support.is_discrete in (True, False) else None
    except NotImplementedError:
        return None


def _kind(problem: SiteModel, name: str, draws: Tensor, support: Any) -> SiteKind:
    """Sorts a site by its support."""
    settled = None if support is None else _settled(support, draws.shape)
    moving = support is not None and settled is None
    if settled is None:
        settled = constraints.independent(constraints.real, draws.ndim - 2)
    if support is None:
        family: dict[str, Any] = {"family": "other"}
    elif support.is_discrete:
        family = _discrete(support, moving)
    else:
        family = _continuous(settled, draws)
    return SiteKind(
        name=name,
        shape=tuple(draws.shape[2:]),
        support=settled,
        moving=moving,
        dtype=draws.dtype,
        feature_dtype=problem.dtype,
        **family,
    )


def _discrete(support: Any, moving: bool) -> dict[str, Any]:
    """Family, smallest value and number of values."""
    base = support
    while hasattr(base, "base_constraint"):
        base = base.base_constraint
    if base is constraints.boolean:
        return {"family": "binary"}
    if base is constraints.one_hot:
        return {"family": "one_hot"}
    if isinstance(base, type(constraints.nonnegative_integer)):
        return {"family": "count", "low": float(torch.as_tensor(base.lower_bound).min())}
    if not isinstance(base, type(constraints.integer_interval(0, 1))):
        return {"family": "other"}
    low = float(torch.as_tensor(base.lower_bound).min())
    choices = int(torch.as_tensor(base.upper_bound).max()) - int(low) + 1
    if moving or choices > MOST_CHOICES:
        return {"family": "count", "low": low}
    return {"family": "binary" if choices <= 2 else "table", "low": low, "choices": choices}


def _continuous(support: Any, draws: Tensor) -> dict[str, Any]:
    """Family, map to the reals and shape there, if a density can be mapped as well."""
    try:
        bijection = biject_to(support)
        inner = bijection.inv(draws[:1])
        bijection.log_abs_det_jacobian(inner, draws[:1])
    except NotImplementedError:
        return {"family": "other"}
    return {
        "family": "real",
        "bijection": bijection,
        "unconstrained_shape": tuple(inner.shape[2:]),
    }


def _settled(support: Any, shape: torch.Size) -> Any:
    """The support with bounds `[D, *event]` in place of `[n, D, *event]`.

    None where they differ from draw to draw, and so move with the latents, or between the
    components of a mixture.
    """
    if isinstance(support, constraints.independent):
        base = _settled(support.base_constraint, shape)
        if base is None:
            return None
        return constraints.independent(base, support.reinterpreted_batch_ndims)
    if hasattr(support, "base_constraint"):  # a mixture's, whose bounds have another dimension
        support, shape = support.base_constraint, torch.Size()
    bounds = {
        name: bound.detach()
        for name, bound in vars(support).items()
        if isinstance(bound, Tensor) and bound.ndim
    }
    if not bounds:
        return support
    settled = copy.copy(support)
    for name, bound in bounds.items():
        if bound.ndim > len(shape):
            return None
        wide = bound.expand(shape)
        if bool((wide != wide[:1]).any()):
            return None
        setattr(settled, name, wide[0])
    return settled
