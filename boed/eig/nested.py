"""Nested and contrastive Monte Carlo: the EIG from an explicit likelihood, without training."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from boed.eig.model import SiteModel, Sites, check_count

TILE = 2**19
"""Most numbers evaluated at once: few enough for the cache, enough to hide Pyro's own cost."""

LIVE = 16
"""Tensors of a block's size that a model's likelihood is taken to hold at once."""

INNER = 16
"""Fewest inner samples per block, so that reducing over them costs little."""

GROUPS = 16
"""Groups of shared inner samples from which their share of the standard error is estimated."""

Scores = tuple[Float[Tensor, " D"], Float[Tensor, " D"]]
"""EIG and its standard error in nats, per design."""


@torch.no_grad()
def nmc(
    problem: SiteModel,
    designs: Float[Tensor, "D *K"],
    samples: int,
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


@torch.no_grad()
def pce(
    problem: SiteModel,
    designs: Float[Tensor, "D *K"],
    samples: int,
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
    for block in design_blocks(problem, designs, samples + reuse * contrasts, memory):
        draws = problem.simulate(block.expand(samples, *block.shape))
        shared = problem.draw_latents(block.expand(contrasts, 1, *block.shape)) if reuse else None
        moments = Moments()
        for rows in slices(samples, block_rows(problem, draws.outcomes, len(block), memory)):
            outcomes = {name: value[rows] for name, value in draws.outcomes.items()}
            likelihood = draws.log_likelihood[rows]
            groups = _group_sums(problem, block, outcomes, shared, contrasts, memory)
            total = groups.logsumexp(0)
            denominator = torch.logaddexp(total, likelihood) if own else total
            terms = likelihood - denominator + math.log(contrasts + own)
            moments.add(terms, (groups - denominator).exp().nan_to_num(0.0))
        results.append(moments.scores(samples, fractions(contrasts) if shared else None))
    eig, error = (torch.cat(parts).to(designs) for parts in zip(*results, strict=True))
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
        self._groups = self._groups + weights.double().sum(1)

    def scores(self, samples: int, shared: Float[Tensor, " G"] | None) -> Scores:
        """Mean and standard error; the delta method gives the inner samples' part.

        The estimate moves by -1/N sum_n w_gn when group g doubles, w its share of denominator n.

        Args:
            samples: N.
            shared: each group's fraction of the inner samples, where these are shared.
        """
        mean = torch.as_tensor(self._sum) / samples
        spread = (torch.as_tensor(self._square) / samples - mean.square()).clamp(min=0)
        variance = spread / (samples - 1) if samples > 1 else torch.full_like(mean, torch.nan)
        if shared is not None:
            weight = torch.as_tensor(self._groups) / samples
            excess = weight - shared[:, None] * weight.sum(0)
            variance = variance + excess.square().sum(0) * len(shared) / (len(shared) - 1)
        error = variance.sqrt().where(torch.isfinite(mean), torch.inf)
        return mean, error


def _group_sums(
    problem: SiteModel,
    designs: Tensor,
    outcomes: Sites,
    shared: Sites | None,
    contrasts: int,
    memory: int,
) -> Float[Tensor, "G n D"]:
    """log sum_m p(y_n | theta_m, d) over each group of inner samples.

    The latents are `shared`, `[M, 1, D]`, or fresh draws for every outer sample, `[M, n, D]`.
    """
    first = outcomes[problem.observation[0]]
    rows, candidates = first.shape[:2]
    chunk = tile_cells(memory, first) // (rows * candidates * event_numel(outcomes, 2))
    evaluate = _likelihood_of_chunk(problem, designs, outcomes, shared, rows)
    return group_sums(evaluate, contrasts, max(1, chunk), shared is not None)


def group_sums(
    evaluate: Callable[[slice], Float[Tensor, "m n D"]], contrasts: int, chunk: int, shared: bool
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
        for group, part in enumerate(evaluate(inner).split(size), start=inner.start // size):
            partial = part.logsumexp(0)
            if group < len(sums):
                sums[group] = torch.logaddexp(sums[group], partial)
            else:
                sums.append(partial)
    return torch.stack(sums)


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
        yield from slices(total, chunk - chunk % size)
        return
    for group in slices(total, size):
        for piece in slices(group.stop - group.start, chunk):
            yield slice(group.start + piece.start, group.start + piece.stop)


def _likelihood_of_chunk(
    problem: SiteModel, designs: Tensor, outcomes: Sites, shared: Sites | None, rows: int
) -> Callable[[slice], Float[Tensor, "m n D"]]:
    """log p(y_n | theta_m, d) for a slice of the inner samples.

    With one observation site the model runs on `[m, 1, D]` and only its density is evaluated on
    `[m, n, D]`; with several, one may depend on another, so the model sees the whole block.
    """
    several = len(problem.observation) > 1

    def evaluate(inner: slice) -> Tensor:
        count = inner.stop - inner.start
        width = rows if shared is None or several else 1
        where = designs.expand(count, width, *designs.shape)
        if shared is None:
            latents = problem.draw_latents(where)
        else:
            latents = {
                name: value[inner].expand(count, width, *value.shape[2:])
                for name, value in shared.items()
            }
        seen = {
            name: value.expand(count, *value.shape) if several else value[None]
            for name, value in outcomes.items()
        }
        return problem.log_likelihood(latents, seen, where)

    return evaluate


def event_numel(values: Mapping[str, Tensor], batch_dims: int) -> int:
    """Numbers per draw, all sites together."""
    return max(1, sum(math.prod(value.shape[batch_dims:]) for value in values.values()))


def tile_cells(memory: int, like: Tensor) -> int:
    """Most numbers evaluated at once, within `memory` MiB.

    Raises:
        ValueError: `memory` is below one MiB.
    """
    check_count("memory", memory)
    return min(TILE, memory * 2**20 // (LIVE * like.element_size()))


def block_rows(problem: SiteModel, outcomes: Sites, candidates: int, memory: int) -> int:
    """Outer samples per block."""
    first = outcomes[problem.observation[0]]
    cells = candidates * event_numel(outcomes, 2)
    return max(1, tile_cells(memory, first) // (INNER * cells))


def design_blocks(problem: SiteModel, designs: Tensor, draws: int, memory: int) -> Iterator[Tensor]:
    """The designs in blocks whose draws stay within half of `memory` and whose rows fill a tile."""
    check_count("memory", memory)
    probe = problem.simulate(designs[:1].expand(1, 1, *designs.shape[1:]))
    numbers = event_numel(probe.latents, 2) + event_numel(probe.outcomes, 2) + 1
    each = draws * (numbers + math.prod(designs.shape[1:])) * designs.element_size()
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
