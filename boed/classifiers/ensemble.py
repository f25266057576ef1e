"""Several classifiers of one question, whose mixture is the belief."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from boed.classifiers.classifier import Nearby
from boed.classifiers.densenet_classifier import KIND as MEMBER
from boed.classifiers.densenet_classifier import DenseNetClassifier
from boed.classifiers.trained import TrainedClassifier
from boed.data.observation import Observation
from boed.foundation.files import read_model
from boed.foundation.precision import Precision

KIND = "ensemble classifier"
"""What headers of checkpoints call it."""


class EnsembleClassifier(TrainedClassifier):
    """The mean belief of networks that were trained apart (Lakshminarayanan et al. 2017).

    Each member's belief is its own, calibrated; their mixture is calibrated once more, since the
    mean of calibrated beliefs is less certain than it could be (Wu and Gales 2021). What the
    members disagree on is uncertainty about the model, which so enters every EIG;
    `boed.eig.Disagreement(classifier.members)` looks for it.

    What they read is made once; each member then judges it by itself. As one network with grouped
    convolutions they would be 1.3 to 2.1 times slower on a CPU (oneDNN, 32 and 64 px, 3 and 5
    members).

    Args:
        members: at least two, of one question and of scenes of one size.

    Raises:
        ValueError: fewer members, or members of different questions or scenes.
    """

    kind = KIND

    def __init__(self, members: Sequence[DenseNetClassifier]) -> None:
        if len(members) < 2:
            raise ValueError(f"members is {len(members)} classifiers, expected at least 2")
        first = members[0]
        super().__init__(first.label_names, first.multi_label)
        for name in ("label_names", "multi_label"):
            _check_alike(name, [getattr(each, name) for each in members])
        for name in ("size", "channels"):
            _check_alike(name, [getattr(each.config, name) for each in members])
        self.networks = nn.ModuleList(members)

    @property
    def members(self) -> tuple[DenseNetClassifier, ...]:
        """The classifiers that it consists of."""
        return tuple(self.networks)  # type: ignore[arg-type]

    @property
    def lead(self) -> DenseNetClassifier:
        """The first member."""
        return self.members[0]

    @property
    def precision(self) -> Precision:
        """That of the members."""
        return self.lead.precision

    @precision.setter
    def precision(self, precision: Precision) -> None:
        for each in self.members:
            each.precision = precision

    def logits(self, observation: Observation) -> Float[Tensor, "B *L K"]:
        """Log-probabilities of the mixture, before its own calibration."""
        fraction, read = observation.fraction_seen, _Read(observation)
        return _mixture([m.beliefs(m.judged(read(m)), fraction) for m in self.members])

    @torch.no_grad()
    def log_probs(self, observation: Observation) -> Float[Tensor, "B *L K"]:
        """Calibrated log-probabilities of the mixture."""
        return self.beliefs(self.logits(observation), observation.fraction_seen)

    @torch.no_grad()
    def around(self, observation: Observation) -> Nearby:
        """Log-probabilities of observations that continue some of these; see the members'."""
        before = _Read(observation)
        judged = [(m, m.judged_around(before(m))) for m in self.members]

        @torch.no_grad()
        def nearby(after: Observation, base: Int64[Tensor, " P"]) -> Tensor:
            fraction, now = after.fraction_seen, _Read(after)
            mixed = _mixture([m.beliefs(judge(now(m), base), fraction) for m, judge in judged])
            return self.beliefs(mixed, fraction)

        return nearby

    def described(self) -> dict[str, Any]:
        """The members' configurations."""
        return {"members": [asdict(each.config) for each in self.members]}

    def ready(self) -> Self:
        """For inference alone."""
        for each in self.members:
            each.ready()
        return self.eval()

    @classmethod
    def built(cls, header: dict[str, Any], tensors: dict[str, Tensor]) -> Self:
        """The classifier that a checkpoint's header describes, before its weights are read.

        Args:
            header: of the checkpoint.
            tensors: of the checkpoint.
        """
        members = []
        for k, config in enumerate(header["config"]["members"]):
            start = f"networks.{k}."
            own = {n.removeprefix(start): t for n, t in tensors.items() if n.startswith(start)}
            members.append(DenseNetClassifier.built({**header, "config": config}, own))
        model = cls(members)
        model.make_room(tensors)
        return model


def load_classifier(path: Path | str) -> TrainedClassifier:
    """A trained classifier of either kind from its checkpoint.

    Raises:
        ValueError: the file is missing, damaged, or holds something else.
    """

    def built(header: dict[str, Any], tensors: dict[str, Tensor]) -> TrainedClassifier:
        kind = EnsembleClassifier if header["kind"] == KIND else DenseNetClassifier
        return kind.built(header, tensors)

    return read_model(path, built, MEMBER, KIND).ready()


class _Read:
    """What networks read of an observation, made once for all that standardise alike."""

    def __init__(self, observation: Observation) -> None:
        self.observation = observation
        self._made: dict[tuple[float, float], Tensor] = {}

    def __call__(self, member: DenseNetClassifier) -> Tensor:
        key = (member.config.mean, member.config.std)
        if key not in self._made:
            self._made[key] = member.read(self.observation)
        return self._made[key]


def _mixture(log_probs: Sequence[Float[Tensor, "B *L K"]]) -> Float[Tensor, "B *L K"]:
    return torch.stack(tuple(log_probs)).logsumexp(0) - math.log(len(log_probs))


def _check_alike(name: str, values: Sequence[object]) -> None:
    for value in values[1:]:
        if value != values[0]:
            raise ValueError(f"members have {name} {values[0]} and {value}, expected the same")
