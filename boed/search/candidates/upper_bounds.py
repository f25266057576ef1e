"""The most that a completion can add to the worth of a look, whatever the look."""

from __future__ import annotations

from functools import singledispatch

import torch
from jaxtyping import Float
from torch import Tensor

from boed.eig.completions.estimators import BarberAgakov, Estimator, PosteriorEntropy
from boed.eig.completions.posterior_entropy import entropy, over_findings
from boed.eig.completions.problem import Imagined


@singledispatch
def ceiling(estimator: Estimator, imagined: Imagined) -> Float[Tensor, "N B"]:
    """An upper limit of each completion's gain, over all candidates, in nats.

    Infinite where none is known; `@ceiling.register` adds a user's own estimator.
    """
    return torch.full(imagined.shape[:2], torch.inf, device=imagined.belief.device)


@ceiling.register
def _(estimator: BarberAgakov, imagined: Imagined) -> Float[Tensor, "N B"]:
    """A look that shows the whole completion: sum_v g log q is highest for q = g (Gibbs)."""
    answers = imagined.answers
    return estimator.of(imagined.belief, answers[:, :, None], answers)[1][:, :, 0]


@ceiling.register
def _(estimator: PosteriorEntropy, imagined: Imagined) -> Float[Tensor, "N B"]:
    """A look after which nothing is uncertain."""
    before = over_findings(entropy(imagined.belief), imagined.belief.ndim == 3)
    return before.expand(imagined.shape[:2])
