"""One set of random numbers for all designs, so that their EIGs can be compared."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import scipy.special
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

LARGEST = 2**16
"""Most numbers for one design that come through a quantile function, at microseconds each."""


class SharedDraws(TorchFunctionMode):
    """What is drawn within is the same noise for every design.

    Samplers of torch and Pyro end in a few random functions of torch. Those that draw pure noise
    (`normal_`, `uniform_`, `rand`, ...) draw it for one design, and all have it; those whose law
    has parameters (Bernoulli, categorical, binomial, Poisson, gamma, Dirichlet) become the law's
    quantile at shared uniform numbers. Each design's draws follow their law as before; what one
    design gets does not hang on which others there are. Draws of another shape than the batch, and
    functions not named here, stay as they are: right, but each design's own.

    Common random numbers: Glasserman & Yao 1992, Management Science 38(6).

    Args:
        batch: shape of the batch; its last dimension are the designs.
    """

    def __init__(self, batch: tuple[int, ...]) -> None:
        super().__init__()
        self.batch = batch

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = dict(kwargs or {})
        draw = _DRAWS.get(func)
        if draw is None or any(isinstance(each, _OTHER) for each in given.values()):
            return func(*args, **given)
        drawn = draw(self, func, *args, **given)
        return func(*args, **given) if drawn is None else drawn

    def for_one(self, shape: Sequence[int]) -> tuple[int, ...] | None:
        """The shape with a single design; None if it does not begin with the batch's."""
        axis = len(self.batch)
        if tuple(shape[:axis]) != self.batch:
            return None
        return (*shape[: axis - 1], 1, *shape[axis:])

    def thinned(self, parameter: Tensor) -> Tensor:
        """A law's parameter `[*batch, ...]`, for one design if it is the same for all."""
        axis = len(self.batch) - 1
        first = parameter.narrow(axis, 0, 1)
        same = parameter.stride(axis) == 0 or bool((parameter == first).all())
        return first if same else parameter


