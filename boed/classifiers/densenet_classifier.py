"""The AVP-CNN of Harvey et al. 2021: a DenseNet on partly seen scenes, calibrated."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cached_property
from typing import Any, Self, get_args

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from boed.classifiers.classifier import Nearby
from boed.classifiers.networks.boxes import Box
from boed.classifiers.networks.densenet import DenseNetConfig, FoldingNetwork, build
from boed.classifiers.networks.densenet121_incremental import DenseNet121
from boed.classifiers.networks.fully_connected import FullyConnected
from boed.classifiers.trained import TrainedClassifier
from boed.data.observation import Observation
from boed.foundation.checks import check_fits
from boed.foundation.precision import Precision
from boed.foundation.registry import check_known

KIND = "densenet classifier"
"""What headers of checkpoints call it."""


class DenseNetClassifier(TrainedClassifier):
    """The AVP-CNN g(v | observation) of Harvey et al. 2021 (App. B.4), calibrated.

    Args:
        config: the network.
        label_names: names of the K classes or L findings.
        multi_label: whether several findings can hold at once.

    """

    kind = KIND

    def __init__(
        self, config: DenseNetConfig, label_names: tuple[str, ...], multi_label: bool = False
    ) -> None:
        super().__init__(label_names, multi_label)
        expected = 2 * len(label_names) if multi_label else len(label_names)
        if config.outputs != expected:
            raise ValueError(f"outputs is {config.outputs}, expected {expected} for the labels")
        self._config = config
        self.network = build(config)
        self._precision: Precision = "fp32"
        self._loaded = False

    @property
    def lead(self) -> DenseNetClassifier:
        """Itself."""
        return self

    @property
    def config(self) -> DenseNetConfig:
        """The network's configuration."""
        return self._config

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
        return self.judged(self.read(observation))

    def judged(self, read: Float[Tensor, "B C+1 H W"]) -> Tensor:
        """Uncalibrated logits `[B, K]` or `[B, L, 2]` of what `read` returned."""
        return self.answers((self._inference if self._loaded else self.network)(read).float())

    def answers(self, out: Float[Tensor, "B F"]) -> Tensor:
        """Logits `[B, K]` or `[B, L, 2]` of what the network returned."""
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
            self.network(self.read(observation))
        finally:
            hook.remove()
        return read[0].float()

    @torch.no_grad()
    def log_probs(self, observation: Observation) -> Float[Tensor, "B *L K"]:
        """Calibrated log-probabilities."""
        return self.beliefs(self.logits(observation), observation.fraction_seen)

    @torch.no_grad()
    def around(self, observation: Observation) -> Nearby:
        """Log-probabilities of observations that continue some of these.

        DenseNet-121 recomputes only what the new pixels can reach, fully connected layers what they
        add to the first one; the small network is as fast without.
        """
        judged = self.judged_around(self.read(observation))

        @torch.no_grad()
        def nearby(after: Observation, base: Int64[Tensor, " P"]) -> Tensor:
            return self.beliefs(judged(self.read(after), base), after.fraction_seen)

        return nearby

    def judged_around(
        self, before: Float[Tensor, "B C+1 H W"]
    ) -> Callable[[Tensor, Int64[Tensor, " P"]], Tensor]:
        """`judged` of what continues some of `before`: of what was read then, and of which."""
        network = self._inference if self._loaded else None
        if isinstance(network, FullyConnected):
            from_few = network.around(before)
            return lambda now, base: self.answers(from_few(now, base))
        if not isinstance(network, DenseNet121):
            return lambda now, base: self.judged(now)
        around = network.around(before)

        def judged(now: Tensor, base: Int64[Tensor, " P"]) -> Tensor:
            out: Tensor = around(now, base, Box.around((now != before[base]).any(1)))
            return self.answers(out.float())

        return judged

    def read(self, observation: Observation) -> Float[Tensor, "B C+1 H W"]:
        """What the network reads: standardised values, zero where unseen, and the mask."""
        config = self.config
        check_fits("classifier", config, observation, name="observation")
        read = observation.network_input(config.mean, config.std, reconstruction=True)
        if isinstance(self.network, FullyConnected):
            return read
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

    def ready(self) -> Self:
        """For inference alone: weights that stay, folded and laid out for it."""
        self.eval().requires_grad_(False)
        if isinstance(self.network, FoldingNetwork):
            self.network.fold()
        self._loaded = True
        return self.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    @classmethod
    def built(cls, header: dict[str, Any], tensors: dict[str, Tensor]) -> Self:
        """The classifier that a checkpoint's header describes, before its weights are read.

        Args:
            header: of the checkpoint.
            tensors: of the checkpoint.
        """
        config = DenseNetConfig.read(header["config"])
        model = cls(config, tuple(header["label_names"]), header["multi_label"])
        model.make_room(tensors)
        if isinstance(model.network, FoldingNetwork) and not any(".norm." in k for k in tensors):
            model.network.fold()  # as `save` writes a model that was loaded before
        return model
