"""Experiments with few outcomes: sums over them against enumeration and against draws."""

import math
from dataclasses import replace

import pyro
import pyro.distributions as dist
import pytest
import torch

from boed.deep_adaptive.contrastive import (
    MOST,
    OtherOutcomes,
    contrastive_loss,
    expected_gains,
    few_outcomes,
    finite_spce_loss,
)
from boed.deep_adaptive.experiments import log_likelihood, run_experiments
from boed.deep_adaptive.loss import contrast, single_look, spce_loss
from boed.deep_adaptive.network import DeepAdaptiveDesign, PolicyConfig
from boed.deep_adaptive.static_design import StaticDesign
from boed.problems import HyperbolicDiscounting
from boed.problems.linear_gaussian import LinearGaussian
from boed.training.config import PolicyTrainingConfig
from tests.deep_adaptive.coins import coin, coin_eig

COIN = torch.tensor([[0.0], [1.0]])
SETTINGS = PolicyTrainingConfig(precision="fp32")


def sides(design):
    """Three answers, of which the last is impossible."""
    with pyro.plate_stack("plate", design.shape[:-1]):
        theta = pyro.sample("theta", dist.Normal(torch.zeros(()), 1.0))
        first = torch.sigmoid(design[..., 0] * theta)
        probs = torch.stack([first, 1 - first, torch.zeros_like(first)], -1)
        return pyro.sample("y", dist.Categorical(probs))


def counts(total):
    """Of so many trials."""

    def model(design):
        with pyro.plate_stack("plate", design.shape[:-1]):
            theta = pyro.sample("theta", dist.Beta(torch.ones(()), torch.ones(())))
            number = total(design[..., 0].detach())
            return pyro.sample("y", dist.Binomial(number, theta * torch.sigmoid(design[..., 0])))

    return model


def prepared(model, designs=(0.8, 0.3), *, target="theta"):
    policy = StaticDesign(torch.tensor(designs)[:, None])
    return single_look(model, policy, "y", target=target), policy


def test_the_gradient_is_that_of_the_exact_eig():
    problem, policy = prepared(coin)
    at = torch.tensor([0.8, 0.3], dtype=torch.double, requires_grad=True)
    eig = coin_eig(at)
    eig.backward()
    torch.manual_seed(1)
    loss = finite_spce_loss(problem, policy, 2, support=COIN, batch=4000, contrasts=400)
    loss.backward()
    assert -loss.item() == pytest.approx(eig.item(), abs=0.01)
    result = -policy.numbers.grad[:, 0].double()
    torch.testing.assert_close(result, at.grad, atol=0.02, rtol=0)


def test_a_policy_that_adapts_has_the_gradient_of_what_comes_after():
    """By enumerating outcomes: the second design is a + b y."""
    problem, _ = prepared(coin)

    class Adapts(StaticDesign):
        def __init__(self):
            super().__init__(torch.tensor([[0.5], [0.5]]))
            self.rest = torch.nn.Parameter(torch.tensor([0.6, 0.3, 0.2]))

        def start(self, batch):
            return torch.full((batch, 1), -1.0)

        def update(self, summary, design, outcome):
            return outcome.reshape(-1, 1)

        def choose(self, summary):
            first, base, slope = self.rest
            return torch.where(summary < 0, first, base + slope * summary)

    prior = torch.tensor([0.6, 0.4]).double()
    rest = torch.tensor([0.6, 0.3, 0.2], dtype=torch.double, requires_grad=True)
    eig = 0.0
    theta = torch.tensor([0.0, 1.0]).double()
    for one in (0.0, 1.0):
        for two in (0.0, 1.0):
            p, q = (rest[0] + theta) / 2, (rest[1] + rest[2] * one + theta) / 2
            each = (p if one else 1 - p) * (q if two else 1 - q)
            eig = eig + (prior * each * (each / (each @ prior)).log()).sum()
    eig.backward()
    policy = Adapts()
    torch.manual_seed(2)
    finite_spce_loss(problem, policy, 2, support=COIN, batch=20_000, contrasts=400).backward()
    torch.testing.assert_close(-policy.rest.grad.double(), rest.grad, atol=0.02, rtol=0)


