"""Metrics against scikit-learn and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score

from boed.classifiers.evaluation.metrics import (
    HIGHER_IS_BETTER,
    METRICS,
    accuracy,
    auroc,
    ece,
    nll,
    reliability,
)


def beliefs(n, *shape, seed=0, ties=False):
    """Random log-probabilities `[n, *shape]`, with few different values where `ties`."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, *shape))
    if ties:
        logits = logits.round()
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def answers(n, *shape, highest=1, seed=1):
    return np.random.default_rng(seed).integers(0, highest + 1, (n, *shape))


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_two_classes_match_scikit_learn(ties, weighted):
    log_probs, labels = beliefs(200, 2, ties=ties), answers(200)
    weights = np.random.default_rng(2).integers(0, 4, 200) if weighted else None
    score = log_probs[:, 1] - log_probs[:, 0]
    got = auroc(log_probs, labels, weights)
    assert got == pytest.approx(roc_auc_score(labels, score, sample_weight=weights))
    expected = accuracy_score(labels, log_probs.argmax(1), sample_weight=weights)
    assert accuracy(log_probs, labels, weights) == pytest.approx(expected)
    expected = log_loss(labels, np.exp(log_probs), sample_weight=weights)
    assert nll(log_probs, labels, weights) == pytest.approx(expected)


@pytest.mark.parametrize("weighted", [False, True])
def test_many_classes_match_scikit_learn(weighted):
    log_probs, labels = beliefs(300, 5), answers(300, highest=4)
    weights = np.random.default_rng(2).integers(0, 3, 300) if weighted else None
    probabilities = np.exp(log_probs)
    columns = [roc_auc_score(labels == k, log_probs[:, k], sample_weight=weights) for k in range(5)]
    assert auroc(log_probs, labels, weights) == pytest.approx(np.mean(columns))
    if not weighted:
        expected = roc_auc_score(labels, probabilities, multi_class="ovr")
        assert auroc(log_probs, labels) == pytest.approx(expected)
    expected = log_loss(labels, probabilities, sample_weight=weights)
    assert nll(log_probs, labels, weights) == pytest.approx(expected)


def test_findings_are_averaged():
    log_probs, labels = beliefs(300, 4, 2), answers(300, 4)
    scores = log_probs[..., 1] - log_probs[..., 0]
    assert auroc(log_probs, labels) == pytest.approx(roc_auc_score(labels, scores))
    each = [accuracy_score(labels[:, k], log_probs[:, k].argmax(1)) for k in range(4)]
    assert accuracy(log_probs, labels) == pytest.approx(np.mean(each))
    each = [log_loss(labels[:, k], np.exp(log_probs[:, k])) for k in range(4)]
    assert nll(log_probs, labels) == pytest.approx(np.mean(each))


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
@pytest.mark.parametrize("shape", [(2,), (3,), (4, 2)])
def test_many_resamplings_in_one_call_are_the_resampled_scenes(metric, shape):
    log_probs = beliefs(60, *shape, ties=True)
    labels = answers(60, *shape[:-1], highest=shape[-1] - 1)
    rows = np.random.default_rng(3).integers(0, 60, (3, 5, 60))
    weights = np.apply_along_axis(np.bincount, -1, rows, minlength=60)
    got = metric(log_probs, labels, weights)
    assert got.shape == (3, 5)
    for where in np.ndindex(3, 5):
        expected = metric(log_probs[rows[where]], labels[rows[where]])
        assert got[where] == pytest.approx(float(expected))


def test_classes_with_one_kind_of_scene_are_left_out():
    log_probs, labels = beliefs(50, 3, 2), answers(50, 3)
    labels[:, 1] = 0
    assert auroc(log_probs, labels) == pytest.approx(auroc(log_probs[:, [0, 2]], labels[:, [0, 2]]))
    assert np.isnan(auroc(log_probs, np.zeros_like(labels)))
    weights = np.where(labels[:, 0] == 1, 1.0, 0.0)  # a resampling without the other kind
    assert np.isnan(auroc(log_probs[:, 0], labels[:, 0], weights))


def test_certain_beliefs_of_zero_probability():
    with np.errstate(divide="ignore"):
        log_probs = np.log(np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [1.0, 0.0]]))
    labels = np.array([0, 1, 0, 1])
    assert auroc(log_probs, labels) == 0.5
    assert nll(log_probs, labels) == np.inf
    assert nll(log_probs[:2], labels[:2]) == 0


def test_reliability_and_ece_by_hand():
    p = np.array([0.55, 0.55, 0.95, 0.95, 1.0])
    log_probs = np.log(np.stack([p, np.maximum(1 - p, 1e-12)], axis=1))
    labels = np.array([0, 1, 0, 0, 1])  # right, wrong; right, right, wrong
    confidence, right, count = reliability(log_probs, labels)
    assert count.tolist() == [0] * 5 + [2, 0, 0, 0, 3]
    assert confidence[[5, 9]] == pytest.approx([0.55, 2.9 / 3])
    assert right[[5, 9]] == pytest.approx([1 / 2, 2 / 3])
    assert ece(log_probs, labels) == pytest.approx((2 * 0.05 + 3 * 0.3) / 5)
    assert ece(log_probs, labels, bins=1) == pytest.approx(abs(4.0 / 5 - 3 / 5))


@pytest.mark.parametrize("metric", [*METRICS.values(), ece])
@pytest.mark.parametrize("shape", [(2,), (4,), (3, 2)])
def test_a_weight_is_how_often_a_scene_counts(metric, shape):
    log_probs, labels = beliefs(40, *shape), answers(40, *shape[:-1], highest=shape[-1] - 1)
    weights = np.random.default_rng(2).integers(0, 4, (5, 40))
    got = metric(log_probs, labels, weights.astype(np.float32))
    for row, counts in zip(got, weights, strict=True):
        repeated = np.repeat(np.arange(40), counts)
        assert row == pytest.approx(metric(log_probs[repeated], labels[repeated]))


def test_direction_is_said_for_each():
    assert HIGHER_IS_BETTER.keys() == METRICS.keys()
    good = np.log(np.array([[0.9, 0.1], [0.2, 0.8]]))
    for name, metric in METRICS.items():
        better, worse = metric(good, np.array([0, 1])), metric(good, np.array([1, 0]))
        assert (better > worse) == HIGHER_IS_BETTER[name]


@pytest.mark.parametrize("metric", [*METRICS.values(), ece])
def test_wrong_inputs(metric):
    log_probs, labels = beliefs(10, 3), answers(10, highest=2)
    with pytest.raises(ValueError, match=r"labels must be \(10,\) to go with log_probs \(10, 3\)"):
        metric(log_probs, labels[:, None])
    log_probs[3, 1] = np.nan
    with pytest.raises(ValueError, match="log_probs has 1 NaN entries"):
        metric(log_probs, labels)
