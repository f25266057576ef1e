from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch

from boed.completion.evaluation import (
    frechet_distance,
    inception_score,
    kernel_distance,
    precision_recall,
    realism,
)

DISTANCES = [frechet_distance, kernel_distance, precision_recall]


def cloud(n: int, features: int, seed: int, shift: float = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, features, generator=generator, dtype=torch.double) + shift


def with_moments(mean: torch.Tensor, covariance: torch.Tensor, n: int, seed: int) -> torch.Tensor:
    """n rows whose mean and unbiased covariance are exactly these."""
    x = cloud(n, len(mean), seed)
    x = x - x.mean(0)
    white = torch.linalg.solve_triangular(torch.linalg.cholesky(x.T.cov()), x.T, upper=False)
    return mean + white.T @ torch.linalg.cholesky(covariance).T


def covariance(features: int, seed: int) -> torch.Tensor:
    root = cloud(features, features, seed)
    return root @ root.T + 0.1 * torch.eye(features, dtype=torch.double)


def test_frechet_distance_has_its_closed_form():
    means = cloud(2, 5, 0)
    first, second = covariance(5, 1), covariance(5, 2)
    root = np.real(scipy.linalg.sqrtm((first @ second).numpy()))
    expected = float((means[0] - means[1]).square().sum() + (first + second).trace())
    expected -= 2 * float(np.trace(root))
    found = frechet_distance(
        with_moments(means[0], first, 40, 3), with_moments(means[1], second, 30, 4)
    )
    assert found == pytest.approx(expected, rel=1e-9)


def test_frechet_distance_of_commuting_covariances():
    """(1 - 3)^2 + (2 - 1)^2 of the standard deviations, and 4 of the means."""
    zero = torch.zeros(2, dtype=torch.double)
    first = with_moments(zero, torch.tensor([1.0, 4.0]).double().diag(), 20, 0)
    second = with_moments(zero, torch.tensor([9.0, 1.0]).double().diag(), 20, 1)
    assert frechet_distance(first, second + torch.tensor([2.0, 0.0])) == pytest.approx(9, rel=1e-9)


def test_frechet_distance_with_fewer_rows_than_features():
    """The same clouds laid out isometrically in 40 dimensions are as far apart."""
    real, fake = cloud(12, 3, 0), 2 * cloud(9, 3, 1, shift=0.5)
    axes = torch.linalg.qr(cloud(40, 40, 2)).Q[:3]
    narrow = frechet_distance(real, fake)
    assert frechet_distance(real @ axes, fake @ axes) == pytest.approx(narrow, rel=1e-9)
    assert frechet_distance(real @ axes, real @ axes) == pytest.approx(0, abs=1e-12)


def test_frechet_distance_of_real_scenes_to_others_falls_with_their_number():
    """Not 0: about F (F + 1) / (2 N) here; the floor to report. A shift by 1/2 adds F / 4."""
    few, many, shifted = (
        frechet_distance(cloud(n, 8, 1), cloud(n, 8, 2, shift=shift))
        for n, shift in ((100, 0), (1600, 0), (1600, 0.5))
    )
    assert few > 8 * many > 0
    assert shifted - many == pytest.approx(2, rel=0.1)


@pytest.mark.parametrize("block", [10, realism.BLOCK])
def test_kernel_distance_is_the_sum_over_pairs(block, monkeypatch):
    monkeypatch.setattr(realism, "BLOCK", block)
    x, y = cloud(4, 3, 0), cloud(5, 3, 1, shift=1)

    def mean(a, b, skip):
        pairs = [
            float((a[i] @ b[j] / 3 + 1) ** 3)
            for i in range(len(a))
            for j in range(len(b))
            if not (skip and i == j)
        ]
        return sum(pairs) / len(pairs)

    expected = mean(x, x, True) + mean(y, y, True) - 2 * mean(x, y, False)
    assert kernel_distance(x, y) == pytest.approx(expected, rel=1e-10)


def test_kernel_distance_of_two_points():
    """k(x, x) + k(y, y) - 2 k(x, y) = 1 + 8 - 2 with x = 0 and |y|^2 = F."""
    real, fake = torch.zeros(3, 7), torch.ones(4, 7)
    assert kernel_distance(real, fake) == pytest.approx(7)