def test_its_mean_is_spce_and_its_noise_is_less():
    discounting = HyperbolicDiscounting()
    torch.manual_seed(0)
    policy = DeepAdaptiveDesign.from_bounds(
        discounting.bounds, hidden=16, embedding=8, logarithmic=discounting.logarithmic
    )
    problem = single_look(discounting.model, policy, "y", target=discounting.target)
    found: dict[str, list[torch.Tensor]] = {"summed": [], "drawn": []}
    gains: dict[str, list[float]] = {"summed": [], "drawn": []}
    for _ in range(25):
        for name in found:
            policy.zero_grad()
            sizes = {"batch": 64, "contrasts": 63}
            if name == "drawn":
                loss = spce_loss(problem, policy, 5, **sizes)
            else:
                loss = finite_spce_loss(problem, policy, 5, support=COIN, **sizes)
            loss.backward()
            gains[name].append(-loss.item())
            every = [each.grad.flatten() for each in policy.parameters()]
            found[name].append(torch.cat(every))
    noise = {name: float(torch.stack(each).std(0).norm()) for name, each in found.items()}
    assert noise["summed"] < 0.5 * noise["drawn"]
    summed, drawn = (torch.tensor(each) for each in gains.values())
    error = float((summed.var() + drawn.var()).sqrt()) / 5
    assert float(summed.mean()) == pytest.approx(float(drawn.mean()), abs=4 * error)


def test_what_looks_tell_adds_up_to_what_all_of_them_tell():
    """Over every truth and outcome of a few hypotheses: an identity, not an average."""
    problem, policy = prepared(coin)
    theta = torch.tensor([0.0, 1.0, 1.0])
    weight, summed, whole = [], [], []
    for truth in range(3):
        for first in (0.0, 1.0):
            for second in (0.0, 1.0):
                torch.manual_seed(0)
                roll = run_experiments(problem, policy, 2, batch=1)
                roll = replace(
                    roll,
                    latents={"theta": theta[truth, None]},
                    outcomes=torch.tensor([[first, second]]),
                )
                others = {"theta": theta[[k for k in range(3) if k != truth]][:, None]}
                with torch.no_grad():
                    told = expected_gains(problem, roll, others, support=COIN)
                p = (roll.designs[0, :, 0].detach() + theta[:, None]) / 2
                each = torch.where(roll.outcomes[0] > 0, p, 1 - p).prod(1)
                weight.append(each[truth] / 3)
                summed.append(told.gains.sum())
                whole.append((each[truth] / each.mean()).log())
                torch.testing.assert_close(told.log_chances.sum(), each.mean().log())
    weight, summed, whole = (torch.stack(each) for each in (weight, summed, whole))
    torch.testing.assert_close((weight * summed).sum(), (weight * whole).sum())


def test_the_gain_is_the_mean_over_which_hypothesis_is_true():
    """Over each as the truth by its posterior probability; and so it has less noise."""
    problem, policy = prepared(LinearGaussian.one_dimension().model)
    torch.manual_seed(0)
    roll = run_experiments(problem, policy, 2, batch=4000)
    with torch.no_grad():
        found = contrast(problem, roll, 50)
        others = log_likelihood(problem, roll, found.others)
        every = torch.cat([roll.log_likelihood[None], others])
    own = every - every.logsumexp(0) + math.log(51)
    torch.testing.assert_close(found.gains, own[0])
    torch.testing.assert_close(found.expected, (every.softmax(0) * own).sum(0))
    assert found.expected.var() < 0.7 * found.gains.var()
    difference = found.expected - found.gains
    error = float(difference.std()) / math.sqrt(4000)
    assert float(difference.mean()) == pytest.approx(0, abs=4 * error)


def test_an_impossible_outcome_counts_for_nothing():
    problem, policy = prepared(sides)
    support = few_outcomes(problem, policy, 2)
    torch.manual_seed(0)
    loss = finite_spce_loss(problem, policy, 2, support=support, batch=50, contrasts=30)
    loss.backward()
    assert len(support) == 3
    assert torch.isfinite(policy.numbers.grad).all()
    torch.manual_seed(0)
    roll = run_experiments(problem, policy, 2, batch=2000)
    told = contrast(problem, roll, 300).gains
    assert -loss.item() == pytest.approx(float(told.mean()), abs=0.1)


