"""Completions of which some are kept by what the classifier says of them as whole scenes."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor

from boed.classifiers.classifier import Classifier, check_is_classifier
from boed.completion.completer import Completer, Completions, check_is_completer, complete
from boed.data.observation import Observation
from boed.foundation.checks import at_least
from boed.foundation.randomness import SceneNoise, Seeds, derive, per_scene

STREAM = "clear"
"""Name of the random numbers by which completions are kept."""


class Kept(ABC):
    """A completer that draws more completions than are asked for and keeps the best of them.

    Of `draws` times as many so many are kept, each with a probability proportional to a factor,
    without replacement (Kool et al. 2019), and then have equal weights.

    Args:
        proposal: draws; its own weights are multiplied in.
        classifier: what the factor is computed by.
        draws: how many are drawn for each that is kept.
        memory: bound on the images held at once, MiB.

    Raises:
        ValueError: fewer than one draw.
    """

    def __init__(
        self, proposal: Completer, classifier: Classifier, *, draws: int = 4, memory: int = 512
    ) -> None:
        check_is_completer(proposal)
        check_is_classifier(classifier)
        at_least(1, draws=draws)
        self.proposal, self.classifier = proposal, classifier
        self.draws, self.memory = draws, memory

    @property
    @abstractmethod
    def said(self) -> str:
        """By what completions are kept, in words."""

    @abstractmethod
    def log_factor(self, drawn: Completions, observation: Observation) -> Float[Tensor, "n B"]:
        """Of each completion, the logarithm of what its weight is multiplied by."""

    def to(self, device: torch.device | str) -> Kept:
        """Move what draws, in place."""
        if hasattr(self.proposal, "to"):
            self.proposal.to(device)
        return self

    def sample(
        self, observation: Observation, n: int, seed: Seeds = 0
    ) -> Float[Tensor, "n B C H W"]:
        """The completions that are kept."""
        return self.complete(observation, n, seed).scenes

    def complete(self, observation: Observation, n: int, seed: Seeds = 0) -> Completions:
        """The completions that are kept, with equal weights, and labels where they have them.

        Raises:
            ValueError: n is less than 1, or a model that does not fit the observation.
        """
        at_least(1, n=n)
        seeds = per_scene(seed, len(observation))
        drawn = complete(self.proposal, observation, n * self.draws, seed=seeds)
        odds = drawn.weights.log() + self.log_factor(drawn, observation).to(drawn.weights)
        ticket = SceneNoise([derive(each, STREAM) for each in seeds]).uniform(len(odds))
        gumbel = -(-ticket.clamp(min=1e-20).log()).log()
        kept = (odds + gumbel.to(odds)).topk(n, dim=0).indices
        rows = torch.arange(len(observation), device=kept.device)
        weights = torch.full_like(drawn.weights[:n], 1 / n)
        labels = None if drawn.labels is None else drawn.labels[kept, rows]
        return Completions(drawn.scenes[kept, rows], weights, labels)
