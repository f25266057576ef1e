"""Looks chosen together, against exact joint information."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from boed.completion.completer import Completions
from boed.data.observation import Observation
from boed.eig import design_problem, estimate
from boed.problems import LinearGaussian
from boed.search import (
    Racing,
    Search,
    greedy_batch,
    greedy_joint,
)
from boed.search.candidates.batch import JointProblem
from boed.sensors import Features, PatchSensor
from tests.search.worlds import clue_problem


class TwoBits:
    """Rows of 3 features: a, a again, and b; the question is (a, b), 4 answers. Exact."""

    chances = torch.tensor([[0.4, 0.1], [0.4, 0.1]])  # P(a, b): H[a] = ln 2, H[b] = 0.5004

    def completions(self, batch: int) -> Completions:
        rows = [[a, a, b] for a in (0.0, 1.0) for b in (0.0, 1.0)]
        scenes = torch.tensor(rows).view(4, 1, 1, 1, 3).expand(-1, batch, -1, -1, -1)
        return Completions(scenes, self.chances.view(4, 1).expand(-1, batch))

    def log_probs(self, observation: Observation) -> Tensor:
        values, seen = observation.values[:, 0, 0], observation.mask[:, 0, 0] > 0
        a = torch.where(seen[:, 0], values[:, 0], values[:, 1])
        fits_a = (torch.tensor([0.0, 1.0]) == a[:, None]) | ~(seen[:, :1] | seen[:, 1:2])
        fits_b = (torch.tensor([0.0, 1.0]) == values[:, 2:]) | ~seen[:, 2:]
        left = self.chances * fits_a[:, :, None] * fits_b[:, None, :]
        left = left.flatten(1)
        return (left / left.sum(1, keepdim=True)).log()


B_ALONE = -(0.2 * math.log(0.2) + 0.8 * math.log(0.8))


@pytest.mark.parametrize("how", [None, Racing(scouts=1)])
@pytest.mark.parametrize("estimator", ["variational", "entropy"])
def test_looks_chosen_together_are_not_redundant(estimator: str, how: Search | None) -> None:
    """The best two separately are a and a again; together, a and b, then nothing is left."""
    world, blank = TwoBits(), Observation.nothing(2, 1, (1, 3))
    problem = design_problem(blank, world.completions(2), Features(3), classifier=world)
    alone = estimate(problem, estimator).eig[0]
    assert alone.tolist() == pytest.approx([math.log(2), math.log(2), B_ALONE], abs=1e-5)
    result = greedy_batch(problem, 3, estimator, search=how)
    assert result.designs[:, :2, 0].tolist() == [[0, 2], [0, 2]]
    total = math.log(2) + B_ALONE
    assert result.eig[0].tolist() == pytest.approx([math.log(2), total, total], abs=1e-5)


def test_a_batch_is_judged_on_everything_it_will_have_seen() -> None:
    """The joint EIG of two looks is the EIG of a sensor that takes both at once."""

    class Both(PatchSensor):
        def observe(self, observation: Any, scene: Tensor, design: Tensor, seed: Any = 0) -> Any:
            first = super().observe(observation, scene, torch.tensor([[0, 0]]).expand_as(design))
            return super().observe(first, scene, design)

    problem = clue_problem(grid=4)
    result = greedy_batch(problem, 2)
    assert result.designs.shape == (6, 2, 2)
    assert (result.eig[:, 1] >= result.eig[:, 0] - 1e-5).all()
    both = design_problem(
        problem.observation,
        problem.completions,
        Both(16, 0.25, 4),
        classifier=problem.classifier,
    )
    joint = JointProblem.after_looks(problem, torch.zeros(6, 1, 2, dtype=torch.long))
    assert torch.allclose(
        estimate(joint, "variational").eig, estimate(both, "variational").eig, atol=1e-5
    )


def test_greedy_joint_finds_the_three_measurements() -> None:
    problem = LinearGaussian.three_measurements()

    def joint(designs: Tensor) -> Tensor:
        looks = designs.shape[1]
        return LinearGaussian(prior_covariance=problem.prior_covariance, looks=looks).exact_eig(
            designs
        )

    result = greedy_joint(joint, torch.eye(2), 3)
    assert result.designs.tolist() == [[0, 1], [1, 0], [0, 1]]
    assert float(result.eig[-1]) == pytest.approx(1.1989477, abs=1e-6)


def test_batches_refuse_what_they_cannot_do() -> None:
    problem = clue_problem(grid=4)
    with pytest.raises(ValueError, match="k is 0"):
        greedy_batch(problem, 0)
    with pytest.raises(ValueError, match="has no joint EIG here"):
        greedy_batch(problem, 2, "variance")
    with pytest.raises(ValueError, match="joint_eig returned"):
        greedy_joint(lambda designs: designs[:, 0, 0] * math.nan, torch.eye(2), 1)
    with pytest.raises(ValueError, match="candidates must be"):
        greedy_joint(lambda designs: designs[:, 0, 0], torch.empty(0, 2), 1)