def test_kernel_distance_is_zero_on_average_for_one_law_at_any_number():
    """Within four standard errors over 400 pairs of clouds; the biased form would be +1.7."""
    found = torch.tensor(
        [kernel_distance(cloud(6, 4, i), cloud(9, 4, 999 + i)) for i in range(400)]
    )
    assert found.mean().abs() < 4 * found.std() / 20
    assert found.std() < 2


def test_precision_recall_of_equal_and_disjoint_clouds():
    real = cloud(50, 4, 0)
    same = precision_recall(real, real, k=3)
    assert (same.precision, same.recall, same.coverage) == (1, 1, 1)
    assert same.density == pytest.approx(4 / 3)  # a fake scene is its own neighbour too
    apart = precision_recall(real, real + 100, k=3)
    assert (apart.precision, apart.recall, apart.density, apart.coverage) == (0, 0, 0, 0)


@pytest.mark.parametrize("block", [60, realism.BLOCK])
def test_precision_recall_by_hand(block, monkeypatch):
    """On a line with k = 1: real balls [-1, 1], [0, 2], [2, 8]; fake [-.5, 2.5], [-.5, 2.5]."""
    monkeypatch.setattr(realism, "BLOCK", block)
    real = torch.tensor([[0.0], [1.0], [5.0]])
    found = precision_recall(real, torch.tensor([[0.5], [2.0], [30.0]]), k=1)
    # radii: real 1, 1, 4; fake 1.5, 1.5, 28; fake ball of 30 is [2, 58]
    assert found.precision == pytest.approx(2 / 3)
    assert found.recall == 1
    assert found.density == pytest.approx((2 + 2 + 0) / 3)
    assert found.coverage == 1


def test_a_collapsed_cloud_is_precise_and_covers_little():
    real = cloud(200, 4, 0)
    found = precision_recall(real, 0.05 * cloud(200, 4, 1))
    assert found.precision == 1
    assert found.recall < 0.05
    assert found.coverage < 0.5
    wide = precision_recall(real, 5 * cloud(200, 4, 1))
    assert wide.precision < 0.3
    assert wide.recall > 0.9


def test_equal_completions_cover_nothing_but_themselves():
    real = cloud(40, 4, 0)
    fake = cloud(5, 4, 1).repeat(10, 1)
    assert precision_recall(real, fake).recall == 0
    near = real[:1].repeat(10, 1) + 1e-7  # the same scene, but for rounding of its features
    assert precision_recall(real, torch.cat([fake, near])).recall == 1 / 40


def test_inception_score_runs_from_one_to_the_number_of_classes():
    sure = torch.eye(4).log()  # n = K = 4 completions, each of its own class
    same = sure[:1].repeat(4, 1)
    vague = torch.full((4, 4), 0.25).log()
    found = inception_score(torch.stack([sure, same, vague], dim=1))
    torch.testing.assert_close(found, torch.tensor([4.0, 1.0, 1.0]))


def test_inception_score_is_the_exponential_of_a_mutual_information():
    """Two completions with p(v) = (0.9, 0.1) and (0.1, 0.9): ln 2 - H[0.9] nats."""
    p = torch.tensor([[[0.9, 0.1]], [[0.1, 0.9]]])
    entropy = -(0.9 * np.log(0.9) + 0.1 * np.log(0.1))
    assert float(inception_score(p.log())) == pytest.approx(2 / np.exp(entropy), rel=1e-5)


@pytest.mark.parametrize("metric", DISTANCES)
def test_bad_features_are_refused(metric):
    good, broken = cloud(9, 3, 0), cloud(9, 3, 1)
    broken[2, 1] = float("nan")
    with pytest.raises(ValueError, match="fake has 1 NaN"):
        metric(good, broken)
    with pytest.raises(ValueError, match=r"real must be \[N, F\] with N >= 2, got \(1, 3\)"):
        metric(good[:1], good)
    with pytest.raises(ValueError, match="fake has 2 features, expected 3"):
        metric(good, good[:, :2])


def test_other_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="k is 9"):
        precision_recall(cloud(9, 3, 0), cloud(20, 3, 0), k=9)
    with pytest.raises(ValueError, match="log_probs must be"):
        inception_score(torch.zeros(3, 4))
    with pytest.raises(ValueError, match="sum to 1"):
        inception_score(torch.zeros(2, 3, 4))
