"""Completions kept by how clear they are to the classifier, as clear as real scenes are."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from boed.classifiers.classifier import Classifier, check_is_classifier
from boed.completion.completer import Completer, Completions, check_is_completer, complete
from boed.data.observation import Observation
from boed.eig.completions.beliefs import log_beliefs
from boed.eig.completions.posterior_entropy import entropy, over_findings
from boed.foundation.checks import at_least
from boed.foundation.randomness import SceneNoise, Seeds, derive, per_scene


class Clear:
    """Completions of which those are kept that the classifier is sure about.

    Some completions are of nothing: no digit at all, say. Of them the classifier is unsure, as it
    hardly ever is of a whole scene that is real, and what they say of a look is noise. Of `draws`
    times as many completions as are asked for, so many are kept, each with a probability
    proportional to exp(-rate H), where H is the entropy of the classifier's belief about it as a
    whole scene: the density ratio of real scenes to completions if H is all that tells them apart,
    and its logarithm is linear in H (`clarity_rate`). That is discriminator rejection sampling
    (Azadi et al. 2019) by one statistic, without replacement (Kool et al. 2019), with equal
    weights. Answers about which real scenes are unclear, too, are drawn less often than they are.

    Args:
        proposal: draws; its own weights are multiplied in.
        classifier: says how clear a scene is.
        rate: per nat; 0 keeps completions whatever they are.
        draws: how many are drawn for each that is kept.
        memory: bound on the images held at once, MiB.

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
        check_is_completer(proposal)
        check_is_classifier(classifier)
        at_least(0, rate=rate)
        at_least(1, draws=draws)
        self.proposal, self.classifier = proposal, classifier
        self.rate, self.draws, self.memory = rate, draws, memory

    def to(self, device: torch.device | str) -> Clear:
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
        nats = clearness(drawn.scenes, self.classifier, self.memory)
        ticket = SceneNoise([derive(each, "clear") for each in seeds]).uniform(len(nats))
        gumbel = -(-ticket.clamp(min=1e-20).log()).log()
        kept = (drawn.weights.log() - self.rate * nats + gumbel.to(nats)).topk(n, dim=0).indices
        rows = torch.arange(len(observation), device=kept.device)
        weights = torch.full_like(drawn.weights[:n], 1 / n)
        labels = None if drawn.labels is None else drawn.labels[kept, rows]
        return Completions(drawn.scenes[kept, rows], weights, labels)


def clearness(
    scenes: Float[Tensor, "n B C H W"], classifier: Classifier, memory: int = 512
) -> Float[Tensor, "n B"]:
    """Entropy in nats of the classifier's belief about each whole scene; the sum over findings."""
    belief = log_beliefs(Observation.everything(scenes.flatten(0, 1)), classifier, memory)
    nats = over_findings(entropy(belief), belief.ndim == 3)
    return nats.unflatten(0, scenes.shape[:2])


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
