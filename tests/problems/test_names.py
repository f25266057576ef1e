"""Problems by name and options, and users' own models."""

from __future__ import annotations

import sys

import pytest
import torch

from boed.problems.names import NAMES, problem_facts, problem_named

OWN = """
import pyro, pyro.distributions as dist, torch

def model(design):
    with pyro.plate_stack("plate", design.shape[:-1]):
        a = pyro.sample("a", dist.Normal(torch.tensor(0.0), 1.0))
        return pyro.sample("z", dist.Normal(a * design[..., 0], 1.0))

class Whole:
    name, observation, target, bounds = "whole", "z", ("a",), None
    model = staticmethod(model)

whole = Whole()

class Half:
    name = "half"
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "own_problem.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    yield "own_problem"
    sys.modules.pop("own_problem", None)


@pytest.mark.parametrize("name", list(NAMES))
def test_every_name_is_of_a_problem(name):
    problem = problem_named(name)
    assert problem_named(name.replace("_", "-")).name == problem.name
    facts = problem_facts(problem)
    assert facts["name"] == problem.name
    assert facts["kind"] == type(problem).__qualname__


def test_options_are_settings_that_tell_problems_apart():
    one = problem_named("location_finding,sources=1,noise=0.2")
    assert (one.sources, one.noise) == (1, 0.2)
    assert problem_facts(one) != problem_facts(problem_named("location_finding"))
    assert problem_facts(one) == problem_facts(
        problem_named("location_finding,noise=0.2,sources=1")
    )


def test_a_model_of_one_s_own(own):
    text = f"{own}:model,lower=0,upper=2,observation=z,target=a"
    problem = problem_named(text)
    assert problem.bounds.tolist() == [[0], [2]]
    assert (problem.observation, problem.target, problem.name) == ("z", ("a",), f"{own}:model")
    assert problem.model(torch.ones(3, 1)).shape == (3,)
    for name in ("Whole", "whole"):
        assert problem_named(f"{own}:{name}").target == ("a",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("location_findin", "problem is 'location_findin': did you mean 'location_finding'"),
        ("location_finding,sorces=1", "option is 'sorces': did you mean 'sources'"),
        ("location_finding,sources", "'sources' is no new option=value"),
        ("location_finding,noise=1,noise=2", "'noise=2' is no new option=value"),
        ("location_finding,sources=many", "sources is 'many', expected a number"),
        ("location_finding,sources=1.5", "sources is 1.5, expected a whole number"),
        ("location_finding,noise=-1", "noise is -1, expected a positive number"),
        ("nowhere_at_all:model", "there is no module nowhere_at_all"),
        ("own_problem:modle", "did you mean 'own_problem:model'"),
        ("own_problem:model,lower=0", "lower is 0 and upper None, expected both or neither"),
        ("own_problem:model,lower=1,upper=1", "lower is 1, expected less than upper, 1"),
        ("own_problem:model,dimensions=0", "dimensions is 0, expected at least 1"),
        ("own_problem:model,size=3", "option is 'size', expected one of dimensions, lower"),
        ("own_problem:Half", "without model; expected a function"),
    ],
)
def test_what_is_wrong_is_named(text, words, own):
    with pytest.raises(ValueError, match=words):
        problem_named(text)
