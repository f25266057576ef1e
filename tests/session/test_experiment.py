"""Sessions with Pyro models: any policy drives them, and a log on the disk finds them again."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from base64 import b64decode
from pathlib import Path
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import Tensor

from boed.cli.report import report
from boed.deep_adaptive import DeepAdaptiveDesign, PolicyConfig
from boed.eig.model.design_space import DesignSpace
from boed.eig.model.greedy import Greedy
from boed.eig.model.sequence_model import sequence_model
from boed.eig.model.sequential import fixed_policy, random_policy, sequential_pce
from boed.session import ModelSession

EXAMPLE = torch.zeros(1)
LINE = DesignSpace(bounds=torch.tensor([[-1.0], [2.0]]))


def model(design: Tensor) -> None:
    with pyro.plate_stack("plate", design.shape[:-1]):
        theta = pyro.sample("theta", dist.Normal(design.new_zeros(()), 1.0))
        pyro.sample("y", dist.Normal(design[..., 0] * theta, 1.0))


def coin(design: Tensor) -> None:
    with pyro.plate_stack("plate", design.shape[:-1]):
        theta = pyro.sample("theta", dist.Normal(design.new_zeros(()), 1.0))
        pyro.sample("y", dist.Bernoulli(logits=theta - design[..., 0]))


def greedy() -> Greedy:
    problem = sequence_model(model, EXAMPLE, "y", target="theta", estimator="greedy")
    return Greedy(problem=problem, example=EXAMPLE, candidates=LINE.draw, number=8, particles=64)


def network() -> DeepAdaptiveDesign:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = PolicyConfig(design_dim=1, hidden=4, embedding=2, lower=(-1.0,), upper=(2.0,))
        return DeepAdaptiveDesign(config).eval()


POLICIES: dict[str, Any] = {
    "random": lambda: random_policy(LINE.draw),
    "fixed": lambda: fixed_policy(torch.tensor([[1.0], [2.0], [-1.0]])),
    "greedy": greedy,
    "a network": network,
}


def session(policy: Any = None, **changes: Any) -> ModelSession:
    given: dict[str, Any] = {"model": model, "example": EXAMPLE, "space": LINE, "looks": 3}
    given |= {"policy": policy or POLICIES["fixed"]()} | changes
    return ModelSession(given.pop("model"), given.pop("policy"), given.pop("example"), **given)


@pytest.mark.parametrize("name", POLICIES)
def test_a_session_goes_on_as_if_nothing_had_happened(name: str, tmp_path: Path) -> None:
    """Opened anew before and after each outcome, it makes the looks of one that never closed."""
    policy, same, third = (POLICIES[name]() for _ in range(3))
    state = torch.random.get_rng_state()
    whole = session(policy)
    for look in range(3):
        design = whole.suggest()
        assert design is not None
        assert design.shape == (1,)
        with session(same, path=tmp_path / "log") as first:
            assert torch.equal(first.designs, whole.designs)
            suggested = first.suggest()
            assert suggested is not None
            assert torch.equal(suggested, design)
        with session(third, path=tmp_path / "log") as second:
            again = second.suggest()
            assert again is not None
            assert torch.equal(again, design)
            second.ingest(0.5 * look)
        whole.ingest(torch.tensor(0.5 * look))
    assert whole.suggest() is None
    assert whole.reason == "all 3 looks are made"
    assert whole.outcomes.tolist() == [0.0, 0.5, 1.0]
    assert torch.equal(state, torch.random.get_rng_state())


def test_what_is_known_is_the_posterior_of_all_outcomes() -> None:
    opened = session()
    prior = opened.posterior(particles=1000)
    assert float(prior.standard_deviation("theta")) == pytest.approx(1.0, rel=0.1)
    for outcome, design in ((1.0, [1.0]), (3.0, [2.0])):
        opened.ingest(outcome, torch.tensor(design))
    after = opened.posterior(particles=1000)
    assert float(after.mean("theta")) == pytest.approx(7 / 6, abs=0.08)
    assert float(after.standard_deviation("theta")) == pytest.approx(6**-0.5, rel=0.15)


def test_designs_that_nobody_suggested_count() -> None:
    opened = session()
    opened.suggest()
    opened.ingest(0.1, torch.tensor([0.25]))
    assert opened.designs.tolist() == [[0.25]]
    assert opened.suggest() is not None
    assert opened.spent == 1.0


def test_a_budget_ends_a_session() -> None:
    space = DesignSpace(travel=lambda a, b: (a - b).abs().sum(-1))
    opened = session(space=space, budget=4.0)  # 1, then 1 + 1, then 1 + 3
    for _ in range(2):
        assert opened.suggest() is not None
        opened.ingest(0.0)
    assert opened.spent == 3.0
    assert opened.suggest() is None
    assert opened.reason == "the next design costs 4, and 1 of the budget of 4 is left"


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"seed": 1}, "seed"),
        ({"looks": 4}, "looks"),
        ({"budget": 2.0}, "budget"),
        ({"policy": fixed_policy(torch.ones(3, 1))}, "policy"),
        ({"space": DesignSpace()}, "space"),
        ({"model": coin}, "model"),
    ],
)
def test_the_log_of_another_session_is_refused(
    changes: dict[str, Any], name: str, tmp_path: Path
) -> None:
    session(path=tmp_path).close()
    session(path=tmp_path).close()
    with pytest.raises(ValueError, match=f"of a session whose {name} is"):
        session(path=tmp_path, **changes)
    session(path=tmp_path).close()


def nothing_suggested() -> None:
    session().ingest(1.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: session(looks=0), "looks is 0, expected at least 1"),
        (lambda: session(budget=0.0), "budget is 0.0, expected more than 0"),
        (lambda: session(example=torch.tensor([5.0])), r"example \[5.0\] is outside"),
        (lambda: session(example=torch.zeros(1, 1)), "designs must be"),
        (lambda: session(target="other"), "no site 'other'"),
        (lambda: session(policy=5), "policy is an int, 5, expected a function"),
        (nothing_suggested, r"expected suggest\(\) before it"),
        (lambda: session().ingest(math.nan, torch.zeros(1)), "outcome is nan, expected finite"),
        (lambda: session().ingest(torch.zeros(2), torch.zeros(1)), r"shape \(\) as site 'y' has"),
        (lambda: session().ingest(1.0, torch.zeros(2)), r"design is \[0.0, 0.0\], .* shape \(1,\)"),
        (lambda: session().ingest(1.0, 2.0), r"design is 2.0, .* shape \(1,\)"),
        (lambda: session().ingest("heads", torch.zeros(1)), "outcome is a str, 'heads', expected"),
        (lambda: session().ingest(None, torch.zeros(1)), "outcome is None, expected a tensor"),
        (lambda: session().posterior(8).mean("thta"), "site is 'thta': did you mean 'theta'"),
        (lambda: session().ingest(1.0, torch.tensor([9.0])), r"design \[9.0\] is outside"),
        (
            lambda: session(model=coin).ingest(0.5, torch.zeros(1)),
            r"outcome is 0.5, expected a value of site 'y': Boolean",
        ),
        (lambda: session(policy=lambda d, y: d[0]).suggest(), "design is a Tensor"),
        (lambda: session(policy=lambda d, y: 1 / 0).suggest(), "division by zero"),
        (lambda: session(policy=lambda d, y: d.new_full((1, 1), 3.0)).suggest(), "is outside"),
        (
            lambda: session(policy=lambda d, y: d.new_full((1, 1), math.nan)).suggest(),
            "is outside",
        ),
    ],
)
def test_bad_input_names_the_culprit(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_what_is_refused_leaves_the_session_as_it_was(tmp_path: Path) -> None:
    with session(path=tmp_path) as opened:
        design = opened.suggest()
        assert design is not None
        with pytest.raises(ValueError, match="expected finite"):
            opened.ingest(math.inf)
        again = opened.suggest()
        assert again is not None
        assert torch.equal(design, again)
        opened.ingest(1.0)
    with session(path=tmp_path) as found:
        assert found.outcomes.tolist() == [1.0]


def test_a_report_tells_of_designs_outcomes_and_what_is_known(tmp_path: Path) -> None:
    space = DesignSpace(travel=lambda a, b: (a - b).abs().sum(-1))
    opened = session(space=space, path=tmp_path / "log", budget=9.0)
    report(tmp_path / "log")
    assert "There is no outcome yet." in (tmp_path / "log" / "report.html").read_text()
    opened.suggest()
    opened.ingest(0.25)
    opened.ingest(-0.5, torch.tensor([1.5]))
    opened.suggest()
    report(tmp_path / "log", tmp_path / "figures")
    page = (tmp_path / "log" / "report.html").read_text()
    assert "Looks: 2 of 3, 1 without an outcome yet." in page
    assert "Cost: 2.500 of 9." in page  # 1, then 1 and half a unit of way
    (data,) = re.findall(r'download="looks.csv" href="data:text/csv;base64,([^"]+)"', page)
    rows = list(csv.DictReader(io.StringIO(b64decode(data).decode())))
    assert [(each["look"], each["d"], each["suggested"], each["y"]) for each in rows] == [
        ("1", "1", "yes", "0.25"), ("2", "1.5", "no", "-0.5"),
    ]  # fmt: skip
    assert [float(each["cost so far"]) for each in rows] == [1.0, 2.5]
    assert {each.name for each in (tmp_path / "figures").iterdir()} == {
        "designs.png", "outcomes.png",
    }  # fmt: skip
    assert "What is known" not in page
    opened.report(tmp_path / "own.html", particles=500)
    assert "What is known" in (tmp_path / "own.html").read_text()


def test_what_was_known_after_fewer_looks() -> None:
    opened = session()
    opened.ingest(1.0, torch.tensor([1.0]))
    before = opened.posterior(particles=1000)
    opened.ingest(3.0, torch.tensor([2.0]))
    again = opened.posterior(particles=1000, looks=1)
    assert float(again.mean("theta")) == float(before.mean("theta"))
    mean, deviation = opened._known(1000)["theta"]
    assert mean[1] == pytest.approx(float(before.mean("theta")))
    assert mean.shape == deviation.shape == (3,)
    with pytest.raises(ValueError, match="looks is 3, expected at most 2"):
        opened.posterior(looks=3)


def test_known_numbers_of_several_dimensions_have_names() -> None:
    def plane(design: Tensor) -> None:
        with pyro.plate_stack("plate", design.shape[:-1]):
            theta = pyro.sample("theta", dist.Normal(torch.zeros(2), 1.0).to_event(1))
            pyro.sample("y", dist.Normal(design[..., 0] * theta.sum(-1), 1.0))

    assert list(session(model=plane)._known(64)) == ["theta[0]", "theta[1]"]


def test_costs_are_exact_whatever_the_designs_are() -> None:
    """Of large and small costs each is itself; whole numbers have fractions of costs."""
    opened = session(space=DesignSpace(cost=lambda design: design[..., 0]), policy=None)
    for each in (1e5, 0.01, 0.003):
        opened.ingest(0.1, torch.tensor([each]))
    costs = [each.facts["cost"] for each in opened._log.events if each.kind == "outcome"]
    assert costs == pytest.approx([1e5, 0.01, 0.003], rel=1e-6)
    half = DesignSpace(cost=lambda design: design[..., 0] * 0 + 0.5)
    assert half.costs(torch.tensor([[1]])).tolist() == [0.5]
    assert DesignSpace().costs(torch.tensor([[1]])).tolist() == [1.0]


def test_three_times_a_tenth_are_three_tenths() -> None:
    space = DesignSpace(cost=lambda design: design[..., 0] * 0 + 0.1)
    opened = session(space=space, budget=0.3)
    for _ in range(3):
        assert opened.suggest() is not None
        opened.ingest(0.0)
    found = sequential_pce(
        model, fixed_policy(torch.ones(4, 1)), 4, samples=2, contrasts=2, example=EXAMPLE,
        space=space, budget=0.3,
    )  # fmt: skip
    assert found.looks.tolist() == [3, 3]


def test_an_outcome_has_to_be_possible_for_some_latents() -> None:
    def near(design: Tensor) -> None:
        with pyro.plate_stack("plate", design.shape[:-1]):
            theta = pyro.sample("theta", dist.Normal(design.new_zeros(()), 1.0))
            pyro.sample("y", dist.Uniform(theta - 1, theta + 1))

    opened = session(model=near)
    opened.ingest(0.2, torch.ones(1))
    with pytest.raises(ValueError, match=r"outcome is 1000\.0, expected a value of site 'y'"):
        opened.ingest(1000.0, torch.ones(1))


def test_doubles_stay_what_they_are() -> None:
    """A float is a double, and so is what is read where the model reckons in doubles."""

    def clock(design: Tensor) -> None:
        with pyro.plate_stack("plate", design.shape[:-1]):
            theta = pyro.sample("theta", dist.Normal(design.new_full((), 1e7), 1.0))
            pyro.sample("y", dist.Normal(theta + 0 * design[..., 0], 0.001))

    places = torch.tensor([[0.1], [0.2]], dtype=torch.float64)
    given = {"model": clock, "example": places[0], "space": DesignSpace(designs=places)}
    timed = session(fixed_policy(places), **given)
    timed.suggest()
    timed.ingest(10000000.4)
    assert timed.outcomes.item() == 10000000.4
    timed.ingest(10000000.4, [0.1])
    assert timed.posterior().mean("theta").item() == pytest.approx(10000000.4, abs=0.005)


@pytest.mark.parametrize("outcome", [1.7, -0.5, math.nan])
def test_a_choice_is_a_whole_number(outcome: float) -> None:
    def choice(design: Tensor) -> None:
        with pyro.plate_stack("plate", design.shape[:-1]):
            theta = pyro.sample("theta", dist.Normal(design.new_zeros(3), 1.0).to_event(1))
            pyro.sample("y", dist.Categorical(logits=theta * design))

    chosen = session(model=choice)
    chosen.suggest()
    with pytest.raises(ValueError, match=rf"outcome is {outcome}, expected .*numbers"):
        chosen.ingest(outcome)
    chosen.ingest(2.0)
    assert chosen.outcomes.tolist() == [2]


def test_choices_have_a_mean() -> None:
    def chosen(design: Tensor) -> None:
        with pyro.plate_stack("plate", design.shape[:-1]):
            theta = pyro.sample("theta", dist.Categorical(torch.tensor([0.1, 0.2, 0.7])))
            pyro.sample("y", dist.Normal(design[..., 0] * theta, 1.0))

    known = session(model=chosen).posterior(particles=4000)
    assert float(known.mean("theta")) == pytest.approx(1.6, abs=0.05)
    assert float(known.standard_deviation("theta")) == pytest.approx(0.44**0.5, abs=0.05)


def test_a_log_of_before_tells_no_sum_of_costs(tmp_path: Path) -> None:
    opened = session(path=tmp_path / "log")
    for _ in range(2):
        opened.suggest()
        opened.ingest(0.1)
    opened.close()
    lines = (tmp_path / "log" / "log.jsonl").read_text().splitlines()
    first = next(i for i, line in enumerate(lines) if '"outcome"' in line)
    lines[first] = json.dumps({k: v for k, v in json.loads(lines[first]).items() if k != "cost"})
    (tmp_path / "log" / "log.jsonl").write_text("\n".join(lines) + "\n")
    report(tmp_path / "log")
    page = (tmp_path / "log" / "report.html").read_text()
    (data,) = re.findall(r'download="looks.csv" href="data:text/csv;base64,([^"]+)"', page)
    rows = list(csv.DictReader(io.StringIO(b64decode(data).decode())))
    assert [(each["cost"], each["cost so far"]) for each in rows] == [("", ""), ("1.000", "")]
