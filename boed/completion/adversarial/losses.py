"""What completers with a discriminator share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call


def frozen(module: nn.Module, *inputs: Tensor) -> Tensor:
    """`module(*inputs)` with constant parameters: gradients reach the inputs alone."""
    constant = {name: p.detach() for name, p in module.named_parameters()}
    output: Tensor = functional_call(module, constant, inputs)
    return output


def resting(module: nn.Module, *inputs: Tensor) -> Tensor:
    """`frozen`, and the buffers, such as the statistics of batch norm, stay as they are."""
    constant = {name: p.detach() for name, p in module.named_parameters()}
    copies = {name: buffer.clone() for name, buffer in module.named_buffers()}
    output: Tensor = functional_call(module, constant | copies, inputs)
    return output


def overlap_weights(
    mask: Float[Tensor, "B 1 H W"], *, band: int, weight: float
) -> Float[Tensor, "B 1 H W"]:
    """1 on hidden pixels, `weight` on seen ones at most `band` pixels away, 0 elsewhere.

    >>> import torch
    >>> overlap_weights(torch.tensor([[[[1.0, 1.0, 1.0, 0.0]]]]), band=1, weight=20.0)
    tensor([[[[ 0.,  0., 20.,  1.]]]])
    """
    hidden = 1 - mask
    near = F.max_pool2d(hidden, 2 * band + 1, stride=1, padding=band)
    return hidden + weight * near * mask


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while: statistics of batch and spectral norm are used, not updated."""
    was_training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(was_training)
