"""Do completed scenes look like real ones: distances and coverage between clouds of features.

`real` and `fake` are features of real and of completed scenes by one extractor, which gives the
figures their name. Every figure depends on how many rows there are: report both numbers, and the
figure of real scenes against other real scenes beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from boed.completion.evaluation.hidden import check_finite
from boed.completion.evaluation.labels import as_probabilities

BLOCK = 2**22
"""Entries of a distance or kernel matrix that are held at once."""


def frechet_distance(real: Float[Tensor, "N F"], fake: Float[Tensor, "M F"]) -> float:
    """Squared Fréchet distance of the Gaussians with the moments of two clouds of features.

    |m - w|^2 + tr(S + R - 2 (S R)^1/2) (Heusel et al. 2017, Eq. 6), in double precision, with
    unbiased covariances. With centred features X, Y, so that S = X^T X and R = Y^T Y, the
    eigenvalues of (S R)^1/2 are the singular values of X Y^T. No root of a matrix is needed, and
    fewer rows than features are as good as many: nothing is added to a diagonal. The estimate is
    biased upwards, more so the fewer rows.

    Raises:
        ValueError: fewer than two rows, different numbers of features, NaN or infinite entries.
    """
    real, fake = _checked(real, fake)
    shift = (real.mean(0) - fake.mean(0)).square().sum()
    x, y = _factor(real), _factor(fake)
    cross = torch.linalg.svdvals(x @ y.T).sum()
    return float((shift + x.square().sum() + y.square().sum() - 2 * cross).clamp(min=0))


def kernel_distance(real: Float[Tensor, "N F"], fake: Float[Tensor, "M F"]) -> float:
    """Unbiased squared maximum mean discrepancy under the kernel (x . y / F + 1)^3.

    Binkowski et al. (2018), Eq. 4 and Sec. 3. Zero on average when both clouds have one law, so
    single values may be negative.

    Raises:
        ValueError: fewer than two rows, different numbers of features, NaN or infinite entries.
    """
    real, fake = _checked(real, fake)
    n, m = len(real), len(fake)
    within_real = (_kernel_sum(real, real) - _kernel_diagonal(real)) / (n * (n - 1))
    within_fake = (_kernel_sum(fake, fake) - _kernel_diagonal(fake)) / (m * (m - 1))
    return within_real + within_fake - 2 * _kernel_sum(real, fake) / (n * m)


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """How two clouds of features cover each other.

    Attributes:
        precision: fraction of fake scenes inside the real cloud.
        recall: fraction of real scenes inside the fake cloud.
        density: how many real neighbourhoods a fake scene is in, over k; may exceed 1.
        coverage: fraction of real neighbourhoods with a fake scene inside.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def precision_recall(
    real: Float[Tensor, "N F"], fake: Float[Tensor, "M F"], k: int = 5
) -> Coverage:
    """Precision and recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. 2020).

    A scene's neighbourhood is the closed ball that reaches its k-th nearest neighbour in its own
    cloud, itself not counted; a cloud is the union of its neighbourhoods. A fake scene that is
    there more than k times has a ball of radius 0: count n completions of one observation by a
    deterministic completer once.

    Raises:
        ValueError: k below 1 or not below the number of rows of both clouds, or what the
            distances refuse.
    """
    real, fake = _checked(real, fake)
    real, fake = real - real.mean(0), fake - real.mean(0)
    if not 1 <= k < min(len(real), len(fake)):
        raise ValueError(
            f"k is {k}; expected 1 or more and fewer than the {len(real)} rows of real and the "
            f"{len(fake)} of fake"
        )
    real_radius, fake_radius = _radii(real, k), _radii(fake, k)
    inside = 0  # pairs (fake scene, real neighbourhood that it is in)
    precise = 0
    recalled = torch.zeros(len(real), dtype=torch.bool, device=real.device)
    covered = torch.zeros_like(recalled)
    for rows in _blocks(len(fake), len(real)):
        distance = _squared_distances(fake[rows], real)
        near: Bool[Tensor, "b N"] = distance <= real_radius
        inside += int(near.sum())
        precise += int(near.any(1).sum())
        covered |= near.any(0)
        recalled |= (distance <= fake_radius[rows, None]).any(0)
    return Coverage(
        precision=precise / len(fake),
        recall=float(recalled.double().mean()),
        density=inside / (k * len(fake)),
        coverage=float(covered.double().mean()),
    )


def inception_score(log_probs: Float[Tensor, "n B K"]) -> Float[Tensor, " B"]:
    """Inception score of the n completions of each observation (Harvey et al. 2021, Eq. 18).

    exp(mean_n KL(p(v | x_n) || mean_n p(v | x_n))): the exponential of the mutual information of
    class and completion. From 1, all completions say the same, to min(n, K); with few
    completions too low on average.

    Args:
        log_probs: what a classifier says of whole completed scenes, in nats.

    Raises:
        ValueError: another shape, NaN, or probabilities that do not sum to 1.
    """
    p = as_probabilities(log_probs).double()
    entropy = -torch.special.xlogy(p, p).sum(2).mean(0)
    marginal = p.mean(0)
    information = -torch.special.xlogy(marginal, marginal).sum(1) - entropy
    return information.clamp(min=0).exp().to(log_probs.dtype)


def _checked(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    for name, features in (("real", real), ("fake", fake)):
        if features.ndim != 2 or len(features) < 2:
            raise ValueError(f"{name} must be [N, F] with N >= 2, got {tuple(features.shape)}")
        check_finite(features, name)
    if real.shape[1] != fake.shape[1]:
        raise ValueError(
            f"fake has {fake.shape[1]} features, expected {real.shape[1]} as real has: were both "
            "made by one extractor?"
        )
    return real.double(), fake.double()


def _factor(features: Float[Tensor, "N F"]) -> Float[Tensor, "R F"]:
    """X with X^T X = the unbiased covariance, R = min(N, F)."""
    centred = (features - features.mean(0)) / (len(features) - 1) ** 0.5
    if len(features) <= features.shape[1]:
        return centred
    return torch.linalg.qr(centred, mode="r").R


def _kernel_sum(x: Tensor, y: Tensor) -> float:
    blocks = _blocks(len(x), len(y))
    return sum(float(((x[rows] @ y.T) / x.shape[1] + 1).pow(3).sum()) for rows in blocks)


def _kernel_diagonal(x: Tensor) -> float:
    return float((x.square().mean(1) + 1).pow(3).sum())


def _radii(features: Float[Tensor, "N F"], k: int) -> Float[Tensor, " N"]:
    """Squared distance to the k-th nearest other row, and a little for rounding."""
    radii = []
    for rows in _blocks(len(features), len(features)):
        distance = _squared_distances(features[rows], features)
        own = torch.arange(rows.start, rows.stop, device=features.device)
        distance[torch.arange(len(own), device=features.device), own] = torch.inf
        radii.append(distance.kthvalue(k, dim=1).values)
    return torch.cat(radii) * (1 + 1e-9)


def _squared_distances(x: Float[Tensor, "N F"], y: Float[Tensor, "M F"]) -> Tensor:
    """|x|^2 + |y|^2 - 2 x . y, and 0 where that is rounding error or nearly."""
    norms = x.square().sum(1)[:, None] + y.square().sum(1)
    distances = norms - 2 * x @ y.T
    return distances.masked_fill_(distances < 1e-12 * norms, 0)


def _blocks(rows: int, columns: int) -> Iterator[slice]:
    """Rows of a matrix in blocks of at most `BLOCK` entries."""
    step = max(1, BLOCK // columns)
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))
