"""What all trained classifiers have: calibration, a prevalence, features."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from boed.classifiers.classifier import Classifier, Nearby
from boed.classifiers.networks.densenet import DenseNetConfig
from boed.data.observation import Observation
from boed.foundation.files import read_model, save_weights
from boed.foundation.options import Shares
from boed.foundation.precision import Precision
from boed.foundation.registry import check_known

if TYPE_CHECKING:
    from boed.classifiers.densenet_classifier import DenseNetClassifier

PRIOR = "prior"
"""What a checkpoint's header calls the probabilities of answers that training assumed."""

FREQUENCIES = "frequencies"
"""What it calls those that the answers have in what was trained on."""


class TrainedClassifier(nn.Module):
    """A classifier of networks, whose logits become beliefs by a temperature and a prevalence.

    The temperature depends on the fraction of the scene seen, interpolated between `knots`; all
    ones until `calibrate` sets it. Beliefs hold for a population in which the answers are as
    frequent as training assumed (equally, where it balanced them), unless `prevalence` says
    another one.

    Args:
        label_names: names of the K classes or L findings.
        multi_label: whether several findings can hold at once.

    Attributes:
        kind: what headers of checkpoints call it.
        merit: the validation's figure that says how good it is, lower is better.
    """

    kind: ClassVar[str]
    merit: ClassVar[str] = "val_shifted_nll"
    knots: Tensor
    temperatures: Tensor

    def __init__(self, label_names: tuple[str, ...], multi_label: bool = False) -> None:
        super().__init__()
        self.label_names = tuple(label_names)
        self.multi_label = multi_label
        self.provenance: dict[str, Any] = {}
        self._shift: Float[Tensor, "*L K"] | None = None
        self.register_buffer("knots", torch.tensor([0.0, 1.0]))
        self.register_buffer("temperatures", torch.ones(2))

    @property
    def lead(self) -> DenseNetClassifier:
        """The network whose features describe scenes, and that screens begin from."""
        raise NotImplementedError

    @property
    def config(self) -> DenseNetConfig:
        """What scenes it reads, and how."""
        return self.lead.config

    @property
    def precision(self) -> Precision:
        """Of a loaded classifier's weights and features; bf16 rounds logits by about 1 %.

        Logits and beliefs are single precision in either.
        """
        return self.lead.precision

    @precision.setter
    def precision(self, precision: Precision) -> None:
        raise NotImplementedError

    def logits(self, observation: Observation) -> Tensor:
        """Uncalibrated logits `[B, K]` or `[B, L, 2]`.

        Raises:
            ValueError: the observation has another size or number of channels than the network.
        """
        raise NotImplementedError

    def log_probs(self, observation: Observation) -> Float[Tensor, "B *L K"]:
        """Calibrated log-probabilities."""
        raise NotImplementedError

    def around(self, observation: Observation) -> Nearby:
        """Log-probabilities of observations that continue some of these."""
        raise NotImplementedError

    def features(self, observation: Observation) -> Float[Tensor, "B F"]:
        """What the lead's last linear layer reads: a description of the scene."""
        return self.lead.features(observation)

    def make_room(self, tensors: Mapping[str, Tensor]) -> None:
        """For a checkpoint's calibration, whose length is its own."""
        for name in ("knots", "temperatures"):
            setattr(self, name, torch.empty_like(tensors[name]))

    def ready(self) -> Self:
        """For inference alone."""
        raise NotImplementedError

    def described(self) -> dict[str, Any]:
        """The configuration, as a checkpoint's header holds it."""
        return asdict(self.config)

    def save(self, path: Path | str, provenance: dict[str, Any]) -> None:
        """Write the weights with configuration, labels and provenance as safetensors."""
        header = {
            "kind": self.kind,
            "config": self.described(),
            "label_names": self.label_names,
            "multi_label": self.multi_label,
            **provenance,
        }
        save_weights(path, self.state_dict(), header)

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read a checkpoint that `save` wrote.

        Raises:
            ValueError: the file is missing, damaged, or holds something else.
        """
        return read_model(path, cls.built, cls.kind).ready()

    @classmethod
    def built(cls, header: dict[str, Any], tensors: dict[str, Tensor]) -> Self:
        """The classifier that a checkpoint's header describes, before its weights are read.

        Args:
            header: of the checkpoint.
            tensors: of the checkpoint.
        """
        raise NotImplementedError

    def temperature(self, fraction: Float[Tensor, " B"]) -> Float[Tensor, " B"]:
        """Temperature for scenes of which so much was seen, linear between the knots."""
        right = torch.searchsorted(self.knots, fraction.contiguous()).clamp(1, len(self.knots) - 1)
        low, high = self.knots[right - 1], self.knots[right]
        weight = ((fraction - low) / (high - low)).clamp(0, 1)
        return torch.lerp(self.temperatures[right - 1], self.temperatures[right], weight)

    def beliefs(
        self, logits: Float[Tensor, "B *L K"], fraction: Float[Tensor, " B"]
    ) -> Float[Tensor, "B *L K"]:
        """Calibrated log-probabilities, of the population that `prevalence` says.

        Args:
            logits: uncalibrated.
            fraction: of each scene that was seen.
        """
        shape = (-1,) + (1,) * (logits.ndim - 1)
        log_probs = F.log_softmax(logits / self.temperature(fraction).view(shape), dim=-1)
        if self._shift is None:
            return log_probs
        return F.log_softmax(log_probs + self._shift.to(log_probs), dim=-1)

    def set_prevalence(self, prevalence: Mapping[str, float] | None) -> None:
        """Assume another population than training did: p(v | x) p'(v) / p(v), normalised.

        Scenes are taken to look the same for each answer, of which only the frequency differs
        (Saerens et al. 2002, Eq. 2.4).

        Args:
            prevalence: probability of each class, or of each finding, by name; of two classes one
                is enough, without a name that of the second, and findings that are not named
                stay as they were. None takes back what was set.

        Raises:
            ValueError: a name that is no answer (the nearest is suggested), a class without a
                probability, probabilities out of (0, 1) or that do not sum to 1, or a model whose
                checkpoint does not say what was assumed.
        """
        if prevalence is None:
            self._shift = None
            return
        ours = self.provenance.get(PRIOR)
        if ours is None:
            raise ValueError(
                "prevalence is given, but the classifier's checkpoint does not say which one it "
                "was trained for: leave prevalence out, or train it again if it is yours"
            )
        asked = self._asked(prevalence, torch.as_tensor(ours, dtype=torch.float32))
        self._shift = asked.log() - torch.as_tensor(ours, dtype=torch.float32).log()

    def assume_trained_on(self) -> None:
        """Assume the frequencies of answers in what was trained on, if training balanced them."""
        if self.balanced:
            prior, found = (torch.tensor(self.provenance[key]) for key in (PRIOR, FREQUENCIES))
            self._shift = found.log() - prior.log()

    @property
    def balanced(self) -> bool:
        """Whether training counted answers as if they were as frequent as each other."""
        prior, found = self.provenance.get(PRIOR), self.provenance.get(FREQUENCIES)
        return prior is not None and found is not None and prior != found

    @property
    def prevalence(self) -> dict[str, float] | None:
        """Of each class, or finding, if another one is assumed than training did; else None."""
        if self._shift is None:
            return None
        assumed = torch.as_tensor(self.provenance[PRIOR], dtype=torch.float32)
        shares = (self._shift.to(assumed) + assumed.log()).exp()
        of_each = shares[:, 1] if self.multi_label else shares
        rounded = [round(float(share), 6) for share in of_each]
        return dict(zip(self.label_names, rounded, strict=True))

    def _asked(self, prevalence: Mapping[str, float], ours: Tensor) -> Float[Tensor, "*L K"]:
        """Probabilities of all answers, as `ours` is laid out."""
        if "" in prevalence:
            if (self.multi_label and len(self.label_names) > 1) or len(self.label_names) > 2:
                raise ValueError(
                    f"prevalence is {prevalence['']} without a name, expected that of each of "
                    f"{', '.join(self.label_names)}, as name=0.3"
                )
            prevalence = {self.label_names[-1]: prevalence[""]}
        Shares().check("prevalence", prevalence)
        for name in prevalence:
            check_known("prevalence", name, self.label_names)
        if self.multi_label:
            asked = ours.clone()
            for name, value in prevalence.items():
                asked[self.label_names.index(name)] = torch.tensor([1 - value, value])
            return asked
        given = dict(prevalence)
        lacking = [each for each in self.label_names if each not in given]
        if len(lacking) == 1 and len(self.label_names) == 2:
            given[lacking[0]] = 1 - sum(given.values())
        elif lacking:
            raise ValueError(f"prevalence lacks {', '.join(lacking)}: give that of each class")
        if abs(sum(given.values()) - 1) > 1e-6:
            raise ValueError(f"prevalence sums to {sum(given.values()):.6g}, expected 1")
        return torch.tensor([given[each] for each in self.label_names])


def checksum(classifier: Classifier) -> str:
    """What tells a trained classifier from others: sha256 of its last layer and its calibration.

    Convolutions and norms are left out because loading a checkpoint folds them into each other. Of
    other modules they may be all there is: `boed.foundation.identity` tells those.

    Raises:
        ValueError: the classifier is none that this package trains.
    """
    if not isinstance(classifier, TrainedClassifier):
        raise ValueError(
            f"classifier is {type(classifier).__name__}, expected one that `boed train classifier` "
            "trains, whose weights tell which one it is"
        )
    digest = hashlib.sha256()
    for name, tensor in sorted(classifier.state_dict().items()):
        if "conv" not in name and "norm" not in name:
            digest.update(name.encode())
            digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
