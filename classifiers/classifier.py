"""Beliefs about the question v from partly seen scenes."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from classifiers.densenet import DenseNetConfig, SmallDenseNet, build
from data.files import load_weights, save_weights
from data.observation import Observation


@runtime_checkable
class Classifier(Protocol):
    """p(v | observation), trained on partly seen scenes."""

    def log_probs(self, observation: Observation) -> Float[Tensor, "B *L K"]:
        """Log-probabilities `[B, K]` of K answers, or `[B, L, 2]` for L findings."""
        ...


class DenseNetClassifier(nn.Module):
    """The AVP-CNN g(v | observation) of Harvey et al. 2021 (App. B.4), calibrated.

    Logits are divided by a temperature that depends on the fraction of the scene seen,
    interpolated between `knots`; all ones until `calibrate` sets it.

    Args:
        config: the network.
        label_names: names of the K classes or L findings.
        multi_label: whether several findings can hold at once.
    """

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
        self.register_buffer("knots", torch.tensor([0.0, 1.0]))
        self.register_buffer("temperatures", torch.ones(2))

    def logits(self, observation: Observation) -> Tensor:
        """Uncalibrated logits `[B, K]` or `[B, L, 2]`.

        Raises:
            ValueError: the observation has another size or number of channels than the network.
        """
        config = self.config
        if tuple(observation.values.shape[1:]) != (config.channels, config.size, config.size):
            raise ValueError(
                f"observation has {observation.channels} channels of {observation.size} pixels; "
                f"this classifier was trained for {config.channels} of {config.size}"
            )
        values = (observation.values - config.mean) / config.std * _known(observation)
        stacked = torch.cat([values, observation.mask], dim=1)
        out = self.network(stacked.contiguous(memory_format=torch.channels_last)).float()
        return out.unflatten(1, (-1, 2)) if self.multi_label else out

    def log_probs(self, observation: Observation) -> Float[Tensor, "B *L K"]:
        """Calibrated log-probabilities."""
        with torch.no_grad():
            logits = self.logits(observation)
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
        tensors, header = load_weights(path, "densenet classifier")
        try:
            config = dict(header["config"])
            config |= {name: tuple(config[name]) for name in ("growth", "layers")}
            labels = tuple(header["label_names"])
            model = cls(DenseNetConfig(**config), labels, header["multi_label"])
            for name in ("knots", "temperatures"):  # their length is part of the calibration
                setattr(model, name, torch.empty_like(tensors[name]))
            small = model.network if isinstance(model.network, SmallDenseNet) else None
            if small is not None and not any(".norm." in name for name in tensors):
                small.fold()  # as `save` writes a model that was loaded before
            model.load_state_dict(tensors)
        except (RuntimeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"checkpoint {path} does not fit its configuration: {error}"
            ) from error
        model.provenance = header
        model.requires_grad_(False).eval()
        if small is not None:
            small.fold()
        return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _known(observation: Observation) -> Tensor:
    """1 on the pixels whose values mean something: all of a reconstruction, once there is one."""
    if observation.taken is None:
        return observation.mask
    return observation.taken.amax(1)[:, None, None, None]


def cross_entropy(log_probs: Float[Tensor, "B *L K"], labels: Tensor) -> Float[Tensor, " B"]:
    """Negative log-likelihood of the labels in nats, `[B]`; averaged over findings."""
    picked = log_probs.gather(-1, labels.unsqueeze(-1)).squeeze(-1)
    return -(picked if picked.ndim == 1 else picked.mean(1))
