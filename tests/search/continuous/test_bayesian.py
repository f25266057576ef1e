"""Bayesian optimisation, against known optima."""

from __future__ import annotations

import builtins
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from boed.completion.completer import complete
from boed.data.observation import Observation
from boed.eig import design_problem
from boed.search import (
    bayesian_optimisation,
)
from boed.search.continuous.off_grid import off_grid
from boed.sensors import PatchSensor
from tests.doubles import CLUE, ClueClassifier, ClueCompleter, Clues
from tests.search.continuous.objectives import BOWL, DEATH, bowl
from tests.search.worlds import clue_problem


def test_bayesian_optimisation_of_a_noisy_death_process() -> None:
    """EIG within 1 % of the best, 1.3559, from 16 evaluations with noise of 0.005 nats."""

    pytest.importorskip("botorch")
    draw = torch.Generator().manual_seed(0)

    def noisy(designs: Tensor) -> Tensor:
        noise = torch.randn(len(designs), generator=draw) * 0.005
        return DEATH.exact_eig(designs).float() + noise

    state = torch.random.get_rng_state()
    result = bayesian_optimisation(noisy, DEATH.bounds, 16, first=6)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert float(DEATH.exact_eig(result.design)) > 1.3559 * 0.99
    assert result.value == pytest.approx(1.3559, abs=0.02)
    assert result.designs.shape == (16, 1)
    assert torch.equal(result.history, result.values.cummax(0).values)


def test_bayesian_optimisation_of_a_sensor_off_the_grid() -> None:
    """The clue is 4 pixels wide: a patch within 3 pixels of it shows some, and that is enough.

    The same seed finds the same.
    """
    pytest.importorskip("botorch")
    clues = Clues()
    sensor, blank = PatchSensor(16, 0.25, 2), Observation.nothing(1, 1, 16)
    drawn = complete(ClueCompleter(clues), blank, 12, seed=0)
    problem = design_problem(blank, drawn, sensor, classifier=ClueClassifier())
    result, again = (
        bayesian_optimisation(off_grid(problem, "entropy"), sensor.bounds, 14, first=12)
        for _ in range(2)
    )
    assert torch.equal(result.designs, again.designs)
    assert (result.design - torch.tensor(CLUE)).abs().max() < 3.5
    assert float(off_grid(problem, "entropy")(result.design[None])) == pytest.approx(
        math.log(3), abs=1e-5
    )
    with pytest.raises(ValueError, match="expected one"):
        off_grid(clue_problem())


def test_bayesian_optimisation_without_botorch_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name == "botorch":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"pip install 'boed\[bo\]'"):
        bayesian_optimisation(bowl, BOWL)


def test_bayesian_optimisation_names_what_is_wrong() -> None:
    pytest.importorskip("botorch")
    with pytest.raises(ValueError, match="first is 8, expected 2 to evaluations"):
        bayesian_optimisation(bowl, BOWL, 4)
    with pytest.raises(ValueError, match="objective is nan"):
        bayesian_optimisation(lambda designs: designs[:, 0] * math.nan, BOWL)
