"""What has been judged so far: a gain for every completion, scene and candidate looked up."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from boed.completion.completer import Completions
from boed.eig.completions.estimate import standard_error
from boed.eig.completions.estimators import AdditiveEstimator, Estimator
from boed.eig.completions.problem import Imagined
from boed.eig.result import EIGEstimate
from boed.foundation.randomness import per_scene
from boed.search.candidates.upper_bounds import ceiling


class Ledger:
    """Gains of one situation, computed where they are asked for and remembered.

    Args:
        imagined: the situation.
        estimator: what a look is worth.

    Attributes:
        gains: `[N, B, D]`, NaN where not judged.
        judged: which gains are there, `[N, B, D]`.
    """

    def __init__(self, imagined: Imagined, estimator: Estimator) -> None:
        self.imagined, self.estimator = imagined, estimator
        belief = imagined.belief
        self.gains = belief.new_full(imagined.shape, torch.nan)
        self.judged = torch.zeros_like(self.gains, dtype=torch.bool)

    @torch.no_grad()
    def judge(self, wanted: Bool[Tensor, "N B D"]) -> None:
        """Make sure that these gains are there."""
        missing = wanted & ~self.judged
        if not missing.any():
            return
        if isinstance(self.estimator, AdditiveEstimator):
            self._judge_one_by_one(missing, self.estimator)
        else:
            self._judge_scene_by_scene(missing)
        self.judged |= missing

    def _judge_one_by_one(
        self, missing: Bool[Tensor, "N B D"], estimator: AdditiveEstimator
    ) -> None:
        """Each gain for itself: as many scenes of one completion and one candidate."""
        imagined = self.imagined
        completion, scene, candidate = missing.nonzero(as_tuple=True)
        after = imagined.after(completion, scene, candidate)[None, :, None]
        answers = imagined.answers[completion, scene][None] if estimator.uses_answers else None
        _, found = estimator.of(imagined.belief[scene], after, answers)
        self.gains[missing] = found[0, :, 0].to(self.gains)

    def _judge_scene_by_scene(self, missing: Bool[Tensor, "N B D"]) -> None:
        """An estimator that needs all completions of a candidate at once."""
        if not (missing.all(0) == missing.any(0)).all():
            raise needs_additive(self.estimator, "some completions of a candidate")
        for scene in missing.any(0).any(1).nonzero()[:, 0].tolist():
            some = missing[0, scene].nonzero()[:, 0]
            found = self.estimator(self._alone(scene, some))[1]
            self.gains[:, scene, some] = found[:, 0].to(self.gains)

    def _alone(self, scene: int, candidates: Tensor) -> Imagined:
        """The situation of one scene with some candidates."""
        imagined, one = self.imagined, slice(scene, scene + 1)
        all_ = imagined.completions
        labels = None if all_.labels is None else all_.labels[:, one]
        seeds = per_scene(imagined.seed, len(imagined.observation))
        return replace(
            imagined,
            observation=imagined.observation[one],
            completions=Completions(all_.scenes[:, one], all_.weights[:, one], labels),
            designs=imagined.designs[candidates],
            seed=seeds[one],
        )

    @cached_property
    def ceiling(self) -> Float[Tensor, "N B"]:
        """The most that each completion can add, infinite where that is not known."""
        return ceiling(self.estimator, self.imagined).to(self.gains)

    @property
    def upper(self) -> Float[Tensor, "B D"]:
        """The highest that each EIG can be, given the gains judged."""
        weights = self.imagined.completions.weights.to(self.gains)[..., None]
        gains = self.gains.where(self.judged, self.ceiling[..., None])
        return (weights * gains).sum(0)

    @property
    def shares(self) -> Float[Tensor, "N B D"]:
        """How much each judged gain counts in `eig`: its weight, and an equal part of the rest."""
        weights = self.imagined.completions.weights.to(self.gains)[..., None] * self.judged
        number = self.judged.sum(0)
        rest = (1 - weights.sum(0)) / number.clamp(min=1)
        return (weights + rest) * self.judged

    @property
    def eig(self) -> Float[Tensor, "B D"]:
        """The weighted mean gain, the mean standing in for gains not judged; NaN if none is."""
        eig = (self.shares * self.gains.nan_to_num(0.0)).sum(0)
        return eig.where(self.judged.any(0), torch.nan)

    def estimate(self) -> EIGEstimate:
        """What was found; finished is what was judged with every completion."""
        number, batch, candidates = self.imagined.shape
        each = (number, batch * candidates)
        gains, shares = self.gains.nan_to_num(0.0).reshape(*each, 1), self.shares.reshape(each)
        error = standard_error(gains, shares)[:, 0].view(batch, candidates)
        return EIGEstimate(
            designs=self.imagined.designs,
            eig=self.eig,
            standard_error=error.where(self.judged.any(0), torch.nan),
            bound=self.estimator.bound,
            gains=self.gains,
            finished=self.judged.all(0),
            evaluations=int(self.judged.sum()),
            effective_sample_size=self.imagined.completions.effective_sample_size,
        )


def needs_additive(estimator: Estimator, what: str) -> ValueError:
    """The error for an estimator that cannot judge completions one by one."""
    return ValueError(
        f"estimator: {type(estimator).__name__} cannot judge {what}; it needs all completions of "
        "a candidate at once. Use Exhaustive or CoarseToFine without racing, or an additive "
        "estimator such as 'variational' or 'entropy'"
    )
