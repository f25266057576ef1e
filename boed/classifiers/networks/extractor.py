"""A classifier as what describes whole scenes, for the evaluation of completers."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from boed.classifiers.trained import TrainedClassifier
from boed.data.observation import Observation


class ClassifierExtractor:
    """Features and answers of a classifier that is shown whole scenes.

    Distances by them are not those by Inception, and are called by the classifier's name.

    Args:
        classifier: trained on scenes of this kind; of several findings the last one counts.
        name: of its checkpoint.
        judge: another classifier of the same labels that answers in its place.
    """

    def __init__(
        self, classifier: TrainedClassifier, name: str, judge: TrainedClassifier | None = None
    ) -> None:
        self.classifier = classifier.eval()
        self.judge = self.classifier if judge is None else judge.eval()
        self.name = f"classifier {name}"

    def features(self, scenes: Float[Tensor, "B C H W"]) -> Float[Tensor, "B F"]:
        """What the classifier's last layer reads."""
        return self.classifier.features(Observation.everything(scenes))

    def log_probs(self, scenes: Float[Tensor, "B C H W"]) -> Float[Tensor, "B K"]:
        """Log-probabilities of the answers."""
        answers = self.judge.log_probs(Observation.everything(scenes))
        return answers[:, -1] if self.judge.multi_label else answers
