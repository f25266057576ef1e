from __future__ import annotations

import math

import pytest
import torch

from boed.completion.evaluation import label_calibration, label_posterior


def test_the_posterior_averages_probabilities_not_their_logarithms():
    p = torch.tensor([[[0.9, 0.1]], [[0.3, 0.7]]])
    torch.testing.assert_close(label_posterior(p.log()), torch.tensor([[0.6, 0.4]]))


def test_scores_by_hand():
    p = torch.tensor([[0.8, 0.2, 0.0], [0.3, 0.6, 0.1]])
    found = label_calibration(p, torch.tensor([0, 2]))
    assert found["nll"] == pytest.approx(-(math.log(0.8) + math.log(0.1)) / 2, rel=1e-5)
    assert found["brier"] == pytest.approx((0.08 + 0.09 + 0.36 + 0.81) / 2, rel=1e-5)
    assert found["accuracy"] == 0.5
    assert found["ece"] == pytest.approx((0.2 + 0.6) / 2, rel=1e-5)


def test_an_answer_held_impossible_costs_a_bounded_amount():
    found = label_calibration(torch.tensor([[1.0, 0.0]]), torch.tensor([1]))
    assert found["nll"] == pytest.approx(-math.log(1e-12))
    assert found["brier"] == 2


def test_calibrated_answers_stay_at_the_floor_and_over_confident_ones_do_not():
    """Answers drawn from the stated probabilities; then the same from sharpened ones.

    The ece of 300 calibrated answers is about 0.03, its standard deviation below 0.012: twice the
    floor is over 2.5 of them away.
    """
    generator = torch.Generator().manual_seed(0)
    logits = 1.5 * torch.randn(300, 4, generator=generator)
    p = logits.softmax(1)
    labels = torch.multinomial(p, 1, generator=generator)[:, 0]
    fair = label_calibration(p, labels)
    sharp = label_calibration((3 * logits).softmax(1), labels)
    assert fair["ece"] < 2 * fair["ece_floor"]
    assert sharp["ece"] > 4 * sharp["ece_floor"]
    assert sharp["nll"] > fair["nll"]
    assert sharp["brier"] > fair["brier"]
    assert sharp["accuracy"] == fair["accuracy"]


def test_bad_input_is_refused():
    p = torch.full((3, 2), 0.5)
    with pytest.raises(ValueError, match=r"labels is \(2,\), expected \(3,\)"):
        label_calibration(p, torch.tensor([0, 1]))
    with pytest.raises(ValueError, match=r"labels spans 0\.\.2"):
        label_calibration(p, torch.tensor([0, 1, 2]))
    for broken in (p * math.nan, p * 2, torch.tensor([[1.5, -0.5]] * 3)):
        with pytest.raises(ValueError, match="probabilities that sum to 1"):
            label_calibration(broken, torch.tensor([0, 1, 1]))
    with pytest.raises(ValueError, match="log_probs"):
        label_posterior(p.log())
    with pytest.raises(ValueError, match="sum to 1"):
        label_posterior(torch.full((2, 3, 2), math.nan))
