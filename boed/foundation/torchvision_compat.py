"""The one door to torchvision and torchxrayvision, also where torchvision's build does not fit."""

from __future__ import annotations

from types import ModuleType

import torch

_LIBRARIES: list[torch.library.Library] = []  # schemas vanish with the object that defined them


def torchvision() -> ModuleType:
    """Import torchvision, also where its compiled part does not fit the installed torch.

    A CUDA build of torchvision beside a CPU build of torch registers no operators, and importing it
    stops at the missing `torchvision::nms`. Two empty operator schemas are enough to get past that:
    models and transforms then work, `ops.nms` and `torchvision.io` do not (we use neither).
    """
    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        library = torch.library.Library("torchvision", "FRAGMENT")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _LIBRARIES.append(library)
        import torchvision
    return torchvision


def torchxrayvision() -> ModuleType:
    """Import torchxrayvision by way of `torchvision()`."""
    torchvision()
    import torchxrayvision

    return torchxrayvision
