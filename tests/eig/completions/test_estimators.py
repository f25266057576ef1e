"""The rules beside Eq. 17: value of information, variance, predictive entropy, disagreement."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from boed.completion.completer import Completions
from boed.data.observation import Observation
from boed.eig import (
    ESTIMATORS,
    BarberAgakov,
    Disagreement,
    Estimator,
    PosteriorEntropy,
    PredictiveEntropy,
    ValueOfInformation,
    Variance,
    design_problem,
    eig_map,
)
from boed.eig.completions.estimate import standard_error
from boed.search import Exhaustive, Racing
from boed.sensors import KSpaceLines, Lines, PatchSensor
from tests.doubles import ClueClassifier, ClueCompleter, Clues, Constant, GaussianPixels


def equal(scenes: Tensor) -> Completions:
    return Completions(scenes, torch.full(scenes.shape[:2], 1 / len(scenes)))


def clues(estimator: str | Estimator, n: int = 12) -> tuple[Tensor, Tensor, int]:
    """EIG and standard error of the sixteen tiles, and which is the clue's."""
    blank, sensor = Observation.nothing(1, 1, 16), PatchSensor(16, 0.25, 4)
    drawn = equal(ClueCompleter(Clues()).sample(blank, n))
    result = eig_map(blank, drawn, sensor, classifier=ClueClassifier(), estimator=estimator)
    return result.eig[0], result.standard_error[0], result.designs.tolist().index([8, 4])


@pytest.mark.parametrize("name", ESTIMATORS)
def test_all_by_name_have_a_bound_and_a_worth_for_every_completion(name: str) -> None:
    assert isinstance(ESTIMATORS[name], Estimator)
    assert ESTIMATORS[name].bound in ("lower", "upper", "consistent", "none")
    blank, sensor = Observation.nothing(1, 1, 16), PatchSensor(16, 0.25, 4)
    drawn = equal(ClueCompleter(Clues()).sample(blank, 5))
    classifier = ClueClassifier()
    classifier.members = (classifier, classifier)  # as an ensemble has them
    result = eig_map(blank, drawn, sensor, classifier=classifier, estimator=name)
    assert result.gains is not None
    assert result.gains.shape == (5, 1, 16)
    assert torch.allclose(result.gains.mean(0), result.eig, atol=1e-5)
    assert torch.allclose(result.standard_error, result.gains.std(0) / 5**0.5, atol=1e-5)
    assert result.bound == ESTIMATORS[name].bound


def test_accuracy_gained_is_from_one_in_three_to_certain() -> None:
    eig, _, clue = clues("accuracy", 300)
    assert float(eig[clue]) == pytest.approx(2 / 3, abs=0.08)  # 3 standard errors of 300 draws
    others = torch.arange(16) != clue
    assert torch.equal(eig[others], torch.zeros(15))


def test_a_loss_that_asks_only_one_question_is_worth_only_its_answer() -> None:
    """Acting on answer 0 costs 1 if wrong, not acting costs 3 if it holds."""
    loss = torch.tensor([[0.0, 1.0, 1.0], [3.0, 0.0, 0.0]])
    eig, _, clue = clues(ValueOfInformation(loss), 600)
    before = min(2 / 3, 1.0)  # acting is best; afterwards nothing is lost
    assert float(eig[clue]) == pytest.approx(before, abs=0.06)
    assert float(eig.min()) >= 0


def test_value_of_information_by_loops() -> None:
    rng = np.random.default_rng(0)
    belief = torch.tensor(np.log(rng.dirichlet(np.ones(4), 2)))
    after = torch.tensor(np.log(rng.dirichlet(np.ones(4), (5, 2, 3))))
    weights = torch.tensor(rng.dirichlet(np.ones(5), 2).T)
    loss = rng.random((3, 4))
    eig, _ = ValueOfInformation(torch.tensor(loss)).from_log_beliefs(belief, after, weights=weights)
    for b in range(2):
        best = int((loss @ belief[b].exp().numpy()).argmin())
        for c in range(3):
            value = 0.0
            for n in range(5):
                costs = loss @ after[n, b, c].exp().numpy()
                value += float(weights[n, b]) * (costs[best] - costs.min())
            assert float(eig[b, c]) == pytest.approx(value, abs=1e-12)


