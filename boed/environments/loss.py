"""What a wrong prediction costs."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from boed.classifiers.calibration import cross_entropy


class Loss(Protocol):
    """A loss for each row of a batch, with the signature of ap_gym's `LossFn`."""

    def __call__(
        self, prediction: NDArray, target: NDArray, batch_shape: tuple[int, ...] = ()
    ) -> NDArray:
        """Loss of `prediction`, `[*batch_shape, P]`, where `target` is true: `[*batch_shape]`."""
        ...


class CrossEntropy:
    """Cross-entropy in nats of logits `[..., K]`; of findings `[..., 2 L]`, averaged over them.

    The logits of findings are (absent, present) for each: a classifier's `[L, 2]`, flattened.

    Args:
        findings: whether the target is L findings, 0 or 1 each, and not one of K classes.
    """

    def __init__(self, findings: bool = False) -> None:
        self.findings = findings

    def __call__(
        self, prediction: NDArray, target: NDArray, batch_shape: tuple[int, ...] = ()
    ) -> NDArray:
        """The loss of arrays."""
        return self.numpy(prediction, target, batch_shape)

    def numpy(
        self, prediction: NDArray, target: NDArray, batch_shape: tuple[int, ...] = ()
    ) -> NDArray:
        """The loss of arrays."""
        logits, truth = torch.tensor(prediction), torch.tensor(target, dtype=torch.int64)
        return np.asarray(self.torch(logits, truth, batch_shape))

    def torch(
        self,
        prediction: Float[Tensor, "..."],
        target: Int[Tensor, "..."],
        batch_shape: tuple[int, ...] = (),
    ) -> Float[Tensor, "..."]:
        """The loss of tensors, differentiable in the prediction."""
        rows = prediction.reshape(-1, prediction.shape[-1])
        if self.findings:
            logits, truth = rows.unflatten(1, (-1, 2)), target.reshape(len(rows), -1)
        else:
            logits, truth = rows, target.reshape(len(rows))
        return cross_entropy(logits.log_softmax(-1), truth.long()).reshape(batch_shape)
