"""Do n completions spread as the truth does: ranks, coverage and proper scores.

If the truth and the n completions of an observation are draws of one posterior, they are
exchangeable: the rank of the truth among them, by any statistic that may depend on the
observation, is uniform on 0..n. All figures here follow from that and are exact at any n. They
need images on the same grid of grey levels as the truth: round completions to 8 bits where the
data have 8 bits, or each saturated pixel of the data lies outside of continuous completions.

A sampler of the prior that ignores the observation passes the ranks; the scores (`crps`,
`energy_score`) find it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from boed.completion.evaluation.diversity import pair_distances
from boed.completion.evaluation.hidden import check_completions, check_finite, hidden_mean
from boed.foundation.checks import at_least
from boed.foundation.randomness import derive

BLOCK = 2**23
"""Pixels that are worked on at once."""


@dataclass(frozen=True, kw_only=True)
class Uniformity:
    """Whether ranks are uniform.

    Attributes:
        statistic: sum of squares of the smooth components, chi-square under the null.
        p_value: probability of a statistic as large under the null.
        shift: z-score of the mean rank; positive: the truth is above the completions.
        dispersion: z-score of how far ranks lie from the middle; positive: at the ends, completions
            are too narrow (over-confident), negative: too wide (under-confident).
    """

    statistic: float
    p_value: float
    shift: float
    dispersion: float


@dataclass(frozen=True, eq=False, kw_only=True)
class TARP:
    """Coverage of random regions of known credibility.

    Attributes:
        levels: credibility, j / (n + 1) for j = 0..n+1, which n completions can tell apart.
        coverage: fraction of truths inside, `[n + 2]`; equal to `levels` if calibrated.
        p_value: of the hypothesis that it is.
        bias: mean of coverage - level over the levels of 1/2 and more. Negative: the truth is
            outside too often, completions are over-confident; positive: they are
            under-confident. A shift of all completions moves it little: see `p_value`.
    """

    levels: Float[Tensor, " J"]
    coverage: Float[Tensor, " J"]
    p_value: float
    bias: float


def sbc_ranks(
    truth: Float[Tensor, "B S"], samples: Float[Tensor, "n B S"], generator: torch.Generator
) -> Int64[Tensor, "B S"]:
    """How many of the n samples are below the truth, for S statistics (Talts et al. 2018, Alg. 1).

    Ties are broken at random, so that ranks stay uniform for statistics with atoms.

    Raises:
        ValueError: shapes that do not belong together, NaN or infinite entries.
    """
    if truth.ndim != 2 or samples.ndim != 3 or samples.shape[1:] != truth.shape:
        raise ValueError(
            f"truth must be [B, S] and samples [n, B, S], got {tuple(truth.shape)} and "
            f"{tuple(samples.shape)}"
        )
    check_finite(truth, "truth")
    check_finite(samples, "samples")
    below, equal = _counts(samples, truth)
    ticket = torch.rand(truth.shape, generator=generator, device=generator.device)
    return below + (ticket.to(truth.device) * (equal + 1)).long()


def rank_uniformity(ranks: Int64[Tensor, " B"], n: int) -> Uniformity:
    """Smooth test that independent ranks are uniform on 0..n (Neyman 1937; Rayner & Best 1989).

    The components are sqrt(B) times the mean over ranks of the first four polynomials that are
    orthonormal under the uniform law on the n + 1 ranks: uncorrelated with mean 0 and variance 1
    under this null, ties and few ranks included. Their sum of squares is chi-square with
    min(4, n) degrees for large B; from B = 10 on, false alarms are as stated at 5 % and 1 %. The
    first component sees shifts, the second spreads; Pearson's statistic is the sum of all n and
    blurs them. With n <= 4 the two are the same.

    Ranks of one scene by several statistics depend on each other: test each and correct.

    Raises:
        ValueError: ranks of another shape, fewer than two, n below 2, or ranks outside 0..n.
    """
    if ranks.ndim != 1 or len(ranks) < 2:
        raise ValueError(f"ranks must be [B] with B >= 2, got {tuple(ranks.shape)}")
    at_least(2, n=n)
    if ranks.min() < 0 or ranks.max() > n:
        raise ValueError(f"ranks spans {int(ranks.min())}..{int(ranks.max())}, expected 0..{n}")
    from scipy.stats import chi2

    degree = min(4, n)
    powers = np.vander(np.linspace(-1, 1, n + 1), degree + 1, increasing=True)
    basis = np.linalg.qr(powers)[0] * np.sqrt(n + 1)
    basis *= np.sign(basis[-1])  # all rise towards the top rank
    components = basis[ranks.cpu().numpy(), 1:].sum(0) / np.sqrt(len(ranks))
    statistic = float((components**2).sum())
    return Uniformity(
        statistic=statistic,
        p_value=float(chi2.sf(statistic, degree)),
        shift=float(components[0]),
        dispersion=float(components[1]),
    )


def tarp(
    truth: Float[Tensor, "B D"],
    samples: Float[Tensor, "n B D"],
    generator: torch.Generator,
    *,
    references: Float[Tensor, "B D"] | None = None,
) -> TARP:
    """Tests of accuracy with random points (Lemos et al. 2023, Alg. 2).

    The region around a reference that reaches the truth holds a fraction of the samples; over
    scenes that fraction is uniform, tested by `rank_uniformity` on the ranks of the distances.
    Pixels that truth and samples share add the same to all distances and do not matter, so
    completions may be given composited.

    Args:
        truth: scenes as vectors; one row for each scene, not several for one.
        references: independent of the truth given the observation, which they may depend on (then
            the test has more power). By default the truth of another scene, all scenes in one
            random cycle, which keeps any two ranks independent.

    Raises:
        ValueError: shapes that do not belong together, NaN, or fewer than three scenes to take
            references from.
    """
    if truth.ndim != 2 or samples.ndim != 3 or samples.shape[1:] != truth.shape:
        raise ValueError(
            f"truth must be [B, D] and samples [n, B, D], got {tuple(truth.shape)} and "
            f"{tuple(samples.shape)}"
        )
    batch, n = len(truth), len(samples)
    if references is None:
        if batch < 3:
            raise ValueError(f"truth has {batch} scenes, expected 3 or more without references")
        order = torch.randperm(batch, generator=generator, device=generator.device)
        order = order.to(truth.device)
        references = torch.empty_like(truth).index_copy(0, order, truth[order.roll(1)])
    elif references.shape != truth.shape:
        raise ValueError(
            f"references is {tuple(references.shape)}, expected {tuple(truth.shape)} as truth is"
        )
    reach = _squared_distance(truth, references)
    distance = torch.stack([_squared_distance(each, references) for each in samples])
    ranks = sbc_ranks(reach[:, None], distance[:, :, None], generator)[:, 0]
    count = torch.bincount(ranks, minlength=n + 1).double().cpu()
    coverage = torch.cat([count.new_zeros(1), count.cumsum(0) / batch])
    levels = torch.arange(n + 2, dtype=torch.double) / (n + 1)
    upper = levels >= 0.5
    return TARP(
        levels=levels,
        coverage=coverage,
        p_value=rank_uniformity(ranks, n).p_value,
        bias=float((coverage - levels)[upper].mean()),
    )


def interval_coverage(
    scenes: Float[Tensor, "n B C H W"],
    truth: Float[Tensor, "B C H W"],
    hidden: Float[Tensor, "B 1 H W"],
    *,
    levels: Sequence[float] = (0.5, 0.8, 0.9),
) -> Float[Tensor, "L B"]:
    """Fraction of hidden pixels inside the central interval of the completions.

    Between the k-th lowest and the k-th highest of n completions the truth lies with probability
    (n + 1 - 2 k) / (n + 1), whatever the law. For a level between two of these the coverages of
    the two intervals are mixed with the weights that give the level, so a calibrated completer
    has exactly `implied_levels(n, levels)` on average. A truth tied with completions counts by
    the fraction of its possible ranks that lie inside. Below the level: over-confident.

    Returns:
        One figure for each level and scene; NaN where nothing is hidden.

    Raises:
        ValueError: shapes that do not belong together, NaN, fewer than two completions, or levels
            outside (0, 1).
    """
    check_completions(scenes, truth, hidden, least=2)
    n = len(scenes)
    below, equal = _counts(scenes, truth)
    coverage = []
    for level in implied_levels(n, levels).tolist():
        order = (n + 1) * (1 - level) / 2
        k = min(int(order + 1e-9), n // 2)
        weight = order - k  # of the next narrower interval
        inside = (1 - weight) * _inside(below, equal, k, n)
        if weight > 1e-9:
            inside = inside + weight * _inside(below, equal, k + 1, n)
        coverage.append(hidden_mean(inside.to(scenes.dtype), hidden))
    return torch.stack(coverage)


def implied_levels(n: int, levels: Sequence[float] = (0.5, 0.8, 0.9)) -> Float[Tensor, " L"]:
    """The nearest levels that intervals of n completions can have.

    From the narrowest interval's to (n - 1) / (n + 1), the range of all n: 9 / 11 with n = 10.

    Raises:
        ValueError: fewer than two completions, or levels outside (0, 1).
    """
    at_least(2, n=n)
    wrong = [level for level in levels if not 0 < level < 1]
    if wrong:
        raise ValueError(f"levels has {wrong}, expected numbers between 0 and 1")
    given = torch.tensor(list(levels), dtype=torch.double)
    return given.clamp((n + 1 - 2 * (n // 2)) / (n + 1), (n - 1) / (n + 1))


def crps(
    scenes: Float[Tensor, "n B C H W"],
    truth: Float[Tensor, "B C H W"],
    hidden: Float[Tensor, "B 1 H W"],
) -> Float[Tensor, " B"]:
    """Fair continuous ranked probability score, mean over hidden pixels; lower is better.

    mean_i |x_i - y| - sum_{i<j} |x_i - x_j| / (n (n - 1)) (Ferro 2014): unbiased for the score of
    the law behind the n completions, so different n compare. In units of pixel values; NaN where
    nothing is hidden.

    Raises:
        ValueError: shapes that do not belong together, fewer than two completions, or NaN.
    """
    check_completions(scenes, truth, hidden, least=2)
    n = len(scenes)
    weight = 2 * torch.arange(n, device=scenes.device, dtype=scenes.dtype) - (n - 1)
    scores = []
    for rows in _scene_blocks(scenes):
        x = scenes[:, rows].sort(dim=0).values
        # sum_{i<j} |x_i - x_j| = sum_i (2 i - n + 1) x_(i), i from 0
        pairs = torch.einsum("n,nbchw->bchw", weight, x - x[:1]) / (n * (n - 1))
        error = sum((each - truth[rows]).abs() for each in x) / n
        scores.append(hidden_mean(error - pairs, hidden[rows]))
    return torch.cat(scores)


def energy_score(
    scenes: Float[Tensor, "n B C H W"],
    truth: Float[Tensor, "B C H W"],
    hidden: Float[Tensor, "B 1 H W"],
) -> Float[Tensor, " B"]:
    """Fair energy score of the hidden pixels together; lower is better.

    mean_i |x_i - y| - sum_{i<j} |x_i - x_j| / (n (n - 1)) (Gneiting & Raftery 2007, Sec. 4.3),
    which unlike `crps` sees whether pixels vary together. The norm is the root of the mean square
    over hidden pixels and channels, so scenes with different masks compare: pixel values are its
    units, and with one hidden pixel it is the CRPS. NaN where nothing is hidden.

    Raises:
        ValueError: shapes that do not belong together, fewer than two completions, or NaN.
    """
    check_completions(scenes, truth, hidden, least=2)
    n = len(scenes)
    scores = []
    for rows in _scene_blocks(scenes):
        mask = hidden[rows]
        y = (truth[rows] * mask).flatten(1)[:, None]
        x = (scenes[:, rows] * mask).flatten(2).transpose(0, 1)  # [b, n, D]
        error = (x - y).square().sum(2).sqrt().mean(1)
        pairs = pair_distances(x).sum((1, 2)) / (2 * n * (n - 1))
        count = mask.sum((1, 2, 3)) * scenes.shape[2]
        scores.append((error - pairs) / count.sqrt())  # 0 / 0 is NaN
    return torch.cat(scores)


def projections(
    scenes: Float[Tensor, "*n C H W"], number: int, seed: int
) -> Float[Tensor, "*n number"]:
    """Fixed statistics of images for `sbc_ranks`: the mean, then random weighted means.

    Weights are standard normal and depend on the seed and the image's shape alone. The truth and
    its completions must go through the same statistic, which may depend on the observation: give
    composited completions, or all of them times the scene's hidden mask. Either way ranks depend
    on hidden pixels only (composited, the seen ones add a constant to one scene's values), and
    are uniform for each scene, so scenes with different masks go into one test. Images that are
    equal get equal values.

    Raises:
        ValueError: number below 1, fewer than three dimensions, NaN or infinite entries.
    """
    at_least(1, number=number)
    if scenes.ndim < 3:
        raise ValueError(f"scenes must be [..., C, H, W], got {tuple(scenes.shape)}")
    check_finite(scenes, "scenes")
    shape = scenes.shape[-3:]
    generator = torch.Generator().manual_seed(derive(seed, "projections", *shape))
    weights = torch.ones(number, shape.numel(), dtype=torch.double)
    weights[1:] = torch.randn(number - 1, shape.numel(), generator=generator, dtype=torch.double)
    weights = weights.to(scenes.device) / shape.numel()
    flat = scenes.reshape(-1, shape.numel())
    step = max(1, BLOCK // shape.numel())
    projected = torch.cat([block.double() @ weights.T for block in flat.split(step)])
    # Rounded, since a matrix product's last bits depend on the row.
    return projected.float().reshape(*scenes.shape[:-3], number)


def _counts(samples: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """How many of the n samples are below the truth, and how many equal to it."""
    below = torch.zeros_like(truth, dtype=torch.int64)
    equal = torch.zeros_like(below)
    for each in samples:
        below += each < truth
        equal += each == truth
    return below, equal


def _inside(below: Tensor, equal: Tensor, k: int, n: int) -> Tensor:
    """Fraction of the truth's possible ranks, below..below + equal, that are in k..n - k."""
    first, last = below.clamp(min=k), (below + equal).clamp(max=n - k)
    return (last - first + 1).clamp(min=0) / (equal + 1)


def _squared_distance(a: Float[Tensor, "B D"], b: Float[Tensor, "B D"]) -> Float[Tensor, " B"]:
    return (a - b).square().sum(1, dtype=torch.double)


def _scene_blocks(scenes: Float[Tensor, "n B C H W"]) -> Iterator[slice]:
    """Scenes of a batch in blocks of at most `BLOCK` pixels of completions."""
    batch = scenes.shape[1]
    step = max(1, BLOCK * batch // max(scenes.numel(), 1))
    return (slice(start, min(start + step, batch)) for start in range(0, batch, step))
