"""Conformal sets hold the true answer as often as they promise, also where looking stops."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from boed.policies import SplitConformal

LOOKS, ANSWERS = 6, 4


def beliefs(
    scenes: int, seed: int, confidence: float = 2.0, findings: int = 0
) -> tuple[Tensor, Tensor]:
    """Log-beliefs after 0 to LOOKS noisy looks, `confidence` times too sure, and the truth."""
    generator = torch.Generator().manual_seed(seed)
    answers = 2 if findings else ANSWERS
    labels = torch.randint(answers, (scenes, max(findings, 1)), generator=generator)
    means = torch.eye(answers)[labels]  # [n, L, K]
    noise = torch.randn(LOOKS, scenes, max(findings, 1), answers, generator=generator)
    evidence = torch.cat([torch.zeros(1, *means.shape), means + noise]).cumsum(0)
    result = (confidence * evidence).log_softmax(-1).transpose(0, 1)  # [n, T + 1, L, K]
    return (result, labels) if findings else (result[:, :, 0], labels[:, 0])


def samples(
    repeats: int, calibration: int, tested: int, findings: int = 0
) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Fresh calibration and test beliefs with their labels, `repeats` times."""
    result, labels = beliefs(repeats * (calibration + tested), 0, findings=findings)
    n = calibration
    for some, truth in zip(result.chunk(repeats), labels.chunk(repeats), strict=True):
        yield some[:n], truth[:n], some[n:], truth[n:]


def mean_and_error(rates: list[float]) -> tuple[float, float]:
    """The mean over repetitions, and 4 standard errors of it."""
    rate = torch.tensor(rates)
    return float(rate.mean()), 4 * float(rate.std()) / len(rates) ** 0.5


def holds(sets: Tensor, labels: Tensor) -> Tensor:
    """Whether each set, `[n, T, *L, K]`, has the true answer; of all findings."""
    result = sets.gather(-1, labels[:, None, ..., None].expand(*sets.shape[:-1], 1))[..., 0]
    return result if result.ndim == 2 else result.all(2)


def first_single(sets: Tensor) -> Tensor:
    """The look at which each scene's set is a single answer, the last one if never, `[n]`."""
    single = sets.sum(-1) == 1
    single[:, -1] = True
    return single.float().argmax(1)


@pytest.mark.parametrize(("alpha", "findings"), [(0.05, 0), (0.2, 0), (0.1, 3)])
def test_coverage_of_all_looks_at_once(alpha: float, findings: int) -> None:
    """In [1 - alpha, 1 - alpha + 1 / (n + 1)] over the draw of both samples."""
    n, rates = 39, []
    for known, labels, test, truth in samples(200, n, 40, findings):
        sets = SplitConformal.calibrated(known, labels, alpha).predict(test)
        rates.append(float(holds(sets, truth).all(1).float().mean()))
    rate, error = mean_and_error(rates)
    assert 1 - alpha - error <= rate <= 1 - alpha + 1 / (n + 1) + error


def test_coverage_where_a_scene_stops() -> None:
    """Sets for each look alone miss too often at the first single answer; ours do not."""
    alpha = 0.1
    each, joint = [], []
    for known, labels, test, truth in samples(150, 99, 60):
        alone = [
            SplitConformal.calibrated(known[:, t], labels, alpha).predict(test[:, t])
            for t in range(LOOKS + 1)
        ]
        together = SplitConformal.calibrated(known, labels, alpha).predict(test)
        for sets, rates in ((torch.stack(alone, dim=1), each), (together, joint)):
            right = holds(sets, truth).gather(1, first_single(sets)[:, None])
            rates.append(float(right.float().mean()))
    rate, error = mean_and_error(joint)
    assert rate >= 1 - alpha - error
    rate, error = mean_and_error(each)
    assert rate < 1 - alpha - error