def test_findings_are_decided_one_by_one() -> None:
    rng = np.random.default_rng(1)
    belief = torch.tensor(np.log(rng.dirichlet(np.ones(2), (2, 3))))
    after = torch.tensor(np.log(rng.dirichlet(np.ones(2), (5, 2, 4, 3))))
    together, _ = ValueOfInformation().from_log_beliefs(belief, after)
    apart = [
        ValueOfInformation().from_log_beliefs(belief[:, k], after[..., k, :])[0] for k in range(3)
    ]
    assert torch.allclose(together, sum(apart, torch.zeros(2, 4)), atol=1e-12)


@pytest.mark.parametrize("loss", [torch.ones(2, 5), torch.ones(3), torch.full((2, 3), torch.nan)])
def test_a_loss_for_other_answers_is_refused(loss: Tensor) -> None:
    with pytest.raises(ValueError, match=r"loss must be finite, \[actions, 3\]"):
        clues(ValueOfInformation(loss))


SENSORS = {
    "patch": PatchSensor(4, 0.5, 3),
    "rows": Lines(4, "row"),
    "k-space": KSpaceLines(4),
}


def situation(name: str, seen: bool) -> tuple[Observation, Completions, Tensor]:
    """Two scenes of 4 x 4 pixels, five weighted completions of each, and what each look reads."""
    sensor, generator = SENSORS[name], torch.Generator().manual_seed(2)
    scenes = torch.rand(5, 2, 1, 4, 4, generator=generator)
    observation = Observation.nothing(2, 1, 4)
    designs = sensor.designs(observation)
    if seen:
        observation = sensor.observe(observation, scenes[0], designs[:1].expand(2, -1))
        scenes = observation.composite(scenes)
    weights = torch.rand(5, 2, generator=generator)
    read = []  # what is new after each look alone, by observing it
    for design in designs:
        for n in range(5):
            after = sensor.observe(observation, scenes[n], design.expand(2, -1))
            values = after.values.flatten(1) if after.readings is None else after.readings
            new = after.seen - (observation.seen if seen else torch.zeros_like(after.seen))
            read.append(values * new)
    stacked = torch.stack(read).unflatten(0, (len(designs), 5))  # [D, N, B, R]
    return observation, Completions(scenes, weights / weights.sum(0)), stacked


@pytest.mark.parametrize("name", SENSORS)
@pytest.mark.parametrize("seen", [False, True])
def test_variance_is_that_of_what_the_look_would_read(name: str, seen: bool) -> None:
    observation, drawn, read = situation(name, seen)
    result = eig_map(
        observation, drawn, SENSORS[name], classifier=Constant([-0.7, -0.7]), estimator=Variance()
    )
    for b in range(2):
        for c in range(len(read)):
            weights = drawn.weights[:, b].numpy()
            values = read[c, :, b].numpy()
            squared = ((values - np.average(values, 0, weights)) ** 2).sum(1)
            assert float(result.eig[b, c]) == pytest.approx(
                np.average(squared, weights=weights), abs=1e-5
            )


@pytest.mark.parametrize("name", SENSORS)
@pytest.mark.parametrize("seen", [False, True])
@pytest.mark.parametrize(("bound", "k"), [("upper", 2), ("lower", 8)])
def test_predictive_entropy_by_loops(name: str, seen: bool, bound: str, k: int) -> None:
    observation, drawn, read = situation(name, seen)
    rule = PredictiveEntropy(0.5, bound)  # type: ignore[arg-type]
    result = eig_map(
        observation, drawn, SENSORS[name], classifier=Constant([-0.7, -0.7]), estimator=rule
    )
    for b in range(2):
        weights = drawn.weights[:, b].tolist()
        for c in range(len(read)):
            total = 0.0
            for i in range(5):
                near = 0.0
                for j in range(5):
                    distance = float(((read[c, i, b] - read[c, j, b]) ** 2).sum())
                    near += weights[j] * math.exp(-distance / (k * 0.25))
                total -= weights[i] * math.log(near)
            assert float(result.eig[b, c]) == pytest.approx(total, abs=1e-5)


