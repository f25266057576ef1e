"""What has been evaluated so far: a gain for every completion, scene and candidate looked up."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from boed.completion.completer import Completions
from boed.eig.completions.estimate import standard_error
from boed.eig.completions.estimators import (
    AdditiveEstimator,
    Estimator,
    check_utility,
    utility,
)
from boed.eig.completions.problem import DesignProblem
from boed.eig.result import EIGEstimate
from boed.foundation.checks import calling
from boed.foundation.randomness import per_scene
from boed.search.candidates.upper_bounds import upper_bound


class Evaluations:
    """Gains of one design problem, computed where they are asked for and remembered.

    Args:
        problem: the design problem.
        estimator: of the gains.

    Attributes:
        gains: `[N, B, D]`, NaN where not evaluated.
        done: which gains have been evaluated, `[N, B, D]`.
    """

    def __init__(self, problem: DesignProblem, estimator: Estimator) -> None:
        self.problem, self.estimator = problem, estimator
        self.gains = problem.prior.new_full(problem.shape, torch.nan)
        self.done = torch.zeros_like(self.gains, dtype=torch.bool)

    @torch.no_grad()
    def evaluate(self, wanted: Bool[Tensor, "N B D"]) -> None:
        """Make sure that these gains are there."""
        missing = wanted & ~self.done
        if not missing.any():
            return
        if isinstance(self.estimator, AdditiveEstimator):
            self._evaluate_one_by_one(missing, self.estimator)
        else:
            self._evaluate_scene_by_scene(missing)
        self.done |= missing

    def _evaluate_one_by_one(
        self, missing: Bool[Tensor, "N B D"], estimator: AdditiveEstimator
    ) -> None:
        """Each gain for itself: as many scenes of one completion and one candidate."""
        problem = self.problem
        completion, scene, candidate = missing.nonzero(as_tuple=True)
        posterior = problem.posterior_at(completion, scene, candidate)[None, :, None]
        whole = (
            problem.whole_scene[completion, scene][None] if estimator.needs_whole_scene else None
        )
        with calling(estimator, "from_log_beliefs"):
            gained = estimator.from_log_beliefs(problem.prior[scene], posterior, whole_scene=whole)
        _, gains = check_utility(gained, estimator, (1, len(scene), 1))
        self.gains[missing] = gains[0, :, 0].to(self.gains)

    def _evaluate_scene_by_scene(self, missing: Bool[Tensor, "N B D"]) -> None:
        """An estimator that needs all completions of a candidate at once."""
        if not (missing.all(0) == missing.any(0)).all():
            raise needs_additive(self.estimator, "some completions of a candidate")
        for scene in missing.any(0).any(1).nonzero()[:, 0].tolist():
            candidates = missing[0, scene].nonzero()[:, 0]
            one = self._problem_of(scene, candidates)
            _, gains = utility(self.estimator, one)
            self.gains[:, scene, candidates] = gains[:, 0].to(self.gains)

    def _problem_of(self, scene: int, candidates: Tensor) -> DesignProblem:
        """The design problem of one scene with some candidates."""
        problem, one = self.problem, slice(scene, scene + 1)
        every = problem.completions
        labels = None if every.labels is None else every.labels[:, one]
        seeds = per_scene(problem.seed, len(problem.observation))
        return replace(
            problem,
            observation=problem.observation[one],
            completions=Completions(every.scenes[:, one], every.weights[:, one], labels),
            designs=problem.designs[candidates],
            seed=seeds[one],
        )

    @cached_property
    def gain_bound(self) -> Float[Tensor, "N B"]:
        """The most that each completion can add, infinite where that is not known."""
        return upper_bound(self.estimator, self.problem).to(self.gains)

    @property
    def eig_bound(self) -> Float[Tensor, "B D"]:
        """The highest that each EIG can be, given the gains evaluated."""
        weights = self.problem.completions.weights.to(self.gains)[..., None]
        gains = self.gains.where(self.done, self.gain_bound[..., None])
        return (weights * gains).sum(0)

    @property
    def shares(self) -> Float[Tensor, "N B D"]:
        """How much each gain counts in `eig`: its weight, and an equal part of the rest."""
        weights = self.problem.completions.weights.to(self.gains)[..., None] * self.done
        number = self.done.sum(0)
        rest = (1 - weights.sum(0)) / number.clamp(min=1)
        return (weights + rest) * self.done

    @property
    def eig(self) -> Float[Tensor, "B D"]:
        """The weighted mean gain, the mean standing in for gains not evaluated; NaN if none is."""
        eig = (self.shares * self.gains.nan_to_num(0.0)).sum(0)
        return eig.where(self.done.any(0), torch.nan)

    @property
    def finished_eig(self) -> Float[Tensor, "B D"]:
        """`eig` of the candidates evaluated with every completion, -inf for the others."""
        return self.eig.where(self.done.all(0), -torch.inf)

    def estimate(self) -> EIGEstimate:
        """The result; finished is what was evaluated with every completion."""
        number, batch, candidates = self.problem.shape
        each = (number, batch * candidates)
        gains, shares = self.gains.nan_to_num(0.0).reshape(*each, 1), self.shares.reshape(each)
        error = standard_error(gains, shares)[:, 0].view(batch, candidates)
        return EIGEstimate(
            designs=self.problem.designs,
            eig=self.eig,
            standard_error=error.where(self.done.any(0), torch.nan),
            bound=self.estimator.bound,
            gains=self.gains,
            finished=self.done.all(0),
            fresh=self.problem.fresh,
            evaluations=int(self.done.sum()),
            effective_sample_size=self.problem.completions.effective_sample_size,
        )


def needs_additive(estimator: Estimator, what: str) -> ValueError:
    """The error for an estimator that cannot evaluate completions one by one."""
    return ValueError(
        f"estimator: {type(estimator).__name__} cannot evaluate {what}; it needs all completions "
        "of a candidate at once. Use Exhaustive or CoarseToFine without racing, or an additive "
        "estimator such as 'variational' or 'entropy'"
    )
