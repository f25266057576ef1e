"""The estimators against slow loops, and against problems with known answers (nats)."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from boed.completion.completer import Completions
from boed.data.observation import Observation
from boed.eig import candidate_log_beliefs, eig_map, posterior_entropy_eig, variational_eig
from boed.eig.completions import beliefs as beliefs_module
from boed.eig.completions.beliefs import images_within, log_beliefs
from boed.sensors import PatchSensor
from tests.doubles import (
    ClueClassifier,
    ClueCompleter,
    Clues,
    Constant,
    FindingsClassifier,
    GaussianPixels,
)

INFORMATION = ("entropy", "mixture", "variational")
"""Estimators of the EIG about v."""

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
                if first == "belief":
                    before = loop_entropy(questions(belief[b])[finding])
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
@pytest.mark.parametrize("first", ["belief", "mixture"])
def test_posterior_entropy_is_equation_17(
    first: Literal["belief", "mixture"], kind: str, weighted: bool, seed: int
) -> None:
    belief, candidates, _, weights = problem(kind, weighted, seed)
    eig, gains = posterior_entropy_eig(belief, candidates, weights, first=first)
    slow = slow_equation_17(belief, candidates, weights, first)
    assert np.abs(eig.numpy() - slow).max() < 1e-5
    w = torch.tensor(loop_weights(weights, *candidates.shape[:2])).float()
    assert torch.allclose((w[..., None] * gains).sum(0), eig, atol=1e-5)
    if first == "mixture":
        assert float(eig.min()) > -1e-6


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


# --- problems with known answers -------------------------------------------------------------

CLASS_INFORMATION = {0: 0.111421, 1: 0.336831, 2: 0.0, 3: 0.0}
"""EIG of looking at one of the GaussianPixels: mu = 1, mu = 2, and two empty pixels."""


@pytest.mark.parametrize("estimator", INFORMATION)
def test_class_information(estimator: Any) -> None:
    number, toy, sensor = 20_000, GaussianPixels(), PatchSensor(2, 0.5, 2)
    scenes, _ = toy.draw(number)
    drawn = Completions(scenes[:, None], torch.full((number, 1), 1 / number))
    result = eig_map(
        Observation.nothing(1, 1, 2), drawn, sensor, classifier=toy, estimator=estimator
    )
    for design, known in CLASS_INFORMATION.items():
        if known == 0 and estimator != "variational":
            assert abs(float(result.eig[0, design])) < 1e-6
            continue
        error = float(result.gains[:, 0, design].std()) / number**0.5
        assert abs(float(result.eig[0, design]) - known) < 4 * error + 1e-6, (design, error)


def test_class_information_from_labels() -> None:
    """The same with the true labels in place of the classifier's answer, which is noisier."""
    number, toy = 20_000, GaussianPixels()
    scenes, answers = toy.draw(number, seed=1)
    weights = torch.full((number, 1), 1 / number)
    result = eig_map(
        Observation.nothing(1, 1, 2),
        Completions(scenes[:, None], weights, answers[:, None]),
        PatchSensor(2, 0.5, 2),
        classifier=toy,
        estimator="variational",
    )
    for design, known in CLASS_INFORMATION.items():
        error = float(result.gains[:, 0, design].std()) / number**0.5
        assert abs(float(result.eig[0, design]) - known) < 4 * error + 1e-6


@pytest.mark.parametrize("estimator", INFORMATION)
def test_seeing_more_is_never_worth_less(estimator: Any) -> None:
    """With an exact classifier, a larger patch that contains a smaller one tells no less."""
    number, toy = 20_000, GaussianPixels()
    scenes, _ = toy.draw(number)
    drawn = Completions(scenes[:, None], torch.full((number, 1), 1 / number))
    blank = Observation.nothing(1, 1, 2)
    one = eig_map(blank, drawn, PatchSensor(2, 0.5, 2), classifier=toy, estimator=estimator)
    whole = eig_map(blank, drawn, PatchSensor(2, 1.0), classifier=toy, estimator=estimator)
    assert float((whole.eig - one.eig).min()) > 0.02  # the second pixel is worth more than that


