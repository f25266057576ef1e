"""What completers with a discriminator share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn
from torch.func import functional_call


def frozen(module: nn.Module, *inputs: Tensor) -> Tensor:
    """`module(*inputs)` with constant parameters: gradients reach the inputs alone."""
    constant = {name: p.detach() for name, p in module.named_parameters()}
    output: Tensor = functional_call(module, constant, inputs)
    return output


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while: statistics of batch and spectral norm are used, not updated."""
    was_training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(was_training)