def _fill(shared: SharedDraws, func: Any, values: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Noise written into a tensor, such as `normal_`."""
    shape = shared.for_one(values.shape)
    if shape is None:
        return None
    return values.copy_(func(values.new_empty(shape), *args, **kwargs))


def _create(shared: SharedDraws, func: Any, *size: Any, **kwargs: Any) -> Any:
    """Noise of a given shape, such as `rand`."""
    full = tuple(size[0]) if size and isinstance(size[0], Sequence) else size
    full = tuple(kwargs.pop("size", full))
    shape = shared.for_one(full)
    if shape is None:
        return None
    return func(shape, **kwargs).expand(full).contiguous()


def _resemble(shared: SharedDraws, func: Any, values: Tensor, **kwargs: Any) -> Any:
    """Noise of another tensor's shape, such as `rand_like`."""
    if shared.for_one(values.shape) is None:
        return None
    one = values.narrow(len(shared.batch) - 1, 0, 1)
    return func(one, **kwargs).expand(values.shape).contiguous()


def _normal(
    shared: SharedDraws, func: Any, mean: Any, std: Any = 1.0, size: Any = None, **kwargs: Any
) -> Any:
    """loc + scale noise."""
    law = [each for each in (mean, std) if isinstance(each, Tensor)]
    full = size if size is not None else torch.broadcast_shapes(*(each.shape for each in law))
    shape = shared.for_one(full)
    if shape is None:
        return None
    kind = {"dtype": law[0].dtype, "device": law[0].device} if law else kwargs
    return (mean + std * torch.randn(shape, **kind)).expand(full).contiguous()


def _uniform(shape: Sequence[int], device: torch.device) -> Tensor:
    """Numbers in (0, 1), float64."""
    return torch.rand(shape, dtype=torch.float64, device=device).clamp(min=2.0**-60)


def _bernoulli(shared: SharedDraws, func: Any, chance: Tensor, p: float | None = None) -> Any:
    """1 where a uniform number is below the chance."""
    shape = shared.for_one(chance.shape)
    if shape is None or p is not None:
        return None
    return (_uniform(shape, chance.device) < chance).to(chance.dtype)


def _multinomial(
    shared: SharedDraws, func: Any, weights: Tensor, num_samples: int, replacement: bool = False
) -> Any:
    """Categories by rows, which are the batch's elements in order, each perhaps several times."""
    elements = math.prod(shared.batch)
    if (num_samples > 1 and not replacement) or weights.ndim != 2 or len(weights) % elements:
        return None
    times = len(weights) // elements
    one = (*shared.batch[:-1], 1, times, num_samples)
    shares = weights.double().cumsum(-1)
    at = _uniform(one, weights.device).expand(*shared.batch, times, num_samples)
    index = torch.searchsorted(shares, at.reshape(-1, num_samples) * shares[:, -1:], right=True)
    return index.clamp(max=weights.shape[-1] - 1)


def _by_quantile(quantile: Callable[..., Any]) -> Callable[..., Any]:
    """A law with parameters `[*batch, ...]`, through its quantile function in numpy.

    More than `LARGEST` numbers are drawn by torch, each design's own unless all have one law.
    """

    def draw(shared: SharedDraws, func: Any, *law: Tensor, **kwargs: Any) -> Any:
        full = torch.broadcast_shapes(*(each.shape for each in law))
        shape = shared.for_one(full)
        if shape is None:
            return None
        thin = [shared.thinned(each.expand(full)) for each in law]
        if math.prod(shape) > LARGEST:
            one = all(each.shape == shape for each in thin)
            return func(*thin, **kwargs).expand(full).contiguous() if one else None
        at = _uniform(shape, law[0].device).cpu().numpy()
        values = quantile(at, *(each.detach().double().cpu().numpy() for each in thin))
        drawn = torch.as_tensor(values, dtype=law[-1].dtype, device=law[-1].device)
        return drawn.expand(full).contiguous()

    return draw


def _smallest_count(at: Any, cdf: Callable[[Any], Any], near: Any) -> Any:
    """Smallest whole number whose distribution function is at least `at`, next to a real one."""
    above = np.ceil(near)
    below = np.maximum(above - 1, 0)
    return np.where(cdf(below) >= at, below, above)


def _binomial_quantile(at: Any, count: Any, chance: Any) -> Any:

    def cdf(k: Any) -> Any:
        below = scipy.special.betainc(np.maximum(count - k, 1e-9), k + 1, 1 - inside)
        return np.where(k >= count, 1.0, below)

    inside = np.clip(chance, 1e-300, 1 - 1e-16)
    near = np.nan_to_num(scipy.special.bdtrik(at, count, inside), nan=0.0)
    value = _smallest_count(at, cdf, near)
    value = np.where(chance >= 1, count, np.where(chance <= 0, 0.0, value))
    return np.clip(np.where(np.isnan(chance), np.nan, value), 0, count)


def _poisson_quantile(at: Any, rate: Any) -> Any:
    near = np.nan_to_num(scipy.special.pdtrik(at, rate), nan=0.0)
    value = _smallest_count(at, lambda k: scipy.special.pdtr(k, rate), np.maximum(near, 0))
    return np.where(np.isnan(rate), np.nan, np.where(rate <= 0, 0.0, value))


def _gamma_quantile(at: Any, shape: Any) -> Any:
    return scipy.special.gammaincinv(shape, at)


def _dirichlet_quantile(at: Any, concentration: Any) -> Any:
    """Gamma numbers, normalised; those too small for a float64 count as the smallest one."""
    parts = np.maximum(_gamma_quantile(at, concentration), np.finfo(np.float64).tiny)
    return parts / parts.sum(-1, keepdims=True)


_OTHER = (Tensor, torch.Generator)
"""Named arguments of such kinds ask for something else: another generator, a place to write to."""

_DRAWS: dict[Any, Callable[..., Any]] = {
    Tensor.normal_: _fill,
    Tensor.uniform_: _fill,
    Tensor.exponential_: _fill,
    Tensor.cauchy_: _fill,
    Tensor.log_normal_: _fill,
    torch.rand: _create,
    torch.randn: _create,
    torch.rand_like: _resemble,
    torch.randn_like: _resemble,
    torch.normal: _normal,
    torch.bernoulli: _bernoulli,
    torch.multinomial: _multinomial,
    torch.binomial: _by_quantile(_binomial_quantile),
    torch.poisson: _by_quantile(_poisson_quantile),
    torch._standard_gamma: _by_quantile(_gamma_quantile),
    torch._sample_dirichlet: _by_quantile(_dirichlet_quantile),
}
