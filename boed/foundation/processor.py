"""What a computation ran on, in words that say what its seconds mean."""

from __future__ import annotations

import platform
from pathlib import Path

import torch


def processor(device: str = "cpu") -> str:
    """The name of the processor, or of the GPU.

    Args:
        device: as torch has it.
    """
    if device.startswith("cuda") and torch.cuda.is_available():
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