def test_one_look_gives_the_marginal_guarantee() -> None:
    alpha, n, rates = 0.1, 49, []
    for known, labels, test, truth in samples(200, n, 50):
        sets = SplitConformal.calibrated(known[:, 2], labels, alpha).predict(test[:, 2:3])
        rates.append(float(holds(sets, truth).float().mean()))
    rate, error = mean_and_error(rates)
    assert 1 - alpha - error <= rate <= 1 - alpha + 1 / (n + 1) + error


def test_the_threshold_is_the_quantile_of_finite_samples() -> None:
    """ceil((n + 1)(1 - alpha))-th smallest score: the 9th of 9 for a tenth, the 8th for a fifth."""
    behind = torch.arange(1.0, 10)  # nats by which the true answer, 1, is behind
    result = torch.stack([torch.zeros(9), -behind], dim=1).log_softmax(1)
    labels = torch.ones(9, dtype=torch.long)
    shuffled = torch.randperm(9, generator=torch.Generator().manual_seed(0))
    for alpha, threshold in ((0.1, 9), (0.2, 8), (0.5, 5)):
        conformal = SplitConformal.calibrated(result[shuffled], labels, alpha)
        assert conformal.threshold == pytest.approx(threshold, abs=1e-5)
    looks = torch.stack([result.flip(0), result], dim=1)  # the larger of 10 - k and k
    assert SplitConformal.calibrated(looks, labels, 0.5).threshold == pytest.approx(7, abs=1e-5)


def test_sets_by_hand() -> None:
    conformal = SplitConformal(math.log(3), 0.1)
    result = conformal.predict(torch.tensor([[0.7, 0.2, 0.1], [0.45, 0.4, 0.15]]).log())
    assert result.tolist() == [[True, False, False], [True, True, True]]
    both = conformal.predict(torch.tensor([[[0.9, 0.1], [0.5, 0.5]]]).log())
    assert both.tolist() == [[[True, False], [True, True]]]


def test_sets_hold_the_best_answer_and_every_answer_while_nothing_is_known() -> None:
    result, _ = beliefs(50, 0)
    sets = SplitConformal(0.0, 0.1).predict(result)
    assert bool(sets.gather(2, result.argmax(2, keepdim=True)).all())
    assert bool(sets[:, 0].all())
    impossible = torch.tensor([[0.0, -torch.inf]])
    assert SplitConformal(50.0, 0.1).predict(impossible).tolist() == [[True, False]]
    assert SplitConformal(math.inf, 0.1).predict(impossible).tolist() == [[True, True]]


@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.25, 0.3])
def test_too_few_scenes(alpha: float) -> None:
    least = math.ceil(1 / alpha - 1 - 1e-9)
    result, labels = beliefs(least, 0)
    SplitConformal.calibrated(result, labels, alpha)
    with pytest.raises(ValueError, match=f"too few for alpha {alpha}, expected at least {least}"):
        SplitConformal.calibrated(result[1:], labels[1:], alpha)


def test_bad_input() -> None:
    result, labels = beliefs(20, 0)
    for alpha in (0.0, 1.0, math.nan):
        with pytest.raises(ValueError, match=r"alpha is .*, expected within \(0, 1\)"):
            SplitConformal.calibrated(result, labels, alpha)
    with pytest.raises(ValueError, match="threshold is nan"):
        SplitConformal(math.nan, 0.1)
    with pytest.raises(ValueError, match="log_belief has NaN"):
        SplitConformal(1.0, 0.1).predict(result * torch.nan)
    with pytest.raises(ValueError, match="log_belief has NaN"):
        SplitConformal.calibrated(result * torch.nan, labels)
    with pytest.raises(ValueError, match=r"labels is \(19,\), expected one for each scene"):
        SplitConformal.calibrated(result, labels[1:])
    with pytest.raises(ValueError, match=r"labels span 0\.\.3, expected 0\.\.1"):
        SplitConformal.calibrated(result[..., :2], labels)
    with pytest.raises(ValueError, match=r"log_beliefs is \(20,\)"):
        SplitConformal.calibrated(result[:, 0, 0], labels)
    with pytest.raises(ValueError, match=r"labels is \(20, 3\)"):
        SplitConformal.calibrated(result, labels[:, None].expand(-1, 3) % 2)
