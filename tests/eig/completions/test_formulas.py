"""Eq. 17 and the Barber-Agakov bound against slow loops, and on a space of four outcomes."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from boed.eig import posterior_entropy_eig, variational_eig

SHAPES = {"single": (5,), "multi": (4, 2)}


def beliefs(rng: np.random.Generator, *shape: int, zeros: bool = True) -> Tensor:
    """Random log-beliefs, a fifth of whose entries are log 0."""
    p = rng.gamma(0.5, size=shape) + 1e-9
    if zeros:
        dropped = rng.random(shape) < 0.2
        dropped[..., 0] = False
        p[dropped] = 0
    with np.errstate(divide="ignore"):
        return torch.tensor(np.log(p / p.sum(-1, keepdims=True)), dtype=torch.float32)


def problem(kind: str, weighted: bool, seed: int = 0, zeros: bool = True) -> Any:
    rng = np.random.default_rng(seed)
    n, batch, designs, question = 6, 3, 7, SHAPES[kind]
    weights = torch.tensor(rng.dirichlet(np.full(n, 0.5), batch).T, dtype=torch.float32)
    return (
        beliefs(rng, batch, *question),
        beliefs(rng, n, batch, designs, *question, zeros=zeros),
        beliefs(rng, n, batch, *question),
        weights if weighted else None,
    )


def loop_entropy(p: Any) -> float:
    return -sum(float(x) * math.log(x) for x in p if x > 0)


def questions(log_belief: Tensor) -> np.ndarray:
    """`[L, K]` probabilities, L = 1 for a single question."""
    p = log_belief.double().exp().numpy()
    return p if p.ndim == 2 else p[None]


def loop_weights(weights: Tensor | None, n: int, batch: int) -> np.ndarray:
    return np.full((n, batch), 1 / n) if weights is None else weights.double().numpy()


def slow_equation_17(
    belief: Tensor, candidates: Tensor, weights: Tensor | None, first: str
) -> np.ndarray:
    """EIG(c) = H[g(v | observation)] - E_n H[g(v | f_c(I^(n)))], findings added; in loops."""
    n, batch, designs = candidates.shape[:3]
    w = loop_weights(weights, n, batch)
    eig = np.zeros((batch, designs))
    for b in range(batch):
        for c in range(designs):
            after = [questions(candidates[i, b, c]) for i in range(n)]
            for finding in range(len(after[0])):
                now = questions(belief[b])[finding]
                if first == "belief":
                    before = loop_entropy(now)
                elif first == "cross":
                    before = sum(
                        -w[i, b] * p * math.log(q)
                        for i in range(n)
                        for p, q in zip(after[i][finding], now, strict=True)
                    )
                else:
                    mixture = [
                        sum(w[i, b] * after[i][finding][k] for i in range(n))
                        for k in range(after[0].shape[1])
                    ]
                    before = loop_entropy(mixture)
                expected = sum(w[i, b] * loop_entropy(after[i][finding]) for i in range(n))
                eig[b, c] += before - expected
    return eig


def slow_variational(
    belief: Tensor, candidates: Tensor, whole: Tensor, weights: Tensor | None, first: str
) -> np.ndarray:
    """H[p(v)] + E_n sum_v g(v | I^(n)) log g(v | f_c(I^(n))), findings added; in loops."""
    n, batch, designs = candidates.shape[:3]
    w = loop_weights(weights, n, batch)
    eig = np.zeros((batch, designs))
    for b in range(batch):
        now = questions(belief[b])
        for c in range(designs):
            for i in range(n):
                answer, after = questions(whole[i, b]), questions(candidates[i, b, c])
                for finding in range(len(now)):
                    if first == "belief":
                        eig[b, c] += w[i, b] * loop_entropy(now[finding])
                    for k in range(now.shape[1]):
                        q = answer[finding][k]
                        if q > 0:
                            eig[b, c] += w[i, b] * q * math.log(after[finding][k])
                            if first == "score":
                                eig[b, c] -= w[i, b] * q * math.log(now[finding][k])
    return eig


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("first", ["belief", "mixture", "cross"])
def test_posterior_entropy_is_equation_17(
    first: Literal["belief", "mixture", "cross"], kind: str, weighted: bool, seed: int
) -> None:
    belief, candidates, _, weights = problem(kind, weighted, seed)
    if first == "cross":  # log 0 where the belief after a look has mass would be infinite
        belief = beliefs(np.random.default_rng(seed), *belief.shape, zeros=False)
    eig, gains = posterior_entropy_eig(belief, candidates, weights, first=first)
    slow = slow_equation_17(belief, candidates, weights, first)
    assert np.abs(eig.numpy() - slow).max() < 1e-5
    w = torch.tensor(loop_weights(weights, *candidates.shape[:2])).float()
    assert torch.allclose((w[..., None] * gains).sum(0), eig, atol=1e-5)
    if first != "belief":
        assert float(gains.min()) > -1e-5


def test_the_first_terms_differ_when_belief_and_completions_do() -> None:
    """Eq. 17 as printed can be negative, and its argmax need not be the same."""
    belief = torch.tensor([[0.9, 0.1]]).log()
    flat, opposed = [[0.6, 0.4], [0.6, 0.4]], [[0.7, 0.3], [0.3, 0.7]]
    candidates = torch.tensor([flat, opposed]).transpose(0, 1)[:, None].log()  # [N, B, D, K]
    printed, _ = posterior_entropy_eig(belief, candidates)
    mixture, _ = posterior_entropy_eig(belief, candidates, first="mixture")
    assert float(printed.max()) < 0
    assert float(mixture.min()) > -1e-6
    flat_entropy, opposed_entropy = loop_entropy([0.6, 0.4]), loop_entropy([0.7, 0.3])
    expected = [0, loop_entropy([0.5, 0.5]) - opposed_entropy]
    assert mixture[0].tolist() == pytest.approx(expected, abs=1e-6)
    now = loop_entropy([0.9, 0.1])
    assert printed[0].tolist() == pytest.approx(
        [now - flat_entropy, now - opposed_entropy], abs=1e-6
    )


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("first", ["belief", "score"])
def test_variational_is_the_barber_agakov_bound(
    first: Literal["belief", "score"], kind: str, weighted: bool, seed: int
) -> None:
    # log 0 where the answer has mass would be an infinite loss: only the answers have zeros
    belief, candidates, whole, weights = problem(kind, weighted, seed, zeros=False)
    belief = beliefs(np.random.default_rng(seed), *belief.shape, zeros=False)
    eig, gains = variational_eig(belief, candidates, whole, weights=weights, first=first)
    slow = slow_variational(belief, candidates, whole, weights, first)
    assert np.abs(eig.numpy() - slow).max() < 1e-5
    w = torch.tensor(loop_weights(weights, *candidates.shape[:2])).float()
    assert torch.allclose((w[..., None] * gains).sum(0), eig, atol=1e-5)


def test_double_precision_goes_through() -> None:
    belief, candidates, whole, weights = problem("single", True, zeros=False)
    doubles = [each.double() for each in (belief, candidates, whole)]
    for chosen in (None, weights):
        eig, _ = posterior_entropy_eig(doubles[0], doubles[1], chosen)
        bound, _ = variational_eig(*doubles, weights=chosen)
        assert eig.dtype == bound.dtype == torch.float64


def test_an_impossible_answer_is_a_large_but_finite_loss() -> None:
    belief = torch.tensor([[0.5, 0.5]]).log()
    certain = torch.tensor([[[[1.0, 0.0]]]]).log()  # [N, B, D, K]
    answer = torch.tensor([[[0.0, 1.0]]]).log()
    eig, _ = variational_eig(belief, certain, answer)
    assert torch.isfinite(eig).all()
    assert float(eig) < -1000


@pytest.mark.parametrize("kind", SHAPES)
def test_a_look_that_reveals_nothing_has_no_eig(kind: str) -> None:
    belief, candidates, whole, weights = problem(kind, True)
    belief = beliefs(np.random.default_rng(1), *belief.shape, zeros=False)
    same = belief[None, :, None].expand_as(candidates)
    assert posterior_entropy_eig(belief, same, weights)[0].abs().max() == 0
    assert variational_eig(belief, same, whole, weights=weights, first="score")[0].abs().max() == 0
    assert posterior_entropy_eig(belief, same, weights, first="mixture")[0].abs().max() < 1e-6
    assert posterior_entropy_eig(belief, same, weights, first="cross")[0].abs().max() == 0


SHAPE_ERRORS: list[tuple[str, tuple[int, ...], tuple[int, ...], tuple[int, ...] | None]] = [
    ("posterior must be", (3, 5), (6, 2, 7, 5), None),
    ("posterior must be", (3, 5), (6, 3, 7, 4), None),
    ("posterior must be", (3, 5), (3, 7, 5), None),
    ("posterior must be", (3, 4, 2), (6, 3, 7, 2), None),
    ("weights must be", (3, 5), (6, 3, 7, 5), (3, 6)),
    ("weights must sum to 1", (3, 5), (6, 3, 7, 5), (6, 3)),
]


@pytest.mark.parametrize(("message", "belief", "candidates", "weights"), SHAPE_ERRORS)
def test_shapes_that_do_not_belong_together(
    message: str,
    belief: tuple[int, ...],
    candidates: tuple[int, ...],
    weights: tuple[int, ...] | None,
) -> None:
    w = None if weights is None else torch.ones(weights)
    with pytest.raises(ValueError, match=message):
        posterior_entropy_eig(torch.zeros(belief), torch.zeros(candidates), w)
    with pytest.raises(ValueError, match=message):
        variational_eig(
            torch.zeros(belief), torch.zeros(candidates), torch.zeros(6, 3, 5), weights=w
        )


def test_other_arguments_that_are_refused() -> None:
    belief, candidates, whole, weights = problem("single", True)
    with pytest.raises(ValueError, match="whole_scene must be"):
        variational_eig(belief, candidates, whole[:, :2])
    with pytest.raises(ValueError, match="first is 'other'"):
        posterior_entropy_eig(belief, candidates, first="other")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="first is 'other'"):
        variational_eig(belief, candidates, whole, first="other")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="weights must sum to 1"):
        posterior_entropy_eig(belief, candidates, weights * torch.nan)


@pytest.mark.parametrize("first", ["belief", "mixture", "cross"])
def test_finite_space(first: Literal["belief", "mixture", "cross"]) -> None:
    """theta ~ Bernoulli(0.4), y ~ Bernoulli((d + theta) / 2), d = 0.5: all four outcomes."""
    prior, d = np.array([0.6, 0.4]), 0.5
    likely = np.array([[1 - (d + theta) / 2, (d + theta) / 2] for theta in (0, 1)])
    joint = prior[:, None] * likely  # [theta, y]
    posterior = (joint / joint.sum(0)).T  # [y, theta]
    belief = torch.tensor(prior).log()[None]
    outcomes = [(theta, y) for theta in (0, 1) for y in (0, 1)]
    candidates = torch.tensor(np.log([posterior[y] for _, y in outcomes]))[:, None, None]
    weights = torch.tensor([joint[each] for each in outcomes])[:, None]
    eig, _ = posterior_entropy_eig(belief, candidates, weights, first=first)
    assert float(eig) == pytest.approx(0.12580367, abs=1e-8)
    answers = torch.eye(2).double()[[theta for theta, _ in outcomes]].log()[:, None]
    for form in ("belief", "score"):
        bound, _ = variational_eig(belief, candidates, answers, weights=weights, first=form)
        assert float(bound) == pytest.approx(0.12580367, abs=1e-8)
