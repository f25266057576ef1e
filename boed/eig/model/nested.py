"""Nested and contrastive Monte Carlo: the EIG from an explicit likelihood, without training."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial

import pyro
import torch
from jaxtyping import Float
from torch import Tensor

from boed.eig.model.pyro_model import SiteModel, Sites, check_count, site_value

TILE = 2**19
"""Most numbers that the model runs on at once: enough to hide Pyro's own cost."""

CACHED = 2**17
"""Numbers at once where only a density is evaluated: few enough for a core's cache."""

LIVE = 16
"""Tensors of a block's size that a model's likelihood is taken to hold at once."""

INNER = 16
"""Fewest inner samples per block, so that reducing over them costs little."""

INNER_CACHED = 128
"""The same where only a density is evaluated, and the model runs once per so many."""

GROUPS = 16
"""Groups of shared inner samples from which their share of the standard error is estimated."""

Scores = tuple[Float[Tensor, " D"], Float[Tensor, " D"]]
"""EIG and its standard error in nats, per design."""


def nmc(
    problem: SiteModel,
    designs: Float[Tensor, "D *K"],
    samples: int,
    *,
    contrasts: int,
    memory: int,
    reuse: bool = True,
) -> Scores:
    """Nested Monte Carlo, Rainforth et al. 2018; Eq. 4 of Foster et al. 2019.

    EIG = 1/N sum_n log p(y_n | theta_n, d) - log 1/M sum_m p(y_n | theta_m, d). Its expectation
    is above the EIG by about Var_m[p(y | theta_m) / p(y)] / (2 M).

    Args:
        problem: the model.
        designs: the candidates.
        samples: N, outer.
        contrasts: M, inner.
        memory: bound in MiB.
        reuse: the same inner samples serve all outer ones: the same expectation, less work. Their
            noise is common to the outer terms and is counted in the standard error.
    """
    return _contrasted(problem, designs, samples, contrasts, memory, reuse, own=False)


def pce(
    problem: SiteModel,
    designs: Float[Tensor, "D *K"],
    samples: int,
    *,
    contrasts: int,
    memory: int,
    reuse: bool = True,
) -> Scores:
    """Prior contrastive estimation, Eq. 11 of Foster et al. 2020: a lower bound, <= ln(L + 1).

    EIG >= E log p(y | theta_0, d) / (1/(L+1) sum_{l=0}^{L} p(y | theta_l, d)). Arguments as for
    `nmc`; L is `contrasts`.
    """
    return _contrasted(problem, designs, samples, contrasts, memory, reuse, own=True)


def _contrasted(
    problem: SiteModel,
    designs: Tensor,
    samples: int,
    contrasts: int,
    memory: int,
    reuse: bool,
    own: bool,
) -> Scores:
    """Both bounds: `own` puts the likelihood of the true latents into the denominator."""
    problem.needs_likelihood()
    reuse = reuse and contrasts > 1
    results = []
    for block in design_blocks(problem, designs, samples + reuse * contrasts, memory=memory):
        draws = problem.simulate(block.expand(samples, *block.shape))
        rows, chunk = _tiles(problem, draws.outcomes, contrasts, memory, reuse)
        evaluate = _likelihoods(problem, block, contrasts, reuse)
        moments = Moments()
        for part in slices(samples, rows):
            outcomes = {name: value[part] for name, value in draws.outcomes.items()}
            likelihood = draws.log_likelihood[part]
            with pyro.validation_enabled(False):
                groups = group_sums(partial(evaluate, outcomes), contrasts, chunk, shared=reuse)
            total = groups.logsumexp(0)
            denominator = torch.logaddexp(total, likelihood) if own else total
            terms = likelihood - denominator + math.log(contrasts + own)
            moments.add(terms, (groups - denominator).exp_().nan_to_num_(0.0))
        results.append(moments.scores(samples, fractions(contrasts) if reuse else None))
    eig, error = (torch.cat(parts) for parts in zip(*results, strict=True))
    return eig, error


