"""Importance weights: completions of one completer, weighted by how likely another has them."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from boed.completion.completer import Completer, Completions, check_is_completer, complete
from boed.completion.log_probability import LikelihoodCompleter, has_log_prob, meaning
from boed.completion.ranking import log_probs
from boed.data.observation import Observation
from boed.foundation.checks import at_least
from boed.foundation.identity import identity
from boed.foundation.randomness import Seeds


@runtime_checkable
class Proposal(Completer, Protocol):
    """A completer that knows how probable its own completions were to be drawn."""

    def propose(
        self, observation: Observation, n: int, seed: Seeds = 0
    ) -> tuple[Float[Tensor, "n B C H W"], Float[Tensor, "n B"]]:
        """What `sample` returns, and log q of each in nats, up to a constant of the observation."""
        ...


class Weighted:
    """Completions of `proposal` with weights proportional to `target` over `proposal`.

    The weights w ∝ p(scene | observation) / q(scene | observation) sum to 1 over the n completions
    (self-normalised importance sampling), so that means over them are of `target`, as n grows,
    whatever drew them. q is known of a `Proposal`, such as AIPO, and of a completer whose own
    likelihood is exact. Of others it is taken to be constant over what they drew: then the weights
    say which of these `target` finds likely, and means are of no one's posterior; a proposal's own
    weights are multiplied in. If it is its own target, and draws at a temperature of 1, completions
    have equal weights.

    A target of few levels is constant within each, which the weights of one observation do not
    notice; one that counts the seen pixels as well differs by a constant, too.

    Args:
        proposal: draws.
        target: has a likelihood.

    Raises:
        ValueError: a target without a likelihood.
    """

    def __init__(self, proposal: Completer, target: LikelihoodCompleter) -> None:
        check_is_completer(proposal)
        meaning(target)
        self.proposal, self.target = proposal, target
        alike = type(proposal) is type(target)  # only then is it worth reading their weights
        own = proposal is target or (alike and identity(proposal) == identity(target))
        self._own = own and getattr(proposal, "temperature", 1.0) == 1.0
        self._known = has_log_prob(proposal) and meaning(proposal).log_prob_is == "exact"

    def to(self, device: torch.device | str) -> Weighted:
        """Move both, in place."""
        for each in (self.proposal, self.target):
            if hasattr(each, "to"):
                each.to(device)
        return self

    def sample(
        self, observation: Observation, n: int, seed: Seeds = 0
    ) -> Float[Tensor, "n B C H W"]:
        """The proposal's completions, without their weights."""
        return complete(self.proposal, observation, n, seed=seed).scenes

    def complete(self, observation: Observation, n: int, seed: Seeds = 0) -> Completions:
        """The proposal's completions with weights.

        Raises:
            ValueError: n is less than 1, a model that does not fit the observation, or a target
                that finds all completions of one impossible.
        """
        at_least(1, n=n)
        if self._own:
            return complete(self.proposal, observation, n, seed=seed)
        if isinstance(self.proposal, Proposal):
            scenes, log_q = self.proposal.propose(observation, n, seed)
        else:
            drawn = complete(self.proposal, observation, n, seed=seed)
            scenes, log_q = drawn.scenes, -drawn.weights.log()
            if self._known:
                log_q = log_q + log_probs(self.proposal, scenes, observation)
        log_p = log_probs(self.target, scenes, observation)
        if bool((log_p == -torch.inf).all(0).any()):
            raise ValueError(
                f"target {getattr(self.target, 'name', type(self.target).__name__)}: all {n} "
                "completions of an observation are impossible by its log_prob, so that they have "
                "no weights; expected one that may draw what the proposal draws"
            )
        return Completions(scenes, (log_p.to(log_q) - log_q).softmax(0))