def test_predictive_entropy_bounds_that_of_the_mixture() -> None:
    """One pixel, three completions: the entropy of the mixture of Gaussians by quadrature."""
    values, noise = torch.tensor([0.1, 0.4, 0.9]), 0.15
    drawn = equal(values.view(3, 1, 1, 1, 1))
    y = torch.linspace(-2, 3, 20001, dtype=torch.float64)
    density = torch.distributions.Normal(values[:, None].double(), noise).log_prob(y).exp().mean(0)
    entropy = -torch.trapezoid(density * density.clamp(min=1e-300).log(), y)
    truth = float(entropy) - 0.5 * math.log(2 * math.pi * math.e * noise**2)
    low, high = (
        float(
            eig_map(
                Observation.nothing(1, 1, 1),
                drawn,
                PatchSensor(1, 1.0, 1),
                classifier=Constant([-0.7, -0.7]),
                estimator=PredictiveEntropy(noise, bound),  # type: ignore[arg-type]
            ).eig
        )
        for bound in ("lower", "upper")
    )
    assert low < truth < high <= math.log(3)


@pytest.mark.parametrize(
    ("options", "message"), [({"noise": 0.0}, "noise is 0"), ({"bound": "none"}, "bound is 'none'")]
)
def test_predictive_entropy_refuses(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PredictiveEntropy(**options)  # type: ignore[arg-type]


class _Sure:
    """Sure of one answer once it has seen the pixel, else undecided."""

    def __init__(self, answer: int) -> None:
        self.answer = answer

    def log_probs(self, observation: Observation) -> Tensor:
        seen = observation.mask[:, 0, 0, 0]
        odds = (2 * self.answer - 1) * 20 * seen
        return torch.stack([-odds / 2, odds / 2], 1).log_softmax(1)


def test_disagreement_is_where_members_differ() -> None:
    toy, blank = GaussianPixels(), Observation.nothing(1, 1, 2)
    drawn = equal(toy.draw(6)[0][:, None])
    sensor = PatchSensor(2, 0.5, 2)
    result = eig_map(
        blank, drawn, sensor, classifier=toy, estimator=Disagreement((_Sure(0), _Sure(1)))
    )
    assert float(result.eig[0, 0]) == pytest.approx(math.log(2), abs=1e-4)
    assert result.eig[0, 1:].abs().max() < 1e-6
    agreed = eig_map(
        blank, drawn, sensor, classifier=toy, estimator=Disagreement((_Sure(1), _Sure(1), _Sure(1)))
    )
    assert agreed.eig.abs().max() < 1e-6
    with pytest.raises(ValueError, match="ensemble has 1 members, expected at least 2"):
        Disagreement((toy,))


def test_disagreement_by_name_is_that_of_the_classifiers_members() -> None:
    class Pair(GaussianPixels):
        members = (_Sure(0), _Sure(1))

    toy, blank = GaussianPixels(), Observation.nothing(1, 1, 2)
    drawn, sensor = equal(toy.draw(6)[0][:, None]), PatchSensor(2, 0.5, 2)
    named = eig_map(blank, drawn, sensor, classifier=Pair(), estimator="disagreement")
    given = eig_map(
        blank, drawn, sensor, classifier=toy, estimator=Disagreement((_Sure(0), _Sure(1)))
    )
    assert torch.equal(named.eig, given.eig)
    with pytest.raises(ValueError, match=r"classifier is .*, expected an ensemble"):
        eig_map(blank, drawn, sensor, classifier=toy, estimator="disagreement")


def test_barber_agakov_is_zero_where_nothing_is_seen() -> None:
    class Wrong(ClueClassifier):
        """Sure of the first answer until it has seen the clue."""

        def log_probs(self, observation: Observation) -> Tensor:
            seen = self.levels_seen(observation).float()
            guess = torch.tensor([0.9, 0.05, 0.05]).expand_as(seen)
            return torch.where(seen.sum(1, keepdim=True) == 0, guess, seen).log()

    blank, sensor = Observation.nothing(1, 1, 16), PatchSensor(16, 0.25, 4)
    drawn = equal(ClueCompleter(Clues()).sample(blank, 60))
    bound, score = (
        eig_map(blank, drawn, sensor, classifier=Wrong(), estimator=BarberAgakov(first))
        for first in ("belief", "score")
    )
    clue = bound.designs.tolist().index([8, 4])
    others = torch.arange(16) != clue
    assert score.eig[0, others].abs().max() < 1e-6
    assert bound.eig[0, others].max() < -0.5
    assert (bound.bound, score.bound) == ("lower", "lower")
    assert torch.equal(bound.eig.argmax(1), score.eig.argmax(1))


def test_standard_error_covers() -> None:
    """Over 400 repetitions with unequal weights, the squared error is as large as stated."""
    generator = torch.Generator().manual_seed(3)
    weights = torch.rand(8, 400, generator=generator) + 0.05
    weights = weights / weights.sum(0)
    gains = torch.randn(8, 400, 1, generator=generator) * 2 + 1
    error = standard_error(gains, weights)[:, 0]
    actual = (weights * gains[..., 0]).sum(0) - 1
    assert float(error.square().mean() / actual.square().mean()) == pytest.approx(1.0, abs=0.2)


def test_weighted_completions_say_how_many_they_are_worth() -> None:
    observation, drawn, _ = situation("patch", seen=False)
    classifier = Constant([-math.log(2)] * 2)
    for search in (Exhaustive(), Racing()):
        result = search(
            design_problem(observation, drawn, SENSORS["patch"], classifier=classifier),
            PosteriorEntropy(),
        )
        expected = 1 / (drawn.weights**2).sum(0)
        assert result.effective_sample_size is not None
        assert torch.allclose(result.effective_sample_size, expected)
        assert float(expected.max()) < 5


def test_one_completion_has_no_standard_error() -> None:
    assert standard_error(torch.ones(1, 2, 3), torch.ones(1, 2)).isnan().all()


def test_an_estimator_of_another_shape_is_named() -> None:
    class Odd:
        bound = "none"

        def __call__(self, problem: object) -> tuple[Tensor, Tensor]:
            return torch.zeros(1, 2), torch.zeros(3, 1, 2)

    with pytest.raises(ValueError, match=r"estimator: Odd returned \(1, 2\)"):
        clues(Odd())


@pytest.mark.parametrize("name", ["patch", "k-space"])
def test_chosen_triples_are_those_of_the_whole_table(name: str) -> None:
    observation, drawn, _ = situation(name, seen=True)
    noisy = PatchSensor(4, 0.5, 3, noise=0.3) if name == "patch" else KSpaceLines(4, noise=0.3)
    classifier = GaussianLike()
    problem = design_problem(observation, drawn, noisy, classifier=classifier, seed=4)
    n, b, c = torch.tensor([4, 0, 2]), torch.tensor([1, 1, 0]), torch.tensor([0, 3, 2])
    assert torch.allclose(problem.posterior_at(n, b, c), problem.posterior[n, b, c], atol=1e-6)
    other = design_problem(observation, drawn, noisy, classifier=classifier, seed=5)
    assert not torch.allclose(other.posterior, problem.posterior, atol=1e-3)


class GaussianLike:
    """A belief that depends on every value and on the mask."""

    def log_probs(self, observation: Observation) -> Tensor:
        ramp = torch.linspace(-2, 2, observation.values[0].numel())
        odds = observation.values.flatten(1) @ ramp + observation.mask.mean((1, 2, 3))
        return torch.stack([-odds, odds], 1).log_softmax(1)
