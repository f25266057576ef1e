"""Beliefs about the question v from partly seen scenes."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Protocol, get_args, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from boed.classifiers.boxes import Box
from boed.classifiers.densenet import DenseNetConfig, FoldingNetwork, build
from boed.classifiers.densenet121_incremental import DenseNet121
from boed.data.observation import Observation
from boed.foundation.checks import check_fits, check_floating, check_protocol
from boed.foundation.files import read_model, save_weights
from boed.foundation.precision import Precision
from boed.foundation.registry import check_known


@runtime_checkable
class Classifier(Protocol):
    """p(v | observation), trained on partly seen scenes."""

    def log_probs(self, observation: Observation) -> Float[Tensor, "B *L K"]:
        """Log-probabilities `[B, K]` of K answers, or `[B, L, 2]` for L findings."""
        ...


def check_is_classifier(classifier: object) -> None:
    """Refuse what is no classifier.

    Raises:
        ValueError: it has no `log_probs` that can be called as the protocol's.
    """
    network = isinstance(classifier, nn.Module) and not hasattr(classifier, "log_probs")
    advice = "boed.classifiers.from_module(network) makes one of a network" if network else ""
    check_protocol("classifier", classifier, Classifier, advice=advice)


def check_belief(
    belief: object, observation: Observation, classifier: Classifier
) -> Float[Tensor, "B *L K"]:
    """What a classifier returned for an observation, after making sure that it is a belief.

    Raises:
        ValueError: it is no tensor of floating-point numbers, of another shape, has NaN, or its
            exponentials do not sum to 1.
    """
    name, number = f"{type(classifier).__name__}.log_probs", len(observation)
    expected = f"log-probabilities ({number}, K) or ({number}, L, 2)"
    belief = check_floating(name, belief, expected)
    if belief.ndim not in (2, 3) or len(belief) != number:
        raise ValueError(
            f"{name} returned {tuple(belief.shape)} for {number} observations, "
            f"expected ({number}, K) or ({number}, L, 2)"
        )
    if torch.isnan(belief).any():
        raise ValueError(f"{name} returned NaN")
    total = belief.exp().sum(-1)
    if not ((total - 1).abs() < 0.01).all():
        worst = float(total.flatten()[(total - 1).abs().argmax()])
        raise ValueError(
            f"{name} returned numbers whose exponentials sum to {worst:.3g}, not 1; "
            "expected log-probabilities (log_softmax of logits)"
        )
    return belief.to(observation.values)  # of its type, on its device


Nearby = Callable[[Observation, Int64[Tensor, " P"]], Float[Tensor, "P *L K"]]
"""Beliefs about P observations, each of which continues that of a base scene."""


@runtime_checkable
class NearbyClassifier(Classifier, Protocol):
    """A classifier that does the work which many similar observations share once."""

    def around(self, observation: Observation) -> Nearby:
        """Log-probabilities of observations that continue some of these, as `log_probs` gives."""
        ...


class DenseNetClassifier(nn.Module):
    """The AVP-CNN g(v | observation) of Harvey et al. 2021 (App. B.4), calibrated.

    Logits are divided by a temperature that depends on the fraction of the scene seen,
    interpolated between `knots`; all ones until `calibrate` sets it.

    Args:
        config: the network.
        label_names: names of the K classes or L findings.
        multi_label: whether several findings can hold at once.

    Attributes:
        merit: the validation's figure that says how good it is, lower is better.
    """

    merit: ClassVar[str] = "val_nll"
    knots: Tensor
    temperatures: Tensor

    def __init__(
        self, config: DenseNetConfig, label_names: tuple[str, ...], multi_label: bool = False
    ) -> None:
        super().__init__()
        expected = 2 * len(label_names) if multi_label else len(label_names)
        if config.outputs != expected:
            raise ValueError(f"outputs is {config.outputs}, expected {expected} for the labels")
        self.config = config
        self.label_names = tuple(label_names)
        self.multi_label = multi_label
        self.network = build(config)
        self.provenance: dict[str, Any] = {}
        self._precision: Precision = "fp32"
        self._loaded = False
        self.register_buffer("knots", torch.tensor([0.0, 1.0]))
        self.register_buffer("temperatures", torch.ones(2))

    @property
    def precision(self) -> Precision:
        """Of a loaded classifier's weights and features; bf16 rounds logits by about 1 %.

        Logits and beliefs are single precision in either.
        """
        return self._precision

    @precision.setter
    def precision(self, precision: Precision) -> None:
        check_known("precision", precision, get_args(Precision))
        if precision != "fp32" and not self._loaded:
            raise ValueError("precision is 'bf16', which is for a loaded classifier, not training")
        if precision != self._precision:
            self._precision = precision
            self.__dict__.pop("_inference", None)

    def logits(self, observation: Observation) -> Tensor:
        """Uncalibrated logits `[B, K]` or `[B, L, 2]`.

        Raises:
            ValueError: the observation has another size or number of channels than the network.
        """
        out = self.network(self._read(observation)).float()
        return out.unflatten(1, (-1, 2)) if self.multi_label else out

    @torch.no_grad()
    def features(self, observation: Observation) -> Float[Tensor, "B F"]:
        """What the last linear layer reads: a description of the scene for distances between sets.

        Raises:
            ValueError: the observation has another size or number of channels than the network.
        """
        last = [each for each in self.network.modules() if isinstance(each, nn.Linear)][-1]
        read: list[Tensor] = []
        hook = last.register_forward_pre_hook(lambda _, given: read.append(given[0]))
        try:
            self.network(self._read(observation))
        finally:
            hook.remove()
        return read[0].float()

    @torch.no_grad()
    def log_probs(self, observation: Observation) -> Float[Tensor, "B *L K"]:
        """Calibrated log-probabilities."""
        if not self._loaded:
            return self._calibrated(self.logits(observation), observation)
        logits = self._inference(self._read(observation))
        return self._calibrated(logits, observation)

    @torch.no_grad()
    def around(self, observation: Observation) -> Nearby:
        """Log-probabilities of observations that continue some of these.

        DenseNet-121 recomputes only what the new pixels can reach; the small network is as fast
        without.
        """
        network = self._inference if self._loaded else None
        if not isinstance(network, DenseNet121):
            return lambda after, base: self.log_probs(after)
        before = self._read(observation)
        around = network.around(before)

        @torch.no_grad()
        def nearby(after: Observation, base: Int64[Tensor, " P"]) -> Tensor:
            now = self._read(after)
            changed = (now != before[base]).any(1)
            return self._calibrated(around(now, base, Box.around(changed)), after)

        return nearby

    def _read(self, observation: Observation) -> Float[Tensor, "B C+1 H W"]:
        """What the network reads: standardised values, zero where unseen, and the mask."""
        config = self.config
        check_fits("classifier", config, observation, name="observation")
        read = observation.network_input(config.mean, config.std, reconstruction=True)
        return read.contiguous(memory_format=torch.channels_last)

    @cached_property
    def _inference(self) -> Callable[[Tensor], Tensor]:
        """The network of a loaded classifier, made ready for inference in its precision."""
        dtype = torch.float32 if self.precision == "fp32" else torch.bfloat16
        if not isinstance(self.network, FoldingNetwork):
            return DenseNet121(self.network, dtype)
        if dtype == torch.float32:
            return self.network
        network = copy.deepcopy(self.network)
        network.features.to(dtype)
        return network

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> DenseNetClassifier:
        self.__dict__.pop("_inference", None)  # it belongs to the weights as they were
        return super()._apply(fn, recurse)

    def _calibrated(self, logits: Tensor, observation: Observation) -> Tensor:
        if self.multi_label and logits.ndim == 2:
            logits = logits.unflatten(1, (-1, 2))
        temperature = self.temperature(observation.fraction_seen)
        shape = (-1,) + (1,) * (logits.ndim - 1)
        return F.log_softmax(logits / temperature.view(shape), dim=-1)

    def temperature(self, fraction: Float[Tensor, " B"]) -> Float[Tensor, " B"]:
        """Temperature for scenes of which so much was seen, linear between the knots."""
        right = torch.searchsorted(self.knots, fraction.contiguous()).clamp(1, len(self.knots) - 1)
        low, high = self.knots[right - 1], self.knots[right]
        weight = ((fraction - low) / (high - low)).clamp(0, 1)
        return torch.lerp(self.temperatures[right - 1], self.temperatures[right], weight)

    def save(self, path: Path | str, provenance: dict[str, Any]) -> None:
        """Write the weights with configuration, labels and provenance as safetensors."""
        header = {
            "kind": "densenet classifier",
            "config": asdict(self.config),
            "label_names": self.label_names,
            "multi_label": self.multi_label,
            **provenance,
        }
        save_weights(path, self.state_dict(), header)

    @classmethod
    def load(cls, path: Path | str) -> DenseNetClassifier:
        """Read a checkpoint that `save` wrote.

        Raises:
            ValueError: the file is missing, damaged, or holds something else.
        """
        model = read_model(path, cls._built, "densenet classifier").requires_grad_(False)
        if isinstance(model.network, FoldingNetwork):
            model.network.fold()
        model._loaded = True
        return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @classmethod
    def _built(cls, header: dict[str, Any], tensors: dict[str, Tensor]) -> DenseNetClassifier:
        config = DenseNetConfig.read(header["config"])
        model = cls(config, tuple(header["label_names"]), header["multi_label"])
        for name in ("knots", "temperatures"):  # their length is part of the calibration
            setattr(model, name, torch.empty_like(tensors[name]))
        if isinstance(model.network, FoldingNetwork) and not any(".norm." in k for k in tensors):
            model.network.fold()  # as `save` writes a model that was loaded before
        return model


def cross_entropy(log_probs: Float[Tensor, "B *L K"], labels: Tensor) -> Float[Tensor, " B"]:
    """Negative log-likelihood of the labels in nats, `[B]`; averaged over findings."""
    picked = log_probs.gather(-1, labels.unsqueeze(-1)).squeeze(-1)
    return -(picked if picked.ndim == 1 else picked.mean(1))