def test_less_memory_gives_the_same_gradient(monkeypatch):
    found = []
    for cells in (2**30, 0):
        monkeypatch.setattr("boed.deep_adaptive.contrastive.CELLS", cells)
        problem, policy = prepared(coin)
        torch.manual_seed(0)
        finite_spce_loss(problem, policy, 2, support=COIN, batch=50, contrasts=30).backward()
        found.append(policy.numbers.grad)
    torch.testing.assert_close(*found)


@pytest.mark.parametrize(
    ("model", "number"),
    [
        (coin, 2),
        (sides, 3),
        (counts(lambda at: torch.tensor(4.0)), 5),
        (counts(lambda at: torch.tensor(float(MOST))), None),
        (counts(lambda at: 1 + (at > 0.5).float()), None),  # not the same at every design
        (LinearGaussian.one_dimension().model, None),
    ],
)
def test_outcomes_are_few_or_they_are_drawn(model, number):
    problem, policy = prepared(model)
    found = few_outcomes(problem, policy, 2)
    assert found is None if number is None else len(found) == number


@pytest.mark.parametrize("batch", [2, 200])  # of two experiments none may return what is not known
def test_an_outcome_of_its_own_is_refused(batch):
    problem, policy = prepared(counts(lambda at: torch.tensor(4.0)))
    with pytest.raises(OtherOutcomes, match="'y' can return other values than the 2 outcomes"):
        finite_spce_loss(problem, policy, 2, support=COIN, batch=batch, contrasts=3)


def test_outcomes_are_drawn_once_designs_have_other_ones(caplog):
    """One trial up to 0.5, three beyond, where the policy comes to later."""
    problem, policy = prepared(counts(lambda at: 1 + 2 * (at > 0.5).float()), (0.1, 0.2))
    settings = replace(SETTINGS, batch=3000, contrasts=100)
    loss = contrastive_loss(problem, policy, 2, settings=settings)
    found = []
    with caplog.at_level("INFO"):
        for designs in ((0.1, 0.2), (0.8, 0.9), (0.1, 0.2)):
            policy.numbers.data = torch.tensor(designs)[:, None]
            torch.manual_seed(0)
            found.append(loss().item())
    assert [each.message for each in caplog.records] == [
        "site 'y' can return other values than the 2 outcomes it had at first; from now on "
        "outcomes are drawn, not summed over"
    ]
    assert found[2] != found[0]  # other noise
    for designs, value in zip(((0.1, 0.2), (0.8, 0.9)), found, strict=False):
        policy.numbers.data = torch.tensor(designs)[:, None]
        told = contrast(problem, run_experiments(problem, policy, 2, batch=3000), 100).gains
        error = 5 * float(told.std()) / math.sqrt(3000)
        assert -value == pytest.approx(float(told.mean()), abs=error)


def test_one_experiment_has_no_others_to_be_compared_with():
    problem, policy = prepared(coin)
    with pytest.raises(ValueError, match="batch"):
        finite_spce_loss(problem, policy, 2, support=COIN, batch=1, contrasts=3)


def test_networks_see_designs_chosen_together():
    """The chain rule holds within a group as well: the second look of it knows no outcome."""
    torch.manual_seed(0)
    policy = DeepAdaptiveDesign(
        PolicyConfig(design_dim=1, hidden=8, embedding=4, at_once=2, lower=(0.1,), upper=(0.9,))
    )
    problem = single_look(coin, policy, "y", target="theta")
    torch.manual_seed(1)
    with torch.no_grad():
        loss = finite_spce_loss_value(problem, policy)
        roll = run_experiments(problem, policy, 4, batch=4000)
        told = contrast(problem, roll, 400).gains
    assert loss == pytest.approx(float(told.mean()), abs=5 * float(told.std()) / math.sqrt(4000))


def finite_spce_loss_value(problem, policy):
    roll = run_experiments(problem, policy, 4, batch=4000)
    others = problem.draw_latents(roll.designs[0, 0].expand(400, 1, 1))
    return float(expected_gains(problem, roll, others, support=COIN).gains.sum(1).mean())
