"""Several looks chosen together, each given that the earlier ones will be taken as well."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from boed.classifiers.classifier import Classifier
from boed.data.observation import Observation
from boed.eig.completions.beliefs import CandidateBeliefs
from boed.eig.completions.estimators import Estimator, named
from boed.eig.completions.problem import DesignProblem
from boed.foundation.arguments import checked
from boed.foundation.checks import at_least
from boed.foundation.randomness import derive, per_scene
from boed.search.candidates.exhaustive import Exhaustive, Search
from boed.sensors.sensor import look, reads_new


@dataclass(frozen=True, eq=False)
class Batch:
    """Looks to take together.

    Attributes:
        designs: `[B, k, K]`, in the order of choice; `[k, K]` from a joint EIG.
        eig: joint EIG of the first 1, ... k of them, `[B, k]` or `[k]`, in nats.
    """

    designs: Float[Tensor, "*B k K"]
    eig: Float[Tensor, "*B k"]


@checked
def greedy_batch(
    problem: DesignProblem,
    k: int,
    estimator: str | Estimator = "variational",
    *,
    search: Search | None = None,
) -> Batch:
    """k looks for each scene, greedily on their joint EIG.

    The next look is evaluated after the earlier ones have been taken at every completion, against
    the belief before all of them. Where joint information is submodular, the batch has at least
    1 - 1/e of that of the best batch (Nemhauser et al. 1978; Krause and Guestrin 2005).

    Args:
        problem: the design problem before the batch.
        k: number of looks.
        estimator: of what the belief says after the looks.
        search: over the candidates for each look; exhaustive if not given.

    Raises:
        ValueError: `k` below 1, or an estimator of what would be read rather than of beliefs.
    """
    at_least(1, k=k)
    search = Exhaustive() if search is None else search
    rows = torch.arange(problem.shape[1], device=problem.designs.device)
    chosen: list[Tensor] = []
    joint_eig: list[Tensor] = []
    now: DesignProblem = problem
    for _ in range(k):
        result = search(now, named(estimator))
        best = result.finished_eig.argmax(1)
        chosen.append(result.designs[best])
        joint_eig.append(result.eig[rows, best])
        now = JointProblem.after_looks(problem, torch.stack(chosen, dim=1))
    return Batch(torch.stack(chosen, dim=1), torch.stack(joint_eig, dim=1))


@checked
def greedy_joint(
    joint_eig: Callable[[Float[Tensor, "D t K"]], Float[Tensor, " D"]],
    candidates: Float[Tensor, "D K"],
    k: int,
) -> Batch:
    """The same for any joint EIG of t looks, such as `model_eig` with `design_dims=2`.

    Args:
        joint_eig: in nats, of t looks made together; t goes from 1 to k.
        candidates: the looks there are.
        k: number of looks.

    Raises:
        ValueError: `k` below 1, no candidates, or a joint EIG of another shape or with NaN.
    """
    at_least(1, k=k)
    if candidates.ndim != 2 or len(candidates) == 0:
        raise ValueError(f"candidates must be [D, K], at least one, got {tuple(candidates.shape)}")
    chosen = candidates[:0]
    values: list[Tensor] = []
    for _ in range(k):
        joint = torch.cat(
            [chosen.expand(len(candidates), *chosen.shape), candidates[:, None]], dim=1
        )
        eig = joint_eig(joint)
        if tuple(eig.shape) != (len(candidates),) or torch.isnan(eig).any():
            raise ValueError(
                f"joint_eig returned {tuple(eig.shape)} with {int(torch.isnan(eig).sum())} NaN, "
                f"expected ({len(candidates)},) without"
            )
        best = int(eig.argmax())
        chosen = torch.cat([chosen, candidates[best : best + 1]])
        values.append(eig[best])
    return Batch(chosen, torch.stack(values))


@dataclass(frozen=True, eq=False)
class JointProblem(DesignProblem):
    """The design problem in which some looks will be taken anyway.

    Attributes:
        earlier: the looks, `[B, t, K]`.
    """

    earlier: Float[Tensor, "B t K"] = field(kw_only=True)

    @classmethod
    def after_looks(cls, problem: DesignProblem, earlier: Float[Tensor, "B t K"]) -> JointProblem:
        """With the belief before the looks, and those on whole scenes, as far as computed."""
        joint = cls(
            observation=problem.observation,
            completions=problem.completions,
            sensor=problem.sensor,
            classifier=problem.classifier,
            designs=problem.designs,
            memory=problem.memory,
            seed=problem.seed,
            earlier=earlier,
        )
        for known in ("prior", "whole_scene"):
            if known in vars(problem):
                vars(joint)[known] = vars(problem)[known]
        return joint

    @cached_property
    def taken(self) -> Observation:
        """What will have been seen, were each completion the scene: `N * B` observations."""
        number = len(self.completions.scenes)
        seen, scenes = self.observation.repeat(number), self.completions.scenes.flatten(0, 1)
        seeds = [derive(seed, "imagined", 0) for seed in self.seeds]
        for designs in self.earlier.unbind(1):
            seen = look(self.sensor, seen, scenes, design=designs.repeat(number, 1), seeds=seeds)
        return seen

    @cached_property
    def fresh(self) -> Bool[Tensor, "B D"]:
        """Which candidates would read anything new after the earlier looks, at any completion."""
        new = reads_new(self.sensor, self.taken, self.designs).unflatten(0, self.shape[:2]).any(0)
        return new | ~new.any(1, keepdim=True)

    @cached_property
    def seeds(self) -> list[int]:
        """One for each completion of each scene."""
        seeds = per_scene(self.seed, len(self.observation))
        return [derive(seed, "joint", n) for n in range(self.shape[0]) for seed in seeds]

    @cached_property
    def beliefs(self) -> CandidateBeliefs:
        """Each completion of each scene counts as a scene with one completion."""
        return CandidateBeliefs(
            observation=self.taken,
            completions=self.completions.scenes.flatten(0, 1)[None],
            designs=self.designs,
            sensor=self.sensor,
            classifier=self.classifier,
            memory=self.memory,
            seed=self.seeds,
        )

    @cached_property
    def posterior(self) -> Float[Tensor, "N B D *L K"]:
        return self.posterior_of(self.classifier)

    def posterior_of(self, classifier: Classifier) -> Float[Tensor, "N B D *L K"]:
        flat = replace(self.beliefs, classifier=classifier).all()[0]
        return flat.unflatten(0, self.shape[:2])

    def posterior_at(
        self,
        completion: Int64[Tensor, " P"],
        scene: Int64[Tensor, " P"],
        candidate: Int64[Tensor, " P"],
    ) -> Float[Tensor, "P *L K"]:
        row = completion * self.shape[1] + scene
        return self.beliefs.at(torch.zeros_like(row), row, candidate)

    @property
    def readings(self) -> Float[Tensor, "N B C R"]:  # type: ignore[override]
        raise ValueError(
            "estimator: one of what would be read, not of what would be believed, has no "
            "joint EIG here; take 'variational', 'entropy' or another estimator of beliefs"
        )
