"""Whether bfloat16 is faster than single precision: measured on this very machine, not assumed.

Processors without bfloat16 arithmetic compute in it several times slower than in single precision;
with it, networks of wide convolutions are several times faster, and others are slower for all the
rounding.
"""

from __future__ import annotations

import functools
import time
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, get_args

from boed.foundation.registry import check_known

if TYPE_CHECKING:
    from torch import nn

Precision = Literal["fp32", "bf16"]
"""What a network computes in."""

PRECISIONS = ("auto", *get_args(Precision))
"""What can be asked for; `auto` is the faster one."""

WORTH_IT = 1.2
"""`auto` takes bf16 where it is faster by this factor; below, rounding buys nothing."""

ROUNDS = 5

TRIAL_SECONDS = (0.2, 2.0)
"""Of a training's own steps: at least so long, so that short ones are timed well; and no further
round begins after the second."""


def choose(
    asked: str,
    device: str = "cpu",
    *,
    training: bool,
    step: Callable[[bool], None] | None = None,
) -> Precision:
    """The precision to compute in.

    Args:
        asked: one of `PRECISIONS`.
        device: where the network runs.
        training: forward and backward under autocast, or forward alone with bf16 weights.
        step: computes what is to be fast, in bf16 if it is given True: it is what counts where a
            small block is faster in bf16.

    Raises:
        ValueError: another precision.
    """
    check_known("precision", asked, PRECISIONS)
    if asked == "fp32":
        return "fp32"
    ratio = bf16_speedup(device.partition(":")[0], training=training)
    if step is not None and ratio >= (WORTH_IT if asked == "auto" else 1):
        ratio = _speedup(step, device, *TRIAL_SECONDS)
    if asked == "bf16" and ratio < 1:
        warnings.warn(
            f"precision is 'bf16', in which this machine is {1 / ratio:.1f} times slower than in "
            "fp32; 'auto' takes the faster one",
            stacklevel=2,
        )
    return "bf16" if asked == "bf16" or ratio >= WORTH_IT else "fp32"


@functools.cache
def bf16_speedup(device: str, *, training: bool) -> float:
    """Time in fp32 over time in bf16 of a small bottleneck block: some tens of milliseconds.

    Args:
        device: `cpu` or `cuda`.
        training: forward and backward under autocast, or forward alone with bf16 weights.
    """
    import torch

    with torch.random.fork_rng(), torch.enable_grad():
        single, rounded = (_block(device) for _ in range(2))
        if not training:
            rounded.to(torch.bfloat16)
        image = torch.randn(16, 64, 16, 16, device=device)
        image = image.to(memory_format=torch.channels_last)

        def step(half: bool) -> None:
            network = rounded if half else single
            if training:
                with torch.autocast(device, torch.bfloat16, enabled=half):
                    value = network(image).float().square().mean()
                value.backward()  # type: ignore[no-untyped-call]
            else:
                with torch.no_grad():
                    network(image.to(torch.bfloat16) if half else image)

        return _speedup(step, device)


def _speedup(
    step: Callable[[bool], None], device: str, least: float = 0.0, most: float = 1.0
) -> float:
    """Time in fp32 over time in bf16 of a step that is told which of them to compute in."""
    import torch

    on_gpu = device.partition(":")[0] == "cuda"
    clock = time.perf_counter if on_gpu else time.process_time  # whoever else is busy
    times: dict[bool, list[float]] = {False: [], True: []}
    spent, rounds = 0.0, 0
    while spent < most and (rounds < ROUNDS or spent < least):
        rounds += 1  # in turns, so that other load meets both
        for half, seconds in times.items():
            began = clock()
            step(half)
            if on_gpu:
                torch.cuda.synchronize()
            seconds.append(clock() - began)
            spent += seconds[-1]
    return min(times[False]) / min(times[True])


def _block(device: str) -> nn.Module:
    """What the networks here consist of: 1x1 and 3x3 convolutions with GELU."""
    import torch
    from torch import nn

    layers = [nn.Conv2d(64, 32, 1), nn.Conv2d(32, 32, 3, padding=1), nn.Conv2d(32, 64, 1)]
    network = nn.Sequential(*(part for layer in layers for part in (nn.GELU(), layer)))
    return network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]
