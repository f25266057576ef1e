"""Likelihood-free inference by ratio estimation, through pyro.contrib.oed."""

from __future__ import annotations

from typing import Any

import pyro
import torch
from jaxtyping import Float
from pyro.contrib.oed import eig as oed
from torch import Tensor, nn

from boed.eig.model.isolation import own_parameters
from boed.eig.model.nested import slices
from boed.eig.model.networks import PerDesign, Standardiser
from boed.eig.model.pyro_model import SiteModel
from boed.eig.model.pyro_oed import adam, outer_that_fit, program, sites_of
from boed.eig.model.scores import Evaluation, Scores, over_replicates
from boed.eig.model.site_kinds import site_kinds

RATE = 5e-2
"""Adam's first rate: a log-ratio of narrow outcomes has coefficients of tens to reach."""


def lfire(
    problem: SiteModel,
    designs: Float[Tensor, "D *K"],
    *,
    contrasts: int,
    steps: int,
    memory: int,
    batch: int = 64,
) -> Evaluation:
    """`lfire_eig`, Kleinegesse & Gutmann 2018: a classifier of outcomes for every theta.

    Each sample is a value of theta, with a classifier for every design.

    Args:
        problem: the model; nuisances and outcomes without a density are fine.
        designs: the candidates.
        contrasts: fresh outcomes for every theta on which its classifier is evaluated.
        steps: of training.
        memory: bound in MiB; the values of theta are worked off in pieces.
        batch: outcomes of each class per training step.
    """
    fits = outer_that_fit(problem, designs, max(batch, contrasts), memory=memory)

    def evaluate(samples: int) -> Scores:
        ratios = [
            _log_ratios(problem, designs, part.stop - part.start, contrasts, steps, batch)
            for part in slices(samples, fits)
        ]
        return over_replicates(torch.cat(ratios))

    return evaluate


def _log_ratios(
    problem: SiteModel, designs: Tensor, thetas: int, contrasts: int, steps: int, batch: int
) -> Float[Tensor, "T D"]:
    """E log p(y | theta) / p(y) for some values of theta, by classifiers of their own."""
    network = _OutcomeClassifiers(problem, designs, thetas)
    with pyro.validation_enabled(False), own_parameters(), torch.enable_grad():
        oed.lfire_eig(
            program(problem),
            designs,
            *sites_of(problem),
            num_y_samples=batch,
            num_theta_samples=thetas,
            num_steps=steps,
            classifier=network,
            optim=adam(steps, RATE),
            final_num_samples=contrasts,
        )
    assert network.last is not None
    return network.last.mean(0)


class _OutcomeClassifiers(nn.Module):
    """For every theta and design, a small network's log-odds of y | theta against y.

    It remembers its last scores `[n, T, D]`, from which the standard error over theta follows.
    """

    def __init__(self, problem: SiteModel, designs: Tensor, thetas: int) -> None:
        super().__init__()
        kinds, draws = site_kinds(problem, designs, problem.observation)
        self.inputs = Standardiser(kinds, draws, products=True)
        self.network = PerDesign(thetas * len(designs), self.inputs.size, 1, hidden=8)
        self.to(device=designs.device, dtype=problem.dtype)
        self.last: Tensor | None = None

    def forward(
        self, design: Tensor, trace: Any, observation: list[str], target: list[str]
    ) -> Tensor:
        """Log-odds `[n, T, D]`."""
        features = self.inputs({name: trace.nodes[name]["value"] for name in observation})
        batch = features.shape[:-1]
        odds = self.network(features.flatten(1, 2)).reshape(batch)
        self.last = odds.detach()
        return odds