@pytest.mark.parametrize("first", ["belief", "mixture"])
def test_finite_space(first: Literal["belief", "mixture"]) -> None:
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


# --- the map ---------------------------------------------------------------------------------


def clue_map(estimator: Any, classifier: Any, memory: int = 512, seen: bool = False) -> Any:
    clues, sensor = Clues(), PatchSensor(16, 0.25, 4)
    observation = Observation.nothing(2, 1, 16)
    if seen:  # the corner, which says nothing
        observation = sensor.observe(
            observation, clues.dataset(2).scenes(), torch.zeros(2, 2).int()
        )
    scenes = ClueCompleter(clues).sample(observation, 12)
    drawn = Completions(scenes, torch.full((12, 2), 1 / 12))
    return eig_map(
        observation, drawn, sensor, classifier=classifier, estimator=estimator, memory=memory
    )


@pytest.mark.parametrize("estimator", INFORMATION)
@pytest.mark.parametrize("kind", ["single", "multi"])
def test_map_peaks_where_the_class_shows(estimator: Any, kind: str) -> None:
    classifier = ClueClassifier() if kind == "single" else FindingsClassifier()
    result = clue_map(estimator, classifier, seen=True)
    clue = result.designs.tolist().index([8, 4])
    assert result.eig.argmax(1).tolist() == [clue, clue]
    others = torch.arange(16) != clue
    known = math.log(3) if kind == "single" else 2 * loop_entropy([1 / 3, 2 / 3])
    if estimator == "entropy":
        assert torch.equal(result.eig[:, others], torch.zeros(2, 15))
        assert torch.allclose(result.eig[:, clue], torch.tensor(known))
    elif estimator == "mixture":
        assert result.eig[:, others].abs().max() < 1e-6
    if kind == "multi":
        assert result.gains.shape == (12, 2, 16)


@pytest.mark.parametrize("labelled", [False, True])
def test_map_asks_the_estimator_it_was_told(labelled: bool) -> None:
    """Each estimator with its first term, the weights, and the labels where there are any."""
    toy, sensor, blank = GaussianPixels(), PatchSensor(2, 0.5, 2), Observation.nothing(1, 1, 2)
    scenes, answers = toy.draw(7)
    scenes, weights = scenes[:, None], torch.arange(1.0, 8)[:, None] / 28
    designs, now = sensor.designs(blank), toy.log_probs(blank)
    after = candidate_log_beliefs(blank, scenes, designs, sensor=sensor, classifier=toy)
    whole = toy.log_probs(Observation(scenes[:, 0], torch.ones(7, 1, 2, 2)))
    if labelled:
        whole = torch.eye(2)[answers].log()
    expected = {
        "entropy": posterior_entropy_eig(now, after, weights, first="belief"),
        "mixture": posterior_entropy_eig(now, after, weights, first="mixture"),
        "variational": variational_eig(now, after, whole[:, None], weights=weights, first="belief"),
    }
    drawn = Completions(scenes, weights, answers[:, None] if labelled else None)
    for estimator in INFORMATION:
        result = eig_map(blank, drawn, sensor, classifier=toy, estimator=estimator)  # type: ignore[arg-type]
        assert torch.allclose(result.eig, expected[estimator][0], atol=1e-6)
        assert torch.allclose(result.gains, expected[estimator][1], atol=1e-6)
    different = torch.stack([eig for eig, _ in expected.values()])
    assert float((different[:, None] - different).abs().amax((2, 3)).fill_diagonal_(1).min()) > 0.01


def test_map_does_not_depend_on_the_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = clue_map("variational", ClueClassifier())
    for piece in (1, 7):
        monkeypatch.setattr(beliefs_module, "images_within", lambda *_, piece=piece: piece)
        assert torch.equal(clue_map("variational", ClueClassifier()).eig, whole.eig)


