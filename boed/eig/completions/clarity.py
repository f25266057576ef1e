"""Completions kept by how clear they are to the classifier, as clear as real scenes are."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from boed.classifiers.classifier import Classifier
from boed.completion.completer import Completer, Completions, complete
from boed.data.observation import Observation
from boed.eig.completions.beliefs import whole_beliefs
from boed.eig.completions.kept import Kept
from boed.eig.completions.posterior_entropy import entropy, over_findings
from boed.foundation.checks import at_least


class Clear(Kept):
    """Completions of which those are kept that the classifier is sure about.

    Some completions are of nothing: no digit at all, say. Of them the classifier is unsure, as it
    hardly ever is of a whole scene that is real, and what they say of a look is noise. A
    completion's factor is exp(-rate H), where H is the entropy of the classifier's belief about it
    as a whole scene: the density ratio of real scenes to completions if H is all that tells them
    apart, and its logarithm is linear in H (`clarity_rate`). That is discriminator rejection
    sampling (Azadi et al. 2019) by one statistic. Answers about which real scenes are unclear, too,
    are drawn less often than they are.

    Args:
        proposal, classifier, draws, memory: as of `Kept`.
        rate: per nat; 0 keeps completions whatever they are.

    Raises:
        ValueError: a rate below 0, or fewer than one draw.
    """

    def __init__(
        self,
        proposal: Completer,
        classifier: Classifier,
        *,
        rate: float,
        draws: int = 4,
        memory: int = 512,
    ) -> None:
        super().__init__(proposal, classifier, draws=draws, memory=memory)
        at_least(0, rate=rate)
        self.rate = rate

    @property
    def said(self) -> str:
        """The rate, too."""
        return f"clarity, rate {self.rate:.3g} per nat"

    def log_factor(self, drawn: Completions, observation: Observation) -> Float[Tensor, "n B"]:
        """-rate H."""
        return -self.rate * clearness(drawn.scenes, self.classifier, self.memory)


def clearness(
    scenes: Float[Tensor, "n B C H W"], classifier: Classifier, memory: int = 512
) -> Float[Tensor, "n B"]:
    """Entropy in nats of the classifier's belief about each whole scene; the sum over findings."""
    belief = whole_beliefs(scenes, classifier, memory)
    return over_findings(entropy(belief), belief.ndim == 4)


@torch.no_grad()
def clarity_rate(
    completer: Completer,
    classifier: Classifier,
    *,
    scenes: Float[Tensor, "B C H W"],
    observation: Observation,
    n: int = 4,
    seed: int = 0,
    memory: int = 512,
) -> float:
    """How much less likely a whole scene is to be real, rather than a completion, per nat of H.

    The slope of a logistic regression that tells real scenes from completions by H alone, both
    kinds counted as equally many; its linear part is the logarithm of their density ratio.

    Args:
        completer, classifier: as of `Clear`.
        scenes: real ones, best such as neither was trained on.
        observation: what is seen of each.
        n: completions of each.
        seed, memory: of the completions; bound on the images held at once, MiB.

    Returns:
        0 where completions are as clear as scenes, or clearer.
    """
    from sklearn.linear_model import LogisticRegression

    drawn = complete(completer, observation, n, seed=seed).scenes
    real = clearness(scenes[None], classifier, memory)[0].cpu().double()
    completed = clearness(drawn, classifier, memory).flatten().cpu().double()
    nats = torch.cat([real, completed])[:, None].numpy()
    kind = [1] * len(real) + [0] * len(completed)
    fitted = LogisticRegression(C=100.0, class_weight="balanced").fit(nats, kind)
    return max(0.0, -float(fitted.coef_[0, 0]))
