"""Comparisons of estimates whose errors have something in common, against known normal laws."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from scipy.stats import norm
from torch import Tensor

from boed.eig.comparison import curse_of_gains
from boed.eig.result import EIGEstimate


def estimate(eig: Any, rows: Any) -> EIGEstimate:
    eig, rows = torch.as_tensor(eig).double(), torch.as_tensor(rows).double()
    return EIGEstimate(
        designs=torch.arange(float(len(eig)))[:, None],
        eig=eig,
        standard_error=rows.norm(dim=0),
        bound="lower",
        deviations=rows,
    )


TWO = torch.tensor([[0.3, 0.2], [0.0, 0.15]]).double()
"""Deviations of two correlated estimates."""


def test_covariance_and_difference() -> None:
    result = estimate([1.0, 0.9], TWO)
    assert torch.allclose(result.covariance, TWO.T @ TWO)
    between = result.difference(0, 1)
    assert between.value == pytest.approx(0.1)
    assert between.standard_error == pytest.approx(math.hypot(0.1, 0.15))
    assert result.difference(1, 0).value == -between.value
    assert result.difference(1, 1).standard_error == 0.0


@pytest.mark.parametrize("gap", [0.0, 0.1, 0.4, 50.0])
def test_two_designs_have_the_normal_laws_probabilities(gap: float) -> None:
    result = estimate([1.0, 1.0 + gap], TWO)
    error = result.difference(0, 1).standard_error
    chance = norm.cdf(gap / error)
    assert result.probability_best().tolist() == pytest.approx([1 - chance, chance], abs=0.02)
    assert result.shortfall() == pytest.approx(max(0.0, 1.645 * error - gap), abs=0.02)


def test_probabilities_of_many_designs_sum_to_one() -> None:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(30, 200, generator=generator) / 100
    result = estimate(torch.linspace(0, 1, 200), rows)
    probability = result.probability_best()
    assert float(probability.sum()) == pytest.approx(1.0)
    assert int(probability.argmax()) == 199
    assert (probability[:100] == 0).all()


def test_common_errors_make_no_doubt() -> None:
    """All errors the same: the order is certain however large they are."""
    result = estimate([1.0, 1.001, 0.5], torch.full((1, 3), 7.0))
    assert result.probability_best().tolist() == [0.0, 1.0, 0.0]
    assert result.shortfall() == result.winners_curse() == 0.0


@pytest.mark.parametrize(
    "truth", [[0.0] * 8, [0.0, 0.1, 0.2, 0.3], [0.0, 5.0]], ids=["ties", "near", "clear"]
)
@pytest.mark.parametrize("common", [0.0, 1.0])
def test_winners_curse_is_that_of_repeated_choices(truth: list[float], common: float) -> None:
    """Errors of 0.3 each and one they all have; the curse is stated for 1.25 times the variance."""
    means, count = torch.tensor(truth).double(), len(truth)
    rows = torch.cat([0.3 * torch.eye(count), torch.full((1, count), common)]).double()
    generator = torch.Generator().manual_seed(0)

    def noise(number: int) -> Tensor:
        return torch.randn(number, count + 1, dtype=torch.float64, generator=generator) @ rows

    seen = means + 1.25**0.5 * noise(40_000)
    best = seen.argmax(1, keepdim=True)
    curse = float((seen.gather(1, best)[:, 0] - means[best[:, 0]]).mean())
    stated = [estimate(means + each, rows).winners_curse() for each in noise(100)]
    assert sum(stated) / len(stated) == pytest.approx(curse, abs=0.04)


def test_a_single_design_is_the_best() -> None:
    result = estimate([0.4], [[0.1]])
    assert result.probability_best().tolist() == [1.0]
    assert result.shortfall() == 0.0
    assert result.winners_curse() == pytest.approx(0.0, abs=1e-12)


def test_designs_that_are_the_same_are_the_best_alike() -> None:
    """Such as of a symmetric problem, whose errors are the same number for number."""
    result = estimate([0.4, 0.4, 0.4, 0.1], [[0.1, 0.1, 0.1, 0.1], [0.02, 0.02, 0.02, 0.0]])
    third = pytest.approx(1 / 3, abs=1e-6)
    assert result.probability_best().tolist() == [third, third, third, 0.0]


COMPARISONS: dict[str, Any] = {
    "covariance": lambda result: result.covariance,
    "difference": lambda result: result.difference(0, 1),
    "probability_best": lambda result: result.probability_best(),
    "shortfall": lambda result: result.shortfall(),
    "winners_curse": lambda result: result.winners_curse(),
}


@pytest.mark.parametrize("name", COMPARISONS)
def test_estimates_without_deviations_say_so(name: str) -> None:
    eig = torch.tensor([0.1, 0.2])
    plain = EIGEstimate(designs=eig[:, None], eig=eig, standard_error=eig, bound="none")
    with pytest.raises(ValueError, match=r"deviations: this estimate does not say.*model_eig"):
        COMPARISONS[name](plain)


@pytest.mark.parametrize("name", ["probability_best", "shortfall", "winners_curse"])
@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
def test_designs_that_are_not_finite_are_named(name: str, bad: float) -> None:
    for result in (
        estimate([0.1, bad, 0.2], 0.1 * torch.eye(3)),
        estimate([0.1, 0.3, 0.2], torch.tensor([[0.1, bad, 0.1]])),
    ):
        with pytest.raises(ValueError, match=r"not finite at designs \[1\]"):
            COMPARISONS[name](result)


@pytest.mark.parametrize("row", [2, -1, 0.0, True, "a"])
def test_rows_that_there_are_not_are_refused(row: Any) -> None:
    result = estimate([1.0, 0.9], TWO)
    with pytest.raises(ValueError, match="j is "):
        result.difference(0, row)
    with pytest.raises(ValueError, match="i is "):
        result.difference(row, 0)


@pytest.mark.parametrize("level", [0.0, -1.0, 1.5, math.nan])
def test_levels_that_are_none_are_refused(level: float) -> None:
    with pytest.raises(ValueError, match="level is"):
        estimate([1.0, 0.9], TWO).shortfall(level)


LAWS = {
    "normal": lambda *shape, generator: torch.randn(*shape, generator=generator),
    "exponential": lambda *shape, generator: -torch.rand(*shape, generator=generator).log() - 1,
    "one of 30 places": lambda *shape, generator: (
        (torch.rand(*shape, generator=generator) < 1 / 30).float() - 1 / 30
    ),
}


@pytest.mark.parametrize("number", [5, 10, 20])
@pytest.mark.parametrize("law", LAWS)
def test_the_curse_of_the_best_of_completions_is_what_it_is_too_high_by(
    law: str, number: int
) -> None:
    """All designs are worth 0, so that the highest estimate is nothing but curse."""
    generator = torch.Generator().manual_seed(0)
    gains = LAWS[law](number, 1000, 30, generator=generator)
    weights = torch.full((number, 1000), 1 / number)
    highest, curse = gains.mean(0).amax(1), curse_of_gains(gains, weights)
    assert float(curse.mean()) == pytest.approx(float(highest.mean()), rel=0.08)
    gains[..., 0] += 100  # no doubt which is the best
    assert curse_of_gains(gains, weights).abs().max() < 1e-3


def test_the_curse_is_of_what_can_be_chosen_and_of_each_scene_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    gains, weights = torch.randn(8, 20, 6, generator=generator), torch.full((8, 20), 1 / 8)
    before = curse_of_gains(gains[:, :, :5], weights)
    gains[3, :, 5] = torch.nan  # not evaluated to the end
    assert torch.equal(curse_of_gains(gains, weights), before)
    gains[:, 7] = torch.nan
    weights[:, 2] = torch.eye(8)[0]
    assert curse_of_gains(gains, weights).isnan().nonzero().flatten().tolist() == [2, 7]
    some = curse_of_gains(gains[:, 10:13], weights[:, 10:13])
    assert torch.equal(some, before[10:13])


def test_weights_count() -> None:
    """A completion of twice the weight is two that are the same, both left out."""
    gains = torch.tensor([[[1.0, 0.0]], [[0.0, 0.6]], [[0.0, 0.9]]])
    weights = torch.tensor([[0.5], [0.25], [0.25]])
    # means 0.5 and 0.375; without the first the second design, without another the first
    expected = 0.5 - (0.5 * 0.0 + 0.25 * 0.0 + 0.25 * 0.0)
    assert float(curse_of_gains(gains, weights)) == pytest.approx(expected)
