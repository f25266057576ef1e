"""Nested and contrastive Monte Carlo: the EIG from an explicit likelihood, without training."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial

import pyro
import torch
from jaxtyping import Float
from torch import Tensor

from boed.eig.model.isolation import reseed
from boed.eig.model.pyro_model import Draws, SiteModel, Sites, site_value
from boed.eig.model.scores import Evaluation, Moments, Scores
from boed.foundation.options import COUNT

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

VALUES = 128
"""Most values of an outcome that are summed over."""

GROUPS = 16
"""Groups of shared inner samples from which their share of the standard error is estimated."""


def nmc(
    problem: SiteModel,
    designs: Float[Tensor, "D *K"],
    *,
    contrasts: int,
    memory: int,
    reuse: bool = True,
) -> Evaluation:
    """Nested Monte Carlo, Rainforth et al. 2018; Eq. 4 of Foster et al. 2019.

    EIG = 1/N sum_n log p(y_n | theta_n, d) - log 1/M sum_m p(y_n | theta_m, d). Its expectation
    is above the EIG by about Var_m[p(y | theta_m) / p(y)] / (2 M).

    Where the outcome has few values, the terms are summed over them in place of drawing one: the
    same expectation, less noise and less work.

    Args:
        problem: the model.
        designs: the candidates.
        contrasts: M, inner.
        memory: bound in MiB.
        reuse: the same inner samples serve all outer ones: the same expectation, less work. Their
            noise is common to the outer terms and is counted in the standard error.
    """
    return _nested(problem, designs, contrasts, memory, reuse, own=False)


def pce(
    problem: SiteModel,
    designs: Float[Tensor, "D *K"],
    *,
    contrasts: int,
    memory: int,
    reuse: bool = True,
) -> Evaluation:
    """Prior contrastive estimation, Eq. 11 of Foster et al. 2020: a lower bound, <= ln(L + 1).

    EIG >= E log p(y | theta_0, d) / (1/(L+1) sum_{l=0}^{L} p(y | theta_l, d)). Arguments as for
    `nmc`; L is `contrasts`.
    """
    return _nested(problem, designs, contrasts, memory, reuse, own=True)


def _nested(
    problem: SiteModel, designs: Tensor, contrasts: int, memory: int, reuse: bool, own: bool
) -> Evaluation:
    """Both bounds: `own` puts the likelihood of the true latents into the denominator."""
    problem.needs_likelihood()
    inner = _Inner(contrasts, memory, reuse=reuse and contrasts > 1, own=own)

    def evaluate(samples: int) -> Scores:
        seed = int(torch.randint(2**62, ()))
        parts = []
        draws = samples + inner.reuse * contrasts
        for block in design_blocks(problem, designs, draws, memory=memory):
            if problem.shared:
                reseed(seed)  # the same draws for every block of designs
            parts.append(_contrasted(problem, block, samples, inner))
        return Scores(
            torch.cat([part.eig for part in parts]),
            torch.cat([part.deviations for part in parts], 1),
        )

    return evaluate


@dataclass(frozen=True)
class _Inner:
    """What the denominators are made of; see `nmc` and `_nested`."""

    contrasts: int
    memory: int
    reuse: bool
    own: bool

    @property
    def shared(self) -> Tensor | None:
        """Each group's fraction of the inner samples, where these are shared."""
        return fractions(self.contrasts) if self.reuse else None

    def worth_summing(self, values: int, samples: int) -> bool:
        """Whether summing over an outcome's values is less work than drawing it."""
        return values <= VALUES and values * (samples + self.contrasts) < samples * self.contrasts

    def log_ratio(self, likelihood: Tensor, total: Tensor) -> tuple[Tensor, Tensor]:
        """log p(y | theta) over the mean of the inner likelihoods, and the denominator's sum."""
        denominator = torch.logaddexp(total, likelihood) if self.own else total
        return likelihood - denominator + math.log(self.contrasts + self.own), denominator


def _contrasted(problem: SiteModel, designs: Tensor, samples: int, inner: _Inner) -> Scores:
    """One block of designs."""
    where = designs.expand(samples, *designs.shape)
    draws = problem.simulate(where)
    density = _likelihoods(problem, designs, inner.contrasts, inner.reuse)
    moments = Moments(
        samples, inner.shared, designs=len(designs), memory=inner.memory, device=designs.device
    )
    values = problem.finite_outcomes(draws.trace) if inner.reuse else None
    if values is not None and inner.worth_summing(len(values), samples):
        summed = _sum_outcomes(problem, where, draws, values, density, inner, moments)
        if summed:
            return moments.scores()
    rows, chunk = _tiles(problem, draws.outcomes, inner.contrasts, inner.memory, inner.reuse)
    for part in slices(samples, rows):
        outcomes = {name: value[part] for name, value in draws.outcomes.items()}
        likelihood = draws.log_likelihood[part]
        with pyro.validation_enabled(False):
            evaluate = partial(density, outcomes)
            groups = group_sums(evaluate, inner.contrasts, chunk, shared=inner.reuse)
        terms, denominator = inner.log_ratio(likelihood, groups.logsumexp(0))
        moments.add(terms, (groups - denominator).exp_().nan_to_num_(0.0).sum(1))
    return moments.scores()


def _sum_outcomes(
    problem: SiteModel,
    designs: Float[Tensor, "N D *K"],
    draws: Draws,
    values: Float[Tensor, "Y 1 *event"],
    density: Callable[[Sites, slice], Float[Tensor, "m Y D"]],
    inner: _Inner,
    moments: Moments,
) -> bool:
    """Adds sum_y p(y | theta_n) log p(y | theta_n) / p(y) for every n, or tells that it cannot.

    That is so where the probabilities of the values do not sum to 1: of a model that is masked or
    scaled.
    """
    (site,) = problem.observation
    cells = max(1, tile_cells(inner.memory, problem.dtype) // (values.numel() * designs.shape[1]))
    known: Sites = {**draws.latents, **draws.outcomes}
    groups: Tensor | None = None
    for part in slices(len(designs), cells):
        held = {name: value[part] for name, value in known.items()}
        with pyro.validation_enabled(False):
            run = problem.trace(designs[part], held)
            likelihood = problem.density(run)(values[:, None]).expand(
                len(values), *designs[part].shape[:2]
            )  # [Y, n, D]
            chance = likelihood.exp()
            if not bool(((chance.sum(0) - 1).abs() < 1e-3).all()):
                return False
            if groups is None:
                evaluate = partial(density, {site: values})
                groups = group_sums(evaluate, inner.contrasts, cells, shared=True)
        total = groups.logsumexp(0)[:, None]  # [Y, 1, D]
        ratio, denominator = inner.log_ratio(likelihood, total)
        terms = (chance * ratio).where(chance > 0, 0.0).sum(0)
        share = (likelihood + total - denominator).exp().nan_to_num(0.0).sum(1)  # [Y, D]
        weights = (groups - total[:, 0]).exp().nan_to_num(0.0) * share
        moments.add(terms, weights.sum(1))
    return True


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
    COUNT.check("memory", memory)
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
    COUNT.check("memory", memory)
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
