"""Networks that read an observation once and value every candidate look at the scene."""

from __future__ import annotations

import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from boed.classifiers.classifier import Classifier
from boed.classifiers.trained import TrainedClassifier, checksum
from boed.data.observation import Observation
from boed.foundation.files import read_model, save_model
from boed.foundation.identity import DIGITS, identity
from boed.policies.learned.backbones import ValueConfig, backbone
from boed.policies.learned.looks import CandidateLooks
from boed.sensors.sensor import Sensor


class LookNet(nn.Module):
    """A number for every candidate look from one pass: the look of the highest one is taken.

    Args:
        config: the network.
        looks: `CandidateLooks.name` of those that it is for.
        classifier: `classifier_name` of the one whose belief the looks are for.

    Attributes:
        name: of the policy.
        merit: the validation's figure that says how good it is, lower is better.
        expects: whether the numbers are gains of looks in nats.
        logits: whether they are logits; else they are nats, of the look or of what follows, too.
        costs: `CandidateLooks.costs` of what it was trained for; None if costs were nothing to it.
        first: the numbers `[D]` where nothing has been seen, which are the same for all scenes, if
            they are known otherwise (`boed.policies.learned.lessons.first_gains`); else the
            network's own.
    """

    costs: str | None = None
    first: tuple[float, ...] | None = None
    name: ClassVar[str]
    merit: ClassVar[str]
    expects: ClassVar[bool] = False
    logits: ClassVar[bool] = False

    def __init__(self, config: ValueConfig, *, looks: str, classifier: str) -> None:
        super().__init__()
        self.config, self.looks, self.classifier = config, looks, classifier
        self.provenance: dict[str, Any] = {}
        self.network = backbone(config)

    def forward(self, observation: Observation, looks: CandidateLooks) -> Float[Tensor, "B D"]:
        """A number for each look, `[B, D]`."""
        values: Tensor = self.network(observation, looks)
        return values

    @classmethod
    def kind(cls) -> str:
        """What headers of checkpoints call it."""
        return f"{cls.name} policy"

    def check_looks(self, looks: CandidateLooks) -> None:
        """Refuse other looks, or scenes of another size, than it was trained for.

        Raises:
            ValueError: naming both.
        """
        if looks.name != self.looks:
            raise ValueError(
                f"policy: it was trained for {self.looks}, not for {looks.name}; train one for "
                f"these with `boed train policy {self.name} --sensor ...`"
            )

    def check_costs(self, sensor: Sensor, looks: CandidateLooks) -> None:
        """Refuse other costs of looks than it was trained for, if it was trained for any.

        Raises:
            ValueError: naming both.
        """
        if self.costs is not None and (given := looks.costs(sensor)) != self.costs:
            raise ValueError(
                f"policy: it was trained for {self.costs}, not for {given}; train one for these "
                f"with `boed train policy {self.name} --sensor ...`"
            )

    def check_classifier(self, classifier: Classifier) -> None:
        """Refuse another classifier than it was trained for.

        Raises:
            ValueError: naming both.
        """
        if (given := classifier_name(classifier)) != self.classifier:
            raise ValueError(
                f"policy: it was trained for the classifier {self.classifier}, not for {given}; "
                f"train one for that with `boed train policy {self.name} --classifier ...`"
            )

    def save(self, path: Path | str, provenance: dict[str, Any]) -> None:
        """Write the weights, rounded to half precision, with configuration and provenance."""
        header = {
            **provenance,
            "kind": self.kind(),
            "config": asdict(self.config),
            "looks": self.looks,
            "classifier": self.classifier,
            **({} if self.costs is None else {"costs": self.costs}),
            **({} if self.first is None else {"first": self.first}),
        }
        save_model(path, self, header)

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read a checkpoint that `save` wrote.

        Raises:
            ValueError: the file is missing, damaged, or holds something else.
        """
        return read_model(path, cls._built, cls.kind()).requires_grad_(False)

    @classmethod
    def _built(cls, header: dict[str, Any], tensors: dict[str, Tensor]) -> Self:
        config = ValueConfig.read(header["config"])
        network = cls(config, looks=header["looks"], classifier=header["classifier"])
        network.costs = header.get("costs")
        if header.get("first") is not None:
            network.first = tuple(map(float, header["first"]))
        return network


class ValueNet(LookNet):
    """The expected information gain of every candidate look, in nats.

    Attributes:
        scale: by which all values are multiplied; 1 until `corrected`.
    """

    name = "value"
    merit = "val_nll"
    expects = True
    scale: Tensor

    def __init__(self, config: ValueConfig, *, looks: str, classifier: str) -> None:
        super().__init__(config, looks=looks, classifier=classifier)
        self.register_buffer("scale", torch.ones(()))

    def forward(self, observation: Observation, looks: CandidateLooks) -> Float[Tensor, "B D"]:
        """Expected fall of the classifier's log loss by each look, `[B, D]`, nats."""
        values = super().forward(observation, looks) * self.scale
        if self.first is not None:
            seen = (observation.seen > 0).any(1, keepdim=True)
            values = values.where(seen, values.new_tensor(self.first))
        return values

    def known(self, looks: int) -> float:
        """How much of the mean gain of so many looks is known, and not learned: the first one's."""
        return 0.0 if self.first is None else max(self.first) / looks

    def corrected(self, expected: float, gained: float) -> float:
        """Multiply values so that what was expected of the looks chosen is what they gained.

        The best of many values is too high, and what is learned from the scenes that a classifier
        was trained on is, too. The order of the looks stays, and so does what is `known`.

        Args:
            expected: mean value of the looks chosen, on scenes that nothing was learned from, less
                what is known.
            gained: their mean gain, less the same.

        Returns:
            The factor, from 1/4 to 4; 1 where nothing was expected. Beyond that a warning says so.
        """
        if expected > 1e-6:
            factor = gained / expected
            self.scale.mul_(min(max(factor, 0.25), 4.0))
            if not 0.25 <= factor <= 4:
                warnings.warn(
                    f"scale: the looks taken on val gained {gained:.3g} nats where {expected:.3g} "
                    f"were expected; values are multiplied by {float(self.scale):g}, the most that "
                    "is done, and do not say what looks gain: train longer, or on other scenes "
                    "than the classifier's",
                    stacklevel=2,
                )
        return float(self.scale)


class NonmyopicNet(LookNet):
    """What every candidate look and the best looks after it are expected to gain, in nats."""

    name = "nonmyopic"
    merit = "val_end"


def classifier_name(classifier: Classifier) -> str:
    """What tells a classifier from others: its class, and a checksum of what it holds."""
    if isinstance(classifier, TrainedClassifier):
        return f"{type(classifier).__name__} {checksum(classifier)[:DIGITS]}"
    return identity(classifier)
