"""Completions kept so that the answers they imply are those that are believed."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from boed.completion.completer import Completions
from boed.data.observation import Observation
from boed.eig.completions.beliefs import log_beliefs, whole_beliefs
from boed.eig.completions.kept import Kept
from boed.eig.completions.posterior_entropy import over_findings

PSEUDO = 1.0
"""How many completions the current belief counts as."""


class Agreeing(Kept):
    """Completions of which those are kept whose answers agree with the current belief.

    A completer and a classifier are two models of the answer: the mean over completions of the
    belief about them as whole scenes, and the belief about what was seen. Where they differ, an EIG
    over completions is that of somebody who believes what they imply, and pays for looks that only
    lead back to what is believed. Taken for a shift of the labels (Saerens et al. 2002; Lipton et
    al. 2018), in which the scenes of one answer are drawn as they should be and only answers are
    not, a completion's factor is

        sum_v g(v | I) rho_v,    rho_v = g(v | observation) / mean_n g(v | I^(n)),

    the mean being over all draws and one more of what is believed (`PSEUDO`), so that an answer of
    which no completion was drawn is not made of those that are least unlike it. Several findings
    are taken one by one.

    Args:
        proposal, classifier, draws, memory: as of `Kept`.
    """

    @property
    def said(self) -> str:
        """Of what they agree with."""
        return "agreement of their answers with the belief"

    def log_factor(self, drawn: Completions, observation: Observation) -> Float[Tensor, "n B"]:
        """By how much more likely its answer is than completions imply."""
        whole = whole_beliefs(drawn.scenes, self.classifier, self.memory).exp()  # [n, B, *L, K]
        belief = log_beliefs(observation, self.classifier, self.memory).exp()  # [B, *L, K]
        weights = drawn.weights.reshape(*drawn.weights.shape, *(1,) * (whole.ndim - 2)).to(whole)
        implied = (weights * whole).sum(0)
        number = 1 / (weights**2).sum(0)  # as many as count
        ratio = belief * (number + PSEUDO) / (number * implied + PSEUDO * belief).clamp(min=1e-12)
        each = (whole * ratio).sum(-1).clamp(min=1e-12).log()
        return over_findings(each, whole.ndim == 4)