def test_beliefs_are_those_of_each_candidate_alone() -> None:
    toy, sensor = GaussianPixels(), PatchSensor(2, 0.5, 2)
    scenes = toy.draw(15)[0].unflatten(0, (5, 3))
    observation = Observation.nothing(3, 1, 2)
    observation = sensor.observe(observation, toy.draw(3, 9)[0], torch.tensor([[0, 0]] * 3))
    designs = sensor.designs(observation)
    result = candidate_log_beliefs(observation, scenes, designs, sensor=sensor, classifier=toy)
    for n, b, d in np.ndindex(5, 3, 4):
        one = slice(b, b + 1)
        after = sensor.observe(observation[one], scenes[n, one], designs[d : d + 1])
        assert torch.allclose(result[n, b, d], toy.log_probs(after)[0], atol=1e-6)


class Counting(ClueClassifier):
    """Remembers the largest batch that it was given."""

    largest = 0

    def log_probs(self, observation: Observation) -> Tensor:
        self.largest = max(self.largest, len(observation))
        return super().log_probs(observation)


def test_memory_bounds_the_pieces() -> None:
    blank = Observation.nothing(1, 3, 32)  # one MiB each
    assert [images_within(memory, blank) for memory in (1, 7, 512)] == [1, 7, 256]
    with pytest.raises(ValueError, match=r"memory is 0 MiB; one image alone needs 1\.0"):
        images_within(0, blank)
    counting = Counting()
    clue_map("entropy", counting, memory=1)
    assert counting.largest == 8
    log_beliefs(Observation.nothing(20, 1, 16), counting, memory=2)
    assert counting.largest == 16


BAD: list[tuple[list[float], str]] = [
    ([math.nan, 0.0], r"Constant\.log_probs returned NaN"),
    ([0.5, 0.5], "sum to 3.3, not 1; expected log-probabilities"),  # probabilities
    ([-math.inf, -math.inf], "sum to 0, not 1"),
]


@pytest.mark.parametrize(("value", "message"), BAD)
def test_answers_that_are_no_beliefs_are_refused(value: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        clue_map("entropy", Constant(value))


def test_map_refuses_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match=r"estimator is 'other': .*Known: entropy, mixture"):
        clue_map("other", ClueClassifier())
    scenes = torch.rand(4, 3, 1, 16, 16)
    drawn = Completions(scenes, torch.full((4, 3), 0.25))
    sensor, classifier = PatchSensor(16), ClueClassifier()
    with pytest.raises(ValueError, match=r"completions must be \(N, 2, 1, 16, 16\)"):
        eig_map(Observation.nothing(2, 1, 16), drawn, sensor, classifier=classifier)

    class Nowhere(PatchSensor):
        def designs(self, observation: Observation) -> Any:
            return super().designs(observation)[:0]

    with pytest.raises(ValueError, match=r"Nowhere\.designs returned no candidate"):
        eig_map(Observation.nothing(3, 1, 16), drawn, Nowhere(16), classifier=classifier)

    class OneForAll:
        def log_probs(self, observation: Observation) -> Any:
            return torch.zeros(1, 1)

    with pytest.raises(ValueError, match=r"OneForAll\.log_probs returned \(1, 1\) for 3"):
        eig_map(Observation.nothing(3, 1, 16), drawn, sensor, classifier=OneForAll())


def test_no_gradients_are_kept() -> None:
    class Trainable(GaussianPixels):
        weight = torch.nn.Parameter(torch.ones(()))

        def log_probs(self, observation: Observation) -> Tensor:
            return (super().log_probs(observation) * self.weight).log_softmax(1)

    scenes = GaussianPixels().draw(4)[0][:, None]
    drawn = Completions(scenes, torch.full((4, 1), 0.25))
    result = eig_map(
        Observation.nothing(1, 1, 2), drawn, PatchSensor(2, 0.5, 2), classifier=Trainable()
    )
    assert not result.eig.requires_grad
