"""A policy and a classifier that learn together: each of what the other makes of the scenes."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, Self

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from boed.classifiers.calibration import balancing, cross_entropy
from boed.classifiers.classifier import Classifier
from boed.classifiers.densenet_classifier import DenseNetClassifier
from boed.classifiers.evaluation.scoring import enough
from boed.classifiers.networks.densenet import FoldingNetwork
from boed.classifiers.training import answer_frequencies, calibrated
from boed.data.dataset import Dataset
from boed.data.looking import random_counts
from boed.policies.learned.network import LookNet, classifier_name
from boed.policies.learned.shown import PolicyLooks
from boed.policies.learned.situations import RollOut, Situations
from boed.sensors.random_looks import RandomLooks

SHOWN = 0.75
"""Share of the scenes that the classifier sees as the policy shows them; the others it sees by
random looks, which keep it fit for other policies."""


class Joint(nn.Module):
    """A policy, and the classifier whose belief its looks are for, which learns with it.

    The classifier is trained on what the policy has seen, the policy on the gains of the classifier
    as it then is, in the same updates (as in Gadgil et al. 2024, Algorithm 1).

    Args:
        network: the policy.
        classifier: which learns on from these weights.
        others: random looks of the policy's sensor.
        train: what they learn from.

    Raises:
        ValueError: the classifier is none that could learn on.
    """

    def __init__(
        self, network: LookNet, classifier: Classifier, others: RandomLooks, *, train: Dataset
    ) -> None:
        super().__init__()
        self.network, self.classifier = network, _learner(classifier)
        self.others, self.data = others, train
        self.balanced = self.classifier.balanced
        self.weights = balancing(answer_frequencies(train)) if self.balanced else None
        self.provenance: dict[str, Any] = {}
        self.told: dict[str, Any] = {}

    def train(self, mode: bool = True) -> Self:
        """The classifier judges looks as it does in use; what is for training is for `loss`."""
        super().train(mode)
        self.classifier.eval()
        return self

    def loss(
        self,
        asked: Situations,
        rolled: RollOut,
        *,
        scenes: Float[Tensor, "B C H W"],
        labels: Int64[Tensor, "B *L"],
    ) -> Float[Tensor, ""]:
        """The classifier's cross-entropy at what has been seen, in nats.

        That is what the policy has seen before each look and, as often, after the last one.
        """
        number, looks = len(asked.scene), len(rolled.chosen)
        ended = (torch.rand(number) < 1 / looks).nonzero()[:, 0].to(scenes.device)
        observation = asked.observation.with_rows(ended, rolled.before[-1][asked.scene[ended]])
        shown = torch.rand(number) < SHOWN
        rows = (~shown).nonzero()[:, 0].to(scenes.device)
        counts = random_counts(len(rows), most=self.others.most)
        seen = observation.with_rows(rows, self.others(scenes[asked.scene[rows]], counts))
        log_probs = F.log_softmax(self.classifier.train().logits(seen), dim=-1)
        self.classifier.eval()
        weights = None if self.weights is None else self.weights.to(log_probs)
        return cross_entropy(log_probs, labels[asked.scene], weights).mean()

    def calibrate(self, val: Dataset, *, looks: int) -> None:
        """Set the classifier's temperatures at what the policy shows, and remember its scores.

        Args:
            val: scenes that nothing was learned from.
            looks: that the policy takes.
        """
        self.network.provenance = {"fit": {"looks": looks}}
        looking = PolicyLooks(self.network, self.others)
        self.told = calibrated(
            self.classifier, self.data, enough(val), looking=looking, balanced=self.balanced
        )

    @staticmethod
    def files(path: Path) -> tuple[Path, Path]:
        """Of a checkpoint: the policy and the classifier."""
        return path, classifier_path(path)

    def save(self, path: Path, provenance: dict[str, Any]) -> None:
        """Write the classifier beside `path`, and there the policy, which is for it."""
        _, beside = self.files(path)
        self.classifier.save(beside, {**provenance, **self.told})
        stored = DenseNetClassifier.load(beside)
        if self.classifier.prevalence is not None:  # as the one that it began from
            stored.assume_trained_on()
        self.network.classifier = classifier_name(stored)
        self.network.save(path, provenance)


def classifier_path(policy: Path) -> Path:
    """Where the classifier lies that was trained together with a policy."""
    return policy.with_suffix(".classifier.safetensors")


def _learner(classifier: Classifier) -> DenseNetClassifier:
    """A copy that learns on, without temperatures.

    Raises:
        ValueError: it is no single network with folded norms.
    """
    if not isinstance(classifier, DenseNetClassifier) or not isinstance(
        classifier.network, FoldingNetwork
    ):
        raise ValueError(
            f"joint: the classifier is a {type(classifier).__name__}, which cannot learn with a "
            "policy; expected one network that `boed train classifier` has made, of kind small, "
            "resnet18 or mlp"
        )
    learner = copy.deepcopy(classifier)
    learner.precision = "fp32"
    learner.ready()
    learner.temperatures.fill_(1.0)
    return learner.requires_grad_(True)