class Moments:
    """Sums over the outer samples from which the EIG and its standard error follow."""

    def __init__(self) -> None:
        self._sum: Tensor | float = 0.0
        self._square: Tensor | float = 0.0
        self._groups: Tensor | float = 0.0

    def add(self, terms: Float[Tensor, "n D"], weights: Float[Tensor, "G n D"]) -> None:
        """Terms of some outer samples, and each group's share of their denominators."""
        terms = terms.double()
        self._sum = self._sum + terms.sum(0)
        self._square = self._square + terms.square().sum(0)
        self._groups = self._groups + weights.sum(1).double()

    def scores(self, samples: int, shared: Float[Tensor, " G"] | None) -> Scores:
        """Mean and standard error; the delta method gives the inner samples' part.

        The estimate moves by -1/N sum_n w_gn when group g doubles, w its share of denominator n.

        Args:
            samples: N.
            shared: each group's fraction of the inner samples, where these are shared.
        """
        mean = torch.as_tensor(self._sum) / samples
        of_one = (torch.as_tensor(self._square) / samples - mean.square()).clamp(min=0)
        variance = of_one / (samples - 1) if samples > 1 else torch.full_like(mean, torch.nan)
        if shared is not None:
            weight = torch.as_tensor(self._groups) / samples
            excess = weight - shared[:, None] * weight.sum(0)
            variance = variance + excess.square().sum(0) * len(shared) / (len(shared) - 1)
        error = variance.sqrt().where(torch.isfinite(mean), torch.inf)
        return mean, error


def group_sums(
    evaluate: Callable[[slice], Float[Tensor, "m n D"]], contrasts: int, chunk: int, *, shared: bool
) -> Float[Tensor, "G n D"]:
    """log sum_m exp(score_mn) over each group of contrasts, in pieces of at most `chunk`.

    Args:
        evaluate: scores of a slice of the contrasts.
        contrasts: M.
        chunk: contrasts at once.
        shared: keep groups apart, for the standard error; else there is a single group.
    """
    size = _group_size(contrasts) if shared else contrasts
    sums: list[Tensor] = []
    for inner in _pieces(contrasts, size, chunk):
        part = _log_sums(evaluate(inner), size)
        if inner.start % size:
            sums[-1] = torch.logaddexp(sums[-1], part)
        else:
            sums.append(part)
    return torch.cat(sums)


def _log_sums(scores: Float[Tensor, "m n D"], size: int) -> Float[Tensor, "G n D"]:
    """log sum exp over groups of `size`, of which the last may be smaller.

    One exponential per score: all groups are scaled by the greatest score of any; one that is
    nothing beside it in floating point has -inf. Powers of two are three times as fast as exp.
    """
    top = scores.amax(0).nan_to_num_(0.0, 0.0, 0.0)
    weights = (scores - top).mul_(1 / math.log(2)).exp2_()
    groups = len(weights) // size
    sums = weights[: groups * size].unflatten(0, (groups, size)).sum(1)
    if groups * size < len(weights):
        sums = torch.cat([sums, weights[groups * size :].sum(0, keepdim=True)])
    return sums.log_().add_(top)


