"""What every EIG estimator returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from boed.foundation.arguments import checked

Bound = Literal["lower", "upper", "consistent", "biased up", "none"]
"""What the expectation of an estimate is to the EIG at finite cost.

`lower` and `upper` bound it; `consistent` converges to it with the number of samples, from either
side; `biased up` converges to it from above; `none` is no bound and need not converge to it, or
is no EIG about the question at all.
"""


@checked
@dataclass(frozen=True, eq=False, kw_only=True)
class EIGEstimate:
    """EIG of every candidate design.

    Attributes:
        designs: the candidates, `[D, *K]`.
        eig: nats, `[D]`, or `[B, D]` for a batch of scenes.
        standard_error: Monte-Carlo standard error of `eig` in nats, of the same shape.
        bound: what the estimate's expectation is to the EIG.
        gains: where an estimate is a weighted mean over completions: nats for each, `[N, B, D]`,
            NaN for those not used.
        finished: where a search dropped candidates early: which ones were evaluated with
            every completion, `[B, D]`. The others' `eig` comes from fewer, NaN if none.
        fresh: where designs are looks: which would read anything that has not been read yet,
            `[B, D]`; all of them where none would. The others' EIG is 0.
        evaluations: where a search saved some: beliefs computed, of N B D.
        effective_sample_size: of weighted completions: how many equal ones they equal, `[B]`.
    """

    designs: Float[Tensor, "D *K"]
    eig: Float[Tensor, "*B D"]
    standard_error: Float[Tensor, "*B D"]
    bound: Bound
    gains: Float[Tensor, "N B D"] | None = None
    finished: Bool[Tensor, "B D"] | None = None
    fresh: Bool[Tensor, "B D"] | None = None
    evaluations: int | None = None
    effective_sample_size: Float[Tensor, " B"] | None = None

    @property
    def finished_eig(self) -> Float[Tensor, "*B D"]:
        """`eig`, -inf for candidates that no choice is made from.

        These are the ones that a search dropped, and those that would read nothing new: their EIG
        is 0, but an estimate for another one may be below that.
        """
        eig = self.eig
        for among in (self.finished, self.fresh):
            eig = eig if among is None else eig.where(among, -torch.inf)
        return eig

    @property
    def best(self) -> Float[Tensor, "..."]:
        """The design of highest EIG, `[*K]`, or `[B, K]` for a batch of scenes."""
        return self.designs[self.finished_eig.argmax(-1)]
