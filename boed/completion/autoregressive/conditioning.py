"""What is seen of a scene, read by a residual network: from everywhere, to everywhere."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from boed.foundation.registry import check_known

NORMS = ("batch", "group")
"""Batch norm as published, whose statistics are those of the masks of training; or group norm."""


def norm(kind: str, features: int) -> nn.Module:
    """A normalisation by name; group norm has groups of about 8 features."""
    check_known("norm", kind, NORMS)
    if kind == "batch":
        return nn.BatchNorm2d(features)
    groups = next(each for each in range(max(features // 8, 1), 0, -1) if features % each == 0)
    return nn.GroupNorm(groups, features)


class ResidualBlock(nn.Module):
    """1x1, k x k and 1x1 convolutions, each with norm and ReLU, added to what comes in.

    As the reference code of Dupont & Suresha 2019 has them: what is added is never negative.
    """

    def __init__(self, features: int, *, kernel: int, dilation: int, kind: str) -> None:
        super().__init__()
        reach = dilation * (kernel // 2)
        self.layers = nn.Sequential(
            nn.Conv2d(features, features, 1, bias=False),
            norm(kind, features),
            nn.ReLU(),
            nn.Conv2d(features, features, kernel, padding=reach, dilation=dilation, bias=False),
            norm(kind, features),
            nn.ReLU(),
            nn.Conv2d(features, features, 1, bias=False),
            norm(kind, features),
            nn.ReLU(),
        )

    def forward(self, x: Float[Tensor, "B F H W"]) -> Float[Tensor, "B F H W"]:
        added: Tensor = self.layers(x)
        return x + added


class ConditioningNetwork(nn.Module):
    """A convolution and residual blocks over seen pixels and their mask, and a last 1x1 layer."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        filters: int,
        kernel: int,
        first_kernel: int,
        dilations: Sequence[int],
        kind: str,
    ) -> None:
        """
        Args:
            inputs: channels of seen pixels and mask.
            outputs: numbers for each pixel.
            filters: features.
            kernel, first_kernel: odd numbers of pixels.
            dilations: of each residual block.
            kind: of norm, one of `NORMS`.
        """
        super().__init__()
        self.enter = nn.Conv2d(inputs, filters, first_kernel, padding=first_kernel // 2)
        self.blocks = nn.Sequential(
            *(ResidualBlock(filters, kernel=kernel, dilation=each, kind=kind) for each in dilations)
        )
        self.leave = nn.Conv2d(filters, outputs, 1)

    def features(self, seen: Float[Tensor, "B I H W"]) -> Float[Tensor, "B F H W"]:
        """What stands before the last layer."""
        features: Tensor = self.blocks(F.relu(self.enter(seen)))
        return features

    def forward(self, seen: Float[Tensor, "B I H W"]) -> Float[Tensor, "B O H W"]:
        logits: Tensor = self.leave(self.features(seen))
        return logits