def _group_size(contrasts: int) -> int:
    """Inner samples per group; the last group may be smaller."""
    return -(-contrasts // GROUPS)


def fractions(contrasts: int) -> Float[Tensor, " G"]:
    """Each group's fraction of the inner samples."""
    sizes = [len(part) for part in torch.arange(contrasts).split(_group_size(contrasts))]
    return torch.tensor(sizes).double() / contrasts


def _pieces(total: int, size: int, chunk: int) -> Iterator[slice]:
    """Slices of at most `chunk` that hold whole groups of `size` or lie within one."""
    if chunk >= size:
        yield from slices(total, total if chunk >= total else chunk - chunk % size)
        return
    for group in slices(total, size):
        for piece in slices(group.stop - group.start, chunk):
            yield slice(group.start + piece.start, group.start + piece.stop)


def _likelihoods(
    problem: SiteModel, designs: Tensor, contrasts: int, reuse: bool
) -> Callable[[Sites, slice], Float[Tensor, "m n D"]]:
    """log p(y_n | theta_m, d) of outcomes `[n, D]` for a slice of the inner samples.

    With one observation site and shared latents the model runs on `[m, 1, D]`, once for all
    outcomes, and only its density is evaluated on `[m, n, D]`. With several sites, one may depend
    on another, so that the model sees every block.
    """
    latents: Sites | None = None
    if reuse:
        trace = problem.trace(designs.expand(contrasts, 1, *designs.shape), {})
        latents = {name: site_value(trace, name) for name in problem.latents}
    if latents is None or len(problem.observation) > 1:
        return partial(_whole_block, problem, designs, latents)
    (site,) = problem.observation

    @cache
    def density(start: int, stop: int) -> Callable[[Tensor], Tensor]:
        if stop - start == contrasts:
            return problem.density(trace)
        held = {name: site_value(trace, name)[start:stop] for name in (*latents, site)}
        where = designs.expand(stop - start, 1, *designs.shape)
        return problem.density(problem.trace(where, held))

    return lambda outcomes, inner: density(inner.start, inner.stop)(outcomes[site][None])


def _whole_block(
    problem: SiteModel, designs: Tensor, shared: Sites | None, outcomes: Sites, inner: slice
) -> Float[Tensor, "m n D"]:
    """The same by running the model on every pair, with fresh latents where none are shared."""
    count, rows = inner.stop - inner.start, len(outcomes[problem.observation[0]])
    where = designs.expand(count, rows, *designs.shape)
    if shared is None:
        latents = problem.draw_latents(where)
    else:
        latents = {
            name: value[inner].expand(count, rows, *value.shape[2:])
            for name, value in shared.items()
        }
    seen = {name: value.expand(count, *value.shape) for name, value in outcomes.items()}
    return problem.log_likelihood(latents, seen, where)


def event_numel(values: Mapping[str, Tensor], batch_dims: int) -> int:
    """Numbers per draw, all sites together."""
    return max(1, sum(math.prod(value.shape[batch_dims:]) for value in values.values()))


def tile_cells(memory: int, dtype: torch.dtype) -> int:
    """Most numbers of a type evaluated at once, within `memory` MiB.

    Raises:
        ValueError: `memory` is below one MiB.
    """
    check_count("memory", memory)
    return min(TILE, memory * 2**20 // (LIVE * dtype.itemsize))


def _tiles(
    problem: SiteModel, outcomes: Sites, contrasts: int, memory: int, reuse: bool
) -> tuple[int, int]:
    """Outer and inner samples evaluated at once."""
    first = outcomes[problem.observation[0]]
    cells = first.shape[1] * event_numel(outcomes, 2)
    tile = tile_cells(memory, problem.dtype)
    fewest = INNER
    if reuse and len(problem.observation) == 1:
        fewest = min(contrasts, INNER_CACHED)
        if first.device.type == "cpu":
            tile = min(tile, max(CACHED, INNER * cells))
    rows = max(1, tile // (fewest * cells))
    return rows, max(1, tile // (rows * cells))


def design_blocks(
    problem: SiteModel, designs: Tensor, draws: int, *, memory: int
) -> Iterator[Tensor]:
    """The designs in blocks whose draws stay within half of `memory` and whose rows fill a tile."""
    check_count("memory", memory)
    each = draws * (problem.numbers + 1 + math.prod(designs.shape[1:])) * problem.dtype.itemsize
    fits = memory * 2**19 // each
    if fits < 1:
        raise ValueError(
            f"memory is {memory} MiB; the {draws} draws for one design need {each / 2**19:.0f}"
        )
    yield from designs.split(fits)


def slices(total: int, size: int) -> Iterator[slice]:
    """Slices of at most `size` that cover `total`."""
    for start in range(0, total, size):
        yield slice(start, min(start + size, total))
